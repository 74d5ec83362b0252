//! One blob on its way to this node, and any number of readers. The filling is a task of the
//! engine that no client owns: one that hangs up stops nothing, one that is slow slows nobody.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, OnceLock},
};

use tokio::sync::watch;

use super::{answer::Refusal, lock, spool::Spooled};
use crate::{oci::Name, store::Key};

/// How far a flight is, for its readers.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// Nothing is known yet.
    Opening,
    /// This many bytes can be read, of a length that may be known already.
    Filling {
        /// Bytes in the file.
        written: u64,
        /// The blob's length.
        total: Option<u64>,
    },
    /// All of it is in the file, and is what the digest says.
    Verified {
        /// The blob's length.
        total: u64,
    },
    /// It cannot be had.
    Failed(Failure),
}

/// Why a flight ended without its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This is the answer for whoever asked.
    Refused(Refusal),
    /// There is no room for it on this node: it has to be streamed through.
    NoRoom,
    /// What was kept of it is wrong, and is passed over from now on: whoever has nothing of it yet
    /// may ask again.
    Spoilt {
        /// What was found, in a sentence.
        why: &'static str,
    },
}

impl Failure {
    pub(super) fn upstream(why: impl Into<Arc<str>>) -> Self {
        Self::Refused(Refusal::Upstream { why: why.into() })
    }
}

/// What a reader holds on to: the file, and the disk that is spoken for while it has no name.
#[derive(Debug)]
pub(super) struct Aboard {
    pub(super) file: Arc<File>,
    /// None for a file that the store has kept already.
    pub(super) spooled: Option<Spooled>,
}

/// Where the bytes came from, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Disk,
    Bucket,
    Upstream,
}

/// A flight as its readers see it.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// The repository it was begun for, on whose behalf the upstream is asked.
    pub(super) name: Name,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) aboard: Arc<OnceLock<Arc<Aboard>>>,
    pub(super) from: Arc<OnceLock<From>>,
}

/// A flight as the table keeps it: something that can be boarded, without being aboard itself.
#[derive(Debug)]
struct Entry {
    name: Name,
    progress: watch::Sender<Progress>,
    aboard: Arc<OnceLock<Arc<Aboard>>>,
    from: Arc<OnceLock<From>>,
}

impl Entry {
    fn board(&self) -> Flight {
        Flight {
            name: self.name.clone(),
            progress: self.progress.subscribe(),
            aboard: self.aboard.clone(),
            from: self.from.clone(),
        }
    }
}

/// A flight as the filling task sees it. Dropped without a verdict, it has failed; it leaves the
/// table when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Pilot {
    pub(super) key: Key,
    pub(super) name: Name,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) aboard: Arc<OnceLock<Arc<Aboard>>>,
    pub(super) from: Arc<OnceLock<From>>,
    table: Arc<Mutex<HashMap<Key, Entry>>>,
}

impl Pilot {
    /// Leaves the table: whoever comes from now on begins a flight of his own.
    pub(super) fn leave(&self) {
        let mut table = lock(&self.table);
        // A flight for another repository may have taken the place meanwhile.
        if table.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.aboard, &self.aboard)) {
            table.remove(&self.key);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.leave();
        self.progress.send_if_modified(|progress| {
            let over = matches!(progress, Progress::Verified { .. } | Progress::Failed(_));
            if !over {
                *progress = Progress::Failed(Failure::upstream("the fetch was given up"));
            }
            !over
        });
    }
}

/// The flights under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    table: Arc<Mutex<HashMap<Key, Entry>>>,
}

impl Flights {
    /// The flight for `key` that is under way, or a new one together with the duty to fill it. One
    /// that failed is no longer under way for a repository other than its own, since it may have
    /// failed for that repository's sake.
    pub(super) fn board(&self, key: &Key, name: &Name) -> (Flight, Option<Pilot>) {
        let mut table = lock(&self.table);
        if let Some(entry) = table.get(key) {
            let failed = matches!(&*entry.progress.borrow(), Progress::Failed(_));
            if !failed || entry.name == *name {
                return (entry.board(), None);
            }
        }
        let pilot = Pilot {
            key: key.clone(),
            name: name.clone(),
            progress: watch::Sender::new(Progress::Opening),
            aboard: Arc::default(),
            from: Arc::default(),
            table: self.table.clone(),
        };
        let entry = Entry {
            name: name.clone(),
            progress: pilot.progress.clone(),
            aboard: pilot.aboard.clone(),
            from: pilot.from.clone(),
        };
        let flight = entry.board();
        table.insert(key.clone(), entry);
        (flight, Some(pilot))
    }

    /// The length of the blob on its way, if it is known.
    pub(super) fn length(&self, key: &Key) -> Option<u64> {
        match &*lock(&self.table).get(key)?.progress.borrow() {
            Progress::Filling { total, .. } => *total,
            Progress::Verified { total } => Some(*total),
            Progress::Opening | Progress::Failed(_) => None,
        }
    }
}

impl Flight {
    /// Waits until the whole length is known.
    ///
    /// # Errors
    /// The flight failed before it was.
    pub(super) async fn length(&mut self) -> Result<u64, Failure> {
        let known = |progress: &Progress| {
            !matches!(progress, Progress::Opening | Progress::Filling { total: None, .. })
        };
        match self.progress.wait_for(known).await.as_deref() {
            Ok(Progress::Filling { total: Some(total), .. } | Progress::Verified { total }) => {
                Ok(*total)
            }
            Ok(Progress::Failed(failure)) => Err(failure.clone()),
            Ok(_) | Err(_) => Err(Failure::upstream("the fetch ended without a result")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oci::Digest, store::Area};

    #[test]
    fn what_left_is_boarded_by_nobody_and_takes_no_place_of_another() {
        let flights = Flights::default();
        let key = Key { area: Area::Public, digest: Digest::sha256(b"") };
        let name = "acme/app".parse().unwrap();
        let (_, first) = flights.board(&key, &name);
        assert!(flights.board(&key, &name).1.is_none(), "two fill it");
        let first = first.unwrap();
        first.leave();
        let (mut flight, second) = flights.board(&key, &name);
        second.unwrap().progress.send_replace(Progress::Verified { total: 1 });
        first.progress.send_replace(Progress::Failed(Failure::NoRoom));
        assert!(matches!(*flight.progress.borrow_and_update(), Progress::Verified { total: 1 }));
    }

    #[test]
    fn one_that_leaves_late_leaves_its_successor_alone() {
        let flights = Flights::default();
        let key = Key { area: Area::Public, digest: Digest::sha256(b"") };
        let name = "acme/app".parse().unwrap();
        let first = flights.board(&key, &name).1.unwrap();
        first.leave();
        let _second = flights.board(&key, &name).1.unwrap();
        drop(first);
        assert!(flights.board(&key, &name).1.is_none(), "the second lost its place");
    }
}
