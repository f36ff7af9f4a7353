# Who and what there is in the tests' Request Tracker. Prints accounts and their tokens.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;

sub made {
    my ($class, @fields) = @_;
    my $object = $class->new(RT->SystemUser);
    my ($id, @said) = $object->Create(@fields);
    die "$class: @said\n" unless $id;
    return $object;
}

# An account that has these rights in a queue.
sub account {
    my ($name, $queue, @rights) = @_;
    my $user = made('RT::User', Name => $name, EmailAddress => "$name\@example.com", Privileged => 1);
    for my $right (@rights) {
        my ($ok, $said) = $user->PrincipalObj->GrantRight(Right => $right, Object => $queue);
        die "$right: $said\n" unless $ok;
    }
    my ($ok, $said, $token) =
        RT::AuthToken->new(RT->SystemUser)->Create(Owner => $user->id, Description => 'tests');
    die "$said\n" unless $ok;
    print "$name $token\n";
}

my $queue = RT::Queue->new(RT->SystemUser);
$queue->Load('General');
my $secret = made('RT::Queue', Name => 'Secret');
my @work = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket OwnTicket ModifyTicket);
account('hallpass', $queue, qw(SeeQueue ShowTicket CommentOnTicket));
# Reads and may not comment.
account('mute', $queue, qw(SeeQueue ShowTicket));
account('a.ivanova', $queue, @work);
account('b.okafor', $queue, @work);
# 1 to 5, as tests/it/trackers/rt.rs knows them.
for (
    [$queue, 'Roll out 4.2', 'a.ivanova', 'open'],
    [$queue, 'Rolled out 4.1', 'a.ivanova', 'resolved'],
    [$queue, 'Disk full', 'b.okafor', 'open'],
    [$secret, 'Not for everybody', 'Nobody', 'open'],
    [$queue, 'Some day', 'a.ivanova', 'new'],
    [$queue, 'Said twice', 'a.ivanova', 'open'],
) {
    my ($in, $subject, $owner, $status) = @$_;
    made('RT::Ticket', Queue => $in->id, Subject => $subject, Owner => $owner, Status => $status);
}
