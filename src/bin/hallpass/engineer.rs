//! `hallpass ssh` and `hallpass ensure`: the engineer's comfort, for who prefers a program to a block
//! in ssh_config. Both run the stock ssh; keys stay where ssh has them, and this program never sees one.
//!
//! Names are checked by their grammars before anything is run, and go as arguments, never through a
//! shell of this machine.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;

use clap::Args;

use hallpass::certificate::names::{HostName, Login, TicketId};

use crate::{Stop, say};

#[derive(Args)]
pub(crate) struct SshWords {
    #[command(flatten)]
    ask: AskWords,
    /// The account
    #[arg(value_name = "LOGIN@HOST")]
    account: Account,
    /// What ssh is given besides: its own options, and a command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SSH'S OWN")]
    rest: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct EnsureWords {
    #[command(flatten)]
    ask: AskWords,
    /// The accounts
    #[arg(required = true, value_name = "LOGIN@HOST")]
    accounts: Vec<Account>,
}

#[derive(Args)]
struct AskWords {
    /// What the CA is called in ssh_config
    #[arg(long, default_value = "ca", value_name = "NAME")]
    ca: HostName,
    /// The ticket that is the reason
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
}

/// An account as people type it: what it holds can be a word of ssh's and a file's name, and no option.
#[derive(Clone)]
struct Account(String);

impl FromStr for Account {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (login, host) = text.split_once('@').ok_or("not LOGIN@HOST")?;
        login.parse::<Login>().map_err(|why| why.to_string())?;
        if host.parse::<IpAddr>().is_err() {
            host.parse::<HostName>().map_err(|why| why.to_string())?;
        }
        Ok(Self(text.to_owned()))
    }
}

/// Sees to a certificate for an account, and becomes ssh. Where there is none, ssh goes on with what it
/// has, as it does with the block; the CA said why.
pub(crate) fn ssh(words: SshWords) -> Result<(), Stop> {
    let SshWords { ask, account, rest } = words;
    let file = folder()?.join(format!("{}-cert.pub", account.0));
    ask.ensure(&account, &file)?;
    let mut ssh = Command::new("ssh");
    if file.exists() {
        ssh.arg("-o").arg(option(&file)?);
    }
    let why = ssh.arg(&account.0).args(rest).exec();
    Err(Stop::Failed(format!("ssh: {why}")))
}

/// Sees to a certificate for each account. The status is that of the first that failed.
pub(crate) fn ensure(words: &EnsureWords) -> Result<ExitCode, Stop> {
    let EnsureWords { ask, accounts } = words;
    let folder = folder()?;
    let mut all = 0;
    for account in accounts {
        let status = ask.ensure(account, &folder.join(format!("{}-cert.pub", account.0)))?;
        all = if all == 0 { status } else { all };
    }
    Ok(ExitCode::from(all))
}

impl AskWords {
    /// Has the CA issue a certificate, or give the same one again, and puts it into its file. The status is
    /// that of the `ssh` which asked.
    fn ensure(&self, account: &Account, file: &Path) -> Result<u8, Stop> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-a", "-T", "-o", "SendEnv=HALLPASS_TICKET", self.ca.as_str()]);
        ssh.args(["ensure", &account.0, "--to", "stdout"]);
        if let Some(ticket) = &self.ticket {
            // `#` may stand in one, and begins a comment in a shell's words.
            ssh.args(["--ticket", &format!("'{ticket}'")]);
        }
        let said = ssh.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let said = said.map_err(|why| format!("ssh: {why}"))?;
        let status = said.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255);
        if status == 0 {
            let text = std::str::from_utf8(&said.stdout).unwrap_or_default();
            ssh_key::Certificate::from_openssh(text)
                .map_err(|why| format!("what {} answered is no certificate: {why}", self.ca))?;
            put(file, text).map_err(|why| format!("{}: {why}", file.display()))?;
        }
        Ok(status)
    }
}

/// `~/.ssh/hallpass`, for nobody else to read, and no way to somewhere else.
fn folder() -> Result<PathBuf, Stop> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let ssh = home.ok_or("you have no home folder")?.join(".ssh");
    let folder = ssh.join("hallpass");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|why| format!("{}: {why}", folder.display()))?;
    if !fs::symlink_metadata(&folder)?.is_dir() {
        return Err(Stop::Failed(format!("{} is no folder of its own", folder.display())));
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    Ok(folder)
}

/// Puts a file in place whole, by rename: a link that stands there is replaced and not followed.
fn put(file: &Path, text: &str) -> std::io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let other = file.with_file_name(format!(".{name}.{}", std::process::id()));
    // One of the same name is of a process that died.
    fs::remove_file(&other).or_else(|why| match why.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(why),
    })?;
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&other)?;
    written.write_all(text.as_bytes())?;
    fs::rename(other, file)
}

/// ssh's option that names the certificate. ssh expands `%` in it, and splits at spaces outside quotes.
fn option(file: &Path) -> Result<String, Stop> {
    let path = file.to_str().filter(|path| !path.contains(['"', '\\', '\n']));
    let Some(path) = path else {
        say("ssh cannot be given the name of your home folder; it goes on without the certificate");
        return Ok("CertificateFile=none".to_owned());
    };
    Ok(format!("CertificateFile=\"{}\"", path.replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_word_and_never_an_option() {
        for good in ["deploy@web01", "dev@10.0.0.1", "dev@2001:db8::1", "a@b.example.com"] {
            assert!(good.parse::<Account>().is_ok(), "{good}");
        }
        for bad in [
            "web01",
            "@web01",
            "deploy@",
            "-oProxyCommand=x@web01",
            "deploy@-oProxyCommand=x",
            "deploy@a/b",
            "../x@web01",
            "deploy@..",
            "a b@c",
            "a@b;c",
            "$(x)@web01",
            "deploy@web01\n",
            "deploy@web01@x",
        ] {
            assert!(bad.parse::<Account>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_option_is_read_by_ssh_as_it_is() {
        let option = |path: &str| option(Path::new(path)).ok().unwrap();
        assert_eq!(option("/home/a b/50%r/x"), "CertificateFile=\"/home/a b/50%%r/x\"");
        assert_eq!(option("/home/\"/x"), "CertificateFile=none");
    }
}
