//! `kill -9` of daemon and signer at random moments, and what comes after.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::ca::{House, audit};
use crate::crowd::Crowd;
use crate::figures::Spread;
use crate::plan::Plan;
use crate::process::{LONG, signal};

/// How long each return took.
#[derive(Default)]
struct Times {
    listens: Vec<Duration>,
    daemon: Vec<Duration>,
    signer: Vec<Duration>,
    everybody: Vec<Duration>,
}

/// Kills as often as the plan says; what was wrong.
pub fn kill(house: &mut House, crowd: &Crowd, runtime: &Runtime, plan: &Plan) -> Vec<String> {
    let mut times = Times::default();
    let mut problems = Vec::new();
    // Random moments that fill the time, if coming back takes none of it.
    let gap = plan.seconds as f64 / plan.kills as f64;
    for number in 1..=plan.kills {
        std::thread::sleep(Duration::from_secs_f64(2.0 * gap * rand::random::<f64>()));
        let killed = if rand::random() {
            kill_daemon(house, crowd, runtime, &mut times)
        } else {
            kill_signer(house, crowd, runtime, &mut times)
        };
        if let Err(why) = killed {
            problems.push(format!("kill {number}: {why}"));
            return problems;
        }
        if number % plan.audit_every == 0 && number < plan.kills {
            println!("after {number} kills:");
            house.stop();
            problems.extend(audit(&house.dir, &crowd.next_round()));
            if let Err(log) = house.serve() {
                problems.push(format!("no start after {number} kills: {log:#?}"));
                return problems;
            }
            times.everybody.push(runtime.block_on(crowd.wait_for(plan.sessions)));
        }
    }
    for (what, times) in [
        ("daemon: start to listening", times.listens),
        ("daemon: kill to the next certificate", times.daemon),
        ("signer: kill to the next certificate", times.signer),
        ("everybody is back after a restart", times.everybody),
    ] {
        if !times.is_empty() {
            println!("{what:<44}{}", Spread::of(&times));
        }
    }
    problems
}

fn kill_daemon(
    house: &mut House,
    crowd: &Crowd,
    runtime: &Runtime,
    times: &mut Times,
) -> Result<(), String> {
    let begun = Instant::now();
    house.kill();
    let took = house.serve().map_err(|log| format!("no start: {log:#?}"))?;
    runtime.block_on(crowd.probe()).ok_or_else(|| unserved(house))?;
    times.listens.push(took);
    times.daemon.push(begun.elapsed());
    Ok(())
}

fn kill_signer(
    house: &House,
    crowd: &Crowd,
    runtime: &Runtime,
    times: &mut Times,
) -> Result<(), String> {
    let begun = Instant::now();
    let signer = loop {
        if let Some(signer) = house.signer() {
            break signer;
        }
        if begun.elapsed() > LONG {
            return Err(unserved(house));
        }
    };
    let begun = Instant::now();
    signal(signer, "KILL");
    while house.signer().is_none_or(|pid| pid == signer) {
        if begun.elapsed() > LONG {
            return Err(unserved(house));
        }
    }
    runtime.block_on(crowd.probe()).ok_or_else(|| unserved(house))?;
    times.signer.push(begun.elapsed());
    Ok(())
}

/// For the report: what the daemon wrote last.
fn unserved(house: &House) -> String {
    let log = house.log();
    format!("nobody is served any more: {:#?}", &log[log.len().saturating_sub(20)..])
}
