//! A program's standard input and outputs, tended at the same time and no longer than a deadline: one
//! thread, whatever the program and its children do with them.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::http_client::BODY;

/// What a program said, and how it ended.
pub(super) struct Output {
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
    /// `0`, or what it was, or the signal.
    pub(super) status: String,
}

/// The most bytes of standard error that are kept; the rest is read and dropped.
const SAID: usize = 4096;

pub(super) struct Pipes {
    process: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    question: Vec<u8>,
    written: usize,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Pipes {
    /// The pipes of a program that was just started, and what it is asked.
    pub(super) fn of(child: &mut Child, question: Vec<u8>) -> std::io::Result<Self> {
        let gone = || std::io::Error::other("the program is gone");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for pipe in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            rustix::io::ioctl_fionbio(pipe.ok_or_else(gone)?, true)?;
        }
        let (out, err) = (Vec::new(), Vec::new());
        Ok(Self { process, stdin, stdout, stderr, question, written: 0, out, err })
    }

    /// Asks and hears until the program has ended and its output too, or it said too much; `None` at the
    /// deadline. Nobody is reaped here.
    pub(super) fn run(mut self, until: Instant) -> std::io::Result<Option<Output>> {
        let mut status = None;
        loop {
            if let Some(ended) = status.take_if(|_| self.stdout.is_none() && self.stderr.is_none())
            {
                return Ok(Some(self.output(ended)));
            }
            if self.out.len() > BODY {
                return Ok(Some(self.output("-".to_owned())));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let ended = self.wait(left, status.is_some())?;
            self.tend()?;
            if ended {
                status = Some(self.status()?);
                // What a child of its holds open is not waited for: all that it said itself is there.
                self.tend()?;
                (self.stdout, self.stderr) = (None, None);
            }
        }
    }

    fn output(self, status: String) -> Output {
        Output { out: self.out, err: self.err, status }
    }

    /// Waits until there is something to do. Whether the program has ended.
    fn wait(&self, left: std::time::Duration, ended: bool) -> std::io::Result<bool> {
        let left = Timespec::try_from(left).map_err(std::io::Error::other)?;
        let mut all = Vec::with_capacity(4);
        if !ended {
            all.push(PollFd::new(&self.process, PollFlags::IN));
        }
        let reads = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        all.extend(
            reads.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        if let Some(stdin) = &self.stdin {
            all.push(PollFd::new(stdin, PollFlags::OUT));
        }
        match poll(&mut all, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
        Ok(!ended && all.first().is_some_and(|process| !process.revents().is_empty()))
    }

    /// Writes and reads what can be without waiting.
    fn tend(&mut self) -> std::io::Result<()> {
        if let Some(stdin) = &mut self.stdin {
            let rest = self.question.get(self.written..).unwrap_or_default();
            match stdin.write(rest) {
                Ok(length) => self.written += length,
                Err(why) if waits(&why) => {}
                // It need not read what it is asked.
                Err(_) => self.written = self.question.len(),
            }
            if self.written >= self.question.len() {
                self.stdin = None;
            }
        }
        hear(&mut self.stdout, &mut self.out, BODY + 1)?;
        hear(&mut self.stderr, &mut self.err, SAID)
    }

    /// How it ended. It is left to be reaped: until then its number is nobody else's.
    fn status(&self) -> std::io::Result<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.process.as_fd()), options)?;
        let signal = || status.as_ref().and_then(|status| status.terminating_signal());
        let code = status.as_ref().and_then(|status| status.exit_status());
        Ok(match (code, signal()) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown".to_owned(),
        })
    }
}

fn waits(why: &std::io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads what is there and keeps so much of it.
fn hear(from: &mut Option<impl Read>, into: &mut Vec<u8>, most: usize) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    while let Some(pipe) = from {
        // Whoever talks faster than this reads is heard no further.
        if into.len() >= most && most > SAID {
            return Ok(());
        }
        match pipe.read(&mut buffer) {
            Ok(0) => *from = None,
            Ok(length) => {
                let room = most.saturating_sub(into.len()).min(length);
                into.extend(buffer.get(..room).unwrap_or_default());
                if most <= SAID {
                    return Ok(());
                }
            }
            Err(why) if waits(&why) => return Ok(()),
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
