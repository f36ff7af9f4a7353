//! `serve`: the daemon put together, in the order in which a start must go.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hallpass::audit::auditor::Auditor;
use tokio::sync::oneshot;

use hallpass::certificate::lint::Keys;
use hallpass::config::ca::{Address, Ca};
use hallpass::config::edit::replace;
use hallpass::config::trust::Trust;
use hallpass::config::{Config, Deciding};
use hallpass::desk::Desk;
use hallpass::desk::ending::Ending;
use hallpass::desk::in_force::InForce;
use hallpass::desk::locking::guard;
use hallpass::desk::past::Past;
use hallpass::desk::reload::By;
use hallpass::desk::self_test::self_test;
use hallpass::desk::state::State;
use hallpass::desk::watch_tickets::watch;
use hallpass::desk::write_back::{Queue, Teller};
use hallpass::front::audit::Audits;
use hallpass::front::control::{Answer, Control};
use hallpass::front::counter::Counter;
use hallpass::front::webhook::Webhooks;
use hallpass::front::{self, Listener};
use hallpass::ledger::note::{NoteKey, SignatureType};
use hallpass::ledger::record::{Committed, Ledger, Setup};
use hallpass::ledger::reserve::Reserve;
use hallpass::ledger::store::{Lock, Store};
use hallpass::outside::clock::{Clock, SystemClock};
use hallpass::outside::freeze_files::FreezeFiles;
use hallpass::outside::manager::Manager;
use hallpass::outside::on_call::OnCall;
use hallpass::outside::tickets::Trackers;
use hallpass::outside::watch::Watch;
use hallpass::signer::client::Signer;
use hallpass::signer::{key, spawn};

use crate::operate::warn_of_emergency_key;
use crate::{Stop, say};

pub(crate) fn serve(path: &Path) -> Result<(), Stop> {
    let manager = Manager::from_env().map_err(|why| format!("the service manager: {why}"))?;
    let Config { ca, deciding, read } = Config::load(path)?;
    let ca = Arc::new(ca);
    let trust = Trust::load(&ca)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    journal();
    warn_of_emergency_key(&ca);
    let writer = runtime.block_on(async {
        let host_key =
            ssh_key::PrivateKey::from_openssh(key::read_secret(&ca.front.host_key)?.as_slice())?;
        let mut limits = ca.front.limits.clone();
        front::descriptors::fit(&mut limits)?;
        let door = front::Config {
            login_deadline: Duration::from_secs(ca.front.login_deadline.as_secs()),
            keepalive: Duration::from_secs(ca.front.keepalive.as_secs()),
            limits,
            quickack: ca.front.quickack,
            ..front::Config::new(ca.front.listen.clone(), host_key)
        };
        let listen: Vec<String> = ca.front.listen.iter().map(ToString::to_string).collect();
        let listener = Listener::bind(door).await.map_err(|why| {
            format!("{}: {why}; does another hallpass serve there?", listen.join(", "))
        })?;
        let audits = Audits::new(Auditor::new(&ca, &trust, None)?);
        let webhooks = match &ca.webhook {
            Some(config) => Some(Webhooks::bind(config).await?),
            None => None,
        };
        let (desk, writer) = open_desk(&ca, &trust, deciding)?;
        let socket = ca.control_socket();
        let control = Control::bind(&socket)
            .map_err(|why| format!("the operator's socket {}: {why}", socket.display()))?;
        let address = known_at(&ca, listener.addresses());
        let desk = Arc::new(Counter { desk, trust, ca: Arc::clone(&ca), address, audits });
        if let Err(why) = self_test(&desk.desk.in_force.now(), desk.desk.clock.now()) {
            tracing::error!(%why, "some requests will be faults");
        }
        desk.desk.record_start(&ca, &read).await?;
        drop(read);
        read_shifts(&desk).await;
        if let Some(webhooks) = webhooks {
            tokio::spawn(webhooks.run(Arc::clone(&desk)));
        }
        tokio::spawn(control.run(Arc::clone(&desk)));
        tokio::spawn(reload_on_signal(Arc::clone(&desk)));
        let tended = Arc::clone(&desk);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                // Reads the clock too, so that the watch over it sees its pace where nobody asks.
                tended.desk.tend();
            }
        });
        for (tracker, poll) in desk.desk.trackers.polled() {
            tokio::spawn(watch(desk.desk.ending.clone(), Arc::clone(tracker), poll));
        }
        for (tracker, on) in desk.desk.trackers.told() {
            let queue = Queue::new(&ca.ledger.database, tracker.name(), on);
            match Teller::open(queue, Arc::clone(tracker), Arc::clone(&desk.desk.clock)) {
                Ok(teller) => drop(tokio::spawn(teller.run())),
                // Nobody is kept from a host by a comment; health says so too.
                Err(why) => tracing::error!(%why, tracker = tracker.name(), "no comments"),
            }
        }
        let (first, told) = oneshot::channel();
        tokio::spawn(tell_standing(Arc::clone(&desk), ca.ledger.standing(), first));
        // Whoever asks for health as soon as it listens finds the file; an error there is none of a start.
        told.await.ok();
        for address in listener.addresses() {
            say(&format!("{} listens on {address}", ca.name));
        }
        manager.ready()?;
        if let Some(every) = manager.every() {
            tokio::spawn(show_life(manager, every, desk.desk.ledger.clone()));
        }
        listener.run(desk, asked_to_stop()).await;
        Ok::<_, Stop>(writer)
    })?;
    // What still runs is dropped, and with it the last handles of the ledger; what is queued is
    // recorded and signed all the same.
    runtime.shutdown_timeout(Duration::from_secs(2));
    if writer.join().is_err() {
        return Err(Stop::Failed("the ledger's writer panicked".to_owned()));
    }
    say("stopped");
    Ok(())
}

/// Where people connect to: what `ca.toml` says, or the first address that is listened on; the CA's
/// name where that is any.
fn known_at(ca: &Ca, listening: &[SocketAddr]) -> (String, u16) {
    if let Some(Address { host, port }) = &ca.front.address {
        return (host.clone(), *port);
    }
    let first = listening.first();
    let ip = first.map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let host = ip.map_or_else(|| ca.name.to_string(), |ip| ip.to_string());
    (host, first.map_or(22, SocketAddr::port))
}

fn open_desk(
    ca: &Ca,
    trust: &Trust,
    deciding: Arc<Deciding>,
) -> Result<(Desk, JoinHandle<()>), Stop> {
    // Before anything is touched that a running daemon uses.
    let lock = Lock::take(&ca.ledger.database)?;
    // Before anything needs room: on a full disk this makes some.
    let reserve = ca.ledger.reserve();
    let reserve = Reserve::open(&reserve, ca.ledger.reserve_bytes())
        .map_err(|why| format!("{}: {why}; the disk must be writable", reserve.display()))?;
    if let Some(config) = &ca.signer.spawn {
        start_signer(ca, trust, config)?;
    }
    let secret = key::load(&ca.ledger.key, None)?;
    let ledger_key = NoteKey::new(trust.ledger.name(), SignatureType::Ed25519, secret)?;
    if *ledger_key.public() != trust.ledger {
        return Err(Stop::Failed(format!(
            "{} is not the key of {}",
            ca.ledger.key.display(),
            ca.ledger.vkey.display()
        )));
    }
    let (user_ca, bare_ca) = (trust.user_ca.to_bytes()?, trust.bare_ca.to_bytes()?);
    let never_subjects = trust.never_subjects()?;
    let keys = Keys { user_ca: user_ca.clone(), bare_ca: bare_ca.clone(), never_subjects };
    let mut state = State::rebuild(&Store::open_to_read(&ca.ledger.database)?, SystemClock.now())?;
    state.counts.limit(ca.limits);
    let watch = Arc::new(Watch::new(state.newest()));
    if let Some(jump) = watch.read().jump {
        tracing::error!(why = %jump, "no certificates");
    }
    let clock: Arc<dyn Clock> = Arc::clone(&watch) as _;
    let state = Arc::new(Mutex::new(state));
    let folded = Arc::clone(&state);
    let in_force = Arc::new(InForce::new(deciding));
    let setup = Setup {
        lock,
        reserve: Some(reserve),
        database: ca.ledger.database.clone(),
        checkpoint: ca.ledger.checkpoint.clone(),
        key: ledger_key,
        keys,
        signer: signer(ca, trust)?,
        clock: Arc::clone(&clock),
        guard: guard(Arc::clone(&state), Arc::clone(&in_force)),
    };
    let fold = Box::new(move |entry: Committed<'_>| {
        let mut state = folded.lock().unwrap_or_else(PoisonError::into_inner);
        state.fold(entry);
        watch.saw(state.newest());
    });
    let (ledger, writer) = Ledger::open(setup, fold)?;
    let trackers = Arc::new(Trackers::open(&ca.tracker)?);
    let node = ca.name.to_string();
    let host_cas = trust.host_cas()?;
    let kept = Mutex::default();
    let past = Past::new(Store::open_to_read(&ca.ledger.database)?);
    let ending = Ending::new(ledger.clone(), Arc::clone(&state), Arc::clone(&clock), node.clone());
    let desk = Desk {
        in_force,
        ledger,
        state,
        trackers,
        freeze_files: ca.freezes.clone().map(FreezeFiles::new),
        on_call: Arc::new(OnCall::open(&ca.on_call)),
        clock,
        node,
        user_ca,
        bare_ca,
        host_cas,
        ending,
        hints: Default::default(),
        kept,
        turns: Default::default(),
        past,
    };
    Ok((desk, writer))
}

/// The signer behind its socket.
fn signer(ca: &Ca, trust: &Trust) -> Result<Signer, Stop> {
    let (user_ca, bare_ca) = (trust.user_ca.to_bytes()?, trust.bare_ca.to_bytes()?);
    Ok(Signer::new(ca.signer.socket.clone(), trust.signer.clone(), user_ca, bare_ca))
}

/// A trial's signer, and its first word: a signer that cannot start ends the start.
fn start_signer(ca: &Ca, trust: &Trust, config: &Path) -> Result<(), Stop> {
    let (tell, hear) = mpsc::channel();
    let signer = signer(ca, trust)?;
    spawn::spawn(&ca.signer.socket, config, tell.clone())
        .map_err(|why| format!("the signer: {why}"))?;
    std::thread::spawn(move || tell.send(signer.greet()).ok());
    hear.recv()?.map_err(|why| Stop::Failed(format!("the signer: {why}")))
}

/// Tells the service manager that the daemon lives, as long as this task is run and the ledger's
/// writer answers. Without both nobody is served, and a new start finds everything where it was.
async fn show_life(mut manager: Manager, every: Duration, ledger: Ledger) {
    loop {
        match ledger.ping().await {
            Ok(()) => manager.alive(),
            Err(why) => tracing::warn!(%why, "no sign of life for the service manager"),
        }
        tokio::time::sleep(every).await;
    }
}

/// Keeps the file that says whether certificates are issued.
async fn tell_standing(desk: Arc<Counter>, file: PathBuf, first: oneshot::Sender<()>) {
    let (mut told, mut first) = (None, Some(first));
    loop {
        let standing =
            desk.desk.fault().map_or("issuing".to_owned(), |why| format!("fault: {why}"));
        if told.as_ref() != Some(&standing) {
            let (path, text) = (file.clone(), format!("{standing}\n"));
            match tokio::task::spawn_blocking(move || replace(&path, text.as_bytes())).await {
                Ok(Ok(())) => told = Some(standing),
                Ok(Err(why)) => tracing::warn!(%why, "health cannot be told"),
                Err(_) => return,
            }
        }
        if let Some(first) = first.take() {
            first.send(()).ok();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Reads whose shift it is, now and again and again.
async fn read_shifts(counter: &Arc<Counter>) {
    if counter.desk.on_call.is_empty() {
        return;
    }
    let of = |counter: &Arc<Counter>| {
        let (on_call, now) = (Arc::clone(&counter.desk.on_call), counter.desk.clock.now());
        tokio::task::spawn_blocking(move || on_call.refresh(now))
    };
    of(counter).await.ok();
    let counter = Arc::clone(counter);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            of(&counter).await.ok();
        }
    });
}

/// The journal: JSON lines on stderr.
fn journal() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HALLPASS_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,russh=warn"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// SIGHUP is a reload whose answer is in the journal alone.
async fn reload_on_signal(desk: Arc<Counter>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                let Answer { said, .. } = desk.reload(By::default()).await;
                tracing::info!(said = said.join("; "), "SIGHUP");
            }
        }
        Err(why) => tracing::error!(%why, "no signal handler: reload with hallpass reload"),
    }
}

/// SIGTERM or an interrupt from the terminal.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(why) => {
            tracing::error!(%why, "no signal handler: stop with kill -9");
            std::future::pending::<()>().await;
        }
    }
}
