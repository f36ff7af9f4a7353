//! The way to a person's agent: a channel that we open on their connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::outside::agent::{Connect, Opening, Stream};

/// An agent that is forwarded over an SSH connection.
pub(super) struct Over(pub(super) Handle);

impl Connect for Over {
    /// Never to be waited for in a callback of the session: its loop is the one that answers.
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let channel = self.0.channel_open_agent().await.map_err(io::Error::other)?;
            let id = channel.id();
            let stream = Closed { stream: channel.into_stream(), id, handle: self.0.clone() };
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// A stream whose channel is closed with it. An end of file alone leaves that to the agent, and the
/// client stays for as long as one that never hangs up.
struct Closed {
    stream: ChannelStream<Msg>,
    id: ChannelId,
    handle: Handle,
}

impl Drop for Closed {
    fn drop(&mut self) {
        let (handle, id) = (self.handle.clone(), self.id);
        // An error means that the connection is gone, and the channel with it.
        tokio::spawn(async move { handle.close(id).await.ok() });
    }
}

impl AsyncRead for Closed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Closed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
