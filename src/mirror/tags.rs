//! What a tag meant, when that was checked, and for how long it may be believed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use tokio::time::timeout;

mod record;
mod rule;

use record::Recorded;
use rule::ttl;

use super::{
    Inner,
    answer::Refusal,
    once::Once,
    refuse::{refusal, why},
    visibility::Access,
};
use crate::{
    clock::age,
    oci::{Digest, MediaType, Name, Reference, Tag},
    settings::Settings,
    store,
    telemetry::Why,
    upstream::{Head, Scope, UpstreamError},
};

/// How long after a failed check the last answer is given without asking again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many tags are remembered.
const REMEMBERED: usize = 20_000;

/// What is known of a tag.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) digest: Digest,
    pub(super) media_type: Option<MediaType>,
    pub(super) size: Option<u64>,
    pub(super) checked_at: SystemTime,
    /// Why the last check failed, and until when it stands.
    failed: Option<(Why, SystemTime)>,
    /// What the tag meant before, for as long as the new manifest has not been had.
    pub(super) before: Option<Arc<State>>,
}

/// What a tag means now.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) state: State,
    /// Until when that may be repeated.
    pub(super) until: SystemTime,
    /// Why it is known to be old, if it is.
    pub(super) stale: Option<Why>,
    /// Whether the upstream was asked for it.
    pub(super) asked: bool,
}

type Key = (Name, Tag);

/// The tags that are known.
#[derive(Debug)]
pub(super) struct Tags {
    known: Cache<Key, State>,
    /// Until when a tag that the upstream does not know is not asked for again.
    missing: Cache<Key, SystemTime>,
    asking: Once<Key, Result<Resolved, Refusal>>,
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(REMEMBERED), missing: Cache::new(REMEMBERED), asking: Once::new() }
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.known.clear();
        self.missing.clear();
    }
}

impl Inner {
    /// What `tag` means: as last checked while that is fresh, else by one HEAD upstream, however
    /// many ask. While the upstream fails the last answer stands, up to `tag_max_stale`.
    pub(super) async fn resolve(
        self: &Arc<Self>,
        name: &Name,
        tag: &Tag,
        access: &Access,
    ) -> Result<Resolved, Refusal> {
        let settings = self.parts.settings.load_full();
        let key = (name.clone(), tag.clone());
        let now = self.parts.clock.now();
        if let Some(state) = self.tags.known.get(&key) {
            if let Some(before) = self.must_stand(name, &state, access).await {
                return self.stand(key, before, Why::Limit, &settings);
            }
            if let Some(resolved) = believe(state, name, tag, &settings, now) {
                return Ok(resolved);
            }
        }
        if self.tags.missing.get(&key).is_some_and(|until| now < until) {
            return Err(Refusal::NoManifest);
        }
        let ask = || {
            let (mirror, key, access) = (self.clone(), key.clone(), access.clone());
            async move { mirror.check(key, &access, &settings).await }
        };
        let (answer, _) = self.tags.asking.ask(&self.parts.engine, key.clone(), ask).await;
        answer.unwrap_or_else(|| {
            Err(Refusal::Upstream { why: "the tag could not be checked".into() })
        })
    }

    async fn check(
        self: &Arc<Self>,
        key: Key,
        access: &Access,
        settings: &Settings,
    ) -> Result<Resolved, Refusal> {
        let (name, tag) = &key;
        let mut known = self.tags.known.get(&key);
        let is_newer = |at: SystemTime| known.as_ref().is_none_or(|known| known.checked_at < at);
        // Another node may have checked it since.
        match self.recorded_tag(name, tag).await {
            Some(Recorded::Means(mut state)) if is_newer(state.checked_at) => {
                state.before = before(known, state.digest);
                self.tags.known.insert(key.clone(), state.clone());
                if let Some(resolved) =
                    believe(state.clone(), name, tag, settings, self.parts.clock.now())
                {
                    return Ok(resolved);
                }
                known = Some(state);
            }
            Some(Recorded::Absent(at)) if is_newer(at) => {
                self.tags.known.remove(&key);
                known = None;
            }
            _ => {}
        }
        let reference = Reference::Tag(tag.clone());
        let upstream = self.parts.layout.upstream();
        let asking = self.ask_head(name, &reference, access);
        let answer = timeout(super::DEADLINE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        let now = self.parts.clock.now();
        self.note(&answer);
        if upstream != self.parts.layout.upstream() {
            return Err(Refusal::Upstream { why: "the upstream was changed meanwhile".into() });
        }
        match answer {
            Ok((head, digest)) => {
                let state = State {
                    digest,
                    media_type: head.media_type,
                    size: head.size,
                    checked_at: now,
                    failed: None,
                    before: before(known, digest),
                };
                if let Some(before) = self.must_stand(name, &state, access).await {
                    return self.stand(key, before, Why::Limit, settings);
                }
                if state.before.is_none() {
                    self.record_tag(name, tag, &state);
                }
                let until = now + ttl(settings, name, tag);
                self.tags.known.insert(key, state.clone());
                Ok(Resolved { state, until, stale: None, asked: true })
            }
            Err(error) if error.is_answer() => {
                if self.tags.known.remove(&key).is_some() || known.is_some() {
                    self.record_absence(name, tag);
                }
                if error == UpstreamError::Denied {
                    self.doubt(name);
                } else {
                    self.tags.missing.insert(key, now + settings.not_found_ttl.0);
                }
                Err(refusal(error, Refusal::NoManifest))
            }
            Err(error) => match self.newer_link(known, name, tag).await {
                Some(state) if age(now, state.checked_at) <= settings.tag_max_stale.0 => {
                    tracing::warn!(repository = %name, %tag, %error, "a stale tag is served");
                    self.stand(key, state, why(&error), settings)
                }
                _ => Err(refusal(error, Refusal::NoManifest)),
            },
        }
    }

    /// What the tag meant before, if its new manifest cannot be had now: pulls are cooling off, and
    /// it is not kept.
    async fn must_stand(&self, name: &Name, state: &State, access: &Access) -> Option<State> {
        let before = state.before.as_ref()?;
        let cooling = matches!(self.parts.upstream.cooling(), Some((Scope::Pulls, _)));
        let key = store::Key { area: access.area.clone(), digest: state.digest };
        (cooling && !self.has_manifest(&key, name).await).then(|| State::clone(before))
    }

    /// The manifest that the tag means was had: what it meant before no longer matters.
    pub(super) fn settle_tag(&self, name: &Name, tag: &Tag, digest: Digest) {
        let key = (name.clone(), tag.clone());
        if let Some(state) = self.tags.known.get(&key)
            && state.digest == digest
            && state.before.is_some()
        {
            let state = State { before: None, ..state };
            self.record_tag(name, tag, &state);
            self.tags.known.insert(key, state);
        }
    }

    /// The upstream does not have, or does not give, what the tag was said to mean.
    pub(super) fn forget_tag(&self, name: &Name, tag: &Tag) {
        self.tags.known.remove(&(name.clone(), tag.clone()));
        self.record_absence(name, tag);
    }

    /// HEAD of a manifest, and what it hashes to; by GET where the upstream's HEAD does not say.
    async fn ask_head(
        self: &Arc<Self>,
        name: &Name,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Head, Digest), UpstreamError> {
        let head = self.parts.upstream.head(name, reference, access.trust).await?;
        if let Some(digest) = head.digest {
            return Ok((head, digest));
        }
        let manifest = self.parts.upstream.manifest(name, reference, access.trust).await?;
        let digest = manifest.digest;
        self.keep_manifest(&access.area, manifest);
        Ok((head, digest))
    }

    /// Lets the last answer stand for a while.
    fn stand(
        &self,
        key: Key,
        state: State,
        why: Why,
        settings: &Settings,
    ) -> Result<Resolved, Refusal> {
        let now = self.parts.clock.now();
        let state = State { failed: Some((why, now + PATIENCE)), ..state };
        self.tags.known.insert(key.clone(), state.clone());
        believe(state, &key.0, &key.1, settings, now).ok_or(Refusal::Late)
    }
}

/// What a tag meant that now means `digest`, as long as that has not been had.
fn before(known: Option<State>, digest: Digest) -> Option<Arc<State>> {
    let known = known?;
    if known.digest == digest {
        return known.before;
    }
    Some(known.before.clone().unwrap_or_else(|| Arc::new(State { before: None, ..known })))
}

/// The answer that `state` gives without asking anybody, if it gives one.
fn believe(
    state: State,
    name: &Name,
    tag: &Tag,
    settings: &Settings,
    now: SystemTime,
) -> Option<Resolved> {
    let ttl = ttl(settings, name, tag);
    if age(now, state.checked_at) < ttl {
        let until = state.checked_at + ttl;
        return Some(Resolved { state, until, stale: None, asked: false });
    }
    let (why, until) = state.failed?;
    (now < until && age(now, state.checked_at) <= settings.tag_max_stale.0).then_some(Resolved {
        state,
        until,
        stale: Some(why),
        asked: false,
    })
}
