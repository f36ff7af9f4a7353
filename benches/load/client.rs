//! One person's SSH session, and what comes of what is typed there.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use russh::ChannelMsg;
use russh::client::{AuthResult, Config, Handle, Handler, connect_stream};
use russh::keys::ssh_key::Algorithm;
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::ca::HOSTS;

/// How long a login or an answer may take before the person gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a key.
pub struct Person {
    /// The name in `people.toml`.
    pub name: String,
    key: Arc<PrivateKey>,
}

impl Person {
    /// The line of the public key.
    pub fn public_key(&self) -> String {
        self.key.public_key().to_openssh().unwrap()
    }
}

/// So many people.
pub fn people(count: usize) -> Vec<Arc<Person>> {
    let person = |number| {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        Arc::new(Person { name: format!("p{number}"), key: Arc::new(key) })
    };
    (0..count).map(person).collect()
}

/// The client's end: it knows the door's key.
pub struct Laptop {
    door: PublicKey,
}

impl Handler for Laptop {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.key_data() == self.door.key_data(),
            PublicKeyOrCertificate::Certificate(_) => false,
        })
    }
}

/// A session that is logged in. It answers keepalives by itself.
pub type Session = Handle<Laptop>;

/// Logs in from an address of the loopback network, one for each number. Why not, in a few words.
pub async fn log_in(
    person: &Person,
    number: usize,
    port: u16,
    door: &PublicKey,
) -> Result<Session, String> {
    let coming = async {
        let socket = TcpSocket::new_v4().map_err(away)?;
        let [_, high, middle, low] = u32::try_from(number + 2).unwrap().to_be_bytes();
        let source = Ipv4Addr::new(127, 16 + high, middle, low);
        socket.bind(SocketAddrV4::new(source, 0).into()).map_err(away)?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = socket.connect(to).await.map_err(away)?;
        stream.set_nodelay(true).map_err(away)?;
        let config = Arc::new(Config { nodelay: true, ..Config::default() });
        let mut session = connect_stream(config, stream, Laptop { door: door.clone() })
            .await
            .map_err(|why| format!("{CUT} before the login: {}", kind(&why)))?;
        let key = PrivateKeyWithHashAlg::new(person.key.clone(), None);
        match session.authenticate_publickey(&person.name, key).await {
            Ok(AuthResult::Success) => Ok(session),
            // What the library makes of a connection that is gone.
            Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() => {
                Err(format!("{CUT} at the login"))
            }
            Ok(AuthResult::Failure { .. }) => Err("the login was refused".to_owned()),
            Err(_) => Err(format!("{CUT} at the login")),
        }
    };
    timeout(PATIENCE, coming).await.unwrap_or_else(|_| Err("a login took too long".to_owned()))
}

/// What came back.
#[derive(Default)]
pub struct Answer {
    /// Standard output, however it ended.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
    /// The exit status, if it came.
    pub status: Option<u32>,
}

/// Types something and takes what comes until the channel is gone.
pub async fn ask(session: &Session, words: &str) -> Answer {
    let mut answer = Answer::default();
    let asking = async {
        let mut channel = session.channel_open_session().await?;
        channel.exec(true, words).await?;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => answer.out.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => answer.err.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => answer.status = Some(exit_status),
                _ => {}
            }
        }
        Ok::<_, russh::Error>(())
    };
    // Neither an error nor a timeout says more than that there is no exit status.
    timeout(PATIENCE, asking).await.map(drop).ok();
    answer
}

impl Answer {
    /// Whether standard output is a whole certificate.
    pub fn is_certificate(&self) -> bool {
        self.out.ends_with(b"\n")
    }

    /// Why it is no good, in words that are the same each time; `None` if it is.
    pub fn failure(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.err);
        let first = said.lines().next().unwrap_or_default();
        // After `hallpass: fault ID: ` or `hallpass: refused: `.
        let first = first.splitn(3, ": ").last().unwrap_or_default();
        match self.status {
            Some(0) => None,
            Some(75) => Some(format!("{FAULT}: {first}")),
            Some(status) => Some(format!("status {status}: {first}")),
            None => Some(format!("{CUT} before the answer")),
        }
    }
}

/// What is typed for a certificate.
pub fn request() -> String {
    let host = rand::rng().random_range(0..HOSTS);
    match rand::rng().random_range(0..2) {
        0 => format!("deploy@web{host} OPS-7"),
        _ => format!("logs@web{host}"),
    }
}

/// Whether it is what people see when the daemon or its signer is killed. A refusal never is.
pub fn excused(failure: &str) -> bool {
    [FAULT, CUT, AWAY].iter().any(|kind| failure.starts_with(kind))
}

const FAULT: &str = "fault";
const CUT: &str = "cut";
const AWAY: &str = "nobody listens";

fn away(why: std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset => {
            AWAY.to_owned()
        }
        _ => format!("no connection: {why}"),
    }
}

/// An error in a word or two.
fn kind(why: &russh::Error) -> String {
    match why {
        russh::Error::IO(why) => why.kind().to_string(),
        other => other.to_string(),
    }
}
