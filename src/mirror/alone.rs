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
    reader::Reader,
    refuse::refusal,
};
use crate::{
    oci::{Digest, Hasher, Name},
    store::{Body, Key},
    telemetry::{Tier, Why},
    upstream::Trust,
};

/// How many chunks may wait for the client.
const AHEAD: usize = 4;

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
        let found = self.keeper.far(key, wanted).await?;
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
                let relay = Relay::new(key.digest, range.clone(), size);
                (self.relay(relay, chunks, Some(key)), Tier::Bucket, Verdict::Bucket)
            }
        };
        self.parts.metrics.hit(tier, 1);
        Some(Ok(Blob { size, range, body: Some(body), verdict }))
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
        let mut from = match range {
            Some(ByteRange::From(start) | ByteRange::Between(start, _)) => start,
            None | Some(ByteRange::Last(_)) => 0,
        };
        if let Some(range @ ByteRange::Last(_)) = range
            && let Ok(Some(size)) = self.parts.upstream.blob_size(name, &key.digest, trust).await
        {
            from = cut(size, Some(range))?.start;
        }
        let asking = timeout(SILENCE, self.parts.upstream.blob(name, &key.digest, from, trust));
        let blob = asking.await.map_err(|_| Refusal::Late)?;
        let blob = blob.map_err(|error| refusal(error, Refusal::NoBlob))?;
        let size = blob.total.ok_or_else(|| Refusal::Upstream {
            why: "the upstream did not say the blob's length".into(),
        })?;
        let range = cut(size, range)?;
        let relay = Relay::new(key.digest, range.clone(), size);
        let relay = Relay { skip: range.start.saturating_sub(from), ..relay };
        let body = self.relay(relay, blob.chunks, None);
        Ok(Blob { size, range, body: Some(body), verdict: Verdict::Alone })
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

/// One passage: exactly the bytes of the range, the last chunk of a whole blob withheld until its
/// digest is known to match.
struct Relay {
    digest: Digest,
    hasher: Option<Hasher>,
    /// Bytes to throw away first.
    skip: u64,
    left: u64,
}

impl Relay {
    fn new(digest: Digest, range: Range<u64>, size: u64) -> Self {
        let whole = range == (0..size);
        let hasher = whole.then(|| Hasher::new(digest.algorithm()));
        Self { digest, hasher, skip: 0, left: range.end - range.start }
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
            let skip = self.skip.min(chunk.len() as u64);
            self.skip -= skip;
            // Both are at most the chunk's length.
            let _ = chunk.split_to(usize::try_from(skip).unwrap_or(chunk.len()));
            if chunk.len() as u64 > self.left {
                if self.hasher.is_some() {
                    return Err(Cause::Mismatch);
                }
                chunk.truncate(usize::try_from(self.left).unwrap_or(chunk.len()));
            }
            if chunk.is_empty() {
                continue;
            }
            self.left -= chunk.len() as u64;
            let ready = match &mut self.hasher {
                Some(hasher) => {
                    hasher.update(&chunk);
                    std::mem::replace(&mut withheld, chunk)
                }
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
