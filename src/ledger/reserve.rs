//! Room set aside on the ledger's disk, so that a full disk stops certificates and nothing else.
//!
//! The reserve is a file of allocated blocks. While it is whole certificates are issued. When the disk
//! is nearly full it is given back: then refusals, locks and the signer's mark are still written, and
//! a start finds room for what SQLite needs, but certificates are a fault. When there is room again it
//! is made whole, and service resumes; nobody's hand is needed but whoever makes the room.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The reserve.
#[derive(Debug)]
pub struct Reserve {
    file: File,
    path: PathBuf,
    bytes: u64,
    whole: bool,
}

impl Reserve {
    /// Opens the reserve of so many bytes, or makes it. On a disk that is full it is given back at
    /// once, so that the start goes on. An error means that nothing can be written there at all.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        let whole = allocated(&file)? >= bytes;
        let mut reserve = Self { file, path: path.to_owned(), bytes, whole };
        reserve.tend();
        Ok(reserve)
    }

    /// Whether it was whole when the disk was last looked at.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Looks at the disk, gives the reserve back where it is nearly full, makes it whole again where
    /// there is room; whether it is whole. Cheap enough for every batch.
    pub fn tend(&mut self) -> bool {
        let free = match free(&self.path) {
            Ok(free) => free,
            Err(why) => {
                tracing::error!(%why, "the disk's free space cannot be read");
                return self.whole;
            }
        };
        // The two limits lie apart, or it would be given and taken with every batch.
        if self.whole && free < self.bytes / 4 {
            tracing::error!(free, "the disk is full: no certificates until there is room");
            if let Err(why) = self.file.set_len(0).and_then(|()| self.file.sync_all()) {
                tracing::error!(%why, "the reserve cannot be given back");
            }
            self.whole = false;
        } else if !self.whole && free >= self.bytes.saturating_add(self.bytes / 2) {
            match self.fill() {
                Ok(()) => {
                    tracing::info!(free, "there is room on the disk: certificates are issued");
                    self.whole = true;
                }
                Err(why) => tracing::error!(%why, "the reserve cannot be made whole"),
            }
        }
        self.whole
    }

    fn fill(&mut self) -> io::Result<()> {
        let all = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, all, 0, self.bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                self.file.seek(SeekFrom::Start(0))?;
                let block = vec![0; 64 * 1024];
                for _ in 0..self.bytes.div_ceil(64 * 1024) {
                    self.file.write_all(&block)?;
                }
            }
            done => done?,
        }
        self.file.sync_all()
    }
}

/// How many bytes an ordinary user can still write to the disk that a file or folder is on.
pub fn free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn allocated(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_allocated_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let mut reserve = Reserve::open(&path, 1 << 20).unwrap();
        assert!(reserve.tend());
        assert!(allocated(&reserve.file).unwrap() >= 1 << 20);
        // Somebody made it small: it is filled again.
        reserve.file.set_len(0).unwrap();
        assert!(Reserve::open(&path, 1 << 20).unwrap().tend());
        // More than any disk has.
        assert!(!Reserve::open(&dir.path().join("huge"), u64::MAX / 4).unwrap().tend());
        assert!(Reserve::open(&dir.path().join("no/reserve"), 1).is_err());
    }
}
