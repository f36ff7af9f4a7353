//! Webhooks: what alerting and deployment tools tell over HTTP. They may set freezes of their own and lift
//! them, and do nothing else.
//!
//! ```text
//! PUT    /freezes/NAME     {"reason": "db01 is failing over", "tags": ["db"], "for": "2h"}
//! DELETE /freezes/NAME
//! POST   /alertmanager     what Prometheus' Alertmanager sends to its webhooks (version 4)
//! ```
//!
//! Who sends is known by the token alone. The answer is one JSON object, as `--json` gives it over SSH.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::counter::Counter;
use crate::certificate::names::{FreezeName, Reason, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;
use crate::config::webhook::{Sender, Webhook};
use crate::desk::freezing::FreezeAsk;
use crate::desk::outcome::Outcome;
use crate::ledger::tree::Hash;

/// The bound address, and who may send there.
pub struct Webhooks {
    listener: TcpListener,
    senders: Vec<Known>,
}

/// A sender, by its token's hash.
struct Known {
    token: Hash,
    sender: Sender,
}

/// The longest body, and the shortest token.
const LONGEST: usize = 64 * 1024;
const SHORTEST_TOKEN: usize = 16;

/// How long a connection may last, from the first byte to the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most connections at a time; more wait.
const PLACES: usize = 32;

/// The most freezes of one message.
const MOST: usize = 32;

impl Webhooks {
    /// Binds, and reads the tokens.
    pub async fn bind(config: &Webhook) -> Result<Self, String> {
        let listener = TcpListener::bind(config.listen).await;
        let listener =
            listener.map_err(|why| format!("webhook.listen {}: {why}", config.listen))?;
        let senders = config.from.iter().map(Known::read).collect::<Result<_, _>>()?;
        Ok(Self { listener, senders })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves for as long as it is polled.
    pub async fn run(self, counter: Arc<Counter>) {
        let places = Arc::new(Semaphore::new(PLACES));
        let senders = Arc::new(self.senders);
        loop {
            // Closed it never is.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(why) => {
                    tracing::warn!(%why, "webhooks");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (counter, senders) = (Arc::clone(&counter), Arc::clone(&senders));
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let (counter, senders) = (Arc::clone(&counter), Arc::clone(&senders));
                    async move { Ok::<_, Infallible>(answer(&counter, &senders, request).await) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), answer);
                match timeout(PATIENCE, served).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => tracing::debug!(%why, "a webhook's connection"),
                    Err(_) => tracing::debug!("a webhook's connection took too long"),
                }
                drop(place);
            });
        }
    }
}

impl Known {
    fn read(sender: &Sender) -> Result<Self, String> {
        let say = |why: &dyn std::fmt::Display| format!("{}: {why}", sender.token.display());
        let secret = crate::signer::key::read_secret(&sender.token).map_err(|why| say(&why))?;
        let token = secret.trim_ascii();
        if token.len() < SHORTEST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
            return Err(say(&"a token is one line of at least 16 printable characters"));
        }
        Ok(Self { token: Hash::of(token), sender: sender.clone() })
    }
}

type Answer = Response<Full<Bytes>>;

/// What is answered, and with which status.
type Said = Result<Value, (StatusCode, Value)>;

async fn answer(counter: &Counter, senders: &[Known], request: Request<Incoming>) -> Answer {
    let (status, said) = match heard(counter, senders, request).await {
        Ok(said) => (StatusCode::OK, said),
        Err(refused) => refused,
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{said}\n"))));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

async fn heard(counter: &Counter, senders: &[Known], request: Request<Incoming>) -> Said {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| {
        value.as_bytes().strip_prefix(b"Bearer ").map(|token| Hash::of(token.trim_ascii()))
    });
    // Hashes are compared: how long that takes tells nothing of the token.
    let known = senders.iter().find(|known| given.is_some_and(|given| given == known.token));
    let Some(Known { sender, .. }) = known else {
        tracing::warn!("a webhook without a token that is known");
        return Err(no(
            StatusCode::UNAUTHORIZED,
            "this token is nobody's",
            "send Authorization: Bearer TOKEN, as webhook.from in ca.toml has it",
        ));
    };
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(|_| {
        no(StatusCode::PAYLOAD_TOO_LARGE, "the body is no longer than 64 KiB", "send less")
    })?;
    let body = body.to_bytes();
    let path = parts.uri.path();
    let freeze = path.strip_prefix("/freezes/").map(|name| name.parse::<FreezeName>());
    match (&parts.method, path, freeze) {
        (method, _, Some(Ok(name))) if method == Method::PUT => {
            let ask = read(&body).and_then(|put: Put| put.ask(sender, &name));
            change(counter, sender, ask.map_err(bad)?).await
        }
        (method, _, Some(Ok(name))) if method == Method::DELETE => {
            change(counter, sender, thaw(sender, &name).map_err(bad)?).await
        }
        (_, _, Some(Err(why))) => Err(bad(format!("the freeze's name: {why}"))),
        (method, "/alertmanager", _) if method == Method::POST => {
            let asks = read(&body).and_then(|alerts: Alerts| alerts.asks(sender));
            let mut done = Vec::new();
            for ask in asks.map_err(bad)? {
                done.push(change(counter, sender, ask).await?);
            }
            Ok(json!({ "outcome": "ok", "freezes": done }))
        }
        _ => Err(no(
            StatusCode::NOT_FOUND,
            "there is nothing here",
            "PUT or DELETE /freezes/NAME, or POST /alertmanager",
        )),
    }
}

/// Sets or lifts a freeze.
async fn change(counter: &Counter, sender: &Sender, ask: FreezeAsk) -> Said {
    let (name, lifting) = (ask.name.clone(), ask.lifting);
    match counter.desk.freeze_by_webhook(sender.name.as_str(), ask).await {
        Ok(frozen) => Ok(json!({
            "outcome": "ok", "name": name, "frozen": !lifting,
            "entry": frozen.map(|frozen| frozen.entry),
        })),
        Err(Outcome::Refused(refused)) => {
            Err(no(StatusCode::CONFLICT, &refused.reasons.join("; "), &refused.hint))
        }
        Err(_) => Err((
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "outcome": "fault", "hint": "try again" }),
        )),
    }
}

/// What is put.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    reason: String,
    #[serde(default)]
    tags: Vec<TagName>,
    #[serde(rename = "for")]
    period: Option<Span>,
}

impl Put {
    fn ask(self, sender: &Sender, name: &FreezeName) -> Result<FreezeAsk, String> {
        let period = self.period.unwrap_or(sender.longest).min(sender.longest);
        ask(sender, name, Some(period), self.tags, &self.reason)
    }
}

/// What Alertmanager sends (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>),
/// as far as it is read.
#[derive(Deserialize)]
struct Alerts {
    version: String,
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    status: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Alerts {
    fn asks(self, sender: &Sender) -> Result<Vec<FreezeAsk>, String> {
        if self.version != "4" {
            return Err(format!("version is {:?}, 4 is known", self.version));
        }
        if self.alerts.len() > MOST {
            return Err(format!("more than {MOST} alerts at once: group them"));
        }
        self.alerts.iter().map(|alert| alert.ask(sender)).collect()
    }
}

impl Alert {
    /// The label `hallpass_freeze`, or else the alert's name, is the freeze's; `hallpass_tags` says what
    /// it is over, with commas between them.
    fn ask(&self, sender: &Sender) -> Result<FreezeAsk, String> {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let called = label("hallpass_freeze").or(label("alertname"));
        let called = called.ok_or("an alert without alertname")?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = called.chars().map(plain).collect();
        let name = name.trim_matches('-').parse::<FreezeName>();
        let name = name.map_err(|why| format!("alert {}: {why}", Safe(called)))?;
        match self.status.as_str() {
            "firing" => {
                let tags = label("hallpass_tags").into_iter().flat_map(|tags| tags.split(','));
                let tags = tags.map(|tag| tag.trim().parse::<TagName>());
                let tags = tags.collect::<Result<Vec<_>, _>>();
                let tags = tags.map_err(|why| format!("hallpass_tags: {why}"))?;
                let summary = self.annotations.get("summary").map_or(called, String::as_str);
                ask(sender, &name, Some(sender.longest), tags, summary)
            }
            "resolved" => thaw(sender, &name),
            other => {
                Err(format!("status is {:?}, neither firing nor resolved", Safe(other).to_string()))
            }
        }
    }
}

fn ask(
    sender: &Sender,
    name: &FreezeName,
    period: Option<Span>,
    tags: Vec<TagName>,
    reason: &str,
) -> Result<FreezeAsk, String> {
    if let Some(tag) =
        tags.iter().find(|tag| !sender.tags.is_empty() && !sender.tags.contains(*tag))
    {
        return Err(format!(
            "{} may not freeze tag {tag}: webhook.from in ca.toml says which",
            sender.name
        ));
    }
    let tags = if tags.is_empty() { sender.tags.clone() } else { tags.into_iter().collect() };
    let reason = reason.parse::<Reason>().map_err(|why| format!("the reason: {why}"))?;
    Ok(FreezeAsk { name: full(sender, name)?, lifting: false, tags, period, reason })
}

fn thaw(sender: &Sender, name: &FreezeName) -> Result<FreezeAsk, String> {
    let reason = "it is over".parse::<Reason>().map_err(|why| why.to_string())?;
    let tags = Default::default();
    Ok(FreezeAsk { name: full(sender, name)?, lifting: true, tags, period: None, reason })
}

/// A sender's freezes bear its name: it cannot touch another's.
fn full(sender: &Sender, name: &FreezeName) -> Result<FreezeName, String> {
    format!("{}.{name}", sender.name).parse().map_err(|why| format!("the freeze's name: {why}"))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|why| format!("the body: {why}"))
}

fn bad(why: String) -> (StatusCode, Value) {
    no(StatusCode::BAD_REQUEST, &Safe(&why).to_string(), "README's section on freezes has examples")
}

fn no(status: StatusCode, why: &str, hint: &str) -> (StatusCode, Value) {
    (status, json!({ "outcome": "refused", "reasons": [why], "hint": hint }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(tags: &[&str]) -> Sender {
        Sender {
            name: "alerts".parse().unwrap(),
            token: "t".into(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            longest: Span::secs(3600),
        }
    }

    #[test]
    fn a_sender_freezes_what_it_may_under_its_own_name() {
        let put = |body: &str, tags: &[&str]| {
            let put: Put = read(body.as_bytes())?;
            put.ask(&sender(tags), &"failover".parse().unwrap())
        };
        let ask = put(r#"{"reason":"db01 fails over","tags":["db"],"for":"9h"}"#, &["db", "web"])
            .unwrap();
        assert_eq!(ask.name.as_str(), "alerts.failover");
        assert_eq!(ask.period, Some(Span::secs(3600)), "longer than it may");
        assert_eq!(ask.tags, ["db".parse().unwrap()].into());
        // What it does not name is all that it may, never more.
        assert_eq!(put(r#"{"reason":"a drill"}"#, &["db", "web"]).unwrap().tags.len(), 2);
        assert!(put(r#"{"reason":"a drill"}"#, &[]).unwrap().tags.is_empty());
        for bad in [
            r#"{"reason":"r","tags":["prod"]}"#,
            r#"{"reason":"r","tags":["../x"]}"#,
            r#"{"reason":"r","for":"forever"}"#,
            r#"{"reason":"r","everything":true}"#,
            r#"{"reason":"a\u001b[2Jb"}"#,
            r#"{"reason":""}"#,
            r#"{}"#,
            "",
            "[]",
        ] {
            assert!(put(bad, &["db", "web"]).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn alerts_that_fire_freeze_and_resolved_ones_thaw() {
        let alerts = |text: &str| {
            let alerts: Alerts = read(text.as_bytes())?;
            alerts.asks(&sender(&["db", "web"]))
        };
        let asks = alerts(
            r#"{"version":"4","status":"firing","receiver":"hallpass","groupKey":"{}","alerts":[
                {"status":"firing","labels":{"alertname":"HostDown","instance":"db01","hallpass_tags":"db"},
                 "annotations":{"summary":"db01 does not answer"},"startsAt":"2026-11-22T05:00:00Z","fingerprint":"a"},
                {"status":"resolved","labels":{"alertname":"Disk Full","hallpass_freeze":"disk"}}]}"#,
        )
        .unwrap();
        let said: Vec<String> = asks
            .iter()
            .map(|ask| {
                format!("{} {} {:?} {}", ask.name, ask.lifting, ask.tags, ask.reason.as_str())
            })
            .collect();
        assert_eq!(
            said,
            [
                "alerts.hostdown false {TagName(\"db\")} db01 does not answer",
                "alerts.disk true {} it is over"
            ]
        );
        for bad in [
            r#"{"version":"3","alerts":[]}"#,
            r#"{"version":"4"}"#,
            r#"{"version":"4","alerts":[{"status":"firing","labels":{}}]}"#,
            r#"{"version":"4","alerts":[{"status":"maybe","labels":{"alertname":"a"}}]}"#,
            r#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"a","hallpass_tags":"prod"}}]}"#,
            r#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"---"}}]}"#,
        ] {
            assert!(alerts(bad).is_err(), "{bad} was taken");
        }
    }
}
