//! The mapping of an HTTP tracker out of what was written, and everything that can be wrong with it.

use std::collections::BTreeSet;

use super::pointer::Pointer;
use super::template::{Place, Template};
use super::ticket_id::TicketPattern;
use super::tracker::Limits;
use super::tracker_http::{Auth, Fields, Http, Read, Search, States, Write};
use super::tracker_words::{
    AuthWords, FieldWords, HttpWords, Occasion, ReadWords, SearchWords, WriteType, WriteWords,
};

impl Http {
    /// What the words come to, a preset's under them.
    pub(super) fn of(words: HttpWords, ids: &[TicketPattern]) -> Result<Self, String> {
        let HttpWords { base, deadline, at_once, redirects, networks, ca_file, .. } = words.clone();
        let base = base.ok_or("base is missing: https://HOST, where the tracker is")?;
        let read =
            Read::of(words.read.ok_or("[tracker.read] is missing: the request for a ticket")?)?;
        let fields =
            words.fields.ok_or("[tracker.fields] is missing: where in the answer is what")?;
        let states = words.states.unwrap_or_default();
        states.check()?;
        let http = Self {
            base,
            limits: Limits::of(deadline, at_once)?,
            redirects: redirects.unwrap_or_default(),
            networks: networks.unwrap_or_default(),
            ca_file,
            auth: words.auth.map(Auth::of).transpose()?,
            headers: words.headers.unwrap_or_default(),
            read,
            fields: Fields::of(fields)?,
            states,
            host_label: words.hosts.and_then(|hosts| hosts.label).filter(|label| !label.is_empty()),
            follow: words.follow.unwrap_or_default(),
            check: words.check,
            search: words.search.map(Search::of).transpose()?,
            write: words.write.map(Write::of).transpose()?,
        };
        http.check_headers()?;
        http.check_places(ids)?;
        Ok(http)
    }

    fn check_headers(&self) -> Result<(), String> {
        for (name, value) in &self.headers {
            header(name)?;
            if is_ours(name) {
                return Err(format!(
                    "headers.{name} cannot be set here; a credential goes into [tracker.auth], as a file"
                ));
            }
            if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
                return Err(format!("headers.{name}: {value:?} is not printable ASCII"));
            }
        }
        Ok(())
    }

    /// Each request has the places that it needs and no other, and ids give what goes into them.
    fn check_places(&self, ids: &[TicketPattern]) -> Result<(), String> {
        use Place::{Assignee, Id, Key, Number, Value, Word};
        let ticket = [Id, Number, Word];
        let mut all: Vec<(&str, &Template, Vec<Place>, Vec<Place>)> =
            vec![("read.request", &self.read.request, ticket.to_vec(), vec![Id, Number])];
        for follow in &self.follow {
            all.push((
                "follow.request",
                &follow.request,
                [&ticket[..], &[Value]].concat(),
                vec![Value],
            ));
        }
        if let Some(check) = &self.check {
            all.push(("check.request", &check.request, vec![], vec![]));
        }
        if let Some(search) = &self.search {
            all.push(("search.request", &search.request, vec![Assignee], vec![Assignee]));
        }
        if let Some(write) = &self.write {
            let may = [&ticket[..], &[Key]].concat();
            all.push(("write.request", &write.request, may, vec![Id, Number, Key]));
        }
        for (name, template, may, must) in all {
            let words = |places: &[Place]| {
                places.iter().map(|place| place.as_str()).collect::<Vec<_>>().join(" or ")
            };
            if let Some(other) = template.places().find(|place| !may.contains(place)) {
                return Err(format!(
                    "{name} {:?}: there is no {} here",
                    template.as_str(),
                    other.as_str()
                ));
            }
            if !must.is_empty() && !template.places().any(|place| must.contains(&place)) {
                return Err(format!(
                    "{name} {:?} is the same for every ticket: it needs {}",
                    template.as_str(),
                    words(&must)
                ));
            }
            for (place, gives) in [
                (Number, TicketPattern::has_number as fn(&TicketPattern) -> bool),
                (Word, TicketPattern::has_word),
            ] {
                let all_give = !ids.is_empty() && ids.iter().all(gives);
                if template.places().any(|one| one == place) && !all_give {
                    let place = place.as_str();
                    return Err(format!(
                        "{name} has {place}, and not every one of ids does: ids = [\"OPS-{place}\"]"
                    ));
                }
            }
        }
        if self.write.as_ref().is_some_and(|write| write.request.places().any(|p| p == Key))
            && self.fields.key.is_none()
        {
            return Err(
                "write.request has {key}, and fields.key does not say where it is".to_owned()
            );
        }
        if self.follow.len() > 4 {
            return Err("there are more than 4 [[tracker.follow]]".to_owned());
        }
        if let Some(one) =
            self.follow.iter().find(|one| self.fields.of_followed(one.field).is_none())
        {
            return Err(format!("follow {:?}: fields does not say where it is", one.field));
        }
        if self.follow.iter().any(|one| one.at.is_several()) {
            return Err("follow.at leads to one place: it has no *".to_owned());
        }
        let form = self.search.as_ref().map(|search| search.form.as_str());
        if form.is_some_and(|form| form.matches("{id}").count() != 1) {
            return Err("search.form has one {id}, as in \"#{id}\"".to_owned());
        }
        Ok(())
    }
}

impl Fields {
    fn of(words: FieldWords) -> Result<Self, String> {
        let FieldWords { id, title, state, said, assignee, priority, labels, hosts, .. } = words;
        let (window_from, window_until, key) = (words.window_from, words.window_until, words.key);
        for (name, pointer) in [
            ("id", &id),
            ("title", &title),
            ("state", &state),
            ("said", &said),
            ("assignee", &assignee),
            ("priority", &priority),
            ("window_from", &window_from),
            ("window_until", &window_until),
            ("key", &key),
        ] {
            if pointer.as_ref().is_some_and(Pointer::is_several) {
                return Err(format!("fields.{name} leads to one place: it has no *"));
            }
        }
        let id = id.ok_or("fields.id is missing: where the answer says which ticket it is of")?;
        let state =
            state.ok_or("fields.state is missing: where the answer has the ticket's state")?;
        Ok(Self {
            id,
            state,
            title,
            said,
            assignee,
            priority,
            labels,
            hosts,
            window_from,
            window_until,
            key,
        })
    }
}

impl States {
    fn check(&self) -> Result<(), String> {
        if self.open.is_empty() {
            return Err(
                "states.open is empty: which of the tracker's words mean that work may go on?"
                    .to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        let twice =
            self.open.iter().chain(&self.pending).chain(&self.closed).find(|w| !seen.insert(*w));
        twice.map_or(Ok(()), |word| Err(format!("states: {word:?} stands there twice")))
    }
}

impl Read {
    fn of(words: ReadWords) -> Result<Self, String> {
        let ReadWords { request, found, absent, hidden } = words;
        let request = request.ok_or("read.request is missing: /path/{id}")?;
        let absent = absent.unwrap_or_else(|| BTreeSet::from([404, 410]));
        let hidden = hidden.unwrap_or_else(|| BTreeSet::from([403]));
        let taken = |status: &&u16| **status == 200 || **status == 401 || hidden.contains(*status);
        if let Some(both) = absent.iter().find(taken) {
            return Err(format!("read.absent has {both}, which means something else"));
        }
        if let Some(both) = hidden.iter().find(|status| **status == 200 || **status == 401) {
            return Err(format!("read.hidden has {both}, which means something else"));
        }
        Ok(Self { request, found, absent, hidden })
    }
}

impl Auth {
    fn of(words: AuthWords) -> Result<Self, String> {
        match words {
            AuthWords { bearer: Some(file), basic: None, header: None } => Ok(Self::Bearer(file)),
            AuthWords { bearer: None, basic: Some(basic), header: None } => {
                if basic.user.contains(':') || basic.user.chars().any(char::is_control) {
                    return Err("auth.basic.user has a colon or a control character".to_owned());
                }
                Ok(Self::Basic { user: basic.user, password: basic.password })
            }
            AuthWords { bearer: None, basic: None, header: Some(own) } => {
                header(&own.name)?;
                if is_ours(&own.name) && !own.name.eq_ignore_ascii_case("authorization") {
                    return Err(format!("auth.header.name cannot be {}", own.name));
                }
                Ok(Self::Header { name: own.name, value: own.value, prefix: own.prefix })
            }
            _ => Err("auth has one of bearer, basic and header".to_owned()),
        }
    }
}

impl Write {
    fn of(words: WriteWords) -> Result<Self, String> {
        let WriteWords { method, request, content, body, done, says, on } = words;
        let request = request.ok_or("write.request is missing: /path/{id}/comments")?;
        let (content, body) = (content.unwrap_or_default(), body.unwrap_or("{text}".to_owned()));
        if body.matches("{text}").count() != 1 {
            return Err("write.body has one {text}, where the comment goes".to_owned());
        }
        let trial = body.replace("{text}", "\"x\"");
        if content == WriteType::Json && serde_json::from_str::<serde_json::Value>(&trial).is_err()
        {
            return Err(format!(
                "write.body {body:?} is no JSON with text for {{text}}, which stands for a JSON string with its \
                 quotes: '{{\"body\": {{text}}}}'"
            ));
        }
        let done = done.unwrap_or_else(|| BTreeSet::from([200, 201, 204]));
        let on = on.unwrap_or_else(|| Occasion::ALL.into_iter().collect());
        Ok(Self { method: method.unwrap_or_default(), request, content, body, done, says, on })
    }
}

/// RFC 9110: a header's name is a token.
fn header(name: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{name:?} is no header's name"));
    }
    Ok(())
}

/// Headers that are not for `ca.toml` to set.
fn is_ours(name: &str) -> bool {
    let ours = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    ours.contains(&name.to_ascii_lowercase().as_str())
}

impl Search {
    fn of(words: SearchWords) -> Result<Self, String> {
        let SearchWords { request, ids, form } = words;
        Ok(Self {
            request: request.ok_or("search.request is missing: /path?assignee={assignee}")?,
            ids: ids.ok_or("search.ids is missing: where in the answer the ids are")?,
            form: form.unwrap_or("{id}".to_owned()),
        })
    }
}
