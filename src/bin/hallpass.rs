//! `hallpass`: serve, and the operator's command line.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use hallpass::certificate::lint::Keys;
use hallpass::certificate::names::{GroupName, HostName, Login, PersonName, TagName};
use hallpass::config::ca::Ca;
use hallpass::config::edit::{NewHost, NewPerson, add_host, add_person};
use hallpass::config::init::{Init, init};
use hallpass::config::trust::{Part, Trust};
use hallpass::config::{Config, ConfigError};
use hallpass::desk::Desk;
use hallpass::desk::state::State;
use hallpass::front::counter::Counter;
use hallpass::front::{self, Listener};
use hallpass::ledger::checkpoint::Checkpoint;
use hallpass::ledger::export;
use hallpass::ledger::note::{NoteKey, SignatureType};
use hallpass::ledger::record::{Ledger, Setup};
use hallpass::ledger::store::Store;
use hallpass::ledger::verify;
use hallpass::outside::clock::{Clock, SystemClock};
use hallpass::outside::tickets::FolderTracker;
use hallpass::signer::client::Signer;
use hallpass::signer::{key, mark, spawn};

#[derive(Parser)]
#[command(
    name = "hallpass",
    version,
    about = "An SSH certificate authority that people talk to with the ssh they already have"
)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make everything for a trial in one folder
    Init(InitWords),
    /// Serve in the foreground; prints a line when it listens
    Serve(At),
    /// Say what was understood, or the error with file, line and column
    Check(At),
    /// Add people to people.toml
    #[command(subcommand)]
    Person(PersonVerb),
    /// Add hosts to hosts.toml
    #[command(subcommand)]
    Host(HostVerb),
    /// Print public keys
    Trust(TrustWords),
    /// Verify or export the ledger
    #[command(subcommand)]
    Ledger(LedgerVerb),
}

#[derive(Args)]
struct At {
    /// The configuration
    #[arg(long, default_value = "/etc/hallpass/ca.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct InitWords {
    /// The folder: new, or empty
    dir: PathBuf,
    /// The CA's name, a host name; it never changes
    #[arg(long, default_value = "ca.example", value_name = "HOST")]
    name: HostName,
    /// Where the door listens
    #[arg(long, default_value = "127.0.0.1:2222", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Write the example team, hosts, tickets and policy too
    #[arg(long)]
    example: bool,
}

#[derive(Subcommand)]
enum PersonVerb {
    /// Add a person or a service
    Add {
        /// The name
        name: PersonName,
        /// A file with public keys, one a line
        #[arg(long, required = true, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// A group
        #[arg(long)]
        group: Vec<GroupName>,
        /// An e-mail address
        #[arg(long)]
        email: Option<String>,
        /// A program, not a human being
        #[arg(long)]
        service: bool,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Subcommand)]
enum HostVerb {
    /// Add a host
    Add {
        /// The canonical name: it stands in the principal
        name: HostName,
        /// An address that may be typed instead
        #[arg(long)]
        address: Vec<String>,
        /// A name that may be typed instead
        #[arg(long)]
        alias: Vec<String>,
        /// A tag
        #[arg(long)]
        tag: Vec<TagName>,
        /// An account that can be asked for
        #[arg(long)]
        login: Vec<Login>,
        /// A file with the host's public keys, one a line
        #[arg(long, value_name = "FILE")]
        host_key: Vec<PathBuf>,
        /// The group that owns it
        #[arg(long)]
        owner: Option<GroupName>,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args)]
struct TrustWords {
    /// For TrustedUserCAKeys: the user CA, the next and the emergency one
    #[arg(long)]
    user: bool,
    /// For TrustedUserCAKeys of servers that cannot map principals
    #[arg(long)]
    bare: bool,
    /// For a @cert-authority line: the host CA
    #[arg(long)]
    host: bool,
    /// For verifiers: the ledger's and the signer's verifier keys
    #[arg(long)]
    ledger: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand)]
enum LedgerVerb {
    /// Recompute everything from stored bytes, or from an export
    Verify {
        /// An export; the ledger itself if left out
        export: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Write the ledger as JSON lines
    Export(At),
}

/// What ends a command: the text for the operator, and the exit status.
enum Stop {
    /// Something is not as it should be: configuration, ledger, files.
    Failed(String),
    /// The ledger is not what was signed.
    Invalid,
}

impl<E: Display> From<E> for Stop {
    fn from(why: E) -> Self {
        Self::Failed(why.to_string())
    }
}

fn main() -> ExitCode {
    // A usage error of clap's ends here with status 2.
    let done = match Line::parse().verb {
        Verb::Init(words) => make(words),
        Verb::Serve(at) => serve(&at.config),
        Verb::Check(at) => check(&at.config),
        Verb::Person(PersonVerb::Add { name, key, group, email, service, at }) => person(
            &at.config,
            NewPerson { name, service, groups: group, email, keys: Vec::new() },
            &key,
        ),
        Verb::Host(HostVerb::Add { name, address, alias, tag, login, host_key, owner, at }) => {
            let new = NewHost {
                name,
                addresses: address,
                aliases: alias,
                tags: tag,
                accounts: login,
                host_keys: Vec::new(),
                owner,
            };
            host(&at.config, new, &host_key)
        }
        Verb::Trust(words) => trust(&words),
        Verb::Ledger(LedgerVerb::Verify { export, at }) => {
            verify_ledger(&at.config, export.as_deref())
        }
        Verb::Ledger(LedgerVerb::Export(at)) => write_export(&at.config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Invalid) => ExitCode::from(1),
        Err(Stop::Failed(why)) => {
            eprintln!("hallpass: {why}");
            ExitCode::from(75)
        }
    }
}

/// An artefact on stdout. A reader that stops reading is not an error of ours.
fn print(text: &str) {
    if let Err(why) = std::io::stdout().write_all(text.as_bytes()) {
        eprintln!("hallpass: stdout: {why}");
    }
}

fn say(text: &str) {
    eprintln!("hallpass: {text}");
}

/// First trust in one line: what a client pins, and what two people compare on the telephone.
fn first_trust(ca: &Ca) -> Result<(), ConfigError> {
    let trust = Trust::load(ca)?;
    say(&format!("known_hosts: {}", trust.known_hosts().trim_end()));
    say(&format!("fingerprint of all public keys: {}", trust.fingerprint()));
    Ok(())
}

fn make(words: InitWords) -> Result<(), Stop> {
    let InitWords { dir, name, listen, example } = words;
    let made = init(&Init { dir: dir.clone(), name, listen, example })?;
    say(&format!("made a CA in {}", dir.display()));
    first_trust(&made.ca)?;
    say(&format!("passphrase of keys/emergency_ca, shown once: {}", made.emergency_passphrase));
    say(
        "keep keys/emergency_ca and its passphrase offline, apart, and take the file off this machine",
    );
    eprintln!("hint: hallpass serve --config {}", dir.join("ca.toml").display());
    Ok(())
}

fn check(path: &Path) -> Result<(), Stop> {
    let config = Config::load(path)?;
    let Config { ca, deciding } = &config;
    let (people, hosts, policy) =
        (deciding.people.iter().count(), deciding.hosts.iter().count(), &deciding.policy);
    say(&format!("{}: {people} people, {hosts} hosts, {} offers", ca.name, policy.offers().len()));
    for offer in policy.offers() {
        say(&format!(
            "offer {}: {} certificates within {}",
            offer.id(),
            offer.terms().ttl,
            offer.terms().period
        ));
    }
    warn_of_emergency_key(ca);
    first_trust(ca)?;
    say("everything is understood");
    Ok(())
}

/// The emergency key is of use only where the CA's death does not reach it.
fn warn_of_emergency_key(ca: &Ca) {
    let private = ca.trust.emergency_ca.with_extension("");
    if private.exists() {
        say(&format!("warning: {} still lies here: keep it offline", private.display()));
    }
}

fn person(path: &Path, mut new: NewPerson, files: &[PathBuf]) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    new.keys = public_keys(files)?;
    add_person(&ca, &new)?;
    say(&format!(
        "added {} with {} key(s); a running hallpass serve has to be started again",
        new.name,
        new.keys.len()
    ));
    first_trust(&ca)?;
    Ok(())
}

fn host(path: &Path, mut new: NewHost, files: &[PathBuf]) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    new.host_keys = public_keys(files)?;
    add_host(&ca, &new)?;
    say(&format!("added {}; a running hallpass serve has to be started again", new.name));
    first_trust(&ca)?;
    Ok(())
}

fn public_keys(files: &[PathBuf]) -> Result<Vec<String>, String> {
    let mut keys = Vec::new();
    for path in files {
        let text =
            std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        keys.extend(lines.map(str::to_owned));
    }
    Ok(keys)
}

fn trust(words: &TrustWords) -> Result<(), Stop> {
    let trust = Trust::load(&Ca::load(&words.at.config)?)?;
    let parts = [
        (words.user, Part::User),
        (words.bare, Part::Bare),
        (words.host, Part::Host),
        (words.ledger, Part::Ledger),
    ];
    let all = parts.iter().all(|(named, _)| !named);
    for (_, part) in parts.iter().filter(|(named, _)| *named || all) {
        print(&trust.print(*part));
    }
    Ok(())
}

fn verify_ledger(path: &Path, export: Option<&Path>) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    let keys = (&trust.ledger, &trust.signer);
    let report = match export {
        Some(file) => {
            let from = File::open(file).map_err(|why| format!("{}: {why}", file.display()))?;
            verify::export(BufReader::new(from), keys)?
        }
        None => {
            let store = Store::open_to_read(&ca.ledger.database)?;
            let text = std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| {
                format!("{}: {why}; hallpass serve writes it", ca.ledger.checkpoint.display())
            })?;
            let checkpoint = Checkpoint::parse(&text)?;
            // The signer's mark is another user's in production; where it can be read it is compared.
            let seen = ca.signer.spawn.as_ref().and_then(|file| file.parent());
            let seen = seen
                .and_then(|dir| mark::MarkFile::open(&dir.join("state/signer/mark")).ok())
                .map(|file| (file.mark().size, file.mark().root.0));
            verify::database(&store, &checkpoint, keys, seen)?
        }
    };
    for problem in &report.problems {
        say(&problem.to_string());
    }
    let what = if !report.problems.is_empty() {
        "invalid"
    } else if report.redacted > 0 {
        "redacted"
    } else {
        "valid"
    };
    print(&format!(
        "{what}: {} entries, {} certificates, {} redacted\n",
        report.entries, report.certificates, report.redacted
    ));
    if report.problems.is_empty() { Ok(()) } else { Err(Stop::Invalid) }
}

fn write_export(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let checkpoint = std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| {
        format!("{}: {why}; hallpass serve writes it", ca.ledger.checkpoint.display())
    })?;
    let checkpoint = Checkpoint::parse(&checkpoint)?;
    let store = Store::open_to_read(&ca.ledger.database)?;
    let written = export::write(&store, &checkpoint, &mut std::io::stdout().lock())?;
    say(&format!("exported {written} entries"));
    Ok(())
}

fn serve(path: &Path) -> Result<(), Stop> {
    let Config { ca, deciding } = Config::load(path)?;
    let trust = Trust::load(&ca)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    journal();
    warn_of_emergency_key(&ca);
    runtime.block_on(async {
        // The door's port first: a second daemon on the same folder stops here and touches nothing.
        let host_key =
            ssh_key::PrivateKey::from_openssh(key::read_secret(&ca.front.host_key)?.as_slice())?;
        let door = front::Config {
            login_deadline: Duration::from_secs(ca.front.login_deadline.as_secs()),
            max_connections: ca.front.max_connections,
            quickack: ca.front.quickack,
            ..front::Config::new(ca.front.listen.clone(), host_key)
        };
        let listener =
            Listener::bind(door).await.map_err(|why| format!("{:?}: {why}", ca.front.listen))?;
        let desk = Arc::new(Counter { desk: open_desk(&ca, &trust, deciding)?, trust });
        desk.desk.record_texts().await?;
        let counting = Arc::clone(&desk);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                counting.desk.record_counts();
            }
        });
        for address in listener.addresses() {
            say(&format!("{} listens on {address}", ca.name));
        }
        listener.run(desk, asked_to_stop()).await;
        say("stopped");
        Ok(())
    })
}

fn open_desk(
    ca: &Ca,
    trust: &Trust,
    deciding: Arc<hallpass::config::Deciding>,
) -> Result<Desk, Stop> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if let Some(config) = &ca.signer.spawn {
        spawn::spawn(&ca.signer.socket, config).map_err(|why| format!("the signer: {why}"))?;
    }
    let secret = key::load(&ca.ledger.key, None)?;
    let ledger_key = NoteKey::new(&ca.origin(), SignatureType::Ed25519, secret)?;
    if *ledger_key.public() != trust.ledger {
        return Err(Stop::Failed(format!(
            "{} is not the key of {}",
            ca.ledger.key.display(),
            ca.ledger.vkey.display()
        )));
    }
    let (user_ca, bare_ca) = (trust.user_ca.to_bytes()?, trust.bare_ca.to_bytes()?);
    let never_subjects = [&trust.user_ca_next, &trust.emergency_ca, &trust.host_ca, &trust.door]
        .into_iter()
        .map(|key| key.to_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let keys = Keys { user_ca: user_ca.clone(), bare_ca: bare_ca.clone(), never_subjects };
    let state = State::rebuild(&Store::open_to_read(&ca.ledger.database)?, clock.now())?;
    let state = Arc::new(Mutex::new(state));
    let folded = Arc::clone(&state);
    let setup = Setup {
        database: ca.ledger.database.clone(),
        checkpoint: ca.ledger.checkpoint.clone(),
        key: ledger_key,
        keys,
        signer: Signer::new(
            ca.signer.socket.clone(),
            trust.signer.clone(),
            user_ca.clone(),
            bare_ca.clone(),
        ),
        clock: Arc::clone(&clock),
    };
    let fold = Box::new(move |entry: hallpass::ledger::record::Committed<'_>| {
        folded.lock().unwrap_or_else(PoisonError::into_inner).fold(entry);
    });
    let ledger = Ledger::open(setup, fold)?;
    let tracker = ca
        .tracker
        .first()
        .map(|tracker| FolderTracker::new(tracker.name.as_str(), tracker.path.clone()));
    Ok(Desk {
        deciding,
        ledger,
        state,
        tracker,
        clock,
        node: ca.name.to_string(),
        user_ca,
        bare_ca,
    })
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
