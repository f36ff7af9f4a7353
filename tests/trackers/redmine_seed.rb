# Who and what there is in the tests' Redmine. Prints accounts and their keys.
Setting.rest_api_enabled = '1'

def account(login, admin: false)
  user = User.new(firstname: login.split('.').last.capitalize, lastname: 'Example', mail: "#{login}@example.com", language: 'en')
  user.login = login
  user.admin = admin
  user.password = user.password_confirmation = SecureRandom.hex
  user.save!
  puts "#{login} #{user.api_key}"
  user
end

bot = account('hallpass')
ana = account('a.ivanova')
bob = account('b.okafor')
account('boss', admin: true)
ops = Project.create!(name: 'Ops', identifier: 'ops', trackers: Tracker.all)
secret = Project.create!(name: 'Secret', identifier: 'secret', is_public: false, trackers: Tracker.all)
role = Role.givable.first
[ana, bob, bot].each { |user| Member.create!(project: ops, principal: user, roles: [role]) }
Member.create!(project: secret, principal: ana, roles: [role])
# A group can be assigned an issue like a person.
Setting.issue_group_assignment = '1'
group = Group.create!(lastname: 'Operators')
Member.create!(project: ops, principal: group, roles: [role])
# 1 to 6, as tests/it/trackers/redmine.rs knows them.
[
  [ops, 'Roll out 4.2', ana, 'In Progress'],
  [ops, 'Rolled out 4.1', ana, 'Closed'],
  [ops, 'Disk full', bob, 'In Progress'],
  [secret, 'Not for everybody', ana, 'In Progress'],
  [ops, 'Nobody has it', nil, 'New'],
  [ops, 'All of us have it', group, 'New']
].each do |project, subject, assignee, status|
  Issue.create!(project: project, tracker: Tracker.first, author: ana, assigned_to: assignee, subject: subject,
                priority: IssuePriority.first, status: IssueStatus.find_by_name(status))
end
