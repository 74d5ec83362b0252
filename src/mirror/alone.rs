//! A blob streamed through for one client, where it cannot or need not pass the spool: from the
//! shared store where it does not fit the disk, or from the upstream where there is no room.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::poll_fn};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner,
    answer::{Blob, BlobBytes, ByteRange, CutOff, Refusal, Verdict},
    blobs::cut,
    keep::Outside,
    reader::Reader,
    refuse::refusal,
};
use crate::{
    oci::{Digest, Hasher, Name},
    store::{Body, Key},
    telemetry::{Tier, Why},
    upstream::{Trust, UpstreamError},
};

/// How many chunks may wait for the client.
const AHEAD: usize = 4;

/// How long the upstream may take to begin.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a source may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

impl Inner {
    /// The blob straight from the shared store, if that has it.
    pub(super) async fn far_blob(
        &self,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Option<Result<Blob, Refusal>> {
        let wanted = match range {
            None => None,
            Some(ByteRange::From(start)) => Some(start..u64::MAX),
            Some(ByteRange::Between(start, last)) => Some(start..last.saturating_add(1)),
            // Only these need the length first.
            Some(range @ ByteRange::Last(_)) => {
                let size = self.keeper.far_info(key).await?.size;
                match cut(size, Some(range)) {
                    Ok(wanted) => Some(wanted),
                    Err(refusal) => return Some(Err(refusal)),
                }
            }
        };
        if wanted.as_ref().is_some_and(Range::is_empty) {
            let size = self.keeper.far_info(key).await?.size;
            return Some(Err(Refusal::Range { size }));
        }
        let found = match self.keeper.far_range(key, wanted).await {
            Ok(found) => found?,
            Err(Outside { size }) => return Some(Err(Refusal::Range { size })),
        };
        let size = found.info.size;
        let range = match cut(size, range) {
            Ok(range) => range,
            Err(refusal) => return Some(Err(refusal)),
        };
        let (body, tier, verdict): (BlobBytes, _, _) = match found.body {
            Body::File(file, part) => {
                let reader = Reader::kept(file, part, self.parts.engine.clone());
                (reader.boxed(), Tier::Disk, Verdict::Disk)
            }
            Body::Stream(chunks) => {
                // What this mirror wrote was verified then; the whole is looked at again.
                let whole = range == (0..size);
                let relay = Relay::new(key.digest, &range, 0, whole);
                (self.relay(relay, chunks, Some(key)), Tier::Bucket, Verdict::Bucket)
            }
        };
        self.parts.metrics.hit(tier, 1);
        Some(Ok(Blob { size, range, body: Some(body), link: None, verdict }))
    }

    /// The blob for one client alone, not kept.
    pub(super) async fn alone(
        self: &Arc<Self>,
        name: &Name,
        key: &Key,
        range: Option<ByteRange>,
        trust: Trust,
    ) -> Result<Blob, Refusal> {
        if let Some(blob) = self.far_blob(key, range).await {
            return blob;
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
        let relay = Relay::new(key.digest, &range, range.start - from, range.end == size);
        let body = self.relay(relay, chunks, None);
        Ok(Blob { size, range, body: Some(body), link: None, verdict: Verdict::Alone })
    }

    /// Passes `chunks` on from the engine, which owns the connection, to whichever thread serves
    /// the client. Ends with the client. What turns out to be damaged is forgotten under the key
    /// that it was `kept` under.
    fn relay<E: Send + 'static>(
        &self,
        relay: Relay,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        kept: Option<&Key>,
    ) -> BlobBytes {
        let (send, mut receive) = mpsc::channel(AHEAD);
        let metrics = self.parts.metrics.clone();
        let kept = kept.map(|key| (self.keeper.clone(), key.clone()));
        let task = self.parts.engine.spawn(async move {
            if let Err(cause) = relay.run(chunks, &send).await {
                if cause == Cause::Mismatch {
                    metrics.mismatch();
                    tracing::error!("bytes that were streamed through do not match their digest");
                    if let Some((keeper, key)) = kept {
                        keeper.forget(&key).await;
                    }
                }
                let _ = send.send(Err(CutOff)).await;
            }
        });
        let task = AbortOnDropHandle::new(task);
        poll_fn(move |cx| {
            let _owned = &task;
            receive.poll_recv(cx)
        })
        .boxed()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Broken,
    Mismatch,
    Left,
}

/// One passage: exactly the bytes of a range, those of its end withheld until the blob's digest is
/// known to match, where that is to be looked at.
struct Relay {
    digest: Digest,
    hasher: Option<Hasher>,
    /// Bytes to leave out first.
    skip: u64,
    left: u64,
}

impl Relay {
    /// `skip` bytes come before the range; to `verify`, they have to be the blob's beginning.
    fn new(digest: Digest, range: &Range<u64>, skip: u64, verify: bool) -> Self {
        let hasher = verify.then(|| Hasher::new(digest.algorithm()));
        Self { digest, hasher, skip, left: range.end - range.start }
    }

    async fn run<E>(
        mut self,
        mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
        client: &mpsc::Sender<Result<Bytes, CutOff>>,
    ) -> Result<(), Cause> {
        let mut withheld = Bytes::new();
        while self.left > 0 {
            let next = timeout(SILENCE, chunks.next()).await.map_err(|_| Cause::Broken)?;
            let mut chunk = next.ok_or(Cause::Broken)?.map_err(|_| Cause::Broken)?;
            let due = usize::try_from(self.skip.saturating_add(self.left)).unwrap_or(usize::MAX);
            if chunk.len() > due {
                if self.hasher.is_some() {
                    return Err(Cause::Mismatch);
                }
                chunk.truncate(due);
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skip as u64;
            let chunk = chunk.split_off(skip);
            if chunk.is_empty() {
                continue;
            }
            self.left -= chunk.len() as u64;
            let ready = match self.hasher {
                Some(_) => std::mem::replace(&mut withheld, chunk),
                None => chunk,
            };
            if !ready.is_empty() {
                client.send(Ok(ready)).await.map_err(|_| Cause::Left)?;
            }
        }
        if let Some(hasher) = self.hasher {
            if hasher.finish() != self.digest {
                return Err(Cause::Mismatch);
            }
            if !withheld.is_empty() {
                client.send(Ok(withheld)).await.map_err(|_| Cause::Left)?;
            }
        }
        Ok(())
    }
}
