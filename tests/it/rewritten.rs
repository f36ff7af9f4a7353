//! Files that are rewritten while the daemon reads them. Three deployments of policy, people and hosts
//! follow each other in circles, file by file, in every order, in place and by rename, with pauses; others
//! reload all the while, and ana asks for certificates. `HALLPASS_RELOADS=10000` asks for more of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ca::{Ca, bend};
use crate::process::{run, run_with_input};

/// How many different deployments there are.
const WHOLE: usize = 3;

/// A deployment: its files but for SHA256SUMS, by name.
type Files = BTreeMap<&'static str, String>;

/// The n-th deployment. Whatever is mixed of several is valid too and gives ana a certificate, by an
/// offer whose name says what was mixed: only a whole one gives it by the offer `whole-N`.
fn deployment(n: usize, key: &str) -> Files {
    let mut policy = String::new();
    for (people, hosts) in (0..WHOLE * WHOLE).map(|i| (i / WHOLE, i % WHOLE)) {
        let name = match people == n && hosts == n {
            true => format!("whole-{n}"),
            false => format!("mixed-{n}-{people}-{hosts}"),
        };
        policy += &format!(
            "@id(\"{name}\") @ttl(\"{}m\") @period(\"1h\")\npermit (principal in Group::\"team-{people}\", \
             action == Action::\"login\", resource in Tag::\"kind-{hosts}\");\n",
            3 + n
        );
    }
    let all = |what: &str| (0..WHOLE).map(|n| format!("\"{what}-{n}\", ")).collect::<String>();
    let people = format!("[person.ana]\ngroups = [\"team-{n}\"]\nkeys = [\"{key}\"]\n");
    let hosts = format!("[host.web01]\ntags = [\"kind-{n}\"]\naccounts = [\"deploy\"]\n");
    let groups = format!("groups = [{}]\n", all("team"));
    let tags = format!("tags = [{}]\n", all("kind"));
    // One of them has ana in a file of her own, another its host.
    let mut files = Files::from([("policy.cedar", policy)]);
    if n == 1 {
        files.extend([("people.toml", groups), ("people.d/ana.toml", people)]);
    } else {
        files.insert("people.toml", groups + &people);
    }
    if n == 2 {
        files.extend([("hosts.toml", tags), ("hosts.d/web.toml", hosts)]);
    } else {
        files.insert("hosts.toml", tags + &hosts);
    }
    files
}

/// What can come and go.
const FOLDED: [&str; 2] = ["people.d/ana.toml", "hosts.d/web.toml"];

/// `sha256sum` of files that lie in a folder.
fn sums(dir: &Path, files: &Files) -> String {
    run(std::process::Command::new("sha256sum").args(files.keys()).current_dir(dir)).ok()
}

/// A pseudo-random number below a bound.
fn below(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state % u64::try_from(bound).unwrap()).unwrap()
}

/// Writes one file: by rename, or in place, bit by bit.
fn rewrite(dir: &Path, name: &str, text: &str, state: &mut u64) {
    let path = dir.join(name);
    if below(state, 2) == 0 {
        let new = dir.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
        return;
    }
    let mut file = std::fs::File::create(path).unwrap();
    let pieces = text.as_bytes().chunks(text.len() / (1 + below(state, 4)) + 1);
    for piece in pieces {
        std::thread::sleep(Duration::from_micros(below(state, 200) as u64));
        file.write_all(piece).unwrap();
    }
}

/// Ends the others, also where the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One reload over the operator's socket.
fn reload(socket: &Path) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"{\"do\":\"reload\"}\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told:?}"))
}

#[test]
fn only_whole_old_or_whole_new_files_decide_while_they_are_rewritten() {
    let wanted: u64 =
        std::env::var("HALLPASS_RELOADS").map_or(150, |number| number.parse().unwrap());
    let mut key = String::new();
    let mut lists = Vec::new();
    let ca = Ca::start_with(|dir| {
        key = std::fs::read_to_string(dir.join("ana.pub")).unwrap().trim().to_owned();
        bend(dir, "hosts = \"hosts.toml\"", "hosts = \"hosts.toml\"\nsums = \"SHA256SUMS\"");
        bend(dir, "\nhours = ", "\n# hours = ");
        for (limit, usual) in [("total", 550), ("person", 55), ("grants", 200)] {
            bend(dir, &format!("\n{limit} = {usual}\n"), &format!("\n{limit} = 1000000\n"));
        }
        let at = dir.join("ca");
        for folder in ["people.d", "hosts.d"] {
            std::fs::create_dir(at.join(folder)).unwrap();
        }
        let signer = std::fs::read_to_string(at.join("signer.toml")).unwrap();
        let (before, _) = signer.split_once("[rate]").unwrap();
        let rate = "[rate]\ntotal = 1000000\nperson = 1000000\naccount = 1000000\n";
        std::fs::write(at.join("signer.toml"), format!("{before}{rate}")).unwrap();
        for n in (0..WHOLE).rev() {
            let files = deployment(n, &key);
            FOLDED.iter().for_each(|name| drop(std::fs::remove_file(at.join(name))));
            files.iter().for_each(|(name, text)| std::fs::write(at.join(name), text).unwrap());
            lists.push(sums(&at, &files));
        }
        lists.reverse();
        std::fs::write(at.join("SHA256SUMS"), &lists[0]).unwrap();
    });
    let at = ca.file("");
    let socket = ca.file("state/control.sock");

    let (reloads, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let count = |answer: &Value| {
        reloads.fetch_add(1, Ordering::SeqCst);
        match answer["outcome"].as_str().unwrap() {
            "ok" => {}
            "refused" => {
                let said = answer["said"][0].as_str().unwrap();
                // In the middle of a deployment a file may be missing, or the list cut.
                let expected = said.contains("being changed")
                    || said.contains("No such file")
                    || said.contains("not sha256sum's");
                assert!(expected, "{said}");
                refused.fetch_add(1, Ordering::SeqCst);
            }
            _ => panic!("{answer}"),
        }
    };
    let begun = Instant::now();
    let deployed = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let _done = Done(&done);
            let (mut state, mut deployed) = (0x5eed_u64, 0_usize);
            // Few reloads meet a deployment that is half done: it goes on until one did.
            let more = || {
                let (reloads, refused) =
                    (reloads.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
                reloads < wanted || refused == 0 && reloads < 20 * wanted
            };
            while more() {
                let n = (deployed + 1) % WHOLE;
                let files = deployment(n, &key);
                let mut left: Vec<&str> = files.keys().copied().collect();
                left.push("SHA256SUMS");
                left.extend(FOLDED.iter().filter(|name| !files.contains_key(*name)));
                while !left.is_empty() {
                    let name = left.swap_remove(below(&mut state, left.len()));
                    match files.get(name) {
                        Some(text) => rewrite(&at, name, text, &mut state),
                        None if name == "SHA256SUMS" => rewrite(&at, name, &lists[n], &mut state),
                        None => drop(std::fs::remove_file(at.join(name))),
                    }
                    std::thread::sleep(Duration::from_micros(below(&mut state, 600) as u64));
                }
                // What is finished is taken, and decides.
                let answer = reload(&socket);
                assert_eq!(answer["outcome"], "ok", "{answer}");
                count(&answer);
                if deployed % 8 == 0 {
                    let said = ca.ssh("ana", &["deploy@web01", "--offer", &format!("whole-{n}")]);
                    assert_eq!(said.code, 0, "{said:?}");
                }
                deployed += 1;
                std::thread::sleep(Duration::from_micros(below(&mut state, 20_000) as u64));
            }
            deployed
        });
        for seed in 1..3_u64 {
            let (done, count, socket) = (&done, &count, &socket);
            scope.spawn(move || {
                let mut state = seed;
                while !done.load(Ordering::SeqCst) {
                    count(&reload(socket));
                    std::thread::sleep(Duration::from_micros(below(&mut state, 4000) as u64));
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let said = ca.ssh("ana", &["deploy@web01"]);
                assert_eq!(said.code, 0, "{said:?}");
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        writer.join().unwrap()
    });
    let took = begun.elapsed();

    // What each hash stands for is kept; from it follows which deployment it is of.
    let known: Vec<[String; 3]> =
        lists.iter().enumerate().map(|(n, _)| hashes(&ca, n, &key)).collect();
    let mut certificates = 0;
    for entry in ca.entries().iter().filter(|entry| entry.has_certificate) {
        let facts = &entry.facts;
        let named =
            ["policy", "people", "hosts"].map(|kind| facts[kind].as_str().unwrap().to_owned());
        let n = known.iter().position(|whole| *whole == named);
        let n = n.unwrap_or_else(|| panic!("entry {}: mixed: {facts}", entry.index));
        assert_eq!(facts["offer"], format!("whole-{n}"), "{facts}");
        assert_eq!(facts["terms"]["ttl"], 60 * (3 + n), "{facts}");
        certificates += 1;
    }
    let (reloads, refused) = (reloads.into_inner(), refused.into_inner());
    eprintln!(
        "{reloads} reloads, {refused} of them refused, {deployed} deployments, {certificates} certificates, {took:?}"
    );
    assert!(refused > 0 && refused < reloads && certificates >= asked.into_inner());
    assert!(ca.operator(&["ledger", "verify"]).out.starts_with("valid"));
}

/// The three hashes of a deployment, as base64, from what `hallpass ledger text` has kept under them.
fn hashes(ca: &Ca, n: usize, key: &str) -> [String; 3] {
    let files = deployment(n, key);
    let framed = |main: &str, more: &str| match (&files[main], files.get(more)) {
        (text, None) => text.clone(),
        (text, Some(other)) => format!(
            "hallpass.files v1\n{main} {}\n{text}\n{more} {}\n{other}\n",
            text.len(),
            other.len()
        ),
    };
    let texts = [
        files["policy.cedar"].clone(),
        framed("people.toml", FOLDED[0]),
        framed("hosts.toml", FOLDED[1]),
    ];
    texts.map(|text| {
        let sum = run_with_input(&mut std::process::Command::new("sha256sum"), &text).ok();
        let hex = &sum[..64];
        assert_eq!(ca.operator(&["ledger", "text", hex]).out, text);
        let mut base64 = std::process::Command::new("sh");
        base64.args(["-c", "tr a-f A-F | basenc -d --base16 | base64"]);
        run_with_input(&mut base64, hex).ok().trim().to_owned()
    })
}
