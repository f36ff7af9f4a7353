//! A person's ssh-agent, reached over the connection that it is forwarded on
//! ([draft-ietf-sshm-ssh-agent](https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/), OpenSSH's `PROTOCOL.agent`).
//!
//! Three things are asked of it: how many identities it shows, whether it takes one with a lifetime and
//! destinations, and to take one. Nothing is ever put into it without both.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::certificate::time::Span;
use crate::certificate::wire::{Reader, put_string, put_u32};

/// A two-way stream to an agent.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What opening a stream comes to.
pub type Opening<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// The way to somebody's agent: a channel of their SSH connection, or a socket.
pub trait Connect: Send + Sync {
    /// Opens a stream. An error means that there is no agent at the other end, or not any more.
    fn open(&self) -> Opening<'_>;
}

/// What stands for a key and certificate in an agent: the certificate identity alone, no plain key
/// beside it, which ssh would sign with instead.
pub struct Identity<'a> {
    /// The certificate.
    pub certificate: &'a [u8],
    /// The Ed25519 key: public half, and both halves as OpenSSH writes the private one.
    pub public: &'a [u8; 32],
    /// Seed and public half.
    pub private: &'a [u8; 64],
    /// What `ssh-add -l` shows.
    pub comment: &'a str,
    /// How long the agent keeps it.
    pub lifetime: Span,
    /// Where it may be used; never empty.
    pub destinations: &'a [Destination],
}

/// One place where an identity may be used: from the agent's own machine straight to it, nowhere
/// further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The account; the agent compares it with the one that is logged in to.
    pub login: String,
    /// The host's name: of a host certificate it must be a principal.
    pub host: String,
    /// The host's plain keys, as blobs.
    pub host_keys: Vec<Vec<u8>>,
    /// The host CAs whose certificates the host may show instead, as blobs.
    pub host_cas: Vec<Vec<u8>>,
}

/// Why an agent did not do what was asked.
#[derive(Debug)]
pub enum AgentFault {
    /// It said no: it is locked, or knows no destinations, lifetimes or certificates.
    Refused,
    /// It cannot be reached, or does not speak as an agent does.
    Broken(String),
}

impl fmt::Display for AgentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the agent refused"),
            Self::Broken(why) => write!(f, "the agent: {why}"),
        }
    }
}

impl std::error::Error for AgentFault {}

/// An open stream to an agent.
pub struct Agent(Box<dyn Stream>);

impl Agent {
    /// Opens one.
    pub async fn open(way: &dyn Connect) -> Result<Self, AgentFault> {
        let opened = timeout(PATIENCE, way.open()).await;
        let stream = opened.map_err(|_| broken("no answer"))?.map_err(|why| broken(&why))?;
        Ok(Self(stream))
    }

    /// How many identities it shows on this connection.
    pub async fn identities(&mut self) -> Result<u32, AgentFault> {
        let answer = self.ask(&[REQUEST_IDENTITIES]).await?;
        match answer.split_first() {
            Some((&IDENTITIES_ANSWER, rest)) => {
                Reader::new(rest).u32("identities").map_err(|why| broken(&why.0))
            }
            Some((&FAILURE, _)) => Err(AgentFault::Refused),
            _ => Err(broken("an answer to another question")),
        }
    }

    /// Has it take an identity, or not at all: never without its lifetime and destinations.
    pub async fn add(&mut self, identity: &Identity<'_>) -> Result<(), AgentFault> {
        let answer = self.ask(&add(identity)?).await?;
        match answer.as_slice() {
            [SUCCESS] => Ok(()),
            [FAILURE, ..] => Err(AgentFault::Refused),
            _ => Err(broken("an answer to another question")),
        }
    }

    /// One frame there, one frame back, in time and in bounds.
    async fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, AgentFault> {
        let exchange = async {
            let mut frame = Vec::with_capacity(message.len() + 4);
            put_string(&mut frame, message);
            self.0.write_all(&frame).await?;
            self.0.flush().await?;
            let length = self.0.read_u32().await?;
            if length == 0 || length > LONGEST {
                return Err(io::Error::other(format!("a frame of {length} bytes")));
            }
            let mut answer = Vec::new();
            // Not allocated before it has come.
            (&mut self.0).take(length.into()).read_to_end(&mut answer).await?;
            if u32::try_from(answer.len()) != Ok(length) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(answer)
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(broken(&why)),
            Err(_) => Err(broken("no answer in time")),
        }
    }
}

/// `SSH_AGENTC_ADD_ID_CONSTRAINED` of an Ed25519 certificate.
fn add(identity: &Identity<'_>) -> Result<Vec<u8>, AgentFault> {
    // An empty list would be no constraint at all.
    let lifetime = u32::try_from(identity.lifetime.as_secs()).ok().filter(|secs| *secs > 0);
    let (Some(lifetime), [_, ..]) = (lifetime, identity.destinations) else {
        return Err(broken("an identity without lifetime or destination"));
    };
    let mut out = vec![ADD_ID_CONSTRAINED];
    put_string(&mut out, b"ssh-ed25519-cert-v01@openssh.com");
    put_string(&mut out, identity.certificate);
    put_string(&mut out, identity.public);
    put_string(&mut out, identity.private);
    put_string(&mut out, identity.comment.as_bytes());
    out.push(CONSTRAIN_LIFETIME);
    put_u32(&mut out, lifetime);
    out.push(CONSTRAIN_EXTENSION);
    put_string(&mut out, RESTRICT_DESTINATION);
    let mut all = Vec::new();
    for destination in identity.destinations {
        if destination.host_keys.is_empty() && destination.host_cas.is_empty() {
            return Err(broken("a destination without a host key"));
        }
        put_string(&mut all, &constraint(destination));
    }
    put_string(&mut out, &all);
    Ok(out)
}

/// `from` nobody: the hop that starts where the agent runs.
fn constraint(to: &Destination) -> Vec<u8> {
    let mut from = Vec::new();
    [b"", b"", b""].iter().for_each(|empty| put_string(&mut from, *empty));
    let mut hop = Vec::new();
    put_string(&mut hop, to.login.as_bytes());
    put_string(&mut hop, to.host.as_bytes());
    put_string(&mut hop, b"");
    for (keys, is_ca) in [(&to.host_keys, 0), (&to.host_cas, 1)] {
        for key in keys {
            put_string(&mut hop, key);
            hop.push(is_ca);
        }
    }
    let mut out = Vec::new();
    put_string(&mut out, &from);
    put_string(&mut out, &hop);
    put_string(&mut out, b"");
    out
}

fn broken(why: &(impl ToString + ?Sized)) -> AgentFault {
    AgentFault::Broken(why.to_string())
}

/// How long an agent may take for an answer: it may ask its person first.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest frame of an agent's; OpenSSH's own limit.
const LONGEST: u32 = 256 * 1024;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const ADD_ID_CONSTRAINED: u8 = 25;
const CONSTRAIN_LIFETIME: u8 = 1;
const CONSTRAIN_EXTENSION: u8 = 255;
const RESTRICT_DESTINATION: &[u8] = b"restrict-destination-v00@openssh.com";
