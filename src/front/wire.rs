//! One connection's socket: what must hold below SSH, and nothing that SSH can see.
//!
//! - A peer that has not logged in by an absolute deadline is gone. The SSH library's own timeout
//!   starts anew with every byte that arrives, so one byte now and then would keep a place for ever.
//! - A peer that sends more than it may is no longer read, and the listener is told.
//! - The listener can cut the connection at any moment, whatever the session is waiting for.
//! - Between small packets the peer's Nagle algorithm waits for our acknowledgement while our kernel
//!   delays it for 40 ms. Until a command runs, `TCP_QUICKACK` is set again after each read; the
//!   kernel takes it back by itself, which is why setting it once does not last.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::visit::{Ending, Visit};

/// What the peer is doing, as far as the socket cares. Written by the session, read by the wire.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    /// The peer is logged in, so the deadline is off; small packets go back and forth.
    pub(super) fn talking(&self) {
        self.0.store(TALKING, Ordering::Relaxed);
    }

    /// A command runs: what comes next is our answer, which carries the acknowledgement.
    pub(super) fn answering(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

const LOGIN: u8 = 0;
const TALKING: u8 = 1;
const ANSWERING: u8 = 2;

/// A TCP connection with a deadline for the login and a way to cut it.
pub(super) struct Wire {
    socket: TcpStream,
    visit: Arc<Visit>,
    /// Bytes that arrived.
    read: u64,
    deadline: Pin<Box<Sleep>>,
    /// Resolves when the listener drops its end; `None` once it did.
    cut: Option<oneshot::Receiver<()>>,
    quickack: bool,
}

impl Wire {
    /// Wraps an accepted socket; the login deadline runs from here. Dropping the sender that
    /// belongs to `cut` makes every later read and write fail.
    pub(super) fn new(
        socket: TcpStream,
        visit: Arc<Visit>,
        login: Duration,
        quickack: bool,
        cut: oneshot::Receiver<()>,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep(login));
        Self { socket, visit, read: 0, deadline, cut: Some(cut), quickack }
    }

    /// Whether the connection may go on. Registers for a wake-up at the moment it no longer may.
    fn alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let cut = self.cut.as_mut().is_none_or(|cut| Pin::new(cut).poll(cx).is_ready());
        if cut {
            self.cut = None;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.visit.phase.get() == LOGIN && self.deadline.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "not logged in by the deadline"));
        }
        Ok(())
    }

    /// Acknowledges at once what was just read. A kernel that will not only costs 40 ms.
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        if self.quickack && self.visit.phase.get() != ANSWERING {
            self.socket.set_quickack(true).ok();
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        if !self.visit.may_read(self.read) {
            // Not an error, which would end the session before the peer can be told. `alive` has
            // registered for the end.
            self.visit.end(Ending::Flood);
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        let more = buf.filled().len().saturating_sub(before);
        if more > 0 {
            self.read += more as u64;
            self.acknowledge();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
