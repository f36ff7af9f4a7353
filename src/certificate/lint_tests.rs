//! The lint, case by case: each bends exactly one thing in a certificate that is otherwise good.

use super::blob::{Tbs, key_blob};
use super::lint::{Flaw, MAX};
use super::sample::{Granted, INDEX, NOW, Parts, ed25519, keys, option, subjects};
use super::time::{Span, UnixTime};
use super::wire::Malformed;

/// What is bent, how, and what the lint must say to it; `None` is yes.
pub(super) type Case = (&'static str, fn(&mut Parts, &mut Granted), Option<Flaw>);

pub(super) fn check(cases: &[Case]) {
    for (what, bend, flaw) in cases {
        let mut granted = Granted::to(&ed25519(9));
        let mut parts = Parts::of(&granted.tbs(&ed25519(9)), 1).unwrap();
        assert_eq!(granted.lint(&parts.encode()), Ok(()), "before {what}");
        bend(&mut parts, &mut granted);
        assert_eq!(granted.lint(&parts.encode()).err(), *flaw, "{what}");
    }
}

fn extension(name: &str) -> Option<Flaw> {
    Some(Flaw::Extension(name.to_owned()))
}

fn critical(name: &str) -> Option<Flaw> {
    Some(Flaw::Critical(name.to_owned()))
}

pub(super) fn malformed(what: &'static str) -> Option<Flaw> {
    Some(Flaw::Malformed(Malformed(what)))
}

fn plain(name: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), Vec::new())
}

#[test]
fn a_good_certificate_passes_for_every_type_of_subject() {
    for subject in subjects() {
        let granted = Granted::to(&subject);
        let tbs = granted.tbs(&subject);
        assert_eq!(granted.lint(&tbs), Ok(()), "{}", subject.algorithm());
        assert_eq!(Tbs::parse(&tbs).unwrap().subject, key_blob(&subject).unwrap());
        for cut in 0..tbs.len() {
            assert!(
                matches!(granted.lint(&tbs[..cut]), Err(Flaw::Malformed(_))),
                "{} cut at {cut}",
                subject.algorithm()
            );
        }
    }
}

#[test]
fn what_it_is() {
    check(&[
        ("a host certificate", |p, _| p.kind = 2, Some(Flaw::NotUser)),
        ("a kind that is none", |p, _| p.kind = 0, Some(Flaw::NotUser)),
        ("serial 0", |p, _| p.serial = 0, Some(Flaw::Serial)),
        ("the serial is the index", |p, _| p.serial = INDEX, Some(Flaw::Serial)),
        ("the next serial", |p, _| p.serial = INDEX + 2, Some(Flaw::Serial)),
        ("another index", |_, g| g.index += 1, Some(Flaw::Serial)),
        (
            "serial 0 of the index before the first",
            |p, g| (p.serial, g.index) = (0, u64::MAX),
            Some(Flaw::Serial),
        ),
        (
            "a serial that a signed 64-bit number does not hold",
            |p, g| (p.serial, g.index) = (1 << 63, (1 << 63) - 1),
            Some(Flaw::Serial),
        ),
        (
            "the last serial there is",
            |p, g| (p.serial, g.index) = ((1 << 63) - 1, (1 << 63) - 2),
            None,
        ),
        ("a nonce of 31 bytes", |p, _| p.nonce.truncate(31), Some(Flaw::Nonce)),
        ("a nonce of 33 bytes", |p, _| p.nonce.push(0), Some(Flaw::Nonce)),
        ("no nonce", |p, _| p.nonce.clear(), Some(Flaw::Nonce)),
        ("something reserved", |p, _| p.reserved = vec![0], Some(Flaw::Reserved)),
        (
            "a byte after the CA key",
            |p, _| p.tail = vec![0],
            malformed("certificate: bytes after the CA key"),
        ),
        (
            "8 KiB to the byte",
            |p, _| p.reserved = vec![0; MAX - p.encode().len()],
            Some(Flaw::Reserved),
        ),
        (
            "a byte more than 8 KiB",
            |p, _| p.reserved = vec![0; MAX + 1 - p.encode().len()],
            Some(Flaw::TooLong),
        ),
        ("no CA that is known", |p, _| p.ca = key_blob(&ed25519(8)).unwrap(), Some(Flaw::Ca)),
        ("the ledger's key as CA", |p, _| p.ca = key_blob(&ed25519(3)).unwrap(), Some(Flaw::Ca)),
        ("a byte after the CA's key", |p, _| p.ca.push(0), Some(Flaw::Ca)),
        ("no CA", |p, _| p.ca.clear(), Some(Flaw::Ca)),
    ]);
}

#[test]
fn the_key_id_says_who_why_and_until_when() {
    fn say(p: &mut Parts, from: &str, to: &str) {
        let text = String::from_utf8(p.key_id.clone()).unwrap();
        assert_ne!(text, text.replace(from, to), "nothing was bent");
        p.key_id = text.replace(from, to).into_bytes();
    }
    check(&[
        ("another person", |p, _| say(p, "/ana/", "/bob/"), Some(Flaw::KeyId)),
        ("another ticket", |p, _| say(p, "OPS-7", "OPS-8"), Some(Flaw::KeyId)),
        ("another request", |p, _| say(p, "r0123456789ab", "r0123456789ac"), Some(Flaw::KeyId)),
        ("another end", |p, _| say(p, "T064000Z", "T064001Z"), Some(Flaw::KeyId)),
        ("no ticket, though one was shown", |p, _| say(p, "OPS-7", "-"), Some(Flaw::KeyId)),
        ("no request", |p, _| say(p, "r0123456789ab/", ""), Some(Flaw::KeyId)),
        ("a request that is none", |p, _| say(p, "r0123456789ab", "r1"), Some(Flaw::KeyId)),
        ("a person in capitals", |p, _| say(p, "/ana/", "/ANA/"), Some(Flaw::KeyId)),
        ("a space", |p, _| say(p, "OPS-7", "OPS 7"), Some(Flaw::KeyId)),
        ("a shell's character", |p, _| say(p, "OPS-7", "$(id)"), Some(Flaw::KeyId)),
        ("a day that is none", |p, _| say(p, "20261122", "20261322"), Some(Flaw::KeyId)),
        ("a part too many", |p, _| say(p, "OPS-7", "OPS/7"), Some(Flaw::KeyId)),
        ("more than 160 bytes", |p, _| say(p, "OPS-7", &"O".repeat(160)), Some(Flaw::KeyId)),
        ("nothing", |p, _| p.key_id.clear(), Some(Flaw::KeyId)),
        ("a line end", |p, _| p.key_id.push(b'\n'), Some(Flaw::KeyId)),
        ("no text", |p, _| p.key_id = vec![0xff], malformed("key ID")),
    ]);
}

#[test]
fn never_wide() {
    fn name(p: &mut Parts, names: &[&str]) {
        p.principals = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    }
    fn grant(g: &mut Granted, names: &[&str]) {
        g.principals = names.iter().map(|name| name.parse().unwrap()).collect();
    }
    fn both(p: &mut Parts, g: &mut Granted, names: &[&str]) {
        name(p, names);
        grant(g, names);
    }
    let no = Some(Flaw::Principals);
    check(&[
        ("nobody, which is everybody", |p, _| p.principals.clear(), no.clone()),
        ("nobody was granted either", |p, g| both(p, g, &[]), no.clone()),
        ("an empty name", |p, _| name(p, &["", "deploy@web02"]), no.clone()),
        ("everybody", |p, _| name(p, &["*"]), no.clone()),
        ("everybody on a host", |p, _| name(p, &["*@web01"]), no.clone()),
        ("an account on every host", |p, _| name(p, &["deploy@*"]), no.clone()),
        ("an account in capitals", |p, _| name(p, &["Deploy@web01", "deploy@web02"]), no.clone()),
        ("two in one by a comma", |p, _| name(p, &["deploy@web01,root@web01"]), no.clone()),
        ("another account", |p, _| name(p, &["root@web01", "deploy@web02"]), no.clone()),
        ("another host", |p, _| name(p, &["deploy@web03", "deploy@web02"]), no.clone()),
        ("one too few", |p, _| name(p, &["deploy@web01"]), no.clone()),
        ("one too many", |p, _| p.principals.push(b"deploy@web03".to_vec()), no.clone()),
        ("another order", |p, _| p.principals.reverse(), no.clone()),
        ("one twice", |p, g| both(p, g, &["deploy@web01", "deploy@web01"]), no.clone()),
        ("as many as may be", |_, g| g.max_principals = 2, None),
        ("more than may be", |_, g| g.max_principals = 1, no.clone()),
        ("none may be", |_, g| g.max_principals = 0, no),
        ("no text", |p, _| p.principals = vec![vec![0xff]], malformed("principal")),
        ("a bare account under the user CA", |p, g| both(p, g, &["root"]), Some(Flaw::Width)),
        (
            "a bare account under the bare CA",
            |p, g| {
                both(p, g, &["root"]);
                p.ca = keys().bare_ca;
            },
            None,
        ),
        ("login@host under the bare CA", |p, _| p.ca = keys().bare_ca, Some(Flaw::Width)),
        (
            "one of each under the user CA",
            |p, g| both(p, g, &["deploy@web01", "root"]),
            Some(Flaw::Width),
        ),
        (
            "one of each under the bare CA",
            |p, g| {
                both(p, g, &["deploy@web01", "root"]);
                p.ca = keys().bare_ca;
            },
            Some(Flaw::Width),
        ),
    ]);
}

#[test]
fn it_starts_now_and_ends_soon() {
    let now = NOW.secs();
    assert_eq!(now, 1_795_326_000, "the boundaries below are around this second");
    check(&[
        ("60 s early", |p, _| p.after = NOW.secs() - 60, None),
        ("61 s early", |p, _| p.after = NOW.secs() - 61, Some(Flaw::Start)),
        ("from the beginning of time", |p, _| p.after = 0, Some(Flaw::Start)),
        ("5 s late", |p, _| p.after = NOW.secs() + 5, None),
        ("6 s late", |p, _| p.after = NOW.secs() + 6, Some(Flaw::Start)),
        ("from the end of time", |p, _| p.after = u64::MAX, Some(Flaw::Start)),
        ("the whole life", |p, _| p.before = NOW.secs() + 600, None),
        ("a second more", |p, _| p.before = NOW.secs() + 601, Some(Flaw::Life)),
        (
            "a second more, started late",
            |p, _| (p.after, p.before) = (NOW.secs() + 5, NOW.secs() + 601),
            Some(Flaw::Life),
        ),
        (
            "decided 25 s ago: it starts then",
            |_, g| g.decided = NOW.minus(Span::secs(25)),
            Some(Flaw::Life),
        ),
        (
            "decided 25 s ago, and ends then",
            |p, g| {
                g.decided = NOW.minus(Span::secs(25));
                p.before -= 25;
            },
            None,
        ),
        (
            "decided 36 s ago",
            |p, g| {
                g.decided = NOW.minus(Span::secs(36));
                p.before -= 36;
            },
            Some(Flaw::Start),
        ),
        ("decided in 30 s", |_, g| g.decided = NOW.plus(Span::secs(30)), None),
        ("decided in 31 s", |_, g| g.decided = NOW.plus(Span::secs(31)), Some(Flaw::Start)),
        ("a shorter life", |p, _| p.before = NOW.secs() + 1, None),
        ("one second of life, and it is over", |p, _| p.before = p.after + 1, None),
        ("no life", |p, _| p.before = p.after, Some(Flaw::Start)),
        ("an end before its start", |p, _| p.before = p.after - 1, Some(Flaw::Start)),
        ("for ever", |p, _| p.before = u64::MAX, Some(Flaw::Life)),
        ("beyond 2106", |p, _| p.before = 1 << 32, Some(Flaw::Life)),
    ]);
    // The grant's end stands in the key ID too, so both move.
    let mut granted = Granted::to(&ed25519(9));
    end(&mut granted, 599);
    granted.ttl = Span::secs(600);
    assert_eq!(granted.lint(&granted.tbs(&ed25519(9))), Err(Flaw::Life), "outlives its grant");
    end(&mut granted, 600);
    assert_eq!(granted.lint(&granted.tbs(&ed25519(9))), Ok(()));
}

/// Ends the grant so many seconds from now.
fn end(granted: &mut Granted, secs: u64) {
    granted.key_id.end = NOW.plus(Span::secs(secs));
}

/// The clock of a machine whose battery is dead says year 9999: "for ever" would be soon enough.
#[test]
fn for_ever_is_not_soon_even_at_the_end_of_time() {
    let subject = ed25519(9);
    let mut granted = Granted::to(&subject);
    (granted.now, granted.decided) = (UnixTime::MAX, UnixTime::MAX);
    granted.key_id.end = UnixTime::MAX;
    let mut parts = Parts::of(&granted.tbs(&subject), 1).unwrap();
    for before in [u64::MAX, UnixTime::MAX.secs() + 1, UnixTime::MAX.secs()] {
        parts.before = before;
        assert_eq!(granted.lint(&parts.encode()), Err(Flaw::Life), "{before}");
    }
}

#[test]
fn critical_options_are_those_that_were_granted() {
    let order = Some(Flaw::Order);
    check(&[
        ("no source-address", |p, _| p.critical.clear(), critical("source-address")),
        ("none was granted", |_, g| g.source_address.clear(), critical("source-address")),
        (
            "another network",
            |p, _| p.critical = vec![option("source-address", "203.0.112.0/24")],
            critical("source-address"),
        ),
        (
            "a wider network",
            |p, _| p.critical = vec![option("source-address", "203.0.0.0/16")],
            critical("source-address"),
        ),
        (
            "one network more",
            |p, _| p.critical = vec![option("source-address", "203.0.113.0/24,::1/128")],
            critical("source-address"),
        ),
        (
            "data without its inner length",
            |p, _| p.critical = vec![(b"source-address".to_vec(), b"203.0.113.0/24".to_vec())],
            critical("source-address"),
        ),
        ("a byte after the data", |p, _| p.critical[0].1.push(0), critical("source-address")),
        ("no data", |p, _| p.critical[0].1.clear(), critical("source-address")),
        (
            "one that is unknown",
            |p, _| p.critical.push(option("x@example.org", "")),
            critical("x@example.org"),
        ),
        (
            "verify-required, which nobody granted",
            |p, _| p.critical.push(plain("verify-required")),
            critical("verify-required"),
        ),
        (
            "a command that was not granted",
            |p, _| p.critical.insert(0, option("force-command", "uptime")),
            critical("force-command"),
        ),
        (
            "without the command that was granted",
            |_, g| g.force_command = Some("uptime".to_owned()),
            critical("force-command"),
        ),
        (
            "another command",
            |p, g| {
                g.force_command = Some("uptime".to_owned());
                g.extensions.remove("permit-port-forwarding");
                p.extensions.remove(0);
                p.critical.insert(0, option("force-command", "id"));
            },
            critical("force-command"),
        ),
        (
            "the command that was granted",
            |p, g| {
                g.force_command = Some("uptime".to_owned());
                p.extensions.remove(0);
                p.critical.insert(0, option("force-command", "uptime"));
            },
            None,
        ),
        (
            "a command, and ports forwarded beside it",
            |p, g| {
                g.force_command = Some("uptime".to_owned());
                p.critical.insert(0, option("force-command", "uptime"));
            },
            extension("permit-port-forwarding"),
        ),
        (
            "unsorted",
            |p, g| {
                g.force_command = Some("uptime".to_owned());
                p.extensions.remove(0);
                p.critical.push(option("force-command", "uptime"));
            },
            order.clone(),
        ),
        ("one twice", |p, _| p.critical.push(p.critical[0].clone()), order),
        ("a name that is no text", |p, _| p.critical[0].0 = vec![0xff], malformed("option name")),
    ]);
}

#[test]
fn extensions_are_among_those_that_were_granted() {
    check(&[
        ("none", |p, _| p.extensions.clear(), None),
        ("one of two", |p, _| drop(p.extensions.pop()), None),
        (
            "one that was not granted",
            |p, _| p.extensions.insert(0, plain("permit-agent-forwarding")),
            extension("permit-agent-forwarding"),
        ),
        (
            "one that was taken back",
            |_, g| g.extensions.retain(|name| name != "permit-pty"),
            extension("permit-pty"),
        ),
        (
            "one that is unknown, though it was granted",
            |p, g| {
                g.extensions.insert("no-touch-required".to_owned());
                p.extensions.insert(0, plain("no-touch-required"));
            },
            extension("no-touch-required"),
        ),
        (
            "one with data",
            |p, _| p.extensions[1] = option("permit-pty", ""),
            extension("permit-pty"),
        ),
        (
            "the proof, there already",
            |p, _| p.extensions.insert(0, option("log-proof@hallpass", "forged")),
            extension("log-proof@hallpass"),
        ),
        ("unsorted", |p, _| p.extensions.reverse(), Some(Flaw::Order)),
        ("one twice", |p, _| p.extensions.push(plain("permit-pty")), Some(Flaw::Order)),
        ("no text", |p, _| p.extensions[1].0 = vec![0xff], malformed("option name")),
    ]);
}

/// Nothing but random or time-like bits can change without a flaw; what the leaf and the CA's
/// signature cover besides is every bit.
#[test]
fn no_bit_is_free_but_the_nonce_and_a_few_of_the_times() {
    let subject = ed25519(9);
    let granted = Granted::to(&subject);
    let good = granted.tbs(&subject);
    let nonce = 4 + "ssh-ed25519-cert-v01@openssh.com".len() + 4;
    let times = good.windows(8).position(|w| w == (NOW.secs() - 30).to_be_bytes()).unwrap();
    let mut tbs = good.clone();
    for bit in 0..8 * good.len() {
        let at = bit / 8;
        tbs[at] ^= 1 << (bit % 8);
        if granted.lint(&tbs) == Ok(()) {
            let free = (nonce..nonce + 32).contains(&at) || (times..times + 16).contains(&at);
            assert!(free, "bit {bit} of {} may be anything", good.len() * 8);
        }
        tbs[at] ^= 1 << (bit % 8);
    }
}
