//! A tracker over HTTP, as its mapping says: what is asked and what the answers come to.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Answer;
use super::guard::Calls;
use super::http_client::{Ask, Call, Client, Reply, Secret};
use super::http_ticket::{Texts, lead, note, text};
use super::json;
use super::trial::{Failed, Steps};
use crate::certificate::names::TicketId;
use crate::certificate::safe::Safe;
use crate::config::pointer::Pointer;
use crate::config::template::{Place, Template};
use crate::config::ticket_id::{Captured, TicketPattern};
use crate::config::tracker::{Occasion, WriteType};
use crate::config::tracker_http::{Http, Write};

/// A tracker over HTTP.
pub(super) struct HttpTracker {
    http: Http,
    ids: Vec<TicketPattern>,
    client: Client,
    /// When the credentials were last seen to be accepted.
    checked: Mutex<Option<Instant>>,
}

/// How long it counts that they were accepted.
const CHECKED: Duration = Duration::from_secs(300);

/// The most ids of somebody's open tickets.
const FEW: usize = 10;

impl HttpTracker {
    /// Puts it together. The files that it needs must be there.
    pub(super) fn open(http: &Http, ids: &[TicketPattern]) -> Result<Self, String> {
        if let Some(auth) = &http.auth {
            Secret::read(auth)?;
        }
        let client = Client::open(http)?;
        Ok(Self { http: http.clone(), ids: ids.to_vec(), client, checked: Mutex::new(None) })
    }

    /// Makes a call: the credentials read, and seen to be accepted where that has to be asked.
    fn call<T>(
        &self,
        until: Instant,
        steps: &mut Steps,
        what: impl FnOnce(&mut Call<'_>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let secret = self.http.auth.as_ref().map(Secret::read).transpose();
        let remedy =
            "the file is named in [tracker.auth]; the daemon's user must be able to read it";
        let secret = secret.map_err(|why| Failed::credentials(why, remedy))?;
        let mut call = Call { http: &self.http, until, secret, steps };
        let answer = self.accepted(&mut call).and_then(|()| what(&mut call));
        let secret = call.secret.take();
        let blank = |text: String| match &secret {
            Some(secret) => secret.blank(text),
            None => text,
        };
        for one in &mut steps.exchanges {
            one.outcome = blank(std::mem::take(&mut one.outcome));
        }
        for one in &mut steps.found {
            one.there = blank(std::mem::take(&mut one.there));
        }
        answer.map_err(|failed| {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = None;
            failed.map(blank)
        })
    }

    /// Some trackers answer whoever has no good key, as a stranger: only a request of its own tells.
    fn accepted(&self, call: &mut Call<'_>) -> Result<(), Failed> {
        let Some(check) = &self.http.check else { return Ok(()) };
        let last = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < CHECKED) {
            return Ok(());
        }
        let path = filled(&check.request, |_| None)?;
        let reply = self.get(call, &path)?;
        let wrong = |why: String| {
            let remedy = "put a good key into the file that [tracker.auth] names; if it is one, [tracker.check] is wrong";
            Failed::credentials(why, remedy)
        };
        if reply.status != 200 {
            return Err(wrong(format!("check: the tracker answers {}", reply.status)));
        }
        let root = read_json(&reply)?;
        note(call.steps, "check", &check.at, &root);
        match lead("check", &check.at, &root)? {
            None | Some(Value::Null) => {
                Err(wrong(format!("check: the answer has no {}", check.at.as_str())))
            }
            Some(_) => {
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(())
            }
        }
    }

    fn get(&self, call: &mut Call<'_>, path: &str) -> Result<Reply, Failed> {
        self.client.send(call, &Ask { method: "GET", path, body: None })
    }

    fn captured(&self, id: &TicketId) -> Captured {
        self.ids.iter().find_map(|pattern| pattern.capture(id)).unwrap_or_default()
    }

    /// The ticket's answer; nothing if it says what ends it.
    fn answer(&self, call: &mut Call<'_>, id: &TicketId) -> Result<Result<Value, Answer>, Failed> {
        let read = &self.http.read;
        let captured = self.captured(id);
        let reply = self.get(call, &filled(&read.request, |place| of_id(place, id, &captured))?)?;
        let status = reply.status;
        if read.absent.contains(&status) {
            return Ok(Err(Answer::Absent));
        }
        if read.hidden.contains(&status) {
            return Ok(Err(Answer::Hidden));
        }
        if status != 200 {
            return Err(Failed::away(
                format!("the tracker answers {status} to {}", read.request.as_str()),
                "if that status says that there is no such ticket, list it in read.absent; if it says that the CA \
                 may not see it, in read.hidden; else base or read.request is wrong",
            ));
        }
        let root = read_json(&reply)?;
        if let Some(found) = &read.found {
            note(call.steps, "found", found, &root);
            if matches!(lead("found", found, &root)?, None | Some(Value::Null)) {
                return Ok(Err(Answer::Absent));
            }
        }
        Ok(Ok(root))
    }

    fn ticket(&self, call: &mut Call<'_>, id: &TicketId) -> Result<Answer, Failed> {
        let root = match self.answer(call, id)? {
            Ok(root) => root,
            Err(answer) => return Ok(answer),
        };
        let mut texts = Texts::find(&self.http.fields, &root, call.steps)?;
        let captured = self.captured(id);
        let asked = [Some(id.as_str()), captured.number.as_deref()];
        if !asked.contains(&Some(texts.id.as_str())) {
            return Ok(Answer::Moved(texts.id));
        }
        for follow in &self.http.follow {
            let Some(value) = texts.of(follow.field) else { continue };
            let path = filled(&follow.request, |place| match place {
                Place::Value => Some(value),
                place => of_id(place, id, &captured),
            })?;
            let found = self.followed(call, &path, &follow.at)?;
            texts.replace(follow.field, found)?;
        }
        texts.understand(&self.http).map(Answer::Ticket)
    }

    /// What a second request finds; nothing where there is nothing.
    fn followed(
        &self,
        call: &mut Call<'_>,
        path: &str,
        at: &Pointer,
    ) -> Result<Option<String>, Failed> {
        let reply = self.get(call, path)?;
        match reply.status {
            200 => {}
            404 | 410 => return Ok(None),
            403 => {
                let why = format!("the CA may not see {}", Safe(path));
                return Err(Failed::credentials(why, "give the CA's user the right to see it"));
            }
            status => {
                let why = format!("the tracker answers {status} to {}", Safe(path));
                return Err(Failed::away(why, "is follow.request right?"));
            }
        }
        let root = read_json(&reply)?;
        note(call.steps, "follow", at, &root);
        let missed = || {
            let why = format!("{} has no {}", Safe(path), at.as_str());
            Failed::unreadable(why, format!("mend follow.at: {}", at.missed(&root)))
        };
        lead("follow", at, &root)?.map_or_else(|| Err(missed()), |value| text("follow", at, value))
    }

    fn written(&self, call: &mut Call<'_>, id: &TicketId, comment: &str) -> Result<(), Failed> {
        let Some(write) = &self.http.write else {
            return Err(Failed::unreadable(
                "this tracker takes no comments",
                "add [tracker.write]",
            ));
        };
        let captured = self.captured(id);
        let key = self.key(call, id, write)?;
        let path = filled(&write.request, |place| match place {
            Place::Key => key.as_deref(),
            place => of_id(place, id, &captured),
        })?;
        let text = match write.content {
            WriteType::Json => Value::from(comment).to_string(),
            WriteType::Text => comment.to_owned(),
        };
        let body = write.body.replace("{text}", &text);
        let body = Some((write.content.word(), body));
        let reply =
            self.client.send(call, &Ask { method: write.method.word(), path: &path, body })?;
        if !write.done.contains(&reply.status) {
            let why = format!("the tracker answers {} to a comment", reply.status);
            let remedy = "give the CA's user the right to comment; if that status says that it was taken, list \
                          it in write.done";
            // What is wrong with this comment, or its ticket, is so at the second try too.
            let refused =
                (400..500).contains(&reply.status) && ![408, 425, 429].contains(&reply.status);
            return Err(match refused {
                true => Failed::unreadable(why, remedy),
                false => Failed::away(why, remedy),
            });
        }
        let Some(says) = &write.says else { return Ok(()) };
        let root = read_json(&reply)?;
        let said = lead("says", &says.at, &root)?.and_then(Value::as_str).unwrap_or_default();
        if said.contains(&says.has) {
            return Ok(());
        }
        Err(Failed::unreadable(
            format!("the tracker did not take the comment: {}", Safe(said)),
            "see what it says; write.says is what it says when it does",
        ))
    }

    /// The tracker's own key of a ticket, where comments need it.
    fn key(
        &self,
        call: &mut Call<'_>,
        id: &TicketId,
        write: &Write,
    ) -> Result<Option<String>, Failed> {
        let needed = write.request.places().any(|place| place == Place::Key);
        let Some(at) = self.http.fields.key.as_ref().filter(|_| needed) else { return Ok(None) };
        let gone = |_: Answer| {
            Failed::unreadable("there is no such ticket to comment on", "nothing is to be done")
        };
        let root = self.answer(call, id)?.map_err(gone)?;
        let key = lead("key", at, &root)?.map_or(Ok(None), |value| text("key", at, value))?;
        let missed = || {
            let why = format!("key is not in the answer at {}", at.as_str());
            Failed::unreadable(why, format!("mend fields.key: {}", at.missed(&root)))
        };
        key.ok_or_else(missed).map(Some)
    }
}

impl Calls for HttpTracker {
    fn read(&self, id: &TicketId, until: Instant, steps: &mut Steps) -> Result<Answer, Failed> {
        self.call(until, steps, |call| self.ticket(call, id))
    }

    fn open_of(&self, assignee: &str, until: Instant) -> Result<Option<Vec<TicketId>>, Failed> {
        let Some(search) = &self.http.search else { return Ok(None) };
        self.call(until, &mut Steps::default(), |call| {
            let whose = |place| (place == Place::Assignee).then_some(assignee);
            let path = filled(&search.request, whose)?;
            let reply = self.get(call, &path)?;
            if reply.status != 200 {
                let why = format!("the tracker answers {} to {}", reply.status, Safe(&path));
                return Err(Failed::away(why, "is search.request right?"));
            }
            let root = read_json(&reply)?;
            let astray = |why: String| Failed::unreadable(format!("search.ids: {why}"), "mend it");
            let found = search.ids.find(&root).map_err(astray)?.into_iter().take(FEW);
            let ids = found.filter_map(|value| {
                let text = text("ids", &search.ids, value).ok().flatten()?;
                search.form.replace("{id}", &text).parse().ok()
            });
            Ok(Some(ids.collect()))
        })
    }

    fn takes(&self, occasion: Occasion) -> bool {
        self.http.write.as_ref().is_some_and(|write| write.on.contains(&occasion))
    }

    fn comment(&self, id: &TicketId, text: &str, until: Instant) -> Result<(), Failed> {
        self.call(until, &mut Steps::default(), |call| self.written(call, id, text))
    }
}

/// What an id has for a place.
fn of_id<'i>(place: Place, id: &'i TicketId, captured: &'i Captured) -> Option<&'i str> {
    match place {
        Place::Id => Some(id.as_str()),
        Place::Number => captured.number.as_deref(),
        Place::Word => captured.word.as_deref(),
        Place::Value | Place::Assignee | Place::Key => None,
    }
}

fn filled<'v>(
    template: &Template,
    value: impl Fn(Place) -> Option<&'v str>,
) -> Result<String, Failed> {
    template.fill(value).map_err(|why| {
        Failed::unreadable(format!("{}: {why}", template.as_str()), "nothing was asked for it")
    })
}

fn read_json(reply: &Reply) -> Result<Value, Failed> {
    let content = reply.content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if content != "application/json" && !content.ends_with("+json") {
        let shown = if content.is_empty() { "nothing said".to_owned() } else { content };
        return Err(Failed::unreadable(
            format!("the answer is no JSON but {}", Safe(&shown)),
            "this is no address of the tracker's API: often base or read.request is wrong, or it is the login page",
        ));
    }
    json::parse(&reply.body).map_err(|why| {
        Failed::unreadable(
            format!("the answer is no JSON that can be read: {}", Safe(&why)),
            "ask for fewer fields, or see what the tracker sends",
        )
    })
}
