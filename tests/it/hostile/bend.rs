//! The classes of hostile entries: what each bends, and what must become of it.

use hallpass::certificate::time::Span;
use ssh_key::Mpint;
use ssh_key::public::{Ed25519PublicKey, KeyData, RsaPublicKey};

use super::forge::{Keys, Order, blob, person_key, string};
use super::front::Front;
use crate::load::Dice;
use hallpass::signer::protocol::Entry;

/// What must become of every try of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// Signed: it is within every limit, to the second and to the last one.
    Sign,
    /// Never signed.
    Refuse,
    /// One or the other, as what was bent decides; what is signed is looked at like everything else.
    Either,
}

/// At which point it is bent.
pub enum Bend {
    /// Before it is recorded: certificate and facts are what the ledger has.
    Order(fn(&mut Order, &mut Dice, &Keys)),
    /// Before it is recorded, in the bytes.
    Bytes(fn(&mut Vec<u8>, &mut Vec<u8>, &mut Dice)),
    /// After it is recorded: the ledger has something else.
    Sent(fn(&mut Entry, &mut Dice, &Front)),
}

pub struct Class {
    pub name: &'static str,
    pub must: Must,
    pub bend: Bend,
}

const fn order(name: &'static str, must: Must, bend: fn(&mut Order, &mut Dice, &Keys)) -> Class {
    Class { name, must, bend: Bend::Order(bend) }
}

const fn bytes(
    name: &'static str,
    must: Must,
    bend: fn(&mut Vec<u8>, &mut Vec<u8>, &mut Dice),
) -> Class {
    Class { name, must, bend: Bend::Bytes(bend) }
}

const fn sent(name: &'static str, bend: fn(&mut Entry, &mut Dice, &Front)) -> Class {
    Class { name, must: Must::Refuse, bend: Bend::Sent(bend) }
}

pub fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let bit = dice.roll(8 * bytes.len() as u64) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn pick<T: Clone>(all: &[T], dice: &mut Dice) -> T {
    all[dice.roll(all.len() as u64) as usize].clone()
}

fn rsa(bits: usize) -> KeyData {
    let mut n = vec![0xa5; bits / 8];
    n[0] = 0x80;
    let (e, n) = (Mpint::from_positive_bytes(&[1, 0, 1]), Mpint::from_positive_bytes(&n));
    KeyData::Rsa(RsaPublicKey::new(e, n).unwrap())
}

/// Text put into the facts, member and all.
fn insert(facts: &mut Vec<u8>, member: &str) {
    let at = facts.len() - 1;
    facts.splice(at..at, format!(",{member}").into_bytes());
}

use Must::{Either, Refuse, Sign};

pub static CLASSES: [Class; 52] = [
    order("good", Sign, |_, _, _| {}),
    order("limit: ttl", Sign, |o, d, _| o.lives(600 - d.roll(2))),
    order("above: ttl", Refuse, |o, d, _| {
        let bits = d.roll(40);
        o.lives(601 + d.roll(1 << bits));
    }),
    order("above: ttl for ever", Refuse, |o, _, _| {
        o.lives(600);
        o.says.before = u64::MAX;
    }),
    order("terms: shorter than the certificate", Refuse, |o, d, _| {
        o.facts.granted.terms.ttl = d.roll(600)
    }),
    order("facts: shorter than the certificate", Refuse, |o, d, _| o.facts.ttl = d.roll(600)),
    order("limit: start", Sign, |o, d, _| {
        o.says.after = o.time.secs() + 5 - 65 * d.roll(2);
    }),
    order("above: start", Refuse, |o, d, _| {
        o.says.after = o.time.secs() + 6 - 67 * d.roll(2);
    }),
    order("ends before it starts", Refuse, |o, d, _| {
        o.says.before = o.says.after - d.roll(100);
    }),
    order("limit: decided a while ago", Sign, |o, d, _| {
        o.time = o.time.minus(Span::secs(d.roll(36)));
        o.says.before = o.time.secs() + 600;
    }),
    order("above: decided long ago", Refuse, |o, d, _| {
        o.time = o.time.minus(Span::secs(36 + d.roll(100_000)));
    }),
    order("above: decided in days to come", Refuse, |o, d, _| {
        o.time = o.time.plus(Span::secs(31 + d.roll(100_000)));
    }),
    order("limit: grant ends with it", Sign, |o, _, _| {
        o.facts.granted.grant_ends = o.time.plus(Span::secs(600));
        o.agree();
    }),
    order("above: outlives its grant", Refuse, |o, d, _| {
        o.facts.granted.grant_ends = o.time.plus(Span::secs(d.roll(600)));
        o.agree();
    }),
    order("key ID of another end", Refuse, |o, d, _| {
        o.facts.granted.grant_ends = o.time.plus(Span::secs(3601 + d.roll(1000)));
    }),
    order("key ID of another person", Refuse, |o, _, _| {
        o.facts.granted.person = "mallory".parse().unwrap();
    }),
    order("key ID with another word", Refuse, |o, d, _| {
        let bad = ["/", "a/b/c/d", " ", "\n"];
        o.says.key_id.push_str(pick(&bad, d));
    }),
    // The signer knows no persons: the ledger does.
    order("anybody's name", Sign, |o, d, _| {
        o.facts.granted.person = format!("p{}", d.roll(1 << 40)).parse().unwrap();
        o.agree();
    }),
    order("limit: principals", Sign, |o, _, _| o.opens(&["a@web01", "b@web01", "c@web01"])),
    order("above: principals", Refuse, |o, d, _| {
        let many: Vec<String> = (0..4 + d.roll(300)).map(|n| format!("a{n}@web01")).collect();
        o.opens(&many.iter().map(String::as_str).collect::<Vec<_>>());
    }),
    order("no principals", Refuse, |o, _, _| o.opens(&[])),
    order("doubled principals", Refuse, |o, _, _| o.opens(&["a@web01", "a@web01"])),
    order("never: principals", Refuse, |o, d, _| {
        o.opens(pick(&[&["root@vault"][..], &["deploy@web01", "deploy@vault"]], d));
    }),
    order("never: bare principals", Refuse, |o, _, k| {
        o.opens(&["toor"]);
        o.says.ca = blob(&k.bare_ca);
    }),
    order("bare names of the bare CA", Sign, |o, d, k| {
        o.opens(&[pick(&["deploy", "logs", "x1", "x2"], d)]);
        o.says.ca = blob(&k.bare_ca);
    }),
    order("bare names of the user CA", Refuse, |o, _, _| o.opens(&["root"])),
    order("wide names of the bare CA", Refuse, |o, _, k| o.says.ca = blob(&k.bare_ca)),
    order("bare and wide names", Refuse, |o, d, k| {
        o.opens(&["root", "root@web01"]);
        o.says.ca = blob(&pick(&[k.bare_ca.clone(), k.user_ca.clone()], d));
    }),
    order("wild principals", Refuse, |o, d, _| {
        let wild = ["*", "*@*", "*@web01", "", "a,b@web01", "Ana@web01", "a@b@c", "a@web01\0"];
        o.says.principals = vec![pick(&wild, d).to_owned()];
    }),
    order("other principals than in the facts", Refuse, |o, d, _| {
        match d.roll(3) {
            0 => o.says.principals.push("root@web01".to_owned()),
            1 => o.says.principals.reverse(),
            _ => drop(o.says.principals.pop()),
        };
    }),
    order("another CA", Refuse, |o, d, k| {
        o.says.ca = blob(&pick(&[person_key(9), k.own[2].clone(), k.own[3].clone()], d));
    }),
    order("a CA's own key", Refuse, |o, d, k| {
        let own = pick(&k.own, d);
        o.certifies(&own);
    }),
    order("another key than in the facts", Refuse, |o, d, _| {
        let said = o.facts.subject.clone();
        o.certifies(&person_key(10 + d.roll(100) as u8));
        o.facts.subject = said;
    }),
    order("limit: RSA", Sign, |o, _, _| o.certifies(&rsa(3072))),
    order("above: RSA", Refuse, |o, d, _| o.certifies(&rsa(pick(&[1024, 2048, 3064, 16384], d)))),
    order("a certificate as the key", Refuse, |o, d, _| {
        let types = ["ssh-ed25519-cert-v01@openssh.com-cert-v01@openssh.com", "ssh-ed25519", ""];
        o.says.algorithm = pick(&types, d).to_owned();
    }),
    order("a point that is none", Refuse, |o, d, _| {
        let point = if d.roll(2) == 0 { [0; 32] } else { [0xff; 32] };
        o.certifies(&KeyData::Ed25519(Ed25519PublicKey(point)));
    }),
    order("a host certificate", Refuse, |o, d, _| o.says.kind = pick(&[0, 2, 3, u32::MAX], d)),
    order("another serial", Refuse, |o, d, _| {
        o.says.serial = Some(pick(&[0, 1, 2, 3, u64::MAX, 1 << 63, d.roll(300)], d));
    }),
    order("an extension that was not granted", Refuse, |o, d, _| {
        let (name, data) = pick(
            &[
                ("permit-X11-forwarding", ""),
                ("no-touch-required", ""),
                ("permit-pty@evil", ""),
                ("permit-pty", "x"),
                ("log-proof@hallpass", "c2sp.org/tlog-proof@v1\n"),
            ],
            d,
        );
        o.says.extensions.push((name.to_owned(), data.as_bytes().to_vec()));
        o.says.extensions.sort();
    }),
    order("options out of order", Refuse, |o, d, _| match d.roll(2) {
        0 => o.says.extensions.reverse(),
        _ => o.says.critical.push(o.says.critical[0].clone()),
    }),
    order("a critical option less, more, or other", Refuse, |o, d, _| match d.roll(3) {
        0 => o.says.critical.clear(),
        1 => o.says.critical[0].1 = string("0.0.0.0/0"),
        _ => o.says.critical.insert(0, ("force-command".to_owned(), string("sh"))),
    }),
    order("a forced command that forwards", Refuse, |o, _, _| {
        o.facts.granted.terms.force_command = Some("uptime".to_owned());
        o.says.critical.insert(0, ("force-command".to_owned(), string("uptime")));
    }),
    order("a forced command", Sign, |o, _, _| {
        o.facts.granted.terms.force_command = Some("uptime".to_owned());
        o.says.critical.insert(0, ("force-command".to_owned(), string("uptime")));
        o.says.extensions.remove(0);
    }),
    order("nonce, reserved field, or more behind", Refuse, |o, d, _| match d.roll(3) {
        0 => o.says.nonce.truncate(d.roll(32) as usize),
        1 => o.says.reserved.push(0),
        _ => o.says.tail.extend(string("more")),
    }),
    bytes("a bit of it, and recorded so", Either, |tbs, facts, d| match d.roll(2) {
        0 => flip(tbs, d),
        _ => flip(facts, d),
    }),
    bytes("facts that say it twice, or too much", Refuse, |_, facts, d| match d.roll(5) {
        0 => insert(facts, "\"accounts\":[\"root@vault\"]"),
        1 => insert(facts, "\"ttl\":600"),
        2 => insert(facts, &format!("\"x\":\"{}\"", "x".repeat(64 * 1024))),
        3 => insert(facts, "\"kind\":\"certificate\""),
        _ => insert(facts, "\"subject\":null"),
    }),
    sent("a bit of it, recorded otherwise", |e, d, _| match d.roll(2) {
        0 => flip(&mut e.tbs, d),
        _ => flip(&mut e.facts, d),
    }),
    sent("not recorded at all", |e, _, _| {
        // Good facts of another certificate in the place of it.
        let text = String::from_utf8(e.facts.clone()).unwrap();
        e.facts = text.replace("\"reason\":null", "\"reason\":\"other\"").into_bytes();
    }),
    sent("a bad proof", |e, d, _| match d.roll(4) {
        0 => {
            let at = d.roll(e.inclusion.len() as u64) as usize;
            flip(&mut e.inclusion[at].0, d);
        }
        1 => drop(e.inclusion.pop()),
        2 => e.inclusion.extend(e.inclusion.first().copied()),
        _ => e.inclusion.clear(),
    }),
    sent("the proof of another head, or entry", |e, d, f| {
        let size = f.size();
        e.inclusion = match d.roll(2) {
            0 if e.index + 1 < size => {
                f.inclusion(e.index, e.index + 1 + d.roll(size - 1 - e.index))
            }
            _ => f.inclusion((e.index + 1 + d.roll(size - 1)) % size, size),
        };
    }),
    sent("another index", |e, d, f| {
        e.index = match d.roll(4) {
            0 => e.index ^ (1 << d.roll(64)),
            1 => f.seen.saturating_sub(1 + d.roll(100)),
            2 => u64::MAX,
            _ => f.size(),
        };
    }),
];
