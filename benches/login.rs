//! What a person waits for, and what it costs: stock `ssh` against the door, on loopback.
//!
//! Wall time, interleaved in one run because the machine's mood changes: a cheap command and a
//! certificate, at a door that acknowledges at once (`quickack`) and at one that does not, and
//! `ssh host true` at a lean sshd for comparison. Then the server's CPU for each certificate, daemon
//! and signer, over fresh connections and over one that is kept. Nothing is asserted.
//!
//! ```text
//! cargo bench --bench login
//! ```
#![allow(unreachable_pub, dead_code, reason = "borrows the tests' harness")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "prints figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "the harness waits in bounded loops and writes scratch files"
)]

use std::process::{Command, Stdio};
use std::time::Instant;

use ca::Ca;
use process::{children, run};
use sshd::Sshd;

#[path = "../tests/it/ca.rs"]
mod ca;
#[path = "../tests/it/process.rs"]
mod process;
#[path = "../tests/it/sshd.rs"]
mod sshd;

/// Runs of each kind.
const RUNS: usize = 21;

/// Requests for one figure of CPU.
const REQUESTS: u32 = 200;

/// A run that took this much longer than the fastest of all waited for a delayed acknowledgement,
/// which Linux sends after 40 ms.
const STALL: f64 = 35.0;

fn main() {
    let (with, without) = (door(true), door(false));
    let server = Sshd::start(&with, "web01");
    let certificate = with.certificate("ana", &["deploy@web01", "OPS-7"]);

    let ask = |ca: &Ca, words: &[&str]| {
        let mut ssh = ca.client("ana");
        ssh.arg("ca").args(words);
        ssh
    };
    let issue = ["deploy@web01", "OPS-7"];
    type Kind<'a> = (&'a str, Box<dyn Fn() -> Command + 'a>);
    let kinds: [Kind<'_>; 5] = [
        ("ssh ca trust --user", Box::new(|| ask(&with, &["trust", "--user"]))),
        ("ssh ca trust --user, no quickack", Box::new(|| ask(&without, &["trust", "--user"]))),
        ("ssh ca deploy@web01 OPS-7", Box::new(|| ask(&with, &issue))),
        ("ssh ca deploy@web01 OPS-7, no quickack", Box::new(|| ask(&without, &issue))),
        (
            "ssh deploy@web01 true (sshd)",
            Box::new(|| {
                let mut ssh = server.client(&with.dir().join("ana"));
                ssh.arg("-o").arg(format!("CertificateFile={}", certificate.display()));
                ssh.args(["-o", "KexAlgorithms=curve25519-sha256", "deploy@web01", "true"]);
                ssh
            }),
        ),
    ];
    println!("load {}", load());
    println!("wall time of stock ssh on loopback, {RUNS} runs each, interleaved, in ms");
    println!("{:40}{:>8}{:>8}{:>8}{:>8}  stalls", "", "min", "median", "p90", "max");
    let mut times = kinds.each_ref().map(|_| Vec::new());
    for round in 0..=RUNS {
        // Each round begins with another kind, and the first round warms up.
        for number in 0..kinds.len() {
            let at = (round + number) % kinds.len();
            let took = time(kinds[at].1());
            if round > 0 {
                times[at].push(took);
            }
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    let fastest = times.iter().map(|times| times[0]).fold(f64::INFINITY, f64::min);
    for ((name, _), times) in kinds.iter().zip(&times) {
        let (min, max) = (times[0], times[RUNS - 1]);
        let stalls = times.iter().filter(|took| **took >= fastest + STALL).count();
        let (median, p90) = (times[RUNS / 2], times[RUNS * 9 / 10]);
        println!("{name:40}{min:8.1}{median:8.1}{p90:8.1}{max:8.1}  {stalls} of {RUNS}");
    }
    let median = |kind: usize| times[kind][RUNS / 2];
    println!("a certificate to a cheap command: {:.2}", median(2) / median(0));
    println!("a cheap command without quickack to one with: {:.2}", median(1) / median(0));
    println!("a certificate without quickack to one with: {:.2}", median(3) / median(2));
    println!("a certificate to a login at sshd: {:.2}", median(2) / median(4));
    drop(kinds);

    println!("CPU of the server, {REQUESTS} requests of stock ssh one after the other, in ms each");
    println!("{:40}{:>8}{:>8}{:>8}", "", "daemon", "signer", "both");
    let socket = with.dir().join("control");
    let shared = |words: &[&str]| {
        let mut ssh = with.client("ana");
        ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]);
        ssh.arg("-o").arg(format!("ControlPath={}", socket.display())).arg("ca").args(words);
        ssh
    };
    cost("trust --user, fresh connections", &with, || ask(&with, &["trust", "--user"]));
    cost("certificate, fresh connections", &with, || ask(&with, &issue));
    time(shared(&["trust", "--user"]));
    cost("trust --user, one connection", &with, || shared(&["trust", "--user"]));
    cost("certificate, one connection", &with, || shared(&issue));
    run(shared(&[]).args(["-O", "exit"]));
    println!("load {}", load());
}

/// A CA with the example team whose signer signs as many as are asked for.
fn door(quickack: bool) -> Ca {
    Ca::start_with(|dir| {
        let bend = |file: &str, from: &str, to: &str| {
            let path = dir.join("ca").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{file} has no {from}");
            std::fs::write(&path, text.replace(from, to)).unwrap();
        };
        bend("signer.toml", "total = 600\nperson = 60\naccount = 120", &many());
        bend("ca.toml", "total = 550\nperson = 55\ngrants = 200", &desk());
        bend("ca.toml", "quickack = true", &format!("quickack = {quickack}"));
    })
}

fn many() -> String {
    ["total", "person", "account"].map(|what| format!("{what} = 1000000\n")).concat()
}

fn desk() -> String {
    ["total", "person", "grants"].map(|what| format!("{what} = 1000000\n")).concat()
}

/// Runs a command to its end; milliseconds.
fn time(mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took.as_secs_f64() * 1000.0
}

/// Prints what the server's processes used for each of a number of requests.
fn cost(name: &str, ca: &Ca, request: impl Fn() -> Command) {
    let daemon = ca.daemon.pid();
    let signers = children(daemon);
    let [signer] = signers[..] else { panic!("one signer: {signers:?}") };
    let before = (used(daemon), used(signer));
    for _ in 0..REQUESTS {
        time(request());
    }
    let each = |before, after| (after - before) / f64::from(REQUESTS);
    let (daemon, signer) = (each(before.0, used(daemon)), each(before.1, used(signer)));
    println!("{name:40}{daemon:8.3}{signer:8.3}{:8.3}", daemon + signer);
}

/// The CPU time of a process so far, user and system, in ms: the scheduler's own count of each
/// thread, which is exact where /proc/PID/stat has ticks of 10 ms.
fn used(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(nanoseconds > 0, "this kernel does not count the time of process {pid}");
    nanoseconds as f64 / 1e6
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
