//! Keeping what was fetched: on this node's disk, and in the shared store, at once or when it is
//! back. A store that fails costs its use, never a pull.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep},
};

use super::{copies::Copies, lock};
use crate::{
    store::{Abilities, Body, Finding, Found, Info, Key, Meta, Payload, Put, Store, StoreError},
    telemetry::Metrics,
};

mod far;
mod mend;
mod noted;
mod tenancy;
mod trial;

pub(super) use far::Outside;
use far::Spoilt;
pub(super) use noted::Noted;

/// How long after a failed upload the next is tried: the first and the longest pause.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How much content may wait for the shared store; what comes on top is only kept on the disk.
const PENDING: usize = 100_000;

/// The two stores as one.
#[derive(Clone)]
pub(super) struct Keeper {
    near: Option<Copies>,
    far: Arc<dyn Store>,
    metrics: Metrics,
    engine: Handle,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Content of the shared store that is of no use, and is to be replaced when it is had again.
    spoilt: Spoilt,
    /// Held while such content is removed, lest what replaces it go with it.
    removing: tokio::sync::Mutex<()>,
    /// Until when the shared store is not read, and why.
    down: Mutex<Option<(Instant, String)>>,
    /// Why the last write failed, if it did.
    refused: Mutex<Option<String>>,
    /// Reason for which the last write of a record was refused, if it was.
    refused_record: Mutex<Option<String>>,
    /// Reason for which the shared store is not used for content: a registry hosts images there.
    hosted: Mutex<Option<StoreError>>,
    /// Reason for which that could not be told, as reported last.
    unexamined: Mutex<Option<String>>,
    /// What was last seen that may keep the shared store from encrypting.
    key: Mutex<Option<String>>,
    /// Whether something is left to do about the place where the shared store keeps things.
    unfinished: AtomicBool,
    /// What the shared store has yet to take, in the order in which it is tried.
    pending: Mutex<VecDeque<(Key, Meta)>>,
    wake: Notify,
    /// What was said of the place where the shared store keeps things.
    told: Mutex<Vec<Finding>>,
    /// What the last trial of the shared store that succeeded showed.
    abilities: Mutex<Option<Abilities>>,
    /// Held by who tries it; when the last trial failed, and why.
    trying: tokio::sync::Mutex<Option<(Instant, StoreError)>>,
}

/// Where something was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) near: bool,
    pub(super) far: bool,
}

impl Keeper {
    /// A keeper, with its retrying begun on `engine`, where it goes on for as long as that runs.
    pub(super) fn new(
        near: Option<Copies>,
        far: Arc<dyn Store>,
        metrics: Metrics,
        engine: &Handle,
    ) -> Self {
        let keeper = Self { near, far, metrics, engine: engine.clone(), shared: Arc::default() };
        let retrying = keeper.clone();
        engine.spawn(async move {
            loop {
                retrying.shared.wake.notified().await;
                sleep(RETRY.0).await;
                retrying.upload_pending().await;
            }
        });
        keeper
    }

    /// Whether there are to be copies on a disk in front of the shared store.
    pub(super) fn has_near(&self) -> bool {
        self.near.as_ref().is_some_and(Copies::are_wanted)
    }

    /// Whether content of that size may be copied to this node's disk.
    pub(super) fn fits_near(&self, size: u64) -> bool {
        self.near.as_ref().is_some_and(|near| near.fit(size))
    }

    /// Sees to it that the copies stay within their bounds.
    pub(super) async fn tidy(&self) {
        if let Some(near) = &self.near {
            near.tidy(&self.pinned()).await;
        }
    }

    /// What is on the disk and not in the shared store yet.
    fn pinned(&self) -> HashSet<Key> {
        lock(&self.shared.pending).iter().map(|(key, _)| key.clone()).collect()
    }

    /// Content on this node's disk that can be served at once; none also if it has yet to be hashed
    /// and that takes a while.
    pub(super) async fn near_ready(&self, key: &Key) -> Option<Found> {
        self.near.as_ref()?.ready(key).await
    }

    /// Content on this node's disk as it lies there, and whether it is known to be right.
    pub(super) async fn near_open(&self, key: &Key) -> Option<(Found, bool)> {
        self.near.as_ref()?.open(key).await
    }

    /// Content on this node's disk was hashed by the caller.
    pub(super) async fn near_checked(&self, key: &Key, size: u64, is_right: bool) {
        if let Some(near) = &self.near {
            near.checked(key, size, is_right).await;
        }
    }

    /// Makes room on the disk for a body of that many bytes, if it lacks and copies can go.
    pub(super) async fn give_way(&self, bytes: u64) -> bool {
        match &self.near {
            Some(near) => near.give_way(bytes, &self.pinned()).await,
            None => false,
        }
    }

    /// A file of `key` could not be read to its end: it is looked at before it is served again, or
    /// is gone if there is another place to have it from.
    pub(super) fn distrust(&self, key: &Key) {
        match &self.near {
            Some(near) => near.doubt(key),
            None => {
                let (keeper, key) = (self.clone(), key.clone());
                self.engine.spawn(async move { keeper.forget(&key).await });
            }
        }
    }

    /// Content on this node's disk, hashed if it has not been yet.
    pub(super) async fn near(&self, key: &Key) -> Option<Found> {
        self.near.as_ref()?.get(key).await
    }

    /// What is known of content on this node's disk.
    pub(super) async fn near_info(&self, key: &Key) -> Option<Info> {
        self.near.as_ref()?.info(key).await
    }

    /// Keeps a verified payload: on the disk if it fits there, and in the shared store if it is
    /// `new` to it.
    pub(super) async fn keep(&self, key: &Key, payload: &Payload, meta: &Meta, new: bool) -> Kept {
        let near = match &self.near {
            Some(near) => near.keep(key, payload.clone(), meta, &self.pinned()).await,
            None => false,
        };
        if !new {
            return Kept { near, far: true };
        }
        let far = match self.upload(key, payload.clone(), meta).await {
            Ok(_) => true,
            // Said once, and no reason to try again with each copy.
            Err(StoreError::Hosted { .. }) => false,
            Err(error) => {
                let hint = error.hint();
                tracing::warn!(%error, hint, digest = %key.digest, "the shared store does not take it");
                if near {
                    self.postpone(key, meta);
                }
                false
            }
        };
        Kept { near, far }
    }

    async fn upload(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        self.was_tried().await?;
        let put = match self.shared.spoilt.has(key) {
            true => self.replace_damaged(key, payload, meta).await,
            false => self.far.put(key, payload, meta).await,
        };
        match &put {
            Err(error @ StoreError::Hosted { .. }) => self.note_hosted(Some(error)),
            put => self.note_write(put.as_ref().err()),
        }
        put
    }

    /// Notes for `/readyz` and the metrics how a write of content ended.
    fn note_write(&self, error: Option<&StoreError>) {
        *lock(&self.shared.refused) = error.map(ToString::to_string);
        self.count_refusals();
    }

    /// Notes how the write of a record ended. Only that of another takes it back: content may be
    /// taken all the same.
    fn note_record(&self, error: Option<&StoreError>) {
        let why = error.map(|error| format!("records cannot be written: {error}"));
        let before = std::mem::replace(&mut *lock(&self.shared.refused_record), why);
        if let (Some(error), None) = (error, before) {
            tracing::warn!(%error, hint = error.hint(), "records cannot be written to the bucket");
        }
        self.count_refusals();
    }

    /// Returns true if the last record was refused.
    pub(in crate::mirror) fn refuses_records(&self) -> bool {
        lock(&self.shared.refused_record).is_some()
    }

    fn count_refusals(&self) {
        let is_refused = |why: &Mutex<Option<String>>| lock(why).is_some();
        let Shared { refused, refused_record, hosted, .. } = &*self.shared;
        let refuses = is_refused(refused) || is_refused(refused_record) || lock(hosted).is_some();
        self.metrics.store_refuses(refuses);
    }

    fn postpone(&self, key: &Key, meta: &Meta) {
        let mut pending = lock(&self.shared.pending);
        if pending.len() < PENDING {
            pending.push_back((key.clone(), meta.clone()));
        }
        self.metrics.pending_uploads(pending.len() as u64);
        drop(pending);
        self.shared.wake.notify_one();
    }

    /// Uploads what is pending, one after the other, with growing pauses while the store refuses.
    /// What is refused goes to the end, so that one thing that is never taken stops no other.
    async fn upload_pending(&self) {
        let mut pause = RETRY.0;
        loop {
            let next = lock(&self.shared.pending).front().cloned();
            let Some((key, meta)) = next else { return };
            let done = self.upload_again(&key, &meta).await;
            self.was_offered(done);
            if done {
                pause = RETRY.0;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }

    /// Takes the first of what is pending away, or to the end if it is to be tried again.
    fn was_offered(&self, done: bool) {
        let mut pending = lock(&self.shared.pending);
        if let Some(tried) = pending.pop_front()
            && !done
        {
            pending.push_back(tried);
        }
        self.metrics.pending_uploads(pending.len() as u64);
    }

    /// Whether nothing more is to be done: the shared store has it now, or the node no longer has.
    async fn upload_again(&self, key: &Key, meta: &Meta) -> bool {
        let Some(found) = self.near(key).await else { return true };
        let Body::File(file, range) = found.body else { return true };
        let payload = Payload::File { file, len: range.end };
        let put = self.upload(key, payload, meta).await;
        matches!(put, Ok(_) | Err(StoreError::Hosted { .. }))
    }

    /// How many bytes the copies on this node's disk take.
    pub(super) fn copies_bytes(&self) -> u64 {
        self.near.as_ref().map_or(0, Copies::bytes)
    }

    /// Takes content away from this node's disk.
    pub(super) async fn drop_near(&self, key: &Key) -> Result<(), StoreError> {
        match &self.near {
            Some(near) => near.forget(key).await,
            None => Ok(()),
        }
    }

    /// Takes content away, here and from the shared store.
    pub(super) async fn drop(&self, key: &Key) -> Result<(), StoreError> {
        let near = self.drop_near(key).await;
        self.far.remove(std::slice::from_ref(key)).await?;
        near
    }

    /// Forgets a copy on this node's disk that turned out to be wrong.
    pub(super) async fn forget_near(&self, key: &Key) {
        if let Some(near) = &self.near
            && let Err(error) = near.forget(key).await
        {
            tracing::warn!(%error, digest = %key.digest, "a damaged copy cannot be removed");
        }
    }

    /// Content of the shared store may be wrong: it is passed over, and replaced when it is had
    /// again.
    pub(super) fn suspect(&self, key: &Key) {
        self.shared.spoilt.damaged(key);
    }

    /// Forgets content that turned out to be wrong.
    pub(super) async fn forget(&self, key: &Key) {
        self.suspect(key);
        let near = self.drop_near(key).await;
        let far = self.remove_damaged(key).await;
        for error in [near, far].into_iter().filter_map(Result::err) {
            let hint = error.hint();
            tracing::warn!(%error, hint, digest = %key.digest, "damaged content cannot be removed");
        }
    }

    async fn remove_damaged(&self, key: &Key) -> Result<(), StoreError> {
        let _removing = self.shared.removing.lock().await;
        // It may have been replaced meanwhile.
        if self.shared.spoilt.has(key) {
            self.far.remove(std::slice::from_ref(key)).await?;
            self.shared.spoilt.mended(key);
        }
        Ok(())
    }

    async fn replace_damaged(
        &self,
        key: &Key,
        payload: Payload,
        meta: &Meta,
    ) -> Result<Put, StoreError> {
        let _removing = self.shared.removing.lock().await;
        let put = self.far.replace(key, payload, meta).await?;
        self.shared.spoilt.mended(key);
        Ok(put)
    }

    /// Reason for which content cannot be read or written, if that is so.
    fn failing(&self) -> Option<String> {
        let down = lock(&self.shared.down).as_ref().map(|(_, why)| why.clone());
        down.or_else(|| lock(&self.shared.refused).clone())
    }

    /// Why the shared store fails, if it does.
    pub(super) fn trouble(&self) -> Option<String> {
        let hosted = || lock(&self.shared.hosted).as_ref().map(with_hint);
        let record = || lock(&self.shared.refused_record).clone();
        let why = self.failing().or_else(hosted).or_else(record)?;
        Some(match lock(&self.shared.key).as_ref() {
            Some(key) => format!("{why}; {key}"),
            None => why,
        })
    }
}

/// Message of an error, with its hint.
pub(super) fn with_hint(error: &StoreError) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}: {hint}"))
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("near", &self.near)
            .field("far", &self.far)
            .finish_non_exhaustive()
    }
}
