//! Copies on this node's disk, in front of the shared store: as many as fit, and the least recently
//! used go first. A disk that is full or fails costs the copies, never a pull.

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use tokio::{runtime::Handle, time::timeout};

use super::{lock, once::Once};
use crate::{
    settings::Settings,
    store::{Body, Found, Info, Key, Meta, Payload, Put, Store, StoreError},
    telemetry::Metrics,
};

mod count;
mod hash;
mod index;
#[cfg(test)]
mod tests;

pub(super) use hash::{hash, hash_with};
use index::Index;

/// Free disk that the copies leave to others: this many bytes, or a twentieth of a small disk.
const RESERVE: (u64, u64) = (1 << 30, 20);

/// The largest copy that is hashed as a whole before its first byte is served. More than that takes
/// longer than a client waits on a slow disk.
const AT_ONCE: u64 = 16 << 20;

/// How long a pull waits for others to make room, or for room to be made for it, on a disk that
/// hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many damaged copies that cannot be removed are remembered.
const REMEMBERED: usize = 10_000;

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
    /// Held while room is made: two at a time would each see the same lack, and take twice as much.
    clearing: tokio::sync::Mutex<()>,
    /// What lies there still though it was to go. It is passed over.
    stuck: Cache<Key, ()>,
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
            stuck: Cache::new(REMEMBERED),
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
        if self.inner.stuck.peek(key).is_some() {
            return None;
        }
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
            let is_known = lock(&self.inner.index).check(key, size);
            // It has not been counted yet, or has gone while it was hashed.
            if !is_known && self.info(key).await.is_some_and(|info| info.size == size) {
                lock(&self.inner.index).insert(key, size, true);
            }
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
        if self.inner.stuck.peek(key).is_some() {
            return None;
        }
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
        let has_room = timeout(PATIENCE, self.make_room(size, pinned)).await.is_ok();
        if !has_room || self.lacks() > 0 {
            self.inner.metrics.copy_refused();
            return false;
        }
        let put = match self.inner.stuck.peek(key) {
            Some(()) => self.inner.store.replace(key, payload, meta).await,
            None => self.inner.store.put(key, payload, meta).await,
        };
        match put {
            // What lay there already may be damaged.
            Ok(put) => {
                self.inner.stuck.remove(key);
                lock(&self.inner.index).insert(key, size, put == Put::Stored);
                // Others may have made room at the same time, each for its own.
                if self.bytes() > self.limit() {
                    let _ = timeout(PATIENCE, self.make_room(0, pinned)).await;
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

    /// Sees to it that the disk has room for `bytes` of something else, at the cost of copies. False
    /// if it has not, and no copies can go that would make it.
    pub(super) async fn give_way(&self, bytes: u64, pinned: &HashSet<Key>) -> bool {
        timeout(PATIENCE, self.clear(bytes, pinned)).await.unwrap_or(false)
    }

    async fn clear(&self, bytes: u64, pinned: &HashSet<Key>) -> bool {
        let _clearing = self.inner.clearing.lock().await;
        let free = (self.inner.measure)().map_or(u64::MAX, |space| space.free);
        let lack = bytes.saturating_sub(free);
        if lack == 0 {
            return true;
        }
        let gone = {
            let mut index = lock(&self.inner.index);
            let left = index.bytes().checked_sub(lack);
            left.map(|left| index.shrink(left, pinned)).unwrap_or_default()
        };
        self.evict(&gone).await;
        !gone.is_empty()
    }

    /// Takes a copy away. If that fails, it is passed over from now on.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), StoreError> {
        lock(&self.inner.index).remove(key);
        self.tell();
        self.inner.stuck.insert(key.clone(), ());
        self.inner.store.remove(std::slice::from_ref(key)).await?;
        self.inner.stuck.remove(key);
        Ok(())
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
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("store", &self.inner.store).finish_non_exhaustive()
    }
}
