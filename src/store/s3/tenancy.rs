//! Program that the bucket's content belongs to. `registry:2` and GitLab's registry keep the images
//! that they host in the same places as a mirror keeps its content, so that a mirror on such a bucket
//! would clean up the only copy there is.
//!
//! The bucket is a mirror's where a pull-through `registry:2` left its list of what is to expire, or
//! where our own word lies that it is. Otherwise a registry hosts images in it where it holds links
//! of repositories or locks of GitLab's registry, or where something in the place of content does
//! not bear our mark: GitLab's registry with a metadata database keeps no links.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    Inner,
    keys::Keys,
    lock,
    read::Seen,
    write::{Condition, Outcome, Write},
};
use crate::{
    clock::to_unix,
    oci::Algorithm,
    store::{Area, Key, Shard, StoreError, Tenancy},
};

const PUT: &str = "PutObject";
/// Time that a read waits for a look at the bucket.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after a look that failed until a read looks again.
const FAILED_LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Objects in the place of content that are looked at for our mark when a node starts or cleans up.
const SAMPLE_OBJECTS: i32 = 8;
/// Objects that are looked at for our mark at once.
const MAX_HEADS_AT_ONCE: usize = 16;
/// Time for which what was looked at before a removal need not be looked at again.
const MARK_LIFETIME: Duration = Duration::from_secs(60);

/// Knowledge of the bucket's tenancy.
#[derive(Debug, Default)]
pub(super) struct Known {
    found: Mutex<Option<Tenancy>>,
    /// Time of the last look that failed.
    failed: Mutex<Option<Instant>>,
    /// An object in the place of content that did not bear our mark.
    unmarked: Mutex<Option<String>>,
    /// Objects that bore our mark just now, and are about to be removed.
    marked: Mutex<Option<(Instant, HashSet<String>)>>,
    looking: tokio::sync::Mutex<()>,
}

/// Part of the public content that may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    /// Everything.
    All,
    /// Content that bears our mark.
    Marked,
    /// Nothing.
    Nothing,
}

impl Readable {
    /// Returns true if an object that bears our mark, or does not, may be given out.
    pub(super) fn allows(self, is_marked: bool) -> bool {
        self == Self::All || (self == Self::Marked && is_marked)
    }
}

impl Inner {
    /// Returns what may be given out, as was last found. Where nobody can tell, what bears our mark: that
    /// came from a public repository.
    pub(super) async fn readable(&self) -> Readable {
        match self.known_tenancy().await {
            Some(Tenancy::Mirror) => Readable::All,
            Some(Tenancy::Registry { .. }) => Readable::Nothing,
            Some(Tenancy::Unclaimed) | None => Readable::Marked,
        }
    }

    /// Tenancy as it was last found, after a first look; none where nobody can tell.
    pub(super) async fn known_tenancy(&self) -> Option<Tenancy> {
        let known = || lock(&self.tenancy.found).clone();
        if let Some(found) = known() {
            return Some(found);
        }
        let has_failed =
            || lock(&self.tenancy.failed).is_some_and(|at| at.elapsed() < FAILED_LOOK_PAUSE);
        if has_failed() {
            return None;
        }
        let looking = async {
            let _turn = self.tenancy.looking.lock().await;
            match known() {
                None if !has_failed() => self.look_at_tenancy().await.ok(),
                known => known,
            }
        };
        match timeout(LOOK_TIMEOUT, looking).await {
            Ok(found) => found,
            Err(_) => {
                *lock(&self.tenancy.failed) = Some(Instant::now());
                None
            }
        }
    }

    /// Looks whose the content is.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn look_at_tenancy(&self) -> Result<Tenancy, StoreError> {
        let found = self.find_tenant().await;
        self.note_tenancy(&found);
        found
    }

    fn note_tenancy(&self, found: &Result<Tenancy, StoreError>) {
        match found {
            Ok(found) => {
                *lock(&self.tenancy.found) = Some(found.clone());
                lock(&self.tenancy.failed).take();
            }
            Err(_) => *lock(&self.tenancy.failed) = Some(Instant::now()),
        }
    }

    /// Looks whose the content is, with a sample of it.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn examine(&self) -> Result<Tenancy, StoreError> {
        let mut found = self.find_tenant().await;
        if found == Ok(Tenancy::Unclaimed) {
            found = self.unmarked_of_a_sample(&self.keys).await.map(|unmarked| match unmarked {
                Some(key) => self.found_unmarked(&key),
                None => Tenancy::Unclaimed,
            });
        }
        self.note_tenancy(&found);
        found
    }

    /// Returns true if a registry hosts images below another prefix, as far as a sample shows.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn is_registrys(&self, keys: &Keys) -> Result<bool, StoreError> {
        Ok(match self.claim(keys).await? {
            Tenancy::Mirror => false,
            Tenancy::Registry { .. } => true,
            Tenancy::Unclaimed => self.unmarked_of_a_sample(keys).await?.is_some(),
        })
    }

    async fn unmarked_of_a_sample(&self, keys: &Keys) -> Result<Option<String>, StoreError> {
        let sample = self.first_of(keys.public(), SAMPLE_OBJECTS).await?;
        self.first_unmarked(sample).await
    }

    /// Tenancy of what lies below the prefix of `keys`, as far as anything but content shows it.
    async fn claim(&self, keys: &Keys) -> Result<Tenancy, StoreError> {
        let is_mirrors = self.look(&keys.scheduler()).await?.is_some()
            || self.look(&keys.adopted()).await?.is_some();
        if is_mirrors {
            return Ok(Tenancy::Mirror);
        }
        for prefix in [keys.repositories(), keys.lockfiles()] {
            if !self.first_of(prefix.clone(), 1).await?.is_empty() {
                return Ok(hosted(format!("something lies below `{prefix}`")));
            }
        }
        Ok(Tenancy::Unclaimed)
    }

    async fn find_tenant(&self) -> Result<Tenancy, StoreError> {
        let found = self.claim(&self.keys).await?;
        if found == Tenancy::Mirror {
            lock(&self.tenancy.unmarked).take();
        }
        if found != Tenancy::Unclaimed {
            return Ok(found);
        }
        let unmarked = lock(&self.tenancy.unmarked).clone();
        let still = match &unmarked {
            Some(key) => self.look(key).await?.filter(|seen| !seen.info.meta.verified),
            None => None,
        };
        Ok(match unmarked.filter(|_| still.is_some()) {
            Some(key) => unmarked_by_us(&key),
            None => Tenancy::Unclaimed,
        })
    }

    /// Looks again before `keys` are removed.
    ///
    /// # Errors
    /// [`StoreError::Hosted`] if they are a registry's; any other if that cannot be told.
    pub(super) async fn may_remove(&self, keys: &[String]) -> Result<(), StoreError> {
        self.tenant_of(keys).await?.check()
    }

    /// Tenancy of the bucket, with what `keys` show where nobody claims it.
    async fn tenant_of(&self, keys: &[String]) -> Result<Tenancy, StoreError> {
        let mut public: Vec<String> =
            keys.iter().filter(|key| self.keys.is_public(key)).cloned().collect();
        if public.is_empty() {
            return Ok(Tenancy::Mirror);
        }
        let marked = lock(&self.tenancy.marked).take();
        if let Some((_, marked)) = marked.filter(|(at, _)| at.elapsed() < MARK_LIFETIME) {
            public.retain(|key| !marked.contains(key));
        }
        match self.look_at_tenancy().await? {
            Tenancy::Unclaimed => self.found_marked(public).await,
            found => Ok(found),
        }
    }

    /// The same some time before: what bears our mark need not be looked at then.
    ///
    /// # Errors
    /// As for [`Self::may_remove`].
    pub(super) async fn may_remove_soon(&self, keys: &[String]) -> Result<(), StoreError> {
        let found = self.tenant_of(keys).await?;
        // Only then were they looked at.
        if found == Tenancy::Unclaimed {
            *lock(&self.tenancy.marked) = Some((Instant::now(), keys.iter().cloned().collect()));
        }
        found.check()
    }

    /// Looks again before what was `seen` under `key` is replaced.
    ///
    /// # Errors
    /// As for [`Self::may_remove`].
    pub(super) async fn may_replace(&self, key: &str, seen: &Seen) -> Result<(), StoreError> {
        if !self.keys.is_public(key) {
            return Ok(());
        }
        let found = match self.look_at_tenancy().await? {
            Tenancy::Unclaimed if !seen.info.meta.verified => self.found_unmarked(key),
            found => found,
        };
        found.check()
    }

    /// Checks that content may be added, as was last found.
    ///
    /// # Errors
    /// [`StoreError::Hosted`].
    pub(super) async fn may_add(&self, key: &str) -> Result<(), StoreError> {
        if !self.keys.is_public(key) {
            return Ok(());
        }
        self.known_tenancy().await.map_or(Ok(()), |found| found.check())
    }

    /// Tenancy of a bucket that nobody claims, with what these of its objects show.
    async fn found_marked(&self, keys: Vec<String>) -> Result<Tenancy, StoreError> {
        Ok(match self.first_unmarked(keys).await? {
            Some(key) => self.found_unmarked(&key),
            None => Tenancy::Unclaimed,
        })
    }

    /// The first of `keys` that is there without our mark.
    async fn first_unmarked(&self, keys: Vec<String>) -> Result<Option<String>, StoreError> {
        let looks = stream::iter(keys).map(|key| async move {
            let seen = self.look(&key).await?;
            Ok::<_, StoreError>(seen.filter(|seen| !seen.info.meta.verified).map(|_| key))
        });
        let mut looks = looks.buffer_unordered(MAX_HEADS_AT_ONCE);
        while let Some(unmarked) = looks.try_next().await? {
            if unmarked.is_some() {
                return Ok(unmarked);
            }
        }
        Ok(None)
    }

    fn found_unmarked(&self, key: &str) -> Tenancy {
        let found = unmarked_by_us(key);
        *lock(&self.tenancy.unmarked) = Some(key.to_owned());
        *lock(&self.tenancy.found) = Some(found.clone());
        found
    }

    /// Writes down that all content is a mirror's.
    pub(super) async fn adopt(&self, who: &str) -> Result<(), StoreError> {
        let at = to_unix(self.server_clock.now().unwrap_or_else(SystemTime::now));
        let text = json!({ "adopted_by": who, "at": at }).to_string();
        let write = Write::small(self.keys.adopted(), Bytes::from(text));
        match self.sealed(&write, Condition::Always).await? {
            Outcome::Done(_) => self.look_at_tenancy().await.map(drop),
            _ => Err(StoreError::Unavailable { operation: PUT, code: "Conflict".into() }),
        }
    }

    /// Writes down that all content is a mirror's, where links for `registry:2` are about to be
    /// written: with them, and without its list, the bucket would be taken for a registry's.
    ///
    /// # Errors
    /// [`StoreError::Hosted`] if it is one already, for which everything is looked at.
    pub(super) async fn adopt_for_rollback(&self) -> Result<(), StoreError> {
        let mut found = self.look_at_tenancy().await?;
        if found == Tenancy::Unclaimed {
            self.examine_all().await?.check()?;
            // That may have taken long.
            found = self.look_at_tenancy().await?;
        }
        found.check()?;
        if self.look(&self.keys.adopted()).await?.is_none() {
            self.adopt("rollback to registry:2").await?;
        }
        Ok(())
    }

    async fn examine_all(&self) -> Result<Tenancy, StoreError> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            if !self.holds_any(algorithm).await? {
                continue;
            }
            for first in 0..=u8::MAX {
                let mut from = None;
                loop {
                    let shard = Shard { algorithm, first };
                    let page = self.shard(&Area::Public, shard, from).await?;
                    let content = |digest| self.keys.content(&Key { area: Area::Public, digest });
                    let keys = page.entries.iter().map(|listed| content(listed.key.digest));
                    let found = self.found_marked(keys.collect()).await?;
                    if found != Tenancy::Unclaimed {
                        return Ok(found);
                    }
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(Tenancy::Unclaimed)
    }
}

impl Tenancy {
    /// Checks that content may be added, replaced and removed.
    fn check(self) -> Result<(), StoreError> {
        match self {
            Self::Mirror | Self::Unclaimed => Ok(()),
            Self::Registry { evidence } => Err(StoreError::Hosted { evidence }),
        }
    }
}

fn hosted(evidence: String) -> Tenancy {
    Tenancy::Registry { evidence }
}

fn unmarked_by_us(key: &str) -> Tenancy {
    hosted(format!("no mirror wrote `{key}`"))
}
