//! The load generator: thousands of logged-in SSH sessions that ask for certificates at random
//! moments, keep every one they get, and are compared with the ledger when the daemon has stopped.
//! With `--kills` daemon and signer are killed with -9 meanwhile, and everybody comes back.
//!
//! ```text
//! cargo bench --bench load -- [--sessions N] [--people N] [--seconds N] [--rate N] [--unauthenticated N]
//!                             [--kills N] [--audit-every N] [--dir DIR]
//! cargo bench --bench load -- --audit DIR
//! ```
//!
//! It ends with status 1 if anything is wrong: a certificate in somebody's hands that the ledger or
//! the signer's list lacks, a serial twice, a session that does not come back, any answer that is no
//! certificate while nobody kills, a refusal at any time. `--dir` keeps everything in a folder, which
//! `--audit` compares again. `HALLPASS_PROGRAMS` names a folder with other programs than those that
//! were built with it. It needs two files for each session (`ulimit -n`, which it raises as far as it
//! may) and the checkers' Python, which `scripts/test` prepares.
//!
//! Clients and CA share the machine: what it says of latency is for both together.
#![allow(unreachable_pub, dead_code, reason = "borrows the tests' harness")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "prints figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "the harness waits in bounded loops and writes scratch files"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ca::House;
use crowd::{Crowd, Figures};
use figures::{Spread, resident};

mod ca;
mod client;
mod crowd;
mod figures;
mod kills;
mod plan;
#[path = "../../tests/it/process.rs"]
mod process;

fn main() -> ExitCode {
    let plan = match plan::Plan::read(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("load: {why}");
            return ExitCode::from(2);
        }
    };
    let problems = match &plan.audit {
        Some(dir) => ca::audit(dir, ""),
        None => run(&plan),
    };
    for problem in &problems {
        println!("WRONG: {problem}");
    }
    println!("{} problems", problems.len());
    ExitCode::from(u8::from(!problems.is_empty()))
}

/// Everything, in its order; what was wrong.
fn run(plan: &plan::Plan) -> Vec<String> {
    let scratch = tempfile::Builder::new().prefix("hallpass-load-").tempdir().unwrap();
    let dir = plan.dir.clone().unwrap_or_else(|| scratch.path().to_owned());
    // Missing, it is missed now and not at the end.
    drop(process::python());
    plan::raise_files(plan.sessions);
    let people = client::people(plan.people);
    let mut house = House::make(&dir, plan, &people);
    house.serve().unwrap_or_else(|log| panic!("no start: {log:#?}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut problems = Vec::new();

    // What it costs where nobody else is there.
    let quiet = Crowd::new(&house, people.clone(), 0);
    runtime.block_on(quiet.one_after_the_other(20, 10));
    let figures = quiet.figures();
    println!("{:<44}{}", "quiet: a login", Spread::of(&figures.logins));
    println!("{:<44}{}", "quiet: a certificate", Spread::of(&figures.certificates));
    problems.extend(wrong(&figures, false));

    let empty = resident(house.daemon());
    let crowd = Crowd::new(&house, people, 1);
    let begun = Instant::now();
    let sessions = runtime.block_on(crowd.gather(plan.sessions));
    let (here, took) = (crowd.here(), begun.elapsed().as_secs_f64());
    println!("{here} sessions in {took:.1} s, {:.0} a second", here as f64 / took);
    println!("{:<44}{}", "coming: a login", Spread::of(&crowd.figures().logins));
    let full = resident(house.daemon());
    let each = full.saturating_sub(empty) as f64 / here as f64;
    println!("daemon: {} MB alone, {} MB with all, {each:.0} kB each", empty >> 10, full >> 10);

    let begun = Instant::now();
    crowd.ask(plan.sessions, plan.rate);
    if plan.kills > 0 {
        problems.extend(kills::kill(&mut house, &crowd, &runtime, plan));
        runtime.block_on(crowd.wait_for(plan.sessions));
    } else {
        std::thread::sleep(Duration::from_secs(plan.seconds));
    }
    let (here, least) = (crowd.here(), crowd.least());
    println!("{here} sessions at the end, {least} at the least");
    if here < plan.sessions || (plan.kills == 0 && least < plan.sessions) {
        problems.push(format!("there were to be {} sessions", plan.sessions));
    }
    let (seconds, figures) = (begun.elapsed().as_secs_f64(), crowd.figures());
    let count = figures.certificates.len();
    println!("{count} certificates in {seconds:.0} s, {:.0} a second", count as f64 / seconds);
    println!("{:<44}{}", "under load: a login", Spread::of(&figures.logins));
    println!("{:<44}{}", "under load: a certificate", Spread::of(&figures.certificates));
    println!("{:<44}{}", "under load: status", Spread::of(&figures.status));
    let signer = house.signer().map_or(0, resident);
    println!("daemon: {} MB, signer: {} MB", resident(house.daemon()) >> 10, signer >> 10);

    let begun = Instant::now();
    let status = house.stop();
    println!("asked to stop, it took {:.1} s", begun.elapsed().as_secs_f64());
    if status != 0 {
        problems.push(format!("the daemon ended with status {status}"));
    }
    runtime.block_on(crowd.leave(sessions));
    println!("{} certificates came by half", figures.torn);
    problems.extend(wrong(&figures, plan.kills > 0));
    problems.extend(house.verify());
    problems.extend(ca::audit(&dir, ""));
    problems
}

/// Prints what failed; what of it nothing excuses.
fn wrong(figures: &Figures, killed: bool) -> Vec<String> {
    for (what, times) in &figures.failures {
        println!("{times:>8} {what}");
    }
    let ours = figures.failures.iter().filter(|(what, _)| !(killed && client::excused(what)));
    ours.map(|(what, times)| format!("{times} times: {what}")).collect()
}
