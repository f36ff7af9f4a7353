//! What the kernel shows of a file, and what its disk has: not the same after an fsync that failed.
//!
//! The kernel tells of a page that the disk refused once, takes it for written, and goes on showing
//! it; the next fsync succeeds, since there is nothing left to write. On some file systems (ext4, in
//! blocks that the file did not have before) not even the same bytes written again reach the disk.
//! So:
//!
//! - a process to which an fsync failed ends, or cuts off what it wrote before it writes anything
//!   there again;
//! - a process that starts forgets what the kernel shows ([`forget`]) before it reads: what it then
//!   believes, and builds on, is what the disk has.

use std::fs::File;
use std::io;

/// Makes the kernel read a file from its disk from here on. Nobody else may be writing to it.
///
/// Pages that another process has mapped or is reading at this moment may stay; none of ours maps
/// files that it fsyncs. A file system in memory has nothing else to show and keeps them all.
pub(crate) fn forget(file: &File) -> io::Result<()> {
    // Only what is clean can be forgotten. An error leaves pages clean too, and they are not on the disk:
    // that is what is to be found out.
    drop(file.sync_all());
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}
