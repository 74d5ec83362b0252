//! The file that a flight writes: append-only, without a name, read in place while it grows. Disk
//! is reserved before it is used.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};
use tokio::time::Instant;

use super::{copies::Space, lock};
use crate::{store, telemetry::Metrics};

/// A blob of unknown length reserves this much at a time, in bytes.
const STEP: u64 = 64 << 20;

/// Free disk that the spool leaves to others, in bytes.
const HEADROOM: u64 = 64 << 20;

/// How long nothing is written after a disk failed to take what it had promised, so that not every
/// client of every blob is cut off by it.
const REST: Duration = Duration::from_secs(30);

/// The directory for bodies in flight and how much of it is spoken for.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    reserved: Arc<AtomicU64>,
    resting: Arc<Mutex<Option<Instant>>>,
    metrics: Metrics,
}

impl Spool {
    /// # Errors
    /// The directory cannot be made, or not written to.
    pub(super) fn open(directory: PathBuf, metrics: Metrics) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let (reserved, resting) = (Arc::default(), Arc::default());
        let spool = Self { directory, reserved, resting, metrics };
        store::fs::temporary(&spool.directory)?;
        Ok(spool)
    }

    /// Counts the disk, for the metrics.
    pub(super) fn measure(&self) {
        if let Some(Space { total, free }) = space(&self.directory) {
            self.metrics.disk(total, free);
        }
    }

    /// The disk failed in the midst of a body: leaves it alone for a while.
    pub(super) fn rest(&self) {
        *lock(&self.resting) = Some(Instant::now() + REST);
    }

    /// How many bytes of free disk a body takes to be admitted.
    pub(super) fn needs(total: Option<u64>) -> u64 {
        total.unwrap_or(STEP).saturating_add(HEADROOM)
    }

    /// A new file with room for `total` bytes, or for as much as comes if that is unknown, as long
    /// as all files together keep to `limit` bytes.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn create(&self, total: Option<u64>, limit: u64) -> io::Result<Created> {
        let room = Room { spool: self.clone(), bytes: AtomicU64::new(0) };
        let is_resting = lock(&self.resting).is_some_and(|until| Instant::now() < until);
        if is_resting || !room.extend(total.unwrap_or(STEP), limit) {
            return Ok(Created::NoRoom);
        }
        if Self::needs(total) > store::fs::free_space(&self.directory)? {
            return Ok(Created::NoDisk);
        }
        let file = Arc::new(store::fs::temporary(&self.directory)?);
        // What others have reserved and not written yet counts as free until it is allocated.
        let allocated = total.map(|total| fallocate(&file, FallocateFlags::KEEP_SIZE, 0, total));
        // Other errors do not matter: not every file system can, and an empty blob needs nothing.
        if let Some(Err(Errno::NOSPC | Errno::DQUOT)) = allocated {
            return Ok(Created::NoDisk);
        }
        Ok(Created::File(Box::new(Spooled { file, room, limit })))
    }
}

/// What came of making a file.
#[derive(Debug)]
pub(super) enum Created {
    File(Box<Spooled>),
    /// There is too little free disk.
    NoDisk,
    /// As much is being written already as may be, or the disk has just failed.
    NoRoom,
}

/// How full the file system of a directory is.
pub(super) fn space(directory: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(Space { total: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
}

/// A file of the spool, being written. Its room is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Spooled {
    file: Arc<File>,
    room: Room,
    limit: u64,
}

impl Spooled {
    /// The file itself, to be read below what was written.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Makes sure that there is room for `length` bytes in all.
    pub(super) fn has_room(&self, length: u64) -> bool {
        let bytes = self.room.bytes.load(Ordering::Relaxed);
        length <= bytes || self.room.extend((length - bytes).max(STEP), self.limit)
    }
}

/// Bytes of the spool that are spoken for.
#[derive(Debug)]
struct Room {
    spool: Spool,
    bytes: AtomicU64,
}

impl Room {
    fn extend(&self, more: u64, limit: u64) -> bool {
        let reserved =
            self.spool.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                reserved.checked_add(more).filter(|sum| *sum <= limit)
            });
        let Ok(before) = reserved else { return false };
        self.bytes.fetch_add(more, Ordering::Relaxed);
        self.spool.metrics.spool(before + more);
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        let before = self.spool.reserved.fetch_sub(bytes, Ordering::Relaxed);
        self.spool.metrics.spool(before - bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_failed_is_left_alone_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path().to_owned(), Metrics::new()).unwrap();
        let create = || spool.create(Some(10), 100).unwrap();
        assert!(matches!(create(), Created::File(_)));
        spool.rest();
        assert!(matches!(create(), Created::NoRoom));
        tokio::time::advance(REST).await;
        assert!(matches!(create(), Created::File(_)));
    }

    #[test]
    fn what_lacks_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path().to_owned(), Metrics::new()).unwrap();
        assert!(matches!(spool.create(Some(101), 100).unwrap(), Created::NoRoom));
        let huge = Some(u64::MAX / 2);
        assert!(matches!(spool.create(huge, u64::MAX).unwrap(), Created::NoDisk));
        // What was not had is not held.
        assert!(matches!(spool.create(Some(100), 100).unwrap(), Created::File(_)));
    }
}
