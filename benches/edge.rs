//! What a crowd before the door costs the people who want to get in: stock `ssh ca status` on
//! loopback, alone; then with ten thousand sockets that send a byte now and then; then with two
//! thousand new connections a second. The crowd has two hundred addresses of the loopback network,
//! or one; the person has another. Nothing is asserted.
//!
//! ```text
//! cargo bench --bench edge
//! ```
//!
//! The crowd needs eleven thousand files (`ulimit -n`), and half the machine: on two cores, what a
//! person waits for includes waiting for the crowd's own share.
#![allow(unreachable_pub, dead_code, reason = "borrows the tests' harness")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "prints figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "the harness waits in bounded loops and writes scratch files"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ca::Ca;
use process::run;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

#[path = "../tests/it/ca.rs"]
mod ca;
#[path = "../tests/it/process.rs"]
mod process;

/// How often a person comes.
const RUNS: usize = 100;

/// Sockets that trickle.
const TRICKLING: u32 = 10_000;

/// New connections a second.
const A_SECOND: u32 = 2_000;

fn main() {
    println!("{:<46} {:>5} {:>9} {:>9} {:>9}", "", "in", "p50 ms", "p99 ms", "most ms");
    let ca = Ca::start();
    people(&ca, "quiet");
    for sources in [1, 200, 5_000] {
        // A fresh one for each: no debts, and no connections from before.
        let ca = Ca::start();
        let crowd = Crowd::trickling(ca.port(), sources);
        people(&ca, &format!("{TRICKLING} trickling sockets, {sources} sources"));
        crowd.end();
        let ca = Ca::start();
        let crowd = Crowd::storming(ca.port(), sources);
        people(&ca, &format!("{A_SECOND} connections a second, {sources} sources"));
        crowd.end();
    }
    people(&ca, "quiet again");
}

/// People come one after the other; how many got in, and what they waited for.
fn people(ca: &Ca, what: &str) {
    let mut took = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let mut ssh = ca.client("ana");
        if run(ssh.args(["-b", "127.2.2.2", "ca", "status"])).code == 0 {
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    took.sort_by(f64::total_cmp);
    let at = |part: usize| took.get((took.len() * part / 100).min(took.len().max(1) - 1));
    let ms = |part| at(part).map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    let memory = peak(ca.daemon.pid());
    println!(
        "{what:<46} {:>5} {:>9} {:>9} {:>9}   daemon: {} MB at most, {:.1} s of CPU",
        format!("{}%", took.len() * 100 / RUNS),
        ms(50),
        ms(99),
        ms(100),
        memory >> 10,
        cpu(ca.daemon.pid()),
    );
}

/// Those who are in the way.
struct Crowd {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    began: Instant,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// So many sockets, each of which sends a byte every ten seconds, and comes back when it is cut.
    fn trickling(port: u16, sources: u32) -> Self {
        let crowd = Self::of(move |stop, made| {
            let mut sockets: Vec<TcpStream> = Vec::new();
            let mut next = 0;
            while sockets.len() < TRICKLING as usize && !stop.load(Ordering::Relaxed) {
                sockets.push(come(&mut next, sources, port, made));
            }
            while !stop.load(Ordering::Relaxed) {
                // A round of a hundred steps takes ten seconds.
                for part in sockets.chunks_mut(TRICKLING as usize / 100) {
                    for socket in part {
                        if socket.write_all(b"S").is_err() || gone(socket) {
                            *socket = come(&mut next, sources, port, made);
                        }
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        });
        while crowd.made.load(Ordering::Relaxed) < u64::from(TRICKLING) {
            std::thread::sleep(Duration::from_millis(20));
        }
        crowd
    }

    /// So many a second, each of which stays for a second.
    fn storming(port: u16, sources: u32) -> Self {
        Self::of(move |stop, made| {
            let mut sockets = std::collections::VecDeque::new();
            let (mut next, begun) = (0, Instant::now());
            while !stop.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_secs_f64() * f64::from(A_SECOND);
                while f64::from(next) < due && !stop.load(Ordering::Relaxed) {
                    sockets.push_back(come(&mut next, sources, port, made));
                    if sockets.len() > A_SECOND as usize {
                        sockets.pop_front();
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    }

    fn of(work: impl FnOnce(&AtomicBool, &AtomicU64) + Send + 'static) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stops, counts) = (Arc::clone(&stop), Arc::clone(&made));
        let threads = vec![std::thread::spawn(move || work(&stops, &counts))];
        Self { stop, made, began: Instant::now(), threads }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f64();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let made = self.made.load(Ordering::Relaxed);
        println!("    the crowd connected {made} times, {:.0} a second", made as f64 / seconds);
    }
}

/// One more of the crowd, from the next of its addresses, or from a neighbour where that has no
/// ports left.
fn come(next: &mut u32, sources: u32, port: u16, made: &AtomicU64) -> TcpStream {
    let number = *next % sources;
    *next += 1;
    let connected = (0..50).find_map(|neighbour| {
        let [_, _, high, low] = number.to_be_bytes();
        let source = Ipv4Addr::new(127, 10 + neighbour, high, low);
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        bind(&socket, &SocketAddrV4::new(source, 0)).ok()?;
        connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
        Some(TcpStream::from(socket))
    });
    made.fetch_add(1, Ordering::Relaxed);
    let socket = connected.expect("a port");
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Whether the server closed it.
fn gone(socket: &mut TcpStream) -> bool {
    let mut heard = [0; 256];
    match socket.read(&mut heard) {
        Ok(count) => count == 0,
        Err(why) => why.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// The most memory a process ever had, in kB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The seconds of CPU that a process used.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
