//! Blobs: from disk in place, along with a flight, or streamed through where there is no room.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use quick_cache::sync::Cache;
use tokio::time::timeout;

use super::{
    Inner,
    alone::Looked,
    answer::{Blob, ByteRange, Refusal, Verdict, Want},
    fill::fill,
    flight::{Failure, Flight, From},
    reader::{Doubt, Reader},
    refuse::refusal,
    visibility::Access,
};
use crate::{
    oci::{Digest, Name},
    store::{Body, Key},
    telemetry::Tier,
    upstream::{Trust, UpstreamError},
};

/// How long a client waits for the first word on a blob before it is told to come again; well below
/// the 30 s after which containerd gives up on a mirror. The fetch itself goes on.
const DEADLINE: Duration = Duration::from_secs(10);

/// How many blobs' lengths are remembered.
const LENGTHS: usize = 50_000;

/// The lengths of blobs as the upstream told them, and the blobs that it does not have.
#[derive(Debug)]
pub(super) struct Sizes {
    known: Cache<(Name, Digest), u64>,
    missing: Cache<(Name, Digest), SystemTime>,
}

impl Sizes {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(LENGTHS), missing: Cache::new(LENGTHS / 10) }
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.known.clear();
        self.missing.clear();
    }
}

impl Inner {
    pub(super) async fn blob(
        self: Arc<Self>,
        name: &Name,
        digest: Digest,
        range: Option<ByteRange>,
        want: Want,
    ) -> Result<Blob, Refusal> {
        let access = self.access(name, None).await?;
        let key = Key { area: access.area.clone(), digest };
        if want == Want::Head {
            return self.blob_head(name, &key, range, &access).await;
        }
        if let Some(blob) = self.linked_blob(&key).await {
            self.usage.touch([key]);
            return Ok(blob);
        }
        let kept = self.kept_blob(name, &key, range, access.trust).await;
        if let Looked::Answer(blob) = kept {
            self.usage.touch([key]);
            return blob;
        }
        let missing = (name.clone(), digest);
        if self.sizes.missing.get(&missing).is_some_and(|until| self.parts.clock.now() < until) {
            return Err(Refusal::NoBlob);
        }
        // Where the shared store was looked into just now, that is not done again.
        let in_store = self.keeper.has_near() || matches!(kept, Looked::Unverified);
        let blob = self.arriving_blob(name, &key, range, &access, in_store).await;
        match &blob {
            Ok(_) => self.usage.touch([key]),
            Err(Refusal::NoBlob) => {
                let until = self.parts.clock.now() + self.parts.settings.load().not_found_ttl.0;
                self.sizes.missing.insert(missing, until);
            }
            Err(Refusal::NoRepository) => self.doubt(name),
            Err(_) => {}
        }
        blob
    }

    /// The blob as an address of the bucket, if clients are to be sent there and the bucket has it.
    /// One that is still arriving is not there, one that may be cleaned up soon might go before the
    /// client comes for it, and what is on this node's disk is not sent from it:
    /// whoever asks for redirects wants the bytes off the node. A range is the client's to ask for
    /// again.
    async fn linked_blob(&self, key: &Key) -> Option<Blob> {
        if !self.parts.settings.load().blob_redirect {
            return None;
        }
        let info = self.keeper.far_readable(key).await?;
        if !self.is_safe(key, &info).await {
            return None;
        }
        let link = self.keeper.link(key, &info).await?;
        self.parts.metrics.hit(Tier::Bucket, 1);
        let (size, verdict) = (info.size, Verdict::Redirected);
        Some(Blob { size, range: 0..size, body: None, link: Some(link), verdict })
    }

    /// The blob from this node's disk; where there is none in front of the shared store, from that.
    async fn kept_blob(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        trust: Trust,
    ) -> Looked {
        if !self.keeper.has_near() {
            return self.far_blob(name, key, range, trust).await;
        }
        let found = self.keeper.near_ready(key).await;
        let Some(Body::File(file, whole)) = found.map(|found| found.body) else {
            return Looked::Nothing;
        };
        self.parts.metrics.hit(Tier::Disk, 1);
        let size = whole.end;
        let doubt = Doubt::new(&self.keeper, key);
        let engine = self.parts.engine.clone();
        Looked::Answer(cut(size, range).map(|range| Blob {
            size,
            body: Some(Reader::kept(file, range.clone(), engine, doubt).boxed()),
            range,
            link: None,
            verdict: Verdict::Disk,
        }))
    }

    /// Reads along with the flight for this blob, beginning one if there is none. `in_store`: whether
    /// the shared store may have it.
    async fn arriving_blob(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        access: &Access,
        in_store: bool,
    ) -> Result<Blob, Refusal> {
        // The disk's and the bucket's may be wrong.
        let mut others = 2;
        loop {
            let (mut flight, pilot) = self.flights.board(key, name);
            let joined = pilot.is_none();
            if let Some(pilot) = pilot {
                let (mirror, trust, busy) = (self.clone(), access.trust, self.busy());
                self.parts.engine.spawn(async move {
                    fill(mirror, pilot, trust, in_store).await;
                    drop(busy);
                });
            } else {
                self.parts.metrics.join();
            }
            match timeout(DEADLINE, flight.length()).await {
                Ok(Ok(size)) => return self.aboard(flight, size, range, joined),
                Ok(Err(Failure::NoRoom)) => {
                    return self.alone(name, key, range, access.trust).await;
                }
                // What another repository's flight came to was for that one's sake: the upstream may
                // have it in ours, or the shared store may say that it is ours.
                Ok(Err(Failure::Refused(_))) if joined && flight.name != *name => {}
                Ok(Err(Failure::Refused(refusal))) => return Err(refusal),
                Ok(Err(Failure::Spoilt { .. })) if others > 0 => others -= 1,
                Ok(Err(Failure::Spoilt { why })) => {
                    return Err(Refusal::Upstream { why: why.into() });
                }
                Err(_) => return Err(Refusal::Late),
            }
        }
    }

    fn aboard(
        &self,
        flight: Flight,
        size: u64,
        range: Option<ByteRange>,
        joined: bool,
    ) -> Result<Blob, Refusal> {
        let range = cut(size, range)?;
        let aboard = flight.aboard.get().cloned().ok_or(Refusal::Late)?;
        let from = flight.from.get().copied();
        let verdict = match from {
            Some(From::Disk) => Verdict::Disk,
            _ if joined => Verdict::Joined,
            Some(From::Bucket) => Verdict::Bucket,
            _ => Verdict::Fetched,
        };
        if from == Some(From::Disk) {
            self.parts.metrics.hit(Tier::Disk, 1);
        } else if joined {
            self.parts.metrics.hit(Tier::Flight, 1);
        }
        let (file, progress) = (aboard.file.clone(), flight.progress);
        let engine = self.parts.engine.clone();
        let reader = Reader::aboard(aboard, file, progress, range.clone(), size, engine);
        Ok(Blob { size, range, body: Some(reader.boxed()), link: None, verdict })
    }

    /// The blob's length, without moving a body.
    async fn blob_head(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        access: &Access,
    ) -> Result<Blob, Refusal> {
        let asked = (name.clone(), key.digest);
        let near = self.keeper.near_info(key).await;
        let (size, verdict) = if let Some(info) = near {
            (info.size, Verdict::Disk)
        } else if let Some(size) = self.flights.length(key) {
            (size, Verdict::Joined)
        } else if let Some(info) = self.keeper.far_info_of(key, name).await {
            (info.size, Verdict::Bucket)
        } else if let Some(size) = self.sizes.known.get(&asked) {
            (size, Verdict::Memory)
        } else if self.sizes.missing.get(&asked).is_some_and(|until| self.parts.clock.now() < until)
        {
            return Err(Refusal::NoBlob);
        } else {
            let asking = self.parts.upstream.blob_size(name, &key.digest, access.trust);
            let answer = timeout(super::DEADLINE, asking).await.map_err(|_| Refusal::Late)?;
            let size = answer.map_err(|error| {
                if error == UpstreamError::Denied {
                    self.doubt(name);
                }
                refusal(error, Refusal::NoBlob)
            })?;
            let size = size.ok_or_else(|| Refusal::Upstream {
                why: "the upstream did not say the blob's length".into(),
            })?;
            self.sizes.known.insert(asked, size);
            (size, Verdict::Asked)
        };
        let range = cut(size, range)?;
        Ok(Blob { size, range, body: None, link: None, verdict })
    }
}

/// The bytes that are meant of a blob of `size` bytes.
pub(super) fn cut(size: u64, range: Option<ByteRange>) -> Result<std::ops::Range<u64>, Refusal> {
    match range {
        None => Ok(0..size),
        Some(range) => range.of(size).ok_or(Refusal::Range { size }),
    }
}
