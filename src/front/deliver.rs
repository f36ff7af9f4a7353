//! The way to a person's agent: a channel that we open on their connection.

use std::io;

use russh::server::Handle;

use crate::outside::agent::{Connect, Opening, Stream};

/// An agent that is forwarded over an SSH connection.
pub(super) struct Over(pub(super) Handle);

impl Connect for Over {
    /// Never to be waited for in a callback of the session: its loop is the one that answers.
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let channel = self.0.channel_open_agent().await.map_err(io::Error::other)?;
            Ok(Box::new(channel.into_stream()) as Box<dyn Stream>)
        })
    }
}
