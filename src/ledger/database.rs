//! The ledger's database as a file: made once, served by one process, opened with WAL and
//! `synchronous=FULL`, both read back, and copied while it is served.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::given::TABLES;
use super::store::{Store, StoreError};
use crate::page_cache;

/// The right to be the ledger's one writer, held as long as the value lives.
///
/// A lock of the kernel's: it ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Takes the lock, or says that another process has it.
    ///
    /// A file of its own beside the database: closing any handle of a file drops SQLite's own locks
    /// on it (fcntl's), so nobody but SQLite opens the database.
    pub fn take(database: &Path) -> Result<Self, StoreError> {
        let say =
            |why: &dyn std::fmt::Display| StoreError(format!("{}: {why}", database.display()));
        if !database.exists() {
            return Err(say(&"there is no ledger; hallpass init makes a ledger"));
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(database.with_extension("lock"))
            .map_err(|why| say(&format!("{why}; the disk must be writable")))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| say(&"this ledger is served already, by another process"))?;
        Self::forget(database).map_err(|why| say(&why))?;
        Ok(Self { _file: file })
    }

    /// What is read from here on is what the disk has, whatever became of the last writer. Done here
    /// because this process has no handle of SQLite's yet whose locks could be dropped.
    fn forget(database: &Path) -> std::io::Result<()> {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        for path in [database, Path::new(&log)] {
            match std::fs::File::open(path) {
                Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
                file => page_cache::forget(&file?)?,
            }
        }
        Ok(())
    }
}

impl Store {
    /// Makes the database of a new ledger. Fails if the file is there.
    pub fn create(path: &Path) -> Result<(), StoreError> {
        let say = |why: std::io::Error| StoreError(format!("{}: {why}", path.display()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(say)?;
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "application_id", APPLICATION)?;
        db.pragma_update(None, "user_version", VERSION)?;
        db.execute_batch(SCHEMA)?;
        for (_, index) in INDEXES {
            db.execute(index, [])?;
        }
        Self { db }.catch_up()
    }

    /// Opens the database for the one writer.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut store = Self::connect(path, flags)?;
        store.db.pragma_update(None, "synchronous", "FULL")?;
        store.db.wal_hook(Some(bring_in))?;
        let level: i64 = store.db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let mode: String = store.db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if level != 2 || mode != "wal" {
            return Err(StoreError(format!(
                "SQLite runs with synchronous={level}, journal_mode={mode}, needs 2 and wal"
            )));
        }
        for (name, index) in INDEXES {
            let there = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
            if store.db.query_row(there, [name], |row| row.get::<_, i64>(0))? == 0 {
                store.db.execute(index, [])?;
            }
        }
        store.catch_up()?;
        // The log's name: SQLite syncs the folder and does not look what came of it.
        std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(store)
    }

    /// Opens the database to read, beside the writer.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let db = Connection::open_with_flags(path, flags).map_err(|why| {
            StoreError(format!("{}: {why}; hallpass init makes a ledger", path.display()))
        })?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        if application != APPLICATION {
            return Err(StoreError(format!("{} is not a hallpass ledger", path.display())));
        }
        if version != VERSION {
            return Err(StoreError(format!(
                "{} has format {version}, this program knows {VERSION}",
                path.display()
            )));
        }
        let store = Self { db };
        store.nothing_else(path)?;
        Ok(store)
    }

    /// A trigger or a view that somebody left in the file would run with every entry.
    fn nothing_else(&self, path: &Path) -> Result<(), StoreError> {
        let names = |db: &Connection| -> Result<BTreeSet<(String, String)>, rusqlite::Error> {
            let mut select = db.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema")?;
            let names = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            names.collect()
        };
        let blank = Connection::open_in_memory()?;
        blank.execute_batch(SCHEMA)?;
        let later = || TABLES.iter().chain(&INDEXES).map(|(_, sql)| *sql);
        for sql in later() {
            blank.execute(sql, [])?;
        }
        let (ours, theirs) = (names(&blank)?, names(&self.db)?);
        // A ledger from before there were locks, freezes or a history lacks these until it is opened to be
        // written.
        let early =
            |one: &(String, String)| later().any(|sql| sql == one.1) && !theirs.contains(one);
        match ours.symmetric_difference(&theirs).find(|one| !early(one)) {
            Some((name, _)) => Err(StoreError(format!(
                "{}: {name} is not as hallpass makes it; compare with a backup",
                path.display()
            ))),
            None => Ok(()),
        }
    }

    /// Copies the whole database into a new file, as of one moment; how many entries it holds.
    pub fn copy_to(&self, path: &Path) -> Result<u64, StoreError> {
        let say = |why: std::io::Error| StoreError(format!("{}: {why}", path.display()));
        // SQLite takes an empty file for a new one; made here so that nobody else can read it.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(say)?;
        let target =
            path.to_str().ok_or_else(|| StoreError("a path that is not UTF-8".to_owned()))?;
        self.db.execute("VACUUM INTO ?1", [target])?;
        std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(say)?;
        let copy = Connection::open(path)?;
        copy.pragma_update(None, "journal_mode", "WAL")?;
        drop(copy);
        Self::open_to_read(path)?.size()
    }
}

/// Brings the write-ahead log into the database, after a commit. An error is the commit's, and ends
/// the process: SQLite itself would say nothing, copy the same pages again, and take the fsync that then
/// succeeds for the one that failed.
fn bring_in(log: &mut Wal, pages: i32) -> Result<(), rusqlite::Error> {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    if pages < PAGES {
        return Ok(());
    }
    match log.checkpoint() {
        // Nothing was written, or nothing that was to be synced: the next commit tries again.
        Err(why)
            if matches!(
                why.sqlite_error_code(),
                Some(DatabaseBusy | DatabaseLocked | DiskFull)
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// How many pages the write-ahead log holds before it is brought into the database, as SQLite has it.
const PAGES: i32 = 1000;

/// `user_version` of the database: the format of these tables. A newer one is refused.
const VERSION: i64 = 1;

/// `application_id`: "hall" in ASCII.
const APPLICATION: i64 = 0x6861_6c6c;

const SCHEMA: &str = "
    CREATE TABLE entry (
        idx INTEGER PRIMARY KEY,
        leaf TEXT NOT NULL,
        tbs BLOB,
        facts BLOB
    ) STRICT;
    CREATE TABLE tile (
        level INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (level, idx)
    ) STRICT, WITHOUT ROWID;
";

/// A start reads every lock and every freeze there ever was, and nothing else of so long ago: an index
/// for each kind, by name.
const INDEXES: [(&str, &str); 2] = [
    ("lock_entry", "CREATE INDEX lock_entry ON entry (idx) WHERE leaf GLOB 'hallpass.v1 lock*'"),
    (
        "freeze_entry",
        "CREATE INDEX freeze_entry ON entry (idx) WHERE leaf GLOB 'hallpass.v1 freeze*'",
    ),
];
