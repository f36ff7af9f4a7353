//! The door in the open internet: what it shows to an auditor, who gets in when a crowd stands
//! before it, what failing costs, and what people are told when it closes.
//!
//! The museum: each published vulnerability of the SSH library that touches a server, and the story
//! here or in `stories.rs` that would notice it. Not listed are those of its client (CVE-2026-48107,
//! CVE-2026-73429, GHSA-47hw-gvq5-r2gm) and of agents (CVE-2026-46673, GHSA-g4mp-vgx3-xrvm), which
//! are not linked.
//!
//! | advisory | what | story |
//! |---|---|---|
//! | CVE-2023-28113 | Diffie-Hellman values out of range | no such group is offered: [`an_auditor_finds_nothing_but_what_old_clients_need`] |
//! | CVE-2023-48795 | Terrapin | `a_message_slipped_into_the_key_exchange_ends_it` |
//! | CVE-2024-43410 | memory by packet length | `bytes_that_are_not_ssh_cost_nothing` |
//! | CVE-2025-54804 | window overflow | `whatever_fills_a_channel_harms_nobody_else` |
//! | CVE-2026-42189 | memory by number of answers | `no_other_method_lets_anybody_in` |
//! | CVE-2026-46702 | compression bomb | none is offered or taken: `nothing_weaker_is_spoken_than_what_is_offered` |
//! | CVE-2026-46705 | another user's step counts | `another_user_name_begins_anew` |
//! | CVE-2026-48108 | endless greeting | `bytes_that_are_not_ssh_cost_nothing`, and [`a_connection_may_not_send_without_end`] |
//! | CVE-2026-48110 | lists without end | `lists_and_strings_without_end_cost_nothing` |
//! | CVE-2026-73430, CVE-2026-102824 | key exchange without a secret | `a_key_exchange_without_a_secret_fails` |
//! | CVE-2026-73489 | terminal modes | `whatever_fills_a_channel_harms_nobody_else` |
//! | CVE-2026-68930 | channels never opened | `a_channel_that_was_never_opened_runs_nothing` |
//! | CVE-2026-102821 | channels while keys are exchanged | `a_key_exchange_that_never_ends_keeps_nothing`, and [`a_connection_may_not_send_without_end`] |
//! | GHSA-g6xm-f9xp-qq35 | attempts not counted | `six_signatures_are_all_that_one_connection_may_try` |
//! | GHSA-p8qx-h547-fjw9 | a cipher without a MAC | `nothing_weaker_is_spoken_than_what_is_offered` |

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::Stdio;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use serde_json::Value;

use crate::ca::{Ca, bend};
use crate::process::{children, python, repository, run, signal, until};

#[test]
fn an_auditor_finds_nothing_but_what_old_clients_need() {
    let ca = Ca::start();
    let mut audit = python();
    // How often one may connect is no matter of algorithms: see the crowds below.
    audit.args(["-m", "ssh_audit", "--json", "--skip-rate-test", "--port"]);
    let said = run(audit.arg(ca.port().to_string()).arg("127.0.0.1"));
    // 2 is a warning, 3 would be a failure.
    assert_eq!(said.code, 2, "{said:?}");
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let mut warnings = Vec::new();
    for (kind, expected) in [
        (
            "kex",
            &[
                "mlkem768x25519-sha256",
                "curve25519-sha256",
                "ext-info-s",
                "kex-strict-s-v00@openssh.com",
            ][..],
        ),
        ("key", &["ssh-ed25519"]),
        (
            "enc",
            &["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"],
        ),
        ("mac", &["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"]),
    ] {
        let all = found[kind].as_array().unwrap();
        let names: Vec<&str> = all.iter().map(|one| one["algorithm"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{kind}");
        for one in all {
            assert!(one["notes"]["fail"].is_null(), "{one}");
            if !one["notes"]["warn"].is_null() {
                warnings.push((one["algorithm"].as_str().unwrap(), &one["notes"]["warn"]));
            }
        }
    }
    // OpenSSH before 9.9 has no key exchange with ML-KEM, and the library none with sntrup761.
    let old = serde_json::json!(["does not provide protection against post-quantum attacks"]);
    assert_eq!(warnings, [("curve25519-sha256", &old)]);
    assert_eq!(found["compression"], serde_json::json!(["none"]));
    assert_eq!(found["cves"], serde_json::json!([]));
    assert_eq!(found["banner"]["raw"], "SSH-2.0-hallpass");
}

/// Connects from an address of the loopback network, all of which is this machine.
fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&socket, &SocketAddrV4::new(source, 0)).unwrap();
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpStream::from(socket)
}

/// A crowd of so many connections that say nothing stands before the door, from so many sources.
/// Ana, from yet another, gets in and has her certificate, more than once.
fn a_crowd(ca: &Ca, size: u16, sources: u16) {
    let source = |n: u16| {
        let [high, low] = (n % sources).to_be_bytes();
        Ipv4Addr::new(127, 1, high, low + 1)
    };
    let crowd: Vec<TcpStream> = (0..size).map(|n| connect_from(source(n), ca.port())).collect();
    for _ in 0..3 {
        let mut ssh = ca.client("ana");
        let said = run(ssh.args(["-b", "127.2.2.2", "ca", "deploy@web01", "OPS-7"]));
        assert_eq!(said.code, 0, "{said:?}\n{:#?}", ca.daemon.log());
    }
    let log = ca.daemon.log();
    assert!(!log.iter().any(|line| line.contains("could not accept")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("turned away")), "{log:#?}");
    // Whoever still waits was greeted, and heard nothing else.
    let mut waiting = 0;
    for mut stranger in crowd {
        stranger.set_nonblocking(true).unwrap();
        let mut heard = [0; 100];
        match stranger.read(&mut heard) {
            Ok(0) | Err(_) => {}
            Ok(count) => {
                assert!(heard.starts_with(b"SSH-2.0-hallpass\r\n"), "{:?}", &heard[..count]);
                waiting += usize::from(
                    stranger
                        .read(&mut heard)
                        .is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock),
                );
            }
        }
    }
    assert!((1..=128).contains(&waiting), "{waiting}");
}

#[test]
fn a_person_gets_past_a_silent_crowd() {
    // Mallory holds five hundred connections and says nothing, from one address; then, with a botnet,
    // from two hundred.
    let ca = Ca::start();
    a_crowd(&ca, 500, 1);
    a_crowd(&ca, 500, 200);
}

#[test]
fn a_person_gets_past_a_silent_crowd_with_sixty_files() {
    // The same, and the daemon may open sixty files. About twenty are always open; a connection must
    // never have the one that the signer's socket, the ledger or a ticket needs.
    let ca = Ca::start_with_files(60);
    a_crowd(&ca, 500, 1);
    a_crowd(&ca, 500, 200);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
    assert!(
        ca.daemon.log().iter().any(|line| line.contains("fewer connections than ca.toml says"))
    );
}

/// Tells a story of `tests/stories/edge.py`.
fn tell(ca: &Ca, story: &str) {
    let mut script = python();
    script.arg(repository("tests/stories/edge.py")).args([story, &ca.port().to_string()]);
    let said = run(script.arg(ca.dir()));
    assert_eq!(said.code, 0, "{}\n{:#?}", said.err, ca.daemon.log());
}

#[test]
fn whoever_fails_again_and_again_is_kept_out_for_a_while() {
    // Mallory tries a list of keys, one for each connection, which is in nobody's budget. After a
    // dozen her address is not greeted any more; her neighbours' are.
    let ca = Ca::start();
    tell(&ca, "a_list_of_keys");
    let log = ca.daemon.log();
    assert!(log.iter().any(|line| line.contains("its source failed too often")), "{log:#?}");
}

#[test]
fn a_person_may_fail_now_and_then() {
    // Ana's agent offers six other keys first, each time; then she mistakes the name of her key five
    // times, and then finds it.
    let ca = Ca::start();
    for n in 0..6 {
        crate::process::key_pair(ca.dir(), &format!("other-{n}"), &["ed25519"]);
    }
    let others: Vec<String> =
        (0..6).map(|n| format!("-i{}", ca.dir().join(format!("other-{n}")).display())).collect();
    for _ in 0..6 {
        let mut ssh = ca.client("other-0");
        let ana = ca.dir().join("ana");
        let said = run(ssh.args(&others).arg("-i").arg(ana).args(["ca", "status"]));
        assert_eq!(said.code, 0, "{said:?}");
    }
    for _ in 0..5 {
        assert_eq!(ca.ssh("mallory", &["status"]).code, 255);
    }
    assert_eq!(ca.ssh("ana", &["status"]).code, 0);
}

#[test]
fn a_person_has_so_many_connections_and_is_told() {
    let ca = Ca::start_with(|dir| bend(dir, "per_person = 64", "per_person = 2"));
    tell(&ca, "two_at_most");
}

#[test]
fn a_connection_may_not_send_without_end() {
    // Mallory, and then bob, send messages that mean nothing, for ever: in the clear of the login, as
    // somebody who is in, and in the middle of a key exchange that never ends (CVE-2026-102821).
    let ca = Ca::start();
    assert_eq!(ca.ssh("ana", &["status"]).code, 0);
    let before = memory(&ca);
    tell(&ca, "too_much");
    let grown = memory(&ca).saturating_sub(before);
    // 240 kB, in a trial.
    assert!(grown < 8 << 10, "the daemon grew by {grown} kB");
    assert_eq!(ca.ssh("ana", &["status"]).code, 0);
}

/// The most memory the daemon ever had, in kB.
fn memory(ca: &Ca) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ca.daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn whoever_does_not_answer_any_more_is_gone_and_whoever_answers_stays() {
    // Ana holds a connection open and types nothing. Bob does too, and closes his laptop's lid: no
    // packet says that he is gone.
    let ca = Ca::start_with(|dir| {
        bend(dir, "login_deadline = \"20s\"", "login_deadline = \"1s\"");
        bend(dir, "keepalive = \"20s\"", "keepalive = \"1s\"");
    });
    let hold = |person: &str| {
        let mut ssh = ca.client(person);
        ssh.args(["-M", "-S"]).arg(ca.dir().join(format!("{person}.socket")));
        ssh.args(["-N", "ca"]).stdin(Stdio::null()).stderr(Stdio::null());
        let child = ssh.spawn().unwrap();
        until("the connection", || {
            let mut ssh = ca.client(person);
            ssh.arg("-S").arg(ca.dir().join(format!("{person}.socket")));
            run(ssh.args(["-O", "check", "ca"])).code == 0
        });
        child
    };
    let (mut ana, bob) = (hold("ana"), hold("bob"));
    signal(bob.id(), "STOP");
    let gone = || {
        let ended = |line: &String| line.contains("connection ended") && line.contains("\"bob\"");
        ca.daemon.log().into_iter().find(ended)
    };
    until("bob's end", || gone().is_some());
    assert!(gone().unwrap().contains("it did not answer"), "{:?}", gone());
    assert!(ana.try_wait().unwrap().is_none(), "{:#?}", ca.daemon.log());
    for mut child in [ana, bob] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn at_a_restart_a_person_is_told_what_to_type_again() {
    // The signer hangs, and with it ana's request; the operator restarts the daemon meanwhile.
    let mut ca = Ca::start();
    let [signer] = children(ca.daemon.pid())[..] else { panic!("one signer") };
    let log = ca.file("state/ledger.db-wal");
    let written = || std::fs::metadata(&log).and_then(|log| log.modified()).ok();
    let before = written();
    signal(signer, "STOP");
    let mut ssh = ca.client("ana");
    ssh.args(["ca", "deploy@web01", "OPS-7"]).stdin(Stdio::null());
    let client = ssh.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("ana's request in the ledger", || written() != before);
    signal(ca.daemon.pid(), "TERM");
    let said = client.wait_with_output().unwrap();
    signal(signer, "CONT");
    let err = String::from_utf8(said.stderr).unwrap();
    assert_eq!(
        err,
        "hallpass: the server is restarting\n\
         hint: run the same command again: ssh ca deploy@web01 OPS-7\n"
    );
    assert_eq!((said.stdout.len(), said.status.code()), (0, Some(75)));
    ca.restart();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0, "as she was told");
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}
