//! Reading the shared store. One that fails is passed over, and so is content that is of no use.

use std::{ops::Range, time::Duration};

use futures_util::StreamExt;
use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout};

use super::{super::lock, Keeper};
use crate::{
    oci::Name,
    store::{Area, Body, Chunks, Found, Info, Key, Link, StoreError},
};

/// How long the shared store may take to begin an answer before the upstream is asked instead.
const DEADLINE: Duration = Duration::from_secs(3);

/// How long the shared store is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(5);

/// How much content of no use is remembered.
const REMEMBERED: usize = 10_000;

/// A range lies outside the content.
#[derive(Clone, Copy, Debug)]
pub(in crate::mirror) struct Outside;

/// Why content is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It has other bytes than its digest says, and could not be removed.
    Damaged,
    /// It cannot be decrypted, or lies in an archive: today.
    Unreadable,
}

/// Content of the shared store that is of no use.
pub(super) struct Spoilt(Cache<Key, Why>);

impl Default for Spoilt {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Spoilt {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.peek(key).is_some()
    }

    pub(super) fn damaged(&self, key: &Key) {
        self.0.insert(key.clone(), Why::Damaged);
    }

    /// What is there now is right.
    pub(super) fn mended(&self, key: &Key) {
        self.0.remove(key);
    }

    fn is_damaged(&self, key: &Key) -> bool {
        self.0.peek(key) == Some(Why::Damaged)
    }
}

impl Keeper {
    /// Content in the shared store, or a range of it, whoever wrote it; none also where the store
    /// fails or does not answer in time.
    ///
    /// # Errors
    /// The range lies outside the content.
    pub(in crate::mirror) async fn far_range(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<Option<Found>, Outside> {
        if !self.may_read(key) {
            return Ok(None);
        }
        let answer = timeout(DEADLINE, self.far.get(key, range)).await;
        match answer {
            Ok(Err(StoreError::OutOfRange { .. })) => Err(Outside),
            // S3 says so also where KMS does not let us decrypt it, as long as its key is there.
            Ok(Err(error @ StoreError::Denied { .. }))
                if !error.is_of_content() && self.is_seen(key).await =>
            {
                self.is_unreadable(key, &error);
                Ok(None)
            }
            answer => Ok(self.settle("get", key, answer)),
        }
    }

    /// Whether the store lets us see what there is, though perhaps not what is in it.
    async fn is_seen(&self, key: &Key) -> bool {
        matches!(timeout(DEADLINE, self.far.head(key)).await, Ok(Ok(Some(_))))
    }

    /// The rest of a body that broke off, for a caller who hashes it, or to whom it was said to be
    /// right. The store has another chance, whatever is said of it.
    pub(in crate::mirror) async fn far_rest(&self, key: &Key, rest: Range<u64>) -> Option<Chunks> {
        let answer = timeout(DEADLINE, self.far.get(key, Some(rest))).await;
        match self.settle("get", key, answer)?.body {
            Body::Stream(chunks) => Some(chunks),
            Body::File(..) => None,
        }
    }

    /// All of the content for the repository `name`, which is public, if it is content that anyone
    /// may have: also what `registry:2` put there and says is of that repository. Nobody has hashed
    /// that; the caller does, before anybody has the end of it.
    pub(in crate::mirror) async fn far_of(&self, key: &Key, name: &Name) -> Option<Found> {
        let found = self.far_range(key, None).await.ok().flatten()?;
        (found.info.meta.verified || self.belongs(key, name).await).then_some(found)
    }

    /// What is known of content that this mirror wrote.
    pub(in crate::mirror) async fn far_info(&self, key: &Key) -> Option<Info> {
        self.far_seen(key).await.filter(|info| info.meta.verified)
    }

    /// What is known of content that this mirror wrote, and that the store can give as well.
    pub(in crate::mirror) async fn far_readable(&self, key: &Key) -> Option<Info> {
        let found = self.far_range(key, Some(0..1)).await.ok().flatten()?;
        if let Body::Stream(mut chunks) = found.body {
            let first = timeout(DEADLINE, chunks.next()).await;
            first.ok()?.is_none_or(|first| first.is_ok()).then_some(())?;
        }
        Some(found.info).filter(|info| info.meta.verified)
    }

    /// What is known of content on the terms of [`Self::far_of`].
    pub(in crate::mirror) async fn far_info_of(&self, key: &Key, name: &Name) -> Option<Info> {
        let info = self.far_seen(key).await?;
        (info.meta.verified || self.belongs(key, name).await).then_some(info)
    }

    async fn far_seen(&self, key: &Key) -> Option<Info> {
        if !self.may_read(key) {
            return None;
        }
        let answer = timeout(DEADLINE, self.far.head(key)).await;
        self.settle("head", key, answer)
    }

    /// Whether what nobody has hashed is of the repository `name`, which is public.
    pub(in crate::mirror) async fn belongs(&self, key: &Key, name: &Name) -> bool {
        key.area == Area::Public
            && matches!(timeout(DEADLINE, self.far.belongs(name, &key.digest)).await, Ok(Ok(true)))
    }

    /// An address of the shared store from which a client may read content that is there as `info`
    /// says. None for what the client might not get: what lies under another key than what is
    /// written now, which may be gone, and anything while the store refuses writes, as it does when
    /// its key is disabled.
    pub(in crate::mirror) async fn link(&self, key: &Key, info: &Info) -> Option<Link> {
        // How it would be written now is known once the store was tried.
        let is_like_new = lock(&self.shared.abilities).as_ref().is_some_and(|abilities| {
            let both = info.encryption.as_ref().zip(abilities.encryption.as_ref());
            both.is_none_or(|(is, now)| is.is_like(now))
        });
        if !is_like_new || lock(&self.shared.refused).is_some() || self.shared.spoilt.has(key) {
            return None;
        }
        self.far.link(key).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "no address of the bucket can be made, so the node serves it");
            None
        })
    }

    /// The shared store broke off in the midst of a body, and again.
    pub(in crate::mirror) fn broke_off(&self) {
        self.leave_alone("the store broke off in the midst of a body".into());
    }

    fn may_read(&self, key: &Key) -> bool {
        !self.shared.spoilt.is_damaged(key)
            && lock(&self.shared.down).as_ref().is_none_or(|(until, _)| Instant::now() >= *until)
    }

    fn settle<T>(
        &self,
        operation: &'static str,
        key: &Key,
        answer: Result<Result<Option<T>, StoreError>, tokio::time::error::Elapsed>,
    ) -> Option<T> {
        let why = match answer {
            Ok(Ok(answer)) => {
                lock(&self.shared.down).take();
                return answer;
            }
            Ok(Err(error)) if error.is_of_content() => {
                self.is_unreadable(key, &error);
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store did not answer `{operation}` in time"),
        };
        self.leave_alone(why);
        None
    }

    fn is_unreadable(&self, key: &Key, error: &StoreError) {
        let hint = error.hint();
        let digest = &key.digest;
        tracing::warn!(%error, hint, %digest, "the shared store has it and cannot give it");
        self.shared.spoilt.0.insert(key.clone(), Why::Unreadable);
    }

    fn leave_alone(&self, why: String) {
        tracing::warn!(why, "the shared store cannot be read, so the upstream is asked");
        *lock(&self.shared.down) = Some((Instant::now() + PAUSE, why));
    }
}
