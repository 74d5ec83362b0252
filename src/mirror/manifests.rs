//! Manifests: from memory, disk, bucket or upstream, by what they hash to.

use std::{sync::Arc, time::Duration, time::SystemTime};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use tokio::time::timeout;

mod kept;

use super::{
    Inner,
    answer::{Manifest, Refusal, Verdict, Want},
    once::Once,
    refuse::refusal,
    visibility::Access,
};
use crate::{
    oci::{Digest, MANIFEST_TYPES, MediaType, Name, Outline, Reference},
    store::{Area, Key, Meta, Payload},
    telemetry::Tier,
    upstream::{self, Trust, UpstreamError},
};

/// How much memory manifests may take, in bytes.
const MEMORY: u64 = 16 << 20;

/// How long the upstream may take over a manifest.
const DEADLINE: Duration = Duration::from_secs(10);

/// For how long an answer that cannot change may be repeated without asking the mirror.
const REPEAT: Duration = Duration::from_secs(300);

/// How many manifests that the upstream does not have are remembered.
const MISSING: usize = 10_000;

/// A manifest in memory.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) media_type: MediaType,
    pub(super) bytes: Bytes,
    /// What is used when it is.
    children: Box<[Digest]>,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, _: &Key, kept: &Arc<Kept>) -> u64 {
        // The rest is about what the entry itself takes.
        (kept.bytes.len() + kept.children.len() * size_of::<Digest>() + 512) as u64
    }
}

type Answer = Result<(Arc<Kept>, Verdict), Refusal>;

/// The manifests in memory.
#[derive(Debug)]
pub(super) struct Manifests {
    known: Cache<Key, Arc<Kept>, Weight>,
    missing: Cache<(Name, Digest), SystemTime>,
    asking: Once<Key, (Name, Answer)>,
}

impl Manifests {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::with_weighter(4096, MEMORY, Weight),
            missing: Cache::new(MISSING),
            asking: Once::new(),
        }
    }

    /// Forgets a manifest.
    pub(super) fn forget(&self, key: &Key) {
        self.known.remove(key);
    }

    /// Forgets all of them.
    pub(super) fn forget_all(&self) {
        self.known.clear();
        self.missing.clear();
    }

    /// The bytes of a manifest that is in memory.
    pub(super) fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.known.peek(key).map(|kept| kept.bytes.clone())
    }
}

impl Inner {
    pub(super) async fn manifest(
        self: Arc<Self>,
        name: &Name,
        reference: &Reference,
        want: Want,
    ) -> Result<Manifest, Refusal> {
        let access = self.access(name, Some(reference)).await?;
        let (digest, resolved) = match reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => {
                let resolved = self.resolve(name, tag, &access).await?;
                (resolved.state.digest, Some((tag, resolved)))
            }
        };
        let now = self.parts.clock.now();
        let mut answer = Manifest {
            digest,
            media_type: unknown_type(false),
            size: 0,
            bytes: None,
            fresh_until: resolved.as_ref().map_or(now + REPEAT, |(_, r)| r.until.min(now + REPEAT)),
            stale: resolved.as_ref().and_then(|(_, r)| r.stale),
            verdict: Verdict::Asked,
        };
        if let Some(why) = answer.stale {
            self.parts.metrics.stale(why);
        }
        let key = Key { area: access.area.clone(), digest };
        if want == Want::Head && self.manifests.known.get(&key).is_none() {
            return self.head(name, reference, &access, resolved.map(|(_, r)| r), answer).await;
        }
        let (kept, verdict) = match (self.content(name, &key, &access).await, &resolved) {
            (Ok(found), Some((tag, _))) => {
                self.settle_tag(name, tag, digest);
                found
            }
            (Ok(found), None) => found,
            (Err(no @ (Refusal::NoManifest | Refusal::NoRepository)), Some((tag, _))) => {
                self.forget_tag(name, tag);
                return Err(no);
            }
            // The tag has moved to something that cannot be had now: the last manifest stands.
            (Err(error), Some((_, resolved))) => match &resolved.state.before {
                Some(before) => {
                    let before = before.digest;
                    let key = Key { area: access.area.clone(), digest: before };
                    let Ok(found) = self.content(name, &key, &access).await else {
                        return Err(error);
                    };
                    let why = match error {
                        Refusal::Limited { .. } => crate::telemetry::Why::Limit,
                        _ => crate::telemetry::Why::Unavailable,
                    };
                    self.parts.metrics.stale(why);
                    answer.digest = before;
                    answer.stale = Some(why);
                    answer.fresh_until = now;
                    found
                }
                None => return Err(error),
            },
            (Err(error), None) => return Err(error),
        };
        answer.media_type = kept.media_type.clone();
        answer.size = kept.bytes.len() as u64;
        answer.bytes = Some(kept.bytes.clone());
        answer.verdict = if answer.stale.is_some() { Verdict::Stale } else { verdict };
        answer.fresh_until = match access.area {
            Area::Public => answer.fresh_until.min(access.until),
            // Not to be answered from where verdicts are not looked at.
            Area::Private(_) => now,
        };
        self.touch_manifest(&Key { area: access.area, digest: answer.digest }, Some(name));
        Ok(answer)
    }

    /// Answers a HEAD without moving a body and without costing a pull.
    async fn head(
        self: &Arc<Self>,
        name: &Name,
        reference: &Reference,
        access: &Access,
        resolved: Option<super::tags::Resolved>,
        mut answer: Manifest,
    ) -> Result<Manifest, Refusal> {
        answer.fresh_until = self.parts.clock.now();
        if let Some(resolved) = resolved
            && let (Some(media_type), Some(size)) = (resolved.state.media_type, resolved.state.size)
        {
            answer.media_type = media_type;
            answer.size = size;
            answer.verdict = match (resolved.stale, resolved.asked) {
                (Some(_), _) => Verdict::Stale,
                (None, true) => Verdict::Asked,
                (None, false) => Verdict::Memory,
            };
            return Ok(answer);
        }
        let key = Key { area: access.area.clone(), digest: answer.digest };
        if let Some((kept, verdict)) = self.kept(&key, name).await {
            answer.media_type = kept.media_type.clone();
            answer.size = kept.bytes.len() as u64;
            answer.verdict = verdict;
            return Ok(answer);
        }
        let missing = (name.clone(), answer.digest);
        let now = self.parts.clock.now();
        if self.manifests.missing.get(&missing).is_some_and(|until| now < until) {
            return Err(Refusal::NoManifest);
        }
        let asking = self.parts.upstream.head(name, reference, access.trust);
        let head = timeout(super::DEADLINE, asking).await.map_err(|_| Refusal::Late)?;
        let head = head.map_err(|error| self.manifest_refused(missing, error))?;
        answer.media_type = head.media_type.unwrap_or(answer.media_type);
        answer.size = head.size.ok_or_else(|| Refusal::Upstream {
            why: "the upstream did not say the manifest's length".into(),
        })?;
        Ok(answer)
    }

    /// The manifest itself, wherever it is; the upstream is asked once however many want it.
    async fn content(self: &Arc<Self>, name: &Name, key: &Key, access: &Access) -> Answer {
        if let Some(kept) = self.manifests.known.get(key) {
            self.parts.metrics.hit(Tier::Memory, 1);
            return Ok((kept, Verdict::Memory));
        }
        let missing = (name.clone(), key.digest);
        if self.manifests.missing.get(&missing).is_some_and(|until| self.parts.clock.now() < until)
        {
            return Err(Refusal::NoManifest);
        }
        let ask = || {
            let (mirror, name, key) = (self.clone(), name.clone(), key.clone());
            let (trust, busy) = (access.trust, self.busy());
            async move {
                let answer = mirror.fetch(&name, &key, trust).await;
                drop(busy);
                (name, answer)
            }
        };
        loop {
            let asking = self.manifests.asking.ask(&self.parts.engine, key.clone(), ask);
            let (answer, joined) = asking.await;
            let (asker, answer) = answer.ok_or_else(|| Refusal::Upstream {
                why: "the manifest could not be fetched".into(),
            })?;
            return match answer {
                // Another repository's question, and its answer is about that repository.
                Err(Refusal::NoManifest | Refusal::NoRepository) if joined && asker != *name => {
                    continue;
                }
                Ok((kept, Verdict::Fetched)) if joined => {
                    self.parts.metrics.join();
                    Ok((kept, Verdict::Joined))
                }
                answer => answer,
            };
        }
    }

    async fn fetch(self: &Arc<Self>, name: &Name, key: &Key, trust: Trust) -> Answer {
        if let Some(found) = self.kept(key, name).await {
            return Ok(found);
        }
        self.parts.metrics.miss();
        let reference = Reference::Digest(key.digest);
        let asking = self.parts.upstream.manifest(name, &reference, trust);
        let answer = timeout(DEADLINE, asking).await.map_err(|_| Refusal::Late)?;
        self.note(&answer);
        let missing = (name.clone(), key.digest);
        let manifest = answer.map_err(|error| self.manifest_refused(missing, error))?;
        Ok((self.keep_manifest(&key.area, manifest), Verdict::Fetched))
    }

    fn manifest_refused(
        self: &Arc<Self>,
        missing: (Name, Digest),
        error: UpstreamError,
    ) -> Refusal {
        match error {
            UpstreamError::Unknown => {
                let until = self.parts.clock.now() + self.parts.settings.load().not_found_ttl.0;
                self.manifests.missing.insert(missing, until);
            }
            UpstreamError::Denied => self.doubt(&missing.0),
            _ => {}
        }
        refusal(error, Refusal::NoManifest)
    }

    /// Takes a manifest from the upstream into memory, and into the stores in the background.
    pub(super) fn keep_manifest(
        self: &Arc<Self>,
        area: &Area,
        manifest: upstream::Manifest,
    ) -> Arc<Kept> {
        let key = Key { area: area.clone(), digest: manifest.digest };
        let meta = Meta { media_type: Some(manifest.media_type.clone()), verified: true };
        self.keep_in_background(key.clone(), manifest.bytes.clone(), meta, true);
        self.remember(&key, Some(manifest.media_type), manifest.bytes)
    }

    fn keep_in_background(&self, key: Key, bytes: Bytes, meta: Meta, new: bool) {
        let (keeper, busy) = (self.keeper.clone(), self.busy());
        self.parts.engine.spawn(async move {
            keeper.keep(&key, &Payload::Bytes(bytes), &meta, new).await;
            drop(busy);
        });
    }

    fn remember(&self, key: &Key, media_type: Option<MediaType>, bytes: Bytes) -> Arc<Kept> {
        let outline = Outline::read(&bytes);
        let children = outline.manifests.iter().chain(&outline.blobs).map(|child| child.digest);
        let is_index = !outline.manifests.is_empty();
        let media_type =
            media_type.or(outline.media_type).unwrap_or_else(|| unknown_type(is_index));
        let kept = Arc::new(Kept { media_type, bytes, children: children.collect() });
        self.manifests.known.insert(key.clone(), kept.clone());
        kept
    }

    /// A manifest is used, and with it what it names; as one of a repository, if it is known of
    /// which.
    pub(super) fn touch_manifest(&self, key: &Key, repository: Option<&Name>) {
        let kept = self.manifests.known.get(key);
        let children = kept.iter().flat_map(|kept| kept.children.iter());
        let keys = children.map(|digest| Key { area: key.area.clone(), digest: *digest });
        match repository {
            Some(name) => self.usage.touch_manifest(key.clone(), name),
            None => self.usage.touch([key.clone()]),
        }
        self.usage.touch(keys);
    }
}

/// The type of a manifest that came without one.
fn unknown_type(is_index: bool) -> MediaType {
    let text = MANIFEST_TYPES[usize::from(!is_index)];
    text.parse().unwrap_or_else(|_| unreachable!("the types of the specs are media types"))
}
