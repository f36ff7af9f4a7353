//! One request to a tracker and its answer: within the deadline, of bounded size, from nowhere else.

use std::io::Read as _;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use ureq::http::{HeaderMap, HeaderValue, Request, Response, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::http_connect::{Addresses, Elsewhere, Tls, tls};
use super::trial::{Exchange, Failed, Steps};
use crate::certificate::safe::Safe;
use crate::config::tracker_http::{Auth, Http};
use crate::signer::key::read_secret;

/// The most bytes of a body. GitHub's answer holds the whole text of an issue, up to 65,536 characters
/// of up to four bytes or with an escape each, and it cannot be asked for less.
pub(super) const BODY: usize = 512 * 1024;

/// The most bytes of an answer's headers.
const HEADERS: usize = 16 * 1024;

/// The most redirects of one request.
const REDIRECTS: usize = 2;

/// What speaks to one tracker. Connections are kept for a while.
pub(super) struct Client {
    agent: Agent,
}

/// A call to a tracker: several requests, one deadline, the credentials as they are in their file at this
/// moment.
pub(super) struct Call<'c> {
    pub(super) http: &'c Http,
    pub(super) until: Instant,
    pub(super) secret: Option<Secret>,
    pub(super) steps: &'c mut Steps,
}

/// The credentials: the header that they go into, and what must be seen nowhere.
pub(super) struct Secret {
    header: String,
    value: HeaderValue,
    blanked: Vec<Zeroizing<String>>,
}

/// What is sent.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Below the base.
    pub(super) path: &'a str,
    /// Its type, and the text.
    pub(super) body: Option<(&'static str, String)>,
}

/// An answer that was read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content: String,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn open(http: &Http) -> Result<Self, String> {
        let config = Agent::config_builder()
            .tls_config(tls(http.ca_file.as_deref())?)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEADERS)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_connections(http.limits.at_once)
            .max_idle_connections_per_host(http.limits.at_once)
            .max_idle_age(Duration::from_secs(10))
            .build();
        let addresses =
            Addresses { networks: http.networks.clone(), system: DefaultResolver::default() };
        let connector = ().chain(TcpConnector::default()).chain(Tls::default());
        Ok(Self { agent: Agent::with_parts(config, connector, addresses) })
    }

    /// Asks, and reads the answer to its end.
    pub(super) fn send(&self, call: &mut Call<'_>, ask: &Ask<'_>) -> Result<Reply, Failed> {
        let mut address = call.http.base.join(ask.path);
        let mut hops = 0;
        loop {
            let begun = Instant::now();
            let mut bytes = 0;
            let reply = self.exchange(call, ask, &address, &mut bytes);
            let outcome = match &reply {
                Ok(Replied::Here(reply)) if reply.status >= 400 => complaint(reply, call),
                Ok(Replied::Here(reply)) => reply.status.to_string(),
                Ok(Replied::Elsewhere(status, to)) => format!("{status} to {}", Safe(to)),
                Err(failed) => failed.fault.to_string(),
            };
            let asked = format!("{} {address}", ask.method);
            call.steps.exchanges.push(Exchange { asked, outcome, took: begun.elapsed(), bytes });
            match reply? {
                Replied::Here(reply) => return judged(reply),
                Replied::Elsewhere(status, to) => {
                    address = redirected(call.http, ask, status, &to, hops)?;
                    hops += 1;
                }
            }
        }
    }

    fn exchange(
        &self,
        call: &Call<'_>,
        ask: &Ask<'_>,
        address: &str,
        bytes: &mut usize,
    ) -> Result<Replied, Failed> {
        let left = call.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late(call.http));
        }
        let failed = |why: ureq::Error| explained(why, call.http);
        let mut response = self.run(call, ask, address, left).map_err(failed)?;
        let status = response.status().as_u16();
        if (300..400).contains(&status)
            && let Some(to) = response.headers().get(header::LOCATION)
        {
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            return Ok(Replied::Elsewhere(status, to));
        }
        plain(response.headers())?;
        let content = response.headers().get(header::CONTENT_TYPE);
        let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut body = Vec::new();
        let most = u64::try_from(BODY).unwrap_or(u64::MAX).saturating_add(1);
        let read = response.body_mut().as_reader().take(most).read_to_end(&mut body);
        *bytes = body.len();
        read.map_err(|why| failed(why.into()))?;
        if body.len() > BODY {
            return Err(Failed::unreadable(
                format!("the answer is longer than {} KiB", BODY / 1024),
                "ask for fewer fields in read.request, if the tracker can: ?fields=...",
            ));
        }
        Ok(Replied::Here(Reply { status, content, body }))
    }

    fn run(
        &self,
        call: &Call<'_>,
        ask: &Ask<'_>,
        address: &str,
        left: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(ask.method).uri(address);
        // Another host gets nothing but the question.
        if call.http.base.is_home_of(address) {
            for (name, value) in &call.http.headers {
                request = request.header(name, value);
            }
            if let Some(secret) = &call.secret {
                request = request.header(&secret.header, secret.value.clone());
            }
        }
        if !call.http.headers.keys().any(|name| name.eq_ignore_ascii_case("accept")) {
            request = request.header(header::ACCEPT, "application/json");
        }
        match &ask.body {
            Some((content, text)) => {
                let request = request.header(header::CONTENT_TYPE, *content).body(text.as_str())?;
                let request = self.agent.configure_request(request).timeout_global(Some(left));
                self.agent.run(request.build())
            }
            None => {
                let request = self.agent.configure_request(request.body(())?);
                self.agent.run(request.timeout_global(Some(left)).build())
            }
        }
    }
}

/// The status of an error, and what the tracker says of it: what operators look for.
fn complaint(reply: &Reply, call: &Call<'_>) -> String {
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    // Before it is cut: half a secret is not known for one.
    let said = match &call.secret {
        Some(secret) => secret.blank(said),
        None => said,
    };
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(200).collect();
    match said.is_empty() || said.starts_with('<') {
        true => reply.status.to_string(),
        false => format!("{} {}", reply.status, Safe(&said)),
    }
}

enum Replied {
    Here(Reply),
    Elsewhere(u16, String),
}

/// Statuses that mean the same whatever was asked.
fn judged(reply: Reply) -> Result<Reply, Failed> {
    match reply.status {
        401 => Err(Failed::credentials(
            "the tracker answers 401: it does not take the credentials",
            "put a good token into the file that [tracker.auth] names, or fit its form to what the tracker wants \
             (bearer, basic, header)",
        )),
        429 => Err(Failed::trouble(
            "the tracker answers 429: it is asked too often",
            "give the CA a token with a higher limit, or raise poll",
        )),
        500.. => Err(Failed::trouble(
            format!("the tracker answers {}", reply.status),
            "see the tracker's own log; ask again later",
        )),
        _ => Ok(reply),
    }
}

/// Where a redirect leads, if it may.
fn redirected(
    http: &Http,
    ask: &Ask<'_>,
    status: u16,
    to: &str,
    hops: usize,
) -> Result<String, Failed> {
    let shown = Safe(to).to_string();
    let remedy = "often base is wrong (its path, or http for https), or the tracker shows its login page; if it \
                  is to be followed, list that host: redirects = [\"HOST\"]";
    if ask.method != "GET" {
        return Err(Failed::away(format!("the tracker answers {status} to a comment"), remedy));
    }
    if hops >= REDIRECTS {
        return Err(Failed::away(
            format!("more than {REDIRECTS} redirects, the last to {shown}"),
            remedy,
        ));
    }
    let absolute = match to.starts_with('/') && !to.starts_with("//") {
        true => http.base.beside(to),
        false => to.to_owned(),
    };
    let plain = absolute.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain || !http.base.may_lead(&absolute, &http.redirects) {
        return Err(Failed::away(
            format!(
                "the tracker answers {status} and sends the CA to {shown}, which is not listed"
            ),
            remedy,
        ));
    }
    Ok(absolute)
}

/// A body is as it is, or not read: what is packed small can be unpacked large.
fn plain(headers: &HeaderMap) -> Result<(), Failed> {
    let packed = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut packed = packed.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    match packed.next() {
        None => Ok(()),
        Some(_) => Err(Failed::unreadable(
            "the answer has a content encoding that was not asked for",
            "have the tracker, or the proxy before it, send what is asked for with Accept-Encoding: identity",
        )),
    }
}

fn late(http: &Http) -> Failed {
    Failed::trouble(
        format!("no whole answer within {}", http.limits.deadline),
        "if the tracker is always that slow, raise deadline in ca.toml; else see what holds it up",
    )
}

/// What broke on the way, and whose doing it is.
fn explained(why: ureq::Error, http: &Http) -> Failed {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    let base = &http.base;
    match why {
        ureq::Error::Timeout(_) => late(http),
        ureq::Error::Io(why) if matches!(why.kind(), TimedOut | WouldBlock) => late(http),
        ureq::Error::Io(why) if why.kind() == ConnectionRefused => Failed::trouble(
            format!("{base}: nothing listens there"),
            "is the tracker up, and are host and port of base right?",
        ),
        ureq::Error::Io(why) => {
            let (named, tls) = (why.to_string(), why.get_ref().and_then(tls_error));
            match tls {
                Some(tls) => distrusted(base, &tls),
                None if named.contains("lookup") => unknown_host(base),
                None => Failed::trouble(
                    format!("{base}: {named}"),
                    "the connection broke: see what lies between, and the tracker's own log",
                ),
            }
        }
        ureq::Error::HostNotFound => unknown_host(base),
        ureq::Error::Rustls(why) => distrusted(base, &why.to_string()),
        ureq::Error::Other(why) if why.is::<Elsewhere>() => Failed::trouble(
            format!("{why}, which is in none of its networks"),
            "if that is the tracker's address, list its network: networks = [\"10.0.0.0/8\"]",
        ),
        other => Failed::trouble(
            format!("{base}: no HTTP answer that can be read: {}", Safe(&other.to_string())),
            "is base the tracker's address, and the port one of HTTP?",
        ),
    }
}

fn unknown_host(base: &crate::config::base::Base) -> Failed {
    Failed::trouble(format!("{base}: there is no such host"), "is the host in base right?")
}

fn distrusted(base: &crate::config::base::Base, why: &str) -> Failed {
    Failed::trouble(
        format!("{base}: TLS: {}", Safe(why)),
        "where an authority of one's own vouches for the tracker, name its certificate: ca_file = \"FILE\"",
    )
}

fn tls_error(why: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    why.downcast_ref::<rustls::Error>().map(ToString::to_string)
}

impl Secret {
    /// Reads the credentials. They are read at each call, so that a new token counts at once.
    pub(super) fn read(auth: &Auth) -> Result<Self, String> {
        let file = auth.file();
        let bytes = read_secret(file)?;
        let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| {
            !text.is_empty() && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        });
        let wrong = || format!("{}: holds no token: one line of printable ASCII", file.display());
        let text = Zeroizing::new(text.ok_or_else(wrong)?.to_owned());
        let mut blanked = vec![text.clone()];
        let (header, line) = match auth {
            Auth::Bearer(_) => ("authorization", Zeroizing::new(format!("Bearer {}", *text))),
            Auth::Basic { user, .. } => {
                let pair = Zeroizing::new(format!("{user}:{}", *text));
                let pair = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
                blanked.push(pair.clone());
                ("authorization", Zeroizing::new(format!("Basic {}", *pair)))
            }
            Auth::Header { name, prefix, .. } => {
                (name.as_str(), Zeroizing::new(format!("{prefix}{}", *text)))
            }
        };
        let mut value = HeaderValue::from_str(&line).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Self { header: header.to_owned(), value, blanked })
    }

    /// A text without them: a tracker may say what it was sent.
    pub(super) fn blank(&self, text: String) -> String {
        let blanked = self.blanked.iter().filter(|secret| text.contains(secret.as_str()));
        blanked.fold(text.clone(), |text, secret| text.replace(secret.as_str(), "[credentials]"))
    }
}
