//! One connection's SSH session: the library's callbacks on one side, calls of the desk on the other.
//!
//! The handler only carries. Two rules keep it alive: no callback waits for the session's own
//! handle (the loop that would answer is the one that called), and no command runs in a callback
//! (it would block all channels of the connection).

use std::sync::Arc;

use russh::keys::Certificate;
use russh::server::{
    self, Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Error, Pty};
use ssh_key::Algorithm;
use ssh_key::public::KeyData;

use super::answer::answer;
use super::channels::{Channels, Full, Misuse, Opened};
use super::deliver::Over;
use super::identity::{Budget, Identity, Proof, Refused};
use super::places::Place;
use super::visit::{Ending, Visit};
use super::{Caller, Command, Commands};
use crate::desk::delivery::Forwarded;

/// The longest command, in bytes.
const WORDS: usize = 4096;

/// The one name of a client's environment that is taken.
const TICKET: &str = "HALLPASS_TICKET";

/// The byte a terminal in raw mode sends for an interrupt.
const CTRL_C: u8 = 3;

/// The session of one connection.
pub(super) struct Session<D> {
    desk: Arc<D>,
    visit: Arc<Visit>,
    place: Place,
    identity: Identity,
    budget: Budget,
    channels: Channels<ChannelWriteHalf<Msg>>,
    /// The agent, once the client said that it forwards one.
    agent: Option<Arc<Forwarded>>,
}

impl<D: Commands> Session<D> {
    /// A session that has not begun.
    pub(super) fn new(desk: Arc<D>, visit: Arc<Visit>, place: Place) -> Self {
        Self {
            desk,
            visit,
            place,
            identity: Identity::new(),
            budget: Budget::new(),
            channels: Channels::new(),
            agent: None,
        }
    }

    /// A request to log in that is not a key's: no.
    fn no(&mut self, user: &str, why: Refused) -> Auth {
        self.identity.named(user);
        if !self.budget.offer() {
            self.visit.end(Ending::Offers);
        }
        self.visit.refused(None, why);
        Auth::reject()
    }

    /// A key that is offered: whether a signature would be worth checking.
    fn offer(&mut self, user: &str, key: &KeyData, algorithm: &Algorithm) -> Auth {
        self.identity.named(user);
        if !self.budget.offer() {
            self.visit.end(Ending::Offers);
            return Auth::reject();
        }
        let owner = self.desk.owner(key);
        match self.identity.offered(user, key, algorithm, owner.as_ref()) {
            Ok(()) if self.budget.welcome() => {
                self.place.welcome();
                Auth::Accept
            }
            Ok(()) => {
                self.visit.end(Ending::Proofs);
                Auth::reject()
            }
            Err(why) => {
                self.visit.refused(Some(key), why);
                Auth::reject()
            }
        }
    }

    /// Starts the one command of a channel in a task of its own; `None` is a command too long to
    /// be one.
    fn start(
        &mut self,
        id: ChannelId,
        command: Option<Command>,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        let mut begun = match self.channels.begin(id.into()) {
            Ok(begun) => begun,
            Err(Misuse::Begun) => return session.channel_failure(id),
            Err(Misuse::NotOpen) => return self.end(Ending::Protocol),
        };
        let caller = match self.identity.proof() {
            Proof::Key { user, person, key } => Caller {
                person: person.clone(),
                key: key.clone(),
                user: user.clone(),
                source: self.visit.source,
                agent: self.agent.clone().filter(|_| begun.with.agent),
                ticket: begun.with.ticket.take(),
            },
            Proof::Nobody => return self.end(Ending::Protocol),
        };
        if self.desk.owner(&caller.key).as_ref() != Some(&caller.person) {
            return self.end(Ending::KeyGone);
        }
        session.channel_success(id)?;
        self.visit.commanded();
        // A task of its own: it goes on whatever becomes of the one that waits for it.
        let work = command.map(|command| {
            let words = command.words().to_vec();
            (tokio::spawn(self.desk.clone().run(caller, command)), words)
        });
        tokio::spawn(answer(begun, work, self.visit.clone().answering()));
        Ok(())
    }

    /// Has the listener end this connection; the library goes on until then.
    fn end(&self, why: Ending) -> Result<(), Error> {
        self.visit.end(why);
        Ok(())
    }
}

impl<D: Commands> Handler for Session<D> {
    type Error = Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Error> {
        // How every client begins: it costs nothing, the library's own limit counts it.
        self.identity.named(user);
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, user: &str, _password: &str) -> Result<Auth, Error> {
        Ok(self.no(user, Refused::Method))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        _response: Option<server::Response<'a>>,
    ) -> Result<Auth, Error> {
        Ok(self.no(user, Refused::Method))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        Ok(self.offer(user, offer.public_key.key_data(), offer.algorithm))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        proof: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        self.identity.named(user);
        let key = proof.public_key.key_data();
        match self.identity.proved(user, key, proof.algorithm, self.desk.owner(key)) {
            Ok(()) => Ok(Auth::Accept),
            Err(why) => {
                self.visit.refused(Some(key), why);
                Ok(Auth::reject())
            }
        }
    }

    /// A certificate's holder was proved. Certificates open servers, not this door: one that was
    /// issued would otherwise outlive the key it stands for. The plain key may follow.
    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Error> {
        self.identity.named(user);
        self.visit.refused(Some(certificate.public_key()), Refused::Certificate);
        Ok(Auth::reject())
    }

    async fn auth_succeeded(&mut self, _session: &mut server::Session) -> Result<(), Error> {
        match self.identity.proof() {
            proof @ Proof::Key { person, .. } => {
                self.visit.logged_in(proof);
                if !self.place.logged_in(person) {
                    self.visit.end(Ending::Crowd);
                }
            }
            // Only a proof is ever accepted; should the library differ, nobody comes in.
            Proof::Nobody => return Err(Error::NotAuthenticated),
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), Error> {
        let id = channel.id().into();
        // Nobody reads what the client sends: kept, the unread half would stop the whole session
        // when its buffer is full.
        let (_unread, to) = channel.split();
        match self.channels.open(id, to) {
            Ok(Opened::Now) => {
                self.visit.phase.talking();
                reply.accept().await;
            }
            // In a task of its own: here it would keep those from ending that it waits for.
            Ok(Opened::InTurn(turn)) => drop(tokio::spawn(async move {
                match turn.comes().await {
                    true => reply.accept().await,
                    false => reply.reject(ChannelOpenFailure::ResourceShortage).await,
                }
            })),
            Err(full) => {
                if full == (Full::ForEver { open: 0 }) {
                    self.visit.end(Ending::Served);
                }
                reply.reject(ChannelOpenFailure::ResourceShortage).await;
            }
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _session: &mut server::Session,
    ) -> Result<(), Error> {
        self.channels.close(id.into());
        Ok(())
    }

    /// What is typed goes nowhere, but an interrupt on a terminal ends the answer. The command
    /// itself goes on, as it does when the client is gone.
    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        _session: &mut server::Session,
    ) -> Result<(), Error> {
        if data.contains(&CTRL_C) {
            self.channels.interrupt(id.into());
        }
        Ok(())
    }

    /// A terminal is granted so that `ssh ca` without words works, and for its line ends; its
    /// size and modes are not used.
    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut server::Session,
    ) -> Result<(), Error> {
        match self.channels.with(id.into()).map(|with| with.terminal = true) {
            Ok(()) => session.channel_success(id),
            Err(Misuse::Begun) => session.channel_failure(id),
            Err(Misuse::NotOpen) => self.end(Ending::Protocol),
        }
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        self.start(id, Some(Command::Status), session)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        words: &[u8],
        session: &mut server::Session,
    ) -> Result<(), Error> {
        let command = (words.len() <= WORDS).then(|| Command::Words(words.to_vec()));
        self.start(id, command, session)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        // One name, and no more of it than a ticket's address takes.
        if name != TICKET || value.is_empty() || value.len() > 512 {
            return session.channel_failure(id);
        }
        let ticket = || Some(value.to_owned());
        match self.channels.with(id.into()).map(|with| with.ticket = ticket()) {
            Ok(()) => session.channel_success(id),
            Err(Misuse::Begun) => session.channel_failure(id),
            Err(Misuse::NotOpen) => self.end(Ending::Protocol),
        }
    }

    /// The client forwards its agent on this connection. Nothing is asked of it before a certificate
    /// is to be put into it.
    async fn agent_request(
        &mut self,
        id: ChannelId,
        session: &mut server::Session,
    ) -> Result<bool, Error> {
        match self.channels.with(id.into()).map(|with| with.agent = true) {
            Ok(()) => {
                let over = || Arc::new(Forwarded::new(Box::new(Over(session.handle()))));
                self.agent.get_or_insert_with(over);
                Ok(true)
            }
            Err(Misuse::Begun) => Ok(false),
            Err(Misuse::NotOpen) => self.end(Ending::Protocol).map(|()| false),
        }
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    // What is not here keeps the library's answer, which is no: forwarding of ports and sockets, and
    // channels of any other kind. Signals and changes of the window are ignored.
}
