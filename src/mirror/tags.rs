//! What a tag meant, when that was checked, and for how long it may be believed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Inner,
    answer::Refusal,
    once::Once,
    refuse::{refusal, why},
    visibility::Access,
};
use crate::{
    clock::{age, from_unix, to_unix},
    oci::{Digest, MediaType, Name, Reference, Tag},
    settings::{Settings, TagRule},
    store::When,
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
    pub(super) before: Option<Digest>,
}

/// The record of a tag.
#[derive(Serialize, Deserialize)]
struct Record {
    digest: String,
    media_type: Option<String>,
    size: Option<u64>,
    /// Seconds since 1970.
    checked_at: u64,
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

    /// The manifest that the tag means was had: what it meant before no longer matters.
    pub(super) fn settle(&self, name: &Name, tag: &Tag, digest: Digest) {
        let key = (name.clone(), tag.clone());
        if let Some(state) = self.known.get(&key)
            && state.digest == digest
            && state.before.is_some()
        {
            self.known.insert(key, State { before: None, ..state });
        }
    }

    /// The upstream does not have what the tag was said to mean.
    pub(super) fn forget(&self, name: &Name, tag: &Tag) {
        self.known.remove(&(name.clone(), tag.clone()));
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
        if let Some(state) = self.tags.known.get(&key)
            && let Some(resolved) = believe(state, name, tag, &settings, now)
        {
            return Ok(resolved);
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
        // Another node may have checked it since.
        if let Some(state) = self.recorded_tag(name, tag).await
            && known.as_ref().is_none_or(|known| known.checked_at < state.checked_at)
        {
            self.tags.known.insert(key.clone(), state.clone());
            if let Some(resolved) =
                believe(state.clone(), name, tag, settings, self.parts.clock.now())
            {
                return Ok(resolved);
            }
            known = Some(state);
        }
        let reference = Reference::Tag(tag.clone());
        let asking = self.ask_head(name, &reference, access);
        let answer = timeout(super::DEADLINE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        let now = self.parts.clock.now();
        self.note(&answer);
        match answer {
            Ok((head, digest)) => {
                let before = known.filter(|known| known.digest != digest);
                if let Some(state) = &before
                    && matches!(self.parts.upstream.cooling(), Some((Scope::Pulls, _)))
                    && !self.has_manifest(&access.area, digest).await
                {
                    // The new manifest cannot be had now, so the tag means what it meant.
                    return self.stand(key, state.clone(), Why::Limit, settings);
                }
                let state = State {
                    digest,
                    media_type: head.media_type,
                    size: head.size,
                    checked_at: now,
                    failed: None,
                    before: before.map(|state| state.before.unwrap_or(state.digest)),
                };
                let record = Record {
                    digest: digest.to_string(),
                    media_type: state.media_type.as_ref().map(ToString::to_string),
                    size: state.size,
                    checked_at: to_unix(now),
                };
                self.write_record(path(name, tag), &record, When::Always);
                let until = now + ttl(settings, name, tag);
                self.tags.known.insert(key, state.clone());
                Ok(Resolved { state, until, stale: None, asked: true })
            }
            Err(error) if error.is_answer() => {
                self.tags.known.remove(&key);
                if error == UpstreamError::Denied {
                    self.doubt(name);
                } else {
                    self.tags.missing.insert(key, now + settings.not_found_ttl.0);
                }
                Err(refusal(error, Refusal::NoManifest))
            }
            Err(error) => match known {
                Some(state) if age(now, state.checked_at) <= settings.tag_max_stale.0 => {
                    tracing::warn!(repository = %name, %tag, %error, "a stale tag is served");
                    self.stand(key, state, why(&error), settings)
                }
                _ => Err(refusal(error, Refusal::NoManifest)),
            },
        }
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

    async fn recorded_tag(&self, name: &Name, tag: &Tag) -> Option<State> {
        let record: Record = self.read_record(&path(name, tag)).await?;
        Some(State {
            digest: record.digest.parse().ok()?,
            media_type: record.media_type.and_then(|text| text.parse().ok()),
            size: record.size,
            checked_at: from_unix(record.checked_at),
            failed: None,
            before: None,
        })
    }
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

fn ttl(settings: &Settings, name: &Name, tag: &Tag) -> Duration {
    let matching = settings.tag_rules.iter().find(|rule| matches(rule, name, tag));
    matching.map_or(settings.tag_ttl, |rule| rule.ttl).0
}

/// Whether a rule's pattern covers a tag; an official image is covered with and without its
/// `library/`.
fn matches(rule: &TagRule, name: &Name, tag: &Tag) -> bool {
    let full = format!("{name}:{tag}");
    let short = full.strip_prefix("library/");
    glob(rule.pattern.as_bytes(), full.as_bytes())
        || short.is_some_and(|short| glob(rule.pattern.as_bytes(), short.as_bytes()))
}

/// Whether `text` matches `pattern`, in which `*` stands for any text. Linear in practice and at
/// most quadratic: only the last `*` is ever gone back to.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, taken)) = star {
            (p, t) = (after, taken + 1);
            star = Some((after, taken + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn path(name: &Name, tag: &Tag) -> String {
    format!("repositories/{name}/_tags/{tag}")
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("acme/*:latest", "acme/app:latest"),
            ("acme/*:latest", "acme/a/b:latest"),
            ("*:*", "a:b"),
            ("*", ""),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(glob(pattern.as_bytes(), text.as_bytes()), "`{pattern}` misses `{text}`");
        }
        for (pattern, text) in
            [("acme/*:latest", "acme/app:1"), ("a", "ab"), ("a*b", "ac"), ("", "a")]
        {
            assert!(!glob(pattern.as_bytes(), text.as_bytes()), "`{pattern}` takes `{text}`");
        }
    }
}
