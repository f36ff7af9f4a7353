# A Request Tracker of the tests' own: everything is in the folder HALLPASS_RT, nothing in the package's.
Set($rtname, 'example.com');
Set($Organization, 'example.com');
Set($WebDomain, '127.0.0.1');
Set($WebPort, $ENV{HALLPASS_RT_PORT});
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, "$ENV{HALLPASS_RT}/rtdb");
Set($Timezone, 'UTC');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'error');
# Mail goes into a file there.
Set($MailCommand, 'mbox');
$RT::VarPath = $ENV{HALLPASS_RT};
$RT::MasonDataDir = "$ENV{HALLPASS_RT}/mason";
$RT::MasonSessionDir = "$ENV{HALLPASS_RT}/sessions";
1;
