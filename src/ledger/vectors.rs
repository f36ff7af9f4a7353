//! `tests/vectors/`: what every later version and every other verifier has to read. They are made here
//! from fixed seeds, times, nonces and salts; a format that changes by a byte fails this test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ssh_key::private::PrivateKey;
use ssh_key::{LineEnding, PublicKey};

use super::checkpoint::Checkpoint;
use super::facts::{self, Text};
use super::leaf::{Kind, Leaf};
use super::note::{SignatureType, VerifierKey};
use super::proof;
use super::recorded::check_signature;
use super::store::Store;
use super::toy::Toy;
use super::tree::{Hash, base64, unbase64};
use super::{export, verify};
use crate::certificate::blob::{Tbs, strip};
use crate::certificate::draft::{Stamp, Texts, Unsigned};
use crate::certificate::names::RequestId;
use crate::certificate::sample::{NOW, ed25519, keys, openssh};
use crate::certificate::time::Span;
use crate::decide::facts::{Account, Facts, Person, Ticket, TicketState};
use crate::decide::{Decision, Policy, World, decide};
use crate::signer::protocol::{Answer, Batch, Entry};
use crate::signer::trial::{Trial, ledger_key, private_key, signer_vkey};

const NODE: &str = "ca.test";
const TEST_ONLY: &str = "TEST ONLY: anybody can sign with this key";

const POLICY: &str = r#"@id("deploy-prod")
@ttl("10m")
@period("1h")
@extensions("permit-pty,permit-port-forwarding")
@source_address("203.0.113.0/24,2001:db8::/32")
permit (principal in Group::"sre", action == Action::"login", resource in Tag::"prod")
when { resource.login == "deploy" };

@id("look-at-switch")
@ttl("5m")
@period("30m")
@extensions("")
@force_command("show version")
permit (principal in Group::"sre", action == Action::"login", resource in Tag::"switch");
"#;

/// The subject of the second certificate.
const SUBJECT_4: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLPphZaY3uFPkYo+/KMZNxgq0s2eSuDMxmca+vEMjrZTEtbpVOr52YfrcsxK+Oz/Alb45UxAs5kaimI1Bn9K9tc= TEST ONLY, of nobody";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// What was asked for: the account on the server with principals of its own, or the one that cannot
/// map any.
fn asked(bare: bool) -> Facts {
    let ticket = Ticket {
        tracker: "desk".to_owned(),
        id: "OPS-7".parse().unwrap(),
        state: TicketState::Open,
        said: "in progress".to_owned(),
        title: "roll out 4.2 \u{2014} both sites".to_owned(),
        assignee: Some("ana".parse().unwrap()),
        priority: Some("high".to_owned()),
        labels: ["rollout".to_owned()].into(),
        hosts: ["web01".parse().unwrap()].into(),
        window: None,
    };
    let (login, host, tag) =
        if bare { ("operator", "switch07", "switch") } else { ("deploy", "web01", "prod") };
    Facts {
        request: RequestId::from_random(if bare { 4 } else { 2 }),
        now: NOW.plus(Span::secs(if bare { 61 } else { 60 })),
        source: "203.0.113.9".parse().unwrap(),
        person: Person {
            name: "ana".parse().unwrap(),
            service: false,
            email: Some("ana@example.org".to_owned()),
            groups: ["sre".parse().unwrap()].into(),
            shifts: Default::default(),
        },
        account: Account {
            login: login.parse().unwrap(),
            host: host.parse().unwrap(),
            pool: false,
            bare,
            owner: None,
            tags: [tag.parse().unwrap()].into(),
        },
        ticket: (!bare).then_some(ticket),
        reason: bare.then(|| "port 7 is \"flapping\"".parse().unwrap()),
        ttl: None,
        period: None,
        offer: None,
        deliveries: Vec::new(),
        within: None,
        around: Default::default(),
    }
}

fn draft(bare: bool) -> Unsigned {
    let world = World {
        groups: ["sre".parse().unwrap()].into(),
        tags: ["prod".parse().unwrap(), "switch".parse().unwrap()].into(),
        ..World::default()
    };
    let policy = Policy::load("policy.cedar", POLICY, &world).unwrap();
    let Decision::Granted(grant) = decide(&policy, &asked(bare)) else { panic!("not granted") };
    let n = u8::from(bare);
    let texts = Texts {
        policy: Hash::of(POLICY.as_bytes()),
        people: Hash::of(b"people"),
        hosts: Hash::of(b"hosts"),
    };
    let stamp = Stamp {
        nonce: [0x20 + n; 32],
        grant_salt: [0x30 + n; 16],
        certificate_salt: [0x40 + n; 16],
        node: NODE.to_owned(),
        texts,
        user_ca: keys().user_ca,
        bare_ca: keys().bare_ca,
    };
    let subject = if bare { openssh(SUBJECT_4) } else { ed25519(9) };
    Unsigned::draft(grant, &subject, stamp).unwrap()
}

/// The facts of the five entries as this version writes them.
fn facts_of_today() -> [Vec<u8>; 5] {
    let text = Text {
        sha256: Hash::of(POLICY.as_bytes()),
        bytes: POLICY.len() as u64,
        author: None,
        change: None,
        signed: None,
    };
    let policy = facts::write(Kind::Policy, [0x10; 16], NOW, NODE, &text).unwrap();
    let (first, second) = (draft(false), draft(true));
    let grants = [&first, &second].map(|unsigned| unsigned.grant_facts().unwrap().to_vec());
    let [grant_1, grant_3] = grants;
    [policy, grant_1, first.into_parts().2, grant_3, second.into_parts().2]
}

/// Every file that is made of the facts, by name.
fn make(facts: &[Vec<u8>; 5]) -> BTreeMap<String, Vec<u8>> {
    let trial = Trial::with("");
    let mut witness = trial.open(NOW).unwrap();
    let path = trial.path("ledger.db");
    Store::create(&path).unwrap();
    let (store, mut toy) = (Store::open(&path).unwrap(), Toy::new());

    // Five entries: a policy, and two certificates, each after its grant.
    let kinds = [Kind::Policy, Kind::Grant, Kind::Certificate, Kind::Grant, Kind::Certificate];
    let mut asked = Vec::new();
    for (index, (kind, facts)) in (0..).zip(kinds.into_iter().zip(facts)) {
        let (leaf, tbs) = if kind == Kind::Certificate {
            let tbs = draft(index == 4).into_parts().1.encode(index + 1).unwrap();
            (Leaf::certificate(&tbs, facts), Some(tbs))
        } else {
            (Leaf::other(kind, facts), None)
        };
        store.insert(index, &leaf, tbs.as_deref(), facts).unwrap();
        toy.append(&leaf);
        asked.extend(tbs.map(|tbs| (index, tbs, facts.clone())));
    }

    // The signer, a second after the later decision.
    let entry = |(index, tbs, facts)| Entry { index, inclusion: toy.inclusion(index), tbs, facts };
    let batch = Batch { entries: asked.into_iter().map(entry).collect(), ..toy.batch(0) };
    let answer = witness.batch(&batch, NOW.plus(Span::secs(62)));
    let Answer::Signed { cosignature, results } = answer else { panic!("{answer:?}") };
    let checkpoint = toy.checkpoint().with(&cosignature).unwrap();

    let mut files = key_files();
    for (index, blob) in [2, 4].into_iter().zip(results) {
        let blob = blob.unwrap();
        let (view, _) = Tbs::parse_signed(&blob).unwrap();
        let (_, proof) = strip(&blob[..view.len()]).unwrap();
        files.insert(format!("entry-{index}.proof"), proof.as_bytes().to_vec());
        let line = format!("{} {} {}\n", view.algorithm, base64(&blob), view.key_id);
        files.insert(format!("entry-{index}-cert.pub"), line.into_bytes());
    }
    let mut out = Vec::new();
    assert_eq!(export::write(&store, &checkpoint, &mut out).unwrap(), 5);
    files.insert("export.jsonl".to_owned(), out);
    files.insert("checkpoint".to_owned(), checkpoint.as_str().as_bytes().to_vec());
    files
}

fn key_files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (name, seed, vkey) in [
        ("user_ca", 1, None),
        ("bare_ca", 2, None),
        ("ledger", 3, Some(ledger_key().public().clone())),
        ("signer", 4, Some(signer_vkey())),
        ("entry-2", 9, None),
    ] {
        let key: PrivateKey = private_key(seed, TEST_ONLY);
        let pem = key.to_openssh(LineEnding::LF).unwrap();
        files.insert(format!("test-only-keys/{name}"), pem.as_bytes().to_vec());
        let (suffix, public) = match vkey {
            Some(vkey) => ("vkey", vkey.to_string()),
            None => ("pub", key.public_key().to_openssh().unwrap()),
        };
        let line = format!("{public}\n");
        files.insert(format!("test-only-keys/{name}.{suffix}"), line.into_bytes());
    }
    let line = format!("{SUBJECT_4}\n");
    files.insert("test-only-keys/entry-4.pub".to_owned(), line.into_bytes());
    files
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn write(name: &str, bytes: &[u8]) {
    if std::env::var_os("HALLPASS_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(folder().join("test-only-keys")).unwrap();
        std::fs::write(folder().join(name), bytes).unwrap();
    }
}

fn parsed(facts: &[u8]) -> serde_json::Value {
    serde_json::from_slice(facts).unwrap()
}

/// Whether facts hold every member of others, with the same value.
fn says(more: &serde_json::Value, less: &serde_json::Value) -> bool {
    use serde_json::Value::Object;
    match (more, less) {
        (Object(more), Object(less)) => {
            less.iter().all(|(name, less)| more.get(name).is_some_and(|more| says(more, less)))
        }
        (more, less) => more == less,
    }
}

#[test]
fn vectors_are_what_we_write() {
    // Facts grow by addition, and these do not: they are taken as they are, and what is written today
    // must still say all that they say.
    let mut facts = facts_of_today();
    let mut made = BTreeMap::new();
    for (index, facts) in facts.iter_mut().enumerate() {
        let name = format!("entry-{index}.facts.json");
        if folder().join(&name).exists() {
            let there = read(&name).into_bytes();
            assert!(
                says(&parsed(facts), &parsed(&there)),
                "{name}: {}",
                String::from_utf8_lossy(facts)
            );
            *facts = there;
        }
        made.insert(name, facts.clone());
    }
    made.extend(make(&facts));
    for (name, bytes) in &made {
        write(name, bytes);
        assert_eq!(read(name), String::from_utf8(bytes.clone()).unwrap(), "{name}");
    }
    let readme = read("README.md");
    let mut there = BTreeSet::new();
    for prefix in ["", "test-only-keys/"] {
        for file in std::fs::read_dir(folder().join(prefix)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let said = readme.contains(&format!("`{name}")) || name == "README.md";
            assert!(said, "the README does not explain {name}");
            there.insert(format!("{prefix}{name}"));
        }
    }
    let beside = ["README.md", "test-only-keys"].map(str::to_owned);
    assert_eq!(there, made.into_keys().chain(beside).collect());
}

/// With nothing but the committed files.
#[test]
fn vectors_are_read_and_valid() {
    let vkey = |name: &str| read(name).trim_end().parse::<VerifierKey>().unwrap();
    let (ledger, signer) = (vkey("test-only-keys/ledger.vkey"), vkey("test-only-keys/signer.vkey"));
    assert_eq!(ledger.kind(), SignatureType::Ed25519);
    assert_eq!(signer.kind(), SignatureType::Cosignature);
    let report = verify::export(read("export.jsonl").as_bytes(), (&ledger, &signer)).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.certificates, report.redacted), (5, 2, 0));

    let checkpoint = Checkpoint::parse(&read("checkpoint")).unwrap();
    assert_eq!(checkpoint.check(&ledger), Ok(()));
    assert_eq!(checkpoint.check_cosigned(&signer), Ok(NOW.plus(Span::secs(62))));
    for (index, ca) in [(2, "user_ca"), (4, "bare_ca")] {
        let line = read(&format!("entry-{index}-cert.pub"));
        let blob = unbase64(line.split(' ').nth(1).unwrap()).unwrap();
        let (view, signature) = Tbs::parse_signed(&blob).unwrap();
        let ca: PublicKey = read(&format!("test-only-keys/{ca}.pub")).parse().unwrap();
        assert_eq!(view.ca, ca.to_bytes().unwrap());
        let stapled = &blob[..view.len()];
        assert!(check_signature(view.ca, stapled, signature).is_some());
        let proved = proof::check(stapled, &ledger, &signer).unwrap();
        assert_eq!((proved.proof.index, &proved.proof.checkpoint), (index, &checkpoint));
        assert_eq!(proved.proof.to_string(), read(&format!("entry-{index}.proof")));
        let subject: PublicKey =
            read(&format!("test-only-keys/entry-{index}.pub")).parse().unwrap();
        assert_eq!(view.subject, subject.to_bytes().unwrap());
        let theirs = ssh_key::Certificate::from_bytes(&blob).unwrap();
        assert_eq!(theirs.verify_signature(), Ok(()));
    }
}
