//! Figures.

use std::fmt;
use std::time::Duration;

/// How long something took, many times.
pub struct Spread {
    count: usize,
    median: f64,
    p99: f64,
    most: f64,
}

impl Spread {
    /// Of these.
    pub fn of(times: &[Duration]) -> Self {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let at = |part: usize| {
            times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied()
        };
        let [median, p99, most] = [50, 99, 100].map(|part| at(part).unwrap_or(f64::NAN));
        Self { count: times.len(), median, p99, most }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, median, p99, most } = self;
        write!(f, "{count:>7} times, median {median:.1} ms, p99 {p99:.1}, most {most:.1}")
    }
}

/// The memory that a process has at this moment, in kB.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
