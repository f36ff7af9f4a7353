//! The operator's socket: how commands on the CA's own machine reach the daemon (`hallpass reload`, ...).
//!
//! One order a connection: a line of JSON, answered by a line of JSON. Who connects is told by the
//! kernel (SO_PEERCRED): root or the daemon's own user, and nobody else.
//!
//! ```text
//! {"do":"reload","change":"OPS-7","by":"ana"}
//! {"outcome":"ok","said":["nothing has changed"]}
//! ```

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::certificate::names::{FreezeName, TagName};
use crate::desk::reload::Change;
use crate::host::sign::HostCertificate;
use crate::ledger::facts::Author;

/// What an operator may order. A word or a member that is not here is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Read people, hosts and policy anew.
    Reload {
        /// What the change is called where it was agreed on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<Change>,
    },
    /// Record a host certificate that is about to be signed; the artefact is its index.
    HostCertificate {
        /// What it says.
        says: Box<HostCertificate>,
    },
    /// Lock something, or lift a lock.
    Lock {
        /// What, as it is typed: `person:bob`.
        target: String,
        /// Whether a lock is lifted.
        lifting: bool,
        /// Why.
        reason: String,
    },
    /// Set a freeze, or lift one.
    Freeze {
        /// Its name.
        name: FreezeName,
        /// Whether it is lifted.
        lifting: bool,
        /// The tags whose hosts it is over; none for every host.
        tags: BTreeSet<TagName>,
        /// How many seconds it stands, if it is to end by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// Why.
        reason: String,
    },
    /// Say what is frozen; the artefact is the list.
    Freezes,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Done, and durable.
    Ok,
    /// Not done, and why: the operator's to mend.
    Refused,
    /// Something broke: not done, or nobody knows.
    Fault,
}

/// What an operator is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub outcome: Ended,
    /// What there is to say, a line each.
    pub said: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What belongs on standard output, where an order gives something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
}

/// What stands behind the socket.
pub trait Orders: Send + Sync + 'static {
    /// Carries out one order to its end. Never fails: a fault is an [`Answer`] too. Runs in a task of
    /// its own, which a client that hangs up does not stop.
    fn carry_out(
        self: Arc<Self>,
        order: Order,
        author: Author,
    ) -> impl Future<Output = Answer> + Send + 'static;
}

/// The bound socket; nothing is accepted before [`Self::run`].
pub struct Control(UnixListener);

impl Control {
    /// Binds. What a daemon left behind that was killed is replaced; a living one is kept out by the
    /// ledger's lock, which is taken first.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Its own user's alone before it has the name that anybody looks for.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        match std::fs::remove_file(&new) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(Self(listener))
    }

    /// Serves for as long as it is polled.
    pub async fn run(self, orders: Arc<impl Orders>) {
        let places = Arc::new(Semaphore::new(PLACES));
        loop {
            // Closed it never is.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let orders = Arc::clone(&orders);
                    tokio::spawn(async move {
                        if let Err(why) = converse(PATIENCE, stream, orders).await {
                            tracing::warn!(%why, "the operator's socket");
                        }
                        drop(place);
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "the operator's socket");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// One connection: who, what, the answer.
async fn converse(
    patience: Duration,
    mut stream: UnixStream,
    orders: Arc<impl Orders>,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::getuid().as_raw() {
        return Err(io::Error::other(format!("a peer with uid {uid} was sent away")));
    }
    let mut line = Vec::new();
    let mut reader = BufReader::new(&mut stream).take(LONGEST);
    let read = timeout(patience, reader.read_until(b'\n', &mut line)).await;
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let answer = match read_order(&line, uid) {
        Ok((order, author)) => orders.carry_out(order, author).await,
        Err(why) => Answer::refused(format!("not an order: {why}")),
    };
    let mut told = serde_json::to_vec(&answer)?;
    told.push(b'\n');
    let written = timeout(patience, stream.write_all(&told)).await;
    written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The order in a line, and whose it is: the user id is the kernel's word, the name in `by` the client's.
fn read_order(line: &[u8], uid: u32) -> Result<(Order, Author), String> {
    let line = line.strip_suffix(b"\n").ok_or("it has no end, or is longer than 64 KiB")?;
    let say = |why: serde_json::Error| why.to_string();
    let mut members: serde_json::Map<_, _> = serde_json::from_slice(line).map_err(say)?;
    let claims = match members.remove("by") {
        None => None,
        Some(serde_json::Value::String(name)) if is_claim(&name) => Some(name),
        Some(_) => return Err("`by` is no user name".to_owned()),
    };
    let order = serde_json::from_value(serde_json::Value::Object(members)).map_err(say)?;
    Ok((order, Author { uid, user: name_of(uid), claims }))
}

/// The line of an order; `by` is whom the client says it speaks for.
pub fn write_order(order: &Order, by: Option<&str>) -> serde_json::Result<Vec<u8>> {
    let mut order = serde_json::to_value(order)?;
    if let (Some(members), Some(by)) = (order.as_object_mut(), by.filter(|by| is_claim(by))) {
        members.insert("by".to_owned(), by.into());
    }
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    Ok(line)
}

/// What may be recorded as a user's name that nobody proved.
fn is_claim(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-+".contains(&b))
}

/// Whoever runs this process, as the socket would tell.
pub fn this_author() -> Author {
    let uid = rustix::process::getuid().as_raw();
    let claims = std::env::var("SUDO_USER").ok().filter(|name| is_claim(name));
    Author { uid, user: name_of(uid), claims }
}

/// The name of a user of this machine, as its own file of users has it.
fn name_of(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut names = users.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let (name, _, id) = (parts.next()?, parts.next()?, parts.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    names.next()
}

impl Answer {
    /// Done; what there is to say.
    pub fn ok(said: Vec<String>) -> Self {
        Self { outcome: Ended::Ok, said, hint: None, artefact: None }
    }

    /// Not done, and why.
    pub fn refused(why: String) -> Self {
        Self { outcome: Ended::Refused, said: vec![why], hint: None, artefact: None }
    }

    /// Something broke.
    pub fn fault(what: String) -> Self {
        Self { outcome: Ended::Fault, said: vec![what], hint: None, artefact: None }
    }
}

/// The most orders at a time; more wait for their turn.
const PLACES: usize = 16;

/// The longest order.
const LONGEST: u64 = 64 * 1024;

/// How long an order may take to arrive, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it was told.
    struct Echo;

    impl Orders for Echo {
        async fn carry_out(self: Arc<Self>, order: Order, author: Author) -> Answer {
            Answer::ok(vec![format!("{order:?}"), format!("{author:?}")])
        }
    }

    /// What the socket answers to these bytes; `None` if it hangs up.
    async fn ask(socket: &Path, bytes: &[u8]) -> Option<Answer> {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.ok();
        serde_json::from_slice(&said).ok()
    }

    #[tokio::test]
    async fn one_order_a_connection_and_nothing_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        // What a killed daemon left behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let control = Control::bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        tokio::spawn(control.run(Arc::new(Echo)));

        let order = Order::Reload { change: Some("OPS-7".parse().unwrap()) };
        let said = ask(&path, &write_order(&order, Some("ana")).unwrap()).await.unwrap();
        let uid = rustix::process::getuid().as_raw();
        let author = Author { uid, user: name_of(uid), claims: Some("ana".to_owned()) };
        let told = vec![format!("{order:?}"), format!("{author:?}")];
        assert_eq!(said, Answer::ok(told));
        // A client's own name that is no name is not told, and one that is told is refused.
        let line = write_order(&order, Some("ana\u{1b}[2J")).unwrap();
        assert!(ask(&path, &line).await.unwrap().said.join("").contains("claims: None"));

        for bad in [
            &b""[..],
            b"\n",
            b"{}\n",
            b"reload\n",
            b"{\"do\":\"reload\"}",
            b"{\"do\":\"unlock-everything\"}\n",
            b"{\"do\":\"reload\",\"force\":true}\n",
            b"{\"do\":\"reload\",\"change\":\"two words\"}\n",
            b"{\"do\":\"reload\",\"change\":\"\"}\n",
            b"{\"do\":\"reload\",\"by\":\"a b\"}\n",
            b"{\"do\":\"reload\",\"by\":7}\n",
            b"\xff\xfe\n",
            &[b' '; 70_000],
        ] {
            let said = ask(&path, bad).await.map(|answer| answer.outcome);
            assert_ne!(said, Some(Ended::Ok), "{:?}", String::from_utf8_lossy(bad));
        }
        // After all of that it still answers.
        assert!(ask(&path, b"{\"do\":\"reload\"}\n").await.is_some());
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let served = tokio::spawn(converse(Duration::from_millis(50), server, Arc::new(Echo)));
        client.write_all(b"{\"do\":").await.unwrap();
        let why = served.await.unwrap().unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn root_has_a_name() {
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert_eq!(name_of(4_000_000_000), None);
    }
}
