//! A blob streamed through for one client, where it cannot or need not pass the spool: from the
//! shared store where it does not fit the disk, or from the upstream where there is no room.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, poll_fn},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner,
    answer::{Blob, BlobBytes, ByteRange, CutOff, Refusal, Verdict},
    blobs::cut,
    keep::Outside,
    reader::{Doubt, Reader},
    refuse::refusal,
    relay::{Cause, Relay},
    rest::{Patience, is_passing},
};
use crate::{
    oci::Name,
    store::{Body, Key},
    telemetry::{Tier, Why},
    upstream::{Trust, UpstreamError},
};

/// How many chunks may wait for the client.
const AHEAD: usize = 4;

/// How long the upstream may take to begin.
const DEADLINE: Duration = Duration::from_secs(10);

/// What came of looking into the shared store.
pub(super) enum Looked {
    /// This is the answer.
    Answer(Result<Blob, Refusal>),
    /// Nobody has hashed what is there, so it cannot be passed on as it is.
    Unverified,
    /// Nothing is there, or the store fails.
    Nothing,
}

impl Inner {
    /// The blob straight from the shared store, if that has it.
    pub(super) async fn far_blob(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        trust: Trust,
    ) -> Looked {
        self.look_far(name, key, range, trust, false).await.unwrap_or(Looked::Nothing)
    }

    /// `hashed`: what nobody has hashed is passed on if it is the repository's, and hashed then.
    async fn look_far(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        trust: Trust,
        hashed: bool,
    ) -> Option<Looked> {
        let refused = |refusal| Some(Looked::Answer(Err(refusal)));
        let wanted = match range {
            None => None,
            Some(ByteRange::From(start)) => Some(start..u64::MAX),
            Some(ByteRange::Between(start, last)) => Some(start..last.saturating_add(1)),
            // Only these need the length first.
            Some(range @ ByteRange::Last(_)) => {
                let size = self.keeper.far_info(key).await?.size;
                match cut(size, Some(range)) {
                    Ok(wanted) => Some(wanted),
                    Err(refusal) => return refused(refusal),
                }
            }
        };
        if wanted.as_ref().is_some_and(Range::is_empty) {
            let size = self.keeper.far_info(key).await?.size;
            return refused(Refusal::Range { size });
        }
        let found = match self.keeper.far_range(key, wanted).await {
            Ok(found) => found?,
            // Whose it is, and whether it is as long as it should be, is not known yet.
            Err(Outside) => {
                return match self.keeper.far_info(key).await {
                    Some(info) => refused(Refusal::Range { size: info.size }),
                    None => Some(Looked::Unverified),
                };
            }
        };
        let may_pass = found.info.meta.verified
            || (hashed && range.is_none() && self.keeper.belongs(key, name).await);
        if !may_pass {
            return Some(Looked::Unverified);
        }
        let size = found.info.size;
        let range = match cut(size, range) {
            Ok(range) => range,
            Err(refusal) => return refused(refusal),
        };
        let (body, tier, verdict): (BlobBytes, _, _) = match found.body {
            Body::File(file, part) => {
                let doubt = Doubt::new(&self.keeper, key);
                let reader = Reader::kept(file, part, self.parts.engine.clone(), doubt);
                (reader.boxed(), Tier::Disk, Verdict::Disk)
            }
            Body::Stream(chunks) => {
                // What this mirror wrote was verified then; the whole is looked at again.
                let whole = range == (0..size);
                let relay = Relay::new(key.digest, range.clone(), range.start, whole);
                let (name, key) = (name.clone(), key.clone());
                let passage = Passage { name, key, trust, size, from_store: true };
                (self.pass(relay, anonymous(chunks), passage), Tier::Bucket, Verdict::Bucket)
            }
        };
        self.parts.metrics.hit(tier, 1);
        let blob = Blob { size, range, body: Some(body), link: None, verdict };
        Some(Looked::Answer(Ok(blob)))
    }

    /// The blob for one client alone, not kept.
    pub(super) async fn alone(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        trust: Trust,
    ) -> Result<Blob, Refusal> {
        if let Some(Looked::Answer(answer)) = self.look_far(name, key, range, trust, true).await {
            return answer;
        }
        self.parts.metrics.alone(Why::NoRoom);
        // What ends with the blob is verified with the blob, so all of it has to pass.
        let mut from = match range {
            Some(ByteRange::Between(start, _)) => start,
            None | Some(ByteRange::From(_) | ByteRange::Last(_)) => 0,
        };
        let (chunks, size, range) = loop {
            let asking = self.parts.upstream.blob(name, &key.digest, from, trust);
            let answer = timeout(DEADLINE, asking).await.map_err(|_| Refusal::Late)?;
            let blob = match answer {
                Ok(blob) => blob,
                // Perhaps it is shorter than that: what it answers to the whole will tell.
                Err(UpstreamError::Unavailable { .. }) if from > 0 => {
                    from = 0;
                    continue;
                }
                Err(error) => return Err(refusal(error, Refusal::NoBlob)),
            };
            let size = blob.total.ok_or_else(|| Refusal::Upstream {
                why: "the upstream did not say the blob's length".into(),
            })?;
            let range = cut(size, range)?;
            if range.end < size || from == 0 {
                break (blob.chunks, size, range);
            }
            from = 0;
        };
        let relay = Relay::new(key.digest, range.clone(), from, range.end == size);
        let (name, key) = (name.clone(), key.clone());
        let passage = Passage { name, key, trust, size, from_store: false };
        let body = self.pass(relay, anonymous(chunks), passage);
        Ok(Blob { size, range, body: Some(body), link: None, verdict: Verdict::Alone })
    }

    /// Passes `chunks` on from the engine, which owns the connection, to whichever thread serves
    /// the client. Ends with the client. Where they break off, the rest comes from the shared
    /// store, if it was that and has recovered, or from the upstream.
    fn pass(
        self: &Arc<Self>,
        mut relay: Relay,
        mut chunks: BoxStream<'static, Result<Bytes, ()>>,
        passage: Passage,
    ) -> BlobBytes {
        let (send, mut receive) = mpsc::channel(AHEAD);
        let mirror = self.clone();
        let task = self.parts.engine.spawn(async move {
            let mut patience = Patience::new();
            let mut sources = Sources { store: passage.from_store, upstream: !passage.from_store };
            let cause = loop {
                let before = relay.at();
                match relay.take(&mut chunks, &send).await {
                    Ok(()) => return,
                    Err(Cause::Broken) => {}
                    Err(cause) => break cause,
                }
                if relay.at() > before {
                    patience.renew();
                }
                match mirror.rest(&passage, relay.at(), &mut sources, &mut patience).await {
                    Some(rest) => chunks = rest,
                    None => break Cause::Broken,
                }
            };
            if cause == Cause::Mismatch {
                mirror.parts.metrics.mismatch();
                let digest = &passage.key.digest;
                tracing::error!(%digest, "bytes that were streamed through are not of the digest");
                if !sources.upstream {
                    mirror.forget_in_background(&passage.key);
                } else if passage.from_store {
                    mirror.keeper.suspect(&passage.key);
                }
            }
            // A client that left does not hear it.
            let _ = send.send(Err(CutOff)).await;
        });
        let task = AbortOnDropHandle::new(task);
        poll_fn(move |cx| {
            let _owned = &task;
            receive.poll_recv(cx)
        })
        .boxed()
    }

    /// The bytes from the offset `at` on; none if nobody has them. The shared store is asked once,
    /// if it was the first.
    async fn rest(
        &self,
        passage: &Passage,
        at: u64,
        sources: &mut Sources,
        patience: &mut Patience,
    ) -> Option<BoxStream<'static, Result<Bytes, ()>>> {
        let Passage { name, key, trust, size, .. } = passage;
        self.parts.metrics.resume();
        if std::mem::take(&mut sources.store) {
            if let Some(chunks) = self.keeper.far_rest(key, at..*size).await {
                return Some(anonymous(chunks));
            }
        } else if passage.from_store {
            self.keeper.broke_off();
        }
        while patience.again().await {
            match self.ask_for_blob(name, key, at, *trust).await {
                Ok(blob) if blob.total.is_none_or(|total| total == *size) => {
                    sources.upstream = true;
                    return Some(anonymous(blob.chunks));
                }
                Ok(_) => {
                    if passage.from_store {
                        self.keeper.suspect(key);
                    }
                    return None;
                }
                Err(error) if is_passing(&error) => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// A blob that is streamed through.
struct Passage {
    name: Name,
    key: Key,
    trust: Trust,
    /// The whole blob's length.
    size: u64,
    /// Whether the first bytes come from the shared store.
    from_store: bool,
}

/// Where the bytes of a passage may come from, and came from.
struct Sources {
    /// Whether the shared store may be asked for the rest.
    store: bool,
    /// Whether any are the upstream's.
    upstream: bool,
}

/// The same chunks, whoever they are from.
fn anonymous<E: Send + 'static>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes, ()>> {
    chunks.map(|chunk| chunk.map_err(drop)).boxed()
}
