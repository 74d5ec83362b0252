//! Copies on this node's disk, in front of the shared store: as many as fit, and the least recently
//! used go first. A disk that is full or fails costs the copies, never a pull.

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::{lock, once::Once};
use crate::{
    oci::{Algorithm, Digest, Hasher},
    settings::Settings,
    store::{
        Area, Body, Found, Info, Key, Listed, Meta, Page, Payload, Put, Shard, Store, StoreError,
    },
    telemetry::Metrics,
};

mod index;
#[cfg(test)]
mod tests;

use index::Index;

/// Free disk that the copies leave to others: this many bytes, or a twentieth of a small disk.
const RESERVE: (u64, u64) = (1 << 30, 20);

/// Bytes of a copy that are hashed at a time.
const STEP: usize = 1 << 20;

/// The largest copy that is hashed as a whole before its first byte is served. More than that takes
/// longer than a client waits on a slow disk.
const AT_ONCE: u64 = 16 << 20;

/// A file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) total: u64,
    pub(super) free: u64,
}

/// What tells how full the disk is; none where nobody knows.
pub(super) type Measure = Box<dyn Fn() -> Option<Space> + Send + Sync>;

/// The copies. Cheap to clone.
#[derive(Clone)]
pub(super) struct Copies {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    settings: Arc<ArcSwap<Settings>>,
    measure: Measure,
    metrics: Metrics,
    engine: Handle,
    index: Mutex<Index>,
    checks: Once<Key, bool>,
    /// Held while copies go: two who make room at a time would each see the same lack, and take
    /// twice as much; one who counts meanwhile would count what he saw before it went.
    clearing: tokio::sync::Mutex<()>,
}

impl Copies {
    /// The copies that `store` keeps, counted in the background from now on. Until that is done
    /// they are served and more are taken, and the bounds may be exceeded.
    pub(super) fn new(
        store: Arc<dyn Store>,
        settings: Arc<ArcSwap<Settings>>,
        measure: Measure,
        metrics: Metrics,
        engine: Handle,
    ) -> Self {
        let index = Mutex::default();
        let checks = Once::new();
        let clearing = tokio::sync::Mutex::default();
        let inner = Inner {
            store,
            settings,
            measure,
            metrics,
            engine: engine.clone(),
            index,
            checks,
            clearing,
        };
        let copies = Self { inner: Arc::new(inner) };
        let counting = copies.clone();
        engine.spawn(async move {
            if let Err(error) = counting.count().await {
                tracing::warn!(%error, "the copies on the disk cannot all be counted");
            }
            counting.tidy(&HashSet::new()).await;
        });
        copies
    }

    /// How many bytes they may take; read anew each time, as a reload may change it.
    fn limit(&self) -> u64 {
        self.inner.settings.load().local_cache_size.0
    }

    /// Whether there are to be any.
    pub(super) fn are_wanted(&self) -> bool {
        self.limit() > 0
    }

    /// Whether one of this size may be kept.
    pub(super) fn fit(&self, size: u64) -> bool {
        self.are_wanted() && size <= self.limit()
    }

    /// A copy as it lies there, and whether this process has written it, or seen it to be right.
    pub(super) async fn open(&self, key: &Key) -> Option<(Found, bool)> {
        let found = match self.inner.store.get(key, None).await {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%error, "a copy on the disk cannot be read");
                return None;
            }
        };
        let is_checked = lock(&self.inner.index).touch(key, found.info.size);
        Some((found, is_checked))
    }

    /// A copy, opened. One that this process has not written or seen before is hashed first, so
    /// that what a disk spoilt while nobody looked is served to nobody.
    pub(super) async fn get(&self, key: &Key) -> Option<Found> {
        let opened = self.open(key).await?;
        self.hashed(key, opened).await
    }

    /// The same for somebody who waits: none also if it has yet to be hashed and is large.
    pub(super) async fn ready(&self, key: &Key) -> Option<Found> {
        let (found, is_checked) = self.open(key).await?;
        if !is_checked && found.info.size > AT_ONCE {
            return None;
        }
        self.hashed(key, (found, is_checked)).await
    }

    async fn hashed(&self, key: &Key, (found, is_checked): (Found, bool)) -> Option<Found> {
        let Body::File(file, range) = &found.body else { return Some(found) };
        if is_checked {
            return Some(found);
        }
        let (file, length) = (file.clone(), range.end);
        self.is_right(key, file, length).await.then_some(found)
    }

    /// A copy could not be read to its end: it is hashed before it is served again.
    pub(super) fn doubt(&self, key: &Key) {
        lock(&self.inner.index).doubt(key);
    }

    /// A copy was hashed; if it is not right, it goes.
    pub(super) async fn checked(&self, key: &Key, size: u64, is_right: bool) {
        if is_right {
            lock(&self.inner.index).check(key, size);
            return;
        }
        tracing::error!(digest = %key.digest, "a copy on the disk is damaged and is dropped");
        self.inner.metrics.mismatch();
        if let Err(error) = self.forget(key).await {
            tracing::warn!(%error, "a damaged copy cannot be removed");
        }
    }

    /// How many bytes they take.
    pub(super) fn bytes(&self) -> u64 {
        lock(&self.inner.index).bytes()
    }

    /// What is known of a copy.
    pub(super) async fn info(&self, key: &Key) -> Option<Info> {
        self.inner.store.head(key).await.ok().flatten()
    }

    /// Keeps a copy, in the place of others if need be; of those in `pinned` last. False if there
    /// is no room or the disk fails.
    pub(super) async fn keep(
        &self,
        key: &Key,
        payload: Payload,
        meta: &Meta,
        pinned: &HashSet<Key>,
    ) -> bool {
        let size = payload.len();
        if !self.fit(size) {
            return false;
        }
        self.make_room(size, pinned).await;
        if self.lacks() > 0 {
            self.inner.metrics.copy_refused();
            return false;
        }
        match self.inner.store.put(key, payload, meta).await {
            // What lay there already may be damaged, and its removal have failed.
            Ok(put) => {
                lock(&self.inner.index).insert(key, size, put == Put::Stored);
                // Others may have made room at the same time, each for its own.
                if self.bytes() > self.limit() {
                    self.make_room(0, pinned).await;
                }
                self.tell();
                true
            }
            Err(error) => {
                tracing::warn!(%error, digest = %key.digest, "no copy is kept on the disk");
                self.inner.metrics.copy_refused();
                false
            }
        }
    }

    /// Makes room on the disk for `bytes` of something else, at the cost of copies. False if there
    /// is room already or no copy can go.
    pub(super) async fn give_way(&self, bytes: u64, pinned: &HashSet<Key>) -> bool {
        let _clearing = self.inner.clearing.lock().await;
        let free = (self.inner.measure)().map_or(u64::MAX, |space| space.free);
        let lack = bytes.saturating_sub(free);
        let gone = {
            let mut index = lock(&self.inner.index);
            let left = index.bytes().checked_sub(lack).filter(|_| lack > 0);
            left.map(|left| index.shrink(left, pinned)).unwrap_or_default()
        };
        self.evict(&gone).await;
        !gone.is_empty()
    }

    /// Takes a copy away.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), StoreError> {
        let _clearing = self.inner.clearing.lock().await;
        lock(&self.inner.index).remove(key);
        self.tell();
        Ok(self.inner.store.remove(std::slice::from_ref(key)).await?)
    }

    /// Sees to it that the bounds hold, which may have changed, as the disk's room may.
    pub(super) async fn tidy(&self, pinned: &HashSet<Key>) {
        self.make_room(0, pinned).await;
        self.tell();
    }

    async fn make_room(&self, size: u64, pinned: &HashSet<Key>) {
        let _clearing = self.inner.clearing.lock().await;
        let limit = self.limit();
        let gone = {
            let mut index = lock(&self.inner.index);
            let room = index.bytes().saturating_sub(self.lacks());
            index.shrink(limit.saturating_sub(size).min(room), pinned)
        };
        self.evict(&gone).await;
    }

    async fn evict(&self, gone: &[Key]) {
        if gone.is_empty() {
            return;
        }
        self.inner.metrics.copies_evicted(gone.len() as u64);
        if let Err(error) = self.inner.store.remove(gone).await {
            tracing::warn!(%error, "copies on the disk cannot be removed");
        }
    }

    /// How many bytes of the disk are taken that should be left to others.
    fn lacks(&self) -> u64 {
        let Some(Space { total, free }) = (self.inner.measure)() else { return 0 };
        RESERVE.0.min(total / RESERVE.1).saturating_sub(free)
    }

    fn tell(&self) {
        self.inner.metrics.copies(lock(&self.inner.index).bytes());
    }

    /// Whether the bytes are those of the digest; if not, the copy is gone. Several who ask at once
    /// wait for one answer.
    async fn is_right(&self, key: &Key, file: Arc<File>, length: u64) -> bool {
        let wanted = key.digest;
        let (this, engine) = (self.clone(), self.inner.engine.clone());
        let asked = key.clone();
        let check = move || async move {
            let hash = move || hash(&file, length, wanted.algorithm());
            let is_right = match this.inner.engine.spawn_blocking(hash).await {
                Ok(Ok(hashed)) => hashed == wanted,
                _ => false,
            };
            this.checked(&asked, length, is_right).await;
            is_right
        };
        self.inner.checks.ask(&engine, key.clone(), check).await.0 == Some(true)
    }

    /// Counts what is there. A directory that cannot be read is passed over.
    ///
    /// # Errors
    /// The last of those that could not be read.
    async fn count(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let mut result = Ok(());
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for first in 0..=u8::MAX {
                let shard = Shard { algorithm, first };
                let mut from = None;
                loop {
                    match self.found(store.list(&Area::Public, shard, from)).await {
                        Ok(Some(next)) => from = Some(next),
                        Ok(None) => break,
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                }
            }
        }
        let mut from = None;
        loop {
            match self.found(store.list_private(from)).await? {
                Some(next) => from = Some(next),
                None => return result,
            }
        }
    }

    /// Takes in a page, while nothing on it goes; the start of the next one, if there is one.
    async fn found(
        &self,
        listing: impl Future<Output = Result<Page<Listed>, StoreError>>,
    ) -> Result<Option<String>, StoreError> {
        let _clearing = self.inner.clearing.lock().await;
        let page = listing.await?;
        let too_many = {
            let mut index = lock(&self.inner.index);
            page.entries.iter().for_each(|listed| index.find(listed));
            index.surplus()
        };
        if !too_many.is_empty()
            && let Err(error) = self.inner.store.remove(&too_many).await
        {
            tracing::warn!(%error, "copies on the disk cannot be removed");
        }
        Ok(page.next)
    }
}

pub(super) fn hash(file: &File, length: u64, algorithm: Algorithm) -> io::Result<Digest> {
    hash_with(file, length, algorithm, |_| {})
}

/// Hashes the first `length` bytes of a file, and tells how many it has read each time.
pub(super) fn hash_with(
    file: &File,
    length: u64,
    algorithm: Algorithm,
    tell: impl Fn(u64),
) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut bytes = vec![0; STEP];
    let mut at = 0;
    while at < length {
        let step = usize::try_from(length - at).map_or(STEP, |left| left.min(STEP));
        let Some(piece) = bytes.get_mut(..step) else { break };
        file.read_exact_at(piece, at)?;
        hasher.update(piece);
        at += step as u64;
        tell(at);
    }
    Ok(hasher.finish())
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("store", &self.inner.store).finish_non_exhaustive()
    }
}
