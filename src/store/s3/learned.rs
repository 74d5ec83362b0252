//! Abilities of a store that differ from AWS's, as its answers showed them: which checksums it takes,
//! how it removes, whether it knows conditional writes. Held in memory only: a record would outlive its truth. A trial of the store
//! begins anew; in between, a refusal makes the other ways be tried, at most once in a while.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{lock, sums::Sums};

/// Time after all ways were refused until they are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Way to remove several objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Removal {
    /// DeleteObjects with `x-amz-checksum-crc32`, as AWS takes it.
    #[default]
    Batch,
    /// DeleteObjects with `Content-MD5` alone.
    BatchByMd5,
    /// A DeleteObject for each.
    OneByOne,
}

impl Removal {
    /// All ways, in the order in which they are tried.
    pub(super) const ALL: [Self; 3] = [Self::Batch, Self::BatchByMd5, Self::OneByOne];

    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "DeleteObjects",
            Self::BatchByMd5 => "DeleteObjects with Content-MD5",
            Self::OneByOne => "DeleteObject",
        }
    }
}

/// Knowledge of one ability.
#[derive(Debug, Default)]
struct Ability<T> {
    now: T,
    /// Seen to work once in place of that. The second time it is taken: one refusal may pass.
    seen: Option<T>,
    /// Reported last; none before the first report.
    reported: Option<T>,
    /// Time at which all ways were refused.
    refused: Option<Instant>,
}

/// Knowledge of a store.
#[derive(Debug, Default)]
pub(super) struct Learned {
    sums: Mutex<Ability<Sums>>,
    removal: Mutex<Ability<Removal>>,
    /// True if the store said that it knows no conditional writes.
    unconditional: AtomicBool,
    /// True if writes must name the bucket's default encryption, as a policy demands.
    names_default: AtomicBool,
    /// Time of the last question, and the answer: true if that default is `AES256`.
    default: Mutex<Option<(Instant, bool)>>,
}

impl Learned {
    /// Forgets everything, for a trial of the store.
    pub(super) fn forget(&self) {
        lock(&self.sums).begin();
        lock(&self.removal).begin();
        self.unconditional.store(false, Ordering::Relaxed);
        self.names_default.store(false, Ordering::Relaxed);
        lock(&self.default).take();
    }

    /// Returns true if conditional writes are worth sending.
    pub(super) fn is_conditional(&self) -> bool {
        !self.unconditional.load(Ordering::Relaxed)
    }

    /// Notes that a write went through without a condition that did not with one.
    pub(super) fn found_unconditional(&self) {
        self.unconditional.store(true, Ordering::Relaxed);
    }

    /// Kind of checksum that goes with the next write.
    pub(super) fn sums(&self) -> Sums {
        lock(&self.sums).now
    }

    /// Kinds of checksum to try in place of `refused`; none where all were refused a moment ago.
    pub(super) fn other_sums(&self, refused: Sums) -> impl Iterator<Item = Sums> + use<> {
        others(&lock(&self.sums), Sums::ALL, refused)
    }

    /// Notes that the store took a write with this kind of checksum.
    pub(super) fn took(&self, sums: Sums) {
        if lock(&self.sums).learn(sums) {
            let checksums = sums.name();
            tracing::info!(
                checksums,
                "the store takes other checksums than AWS; content is hashed all the same"
            );
        }
    }

    /// Notes that the store refused a write with every kind of checksum.
    pub(super) fn refused_all_sums(&self) {
        lock(&self.sums).refused = Some(Instant::now());
    }

    /// Way in which objects are removed.
    pub(super) fn removal(&self) -> Removal {
        lock(&self.removal).now
    }

    /// Ways to try in place of `refused`; none where all were refused a moment ago.
    pub(super) fn other_removals(&self, refused: Removal) -> impl Iterator<Item = Removal> + use<> {
        others(&lock(&self.removal), Removal::ALL, refused)
    }

    /// Notes that the store removed objects in this way.
    pub(super) fn removed_by(&self, removal: Removal) {
        if lock(&self.removal).learn(removal) {
            tracing::info!(way = removal.name(), "the store does not remove as AWS does");
        }
    }

    /// Notes that the store refused to remove in every way.
    pub(super) fn refused_all_removals(&self) {
        lock(&self.removal).refused = Some(Instant::now());
    }

    /// Returns true if writes must name the bucket's default encryption.
    pub(super) fn names_default(&self) -> bool {
        self.names_default.load(Ordering::Relaxed)
    }

    /// Notes that the store took a write that named the default, and denied it without.
    pub(super) fn must_name_default(&self) {
        if !self.names_default.swap(true, Ordering::Relaxed) {
            tracing::info!("a policy demands that writes name the bucket's default, `AES256`");
        }
    }

    /// Returns true if the bucket's default encryption is `AES256`, if that was asked a moment ago.
    pub(super) fn default_is_aes256(&self) -> Option<bool> {
        let known = *lock(&self.default);
        known.filter(|(at, _)| at.elapsed() < TRY_AGAIN).map(|(_, is)| is)
    }

    /// Notes whether it is.
    pub(super) fn found_default(&self, is_aes256: bool) {
        *lock(&self.default) = Some((Instant::now(), is_aes256));
    }
}

impl<T: Copy + Default + PartialEq> Ability<T> {
    fn begin(&mut self) {
        (self.now, self.seen, self.refused) = (T::default(), None, None);
    }

    /// Takes in what the store does; whether that is to be reported: it differs from what was
    /// reported last, which is AWS's way before the first report.
    fn learn(&mut self, now: T) -> bool {
        self.refused = None;
        if self.seen.replace(now) != Some(now) && now != T::default() {
            return false;
        }
        self.now = now;
        self.reported.replace(now).unwrap_or_default() != now
    }
}

fn others<T: Copy + PartialEq, const N: usize>(
    ability: &Ability<T>,
    all: [T; N],
    refused: T,
) -> impl Iterator<Item = T> + use<T, N> {
    let is_late = ability.refused.is_some_and(|at| at.elapsed() < TRY_AGAIN);
    all.into_iter().filter(move |other| !is_late && *other != refused)
}
