//! A line of sshd's log: who got in by what.
//!
//! ```text
//! Accepted publickey for USER from IP port N ssh2: TYPE-CERT SHA256:FP ID KEYID (serial N) CA TYPE SHA256:FP
//! ```
//!
//! Whoever holds a CA's key writes KEYID: spaces, parentheses, a whole `(serial 5) CA ...` of its own, or
//! so many bytes that sshd cuts off what follows. So what stands before it is read from the left, what
//! stands behind it from the right, and a login by certificate that cannot be read is not passed over.

use super::log_time::LogTime;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing of a login.
    Other,
    /// A login by another method, or by a key without certificate: the method's word.
    Plain(String),
    /// A login by certificate.
    Certificate(Box<Login>),
    /// A login that cannot be read, cut short perhaps.
    Unread,
}

/// A login by certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// When, as far as the line says.
    pub time: Option<LogTime>,
    /// The host's name in front of the program's, as syslog writes it.
    pub host: Option<String>,
    /// The account.
    pub user: String,
    /// Where from.
    pub source: String,
    /// The fingerprint of the key.
    pub subject: String,
    /// The key ID: foreign text.
    pub key_id: String,
    /// The serial.
    pub serial: u64,
    /// The fingerprint of the CA's key.
    pub ca: String,
}

/// What sshd calls itself before a message; since 9.8 a session's process has a name of its own.
const PROGRAMS: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

/// The words of a login, and of one that needs a further method: the certificate was used.
const USES: [&str; 2] = ["Accepted ", "Partial "];

/// Reads a line.
pub fn read(line: &str) -> Line {
    // Most lines are something else.
    if !USES.iter().any(|word| line.contains(word)) {
        return Line::Other;
    }
    let line = line.trim_end_matches(['\r', '\n', ' ']);
    let (head, message) = match part(line) {
        Part::Sshd { head, message } => (head, message),
        Part::Another => return Line::Other,
        // Then it is better not passed over.
        Part::Unknown if line.contains("Accepted publickey for ") && line.contains("-CERT ") => {
            return Line::Unread;
        }
        Part::Unknown => return Line::Other,
    };
    let Some(login) = USES.iter().find_map(|word| message.strip_prefix(word)) else {
        return Line::Other;
    };
    let Some((method, rest)) = login.split_once(" for ") else {
        // `Accepted key ...`, `Accepted certificate ID ...`: what sshd says while it makes up its mind.
        return Line::Other;
    };
    if method.starts_with("key ") || method.starts_with("certificate ") {
        return Line::Other;
    }
    if method != "publickey" {
        let partial = message.starts_with("Partial ");
        return if partial { Line::Other } else { Line::Plain(method.to_owned()) };
    }
    match publickey(rest) {
        Some(Used::Key) if message.starts_with("Partial ") => Line::Other,
        Some(Used::Key) => Line::Plain("publickey".to_owned()),
        Some(Used::Certificate(login)) => {
            let (time, host) = place(head);
            Line::Certificate(Box::new(Login { time, host, ..login }))
        }
        None => Line::Unread,
    }
}

/// Whose line it is.
enum Part<'a> {
    /// What stands before the program's name, and the message.
    Sshd { head: &'a str, message: &'a str },
    /// Another program's.
    Another,
    /// It begins in no way that is known.
    Unknown,
}

/// Takes a line apart at the program's name: time, host and program come first, and nothing foreign
/// among them.
fn part(line: &str) -> Part<'_> {
    if USES.iter().any(|word| line.starts_with(word)) {
        return Part::Sshd { head: "", message: line };
    }
    // RFC 5424 as it is sent has the program fourth; every other form has a colon behind it.
    let sent =
        line.starts_with('<') && line.split(' ').next().is_some_and(|word| word.ends_with(">1"));
    let mut at = 0;
    for (nth, word) in line.split(' ').enumerate().take(HEAD) {
        let here = if sent { nth == 3 } else { word.ends_with(':') };
        if !here {
            at += word.len() + 1;
            continue;
        }
        let name = word.trim_end_matches(':').split('[').next().unwrap_or_default();
        if !PROGRAMS.contains(&name.rsplit('/').next().unwrap_or_default()) {
            return Part::Another;
        }
        let head = line.get(..at).unwrap_or_default();
        let rest = line.get(at + word.len()..).unwrap_or_default().trim_start_matches(' ');
        let message = if sent { unwrapped(rest) } else { Some(rest) };
        return message
            .map_or(Part::Unknown, |message| Part::Sshd { head, message: repeated(message) });
    }
    Part::Unknown
}

/// The most words before a message: `Sun 2026-11-22 05:40:01 UTC web01 sshd[812]:`
const HEAD: usize = 6;

/// The message behind `PROCID MSGID STRUCTURED-DATA`.
fn unwrapped(rest: &str) -> Option<&str> {
    let (_procid, rest) = rest.split_once(' ')?;
    let (_msgid, rest) = rest.split_once(' ')?;
    let rest = match rest.strip_prefix("- ") {
        Some(rest) => rest,
        // Elements `[...]`, in which a bracket is escaped.
        None => {
            let end = rest.match_indices("] ").map(|(at, _)| at);
            let mut end = end.filter(|at| !rest.get(..*at).unwrap_or_default().ends_with('\\'));
            rest.strip_prefix('[').and(rest.get(end.next()? + 2..))?
        }
    };
    Some(rest.trim_start_matches('\u{feff}'))
}

/// `message repeated 2 times: [ ...]`, as rsyslog writes.
fn repeated(message: &str) -> &str {
    let inner =
        message.strip_prefix("message repeated ").and_then(|rest| rest.split_once("times: [ "));
    inner.map_or(message, |(_, inner)| inner.strip_suffix(']').unwrap_or(inner))
}

/// How a key was used.
enum Used {
    Key,
    Certificate(Login),
}

/// `USER from IP port N ssh2: ...`
fn publickey(text: &str) -> Option<Used> {
    let (before, key) = text.split_once(" ssh2: ")?;
    let (user_from, port) = before.rsplit_once(" port ")?;
    let (user, source) = user_from.rsplit_once(" from ")?;
    port.parse::<u16>().ok()?;
    let (kind, rest) = key.split_once(' ')?;
    if !kind.ends_with("-CERT") {
        return is_fingerprint(rest).then_some(Used::Key);
    }
    let (subject, rest) = rest.split_once(' ')?;
    // From the right: what sshd writes after the key ID, each piece a word without a space.
    let (rest, ca) = rest.rsplit_once(' ')?;
    let (rest, _type) = rest.rsplit_once(' ')?;
    let rest = rest.strip_suffix(") CA")?;
    let (key_id, serial) = rest.rsplit_once(" (serial ")?;
    let key_id = key_id.strip_prefix("ID ")?;
    let digits = serial.bytes().all(|digit| digit.is_ascii_digit());
    let whole = is_fingerprint(subject) && is_fingerprint(ca) && digits;
    whole.then_some(Used::Certificate(Login {
        time: None,
        host: None,
        user: user.to_owned(),
        source: source.to_owned(),
        subject: subject.to_owned(),
        key_id: key_id.to_owned(),
        serial: serial.parse().ok()?,
        ca: ca.to_owned(),
    }))
}

/// `SHA256:` and 32 bytes of base64 without padding.
pub fn is_fingerprint(text: &str) -> bool {
    let hash = text.strip_prefix("SHA256:").unwrap_or_default();
    hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// Time and host before the program's name.
fn place(head: &str) -> (Option<LogTime>, Option<String>) {
    let words: Vec<&str> = head.split(' ').filter(|word| !word.is_empty()).collect();
    let (time, used) = LogTime::read(&words);
    let host = words.get(used..).and_then(<[&str]>::first).filter(|_| used > 0);
    (time, host.map(|host| (*host).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FP: &str = "SHA256:P42SN4wLEaN0dQPTMRm9y5ZK7twCFJDnES07pkmQEEU";
    const CA: &str = "SHA256:C96vanfC+aalzATdArktbqbpe8bWwrjaTO6Vf0WLi+w";

    fn accepted(key_id: &str, serial: &str) -> String {
        format!(
            "Accepted publickey for deploy from 127.0.0.1 port 33956 ssh2: ED25519-CERT {FP} ID {key_id} (serial {serial}) CA ED25519 {CA}"
        )
    }

    fn login(line: &str) -> Login {
        match read(line) {
            Line::Certificate(login) => *login,
            other => panic!("{other:?}: {line}"),
        }
    }

    #[test]
    fn a_login_is_read_behind_every_head_that_logs_have() {
        let said = accepted("r1/ana/OPS-7/20261122T130649Z", "5");
        let mut heads = 0;
        for (head, host, time) in [
            ("", None, false),
            ("Nov 22 06:40:01 web01 sshd[812]: ", Some("web01"), true),
            ("Nov  2 06:40:01 web01 sshd-session[812]: ", Some("web01"), true),
            ("2026-11-22T06:40:01.123456+01:00 web01 sshd[812]: ", Some("web01"), true),
            (
                "2026-11-22T06:40:01+0100 web01.example.com sshd[812]: ",
                Some("web01.example.com"),
                true,
            ),
            ("2026-11-22T05:40:01Z web01 /usr/sbin/sshd[812]: ", Some("web01"), true),
            ("Nov 22 06:40:01.123456 web01 sshd[812]: ", Some("web01"), true),
            ("Sun 2026-11-22 05:40:01 UTC web01 sshd[812]: ", Some("web01"), true),
            ("<38>1 2026-11-22T05:40:01.5Z web01 sshd 812 - - ", Some("web01"), true),
            (
                "<38>1 2026-11-22T05:40:01.5Z web01 sshd 812 - [a b=\"c \\] d\"] \u{feff}",
                Some("web01"),
                true,
            ),
            ("<38>Nov 22 06:40:01 web01 sshd[812]: ", Some("web01"), true),
            ("sshd[812]: ", None, false),
        ] {
            let login = login(&format!("{head}{said}"));
            assert_eq!(login.host.as_deref(), host, "{head}");
            assert_eq!(login.time.is_some(), time, "{head}");
            assert_eq!((login.user.as_str(), login.source.as_str()), ("deploy", "127.0.0.1"));
            assert_eq!((login.serial, login.key_id.as_str()), (5, "r1/ana/OPS-7/20261122T130649Z"));
            assert_eq!((login.subject.as_str(), login.ca.as_str()), (FP, CA));
            heads += 1;
        }
        assert_eq!(heads, 12);
        let repeated =
            format!("Nov 22 06:40:01 web01 sshd[1]: message repeated 2 times: [ {said}]");
        assert_eq!(login(&repeated).serial, 5);
        let partial = said.replace("Accepted", "Partial");
        assert_eq!(login(&partial).serial, 5, "one of two methods, and the certificate was used");
    }

    /// Mallory has the CA's key and writes key IDs in which the rest of a harmless line stands, and one
    /// so long that sshd cuts off serial and CA.
    #[test]
    fn a_key_id_cannot_say_another_serial_or_ca_and_cannot_hide() {
        for id in [
            "r1/ana/OPS-7/20261122T130649Z (serial 5) CA ED25519 SHA256:C96vanfC+aalzATdArktbqbpe8bWwrjaTO6Vf0WLi+w",
            "x ssh2: ED25519 SHA256:P42SN4wLEaN0dQPTMRm9y5ZK7twCFJDnES07pkmQEEU",
            "x from 192.0.2.1 port 1 ssh2: ED25519-CERT",
            "(serial 5)",
            "",
            " ",
            "ID ID ID",
            ") CA ED25519",
            "Nov 22 06:40:01 web01 sshd[812]: Failed password for x",
        ] {
            let login = login(&format!("Nov 22 06:40:01 web01 sshd[812]: {}", accepted(id, "777")));
            assert_eq!((login.serial, login.key_id.as_str(), login.ca.as_str()), (777, id, CA));
        }
        let whole = accepted(&"x".repeat(2000), "777");
        let start = whole.find("x x").or(whole.find("xx")).unwrap();
        for cut in start..whole.len() {
            assert_eq!(read(&whole[..cut]), Line::Unread, "cut at {cut}");
        }
        // A line that does not begin as any that is known, too.
        assert_eq!(read(&format!("{{\"msg\":\"{}\"}}", accepted("x", "1"))), Line::Unread);
        assert_eq!(read(&accepted("x", "18446744073709551616")), Line::Unread, "no such serial");
    }

    #[test]
    fn what_is_no_login_by_certificate_is_told_apart() {
        let head = "Nov 22 06:40:01 web01 sshd[812]: ";
        for (message, line) in [
            (
                format!("Accepted publickey for root from ::1 port 22 ssh2: ED25519 {FP}"),
                "publickey",
            ),
            ("Accepted password for root from 192.0.2.1 port 22 ssh2".to_owned(), "password"),
            (
                "Accepted keyboard-interactive/pam for root from 192.0.2.1 port 22 ssh2".to_owned(),
                "keyboard-interactive/pam",
            ),
        ] {
            assert_eq!(read(&format!("{head}{message}")), Line::Plain(line.to_owned()));
        }
        let said = accepted("x", "5");
        for other in [
            format!(
                "{head}Accepted certificate ID \"x for y\" (serial 5) signed by ED25519 CA {CA} via /etc/ssh/ca.pub"
            ),
            format!("{head}Accepted key ED25519 {FP} found at /root/.ssh/authorized_keys:1"),
            format!(
                "{head}Failed publickey for deploy from 127.0.0.1 port 1 ssh2: ED25519-CERT {FP} ID {said}"
            ),
            format!("{head}Invalid user {said} from 192.0.2.1 port 22"),
            format!("{head}Partial password for root from 192.0.2.1 port 22 ssh2"),
            format!("Nov 22 06:40:01 web01 sudo[1]: sshd[1]: {said}"),
            format!("<38>1 2026-11-22T05:40:01.5Z web01 sudo 812 - - sshd[1]: {said}"),
            String::new(),
        ] {
            assert_eq!(read(&other), Line::Other, "{other}");
        }
    }
}
