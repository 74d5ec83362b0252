//! The bytes of a range on their way to one client, from one source after another.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{sync::mpsc, time::timeout};

use super::answer::CutOff;
use crate::oci::{Digest, Hasher};

/// How long a source may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a source was not read to the end of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It broke off, or fell silent: another may go on.
    Broken,
    /// The bytes are not those of the digest.
    Mismatch,
    /// The client left.
    Left,
}

/// One passage: exactly the bytes of a range, those of its end withheld until the blob's digest is
/// known to match, where that is to be looked at.
pub(super) struct Relay {
    digest: Digest,
    hasher: Option<Hasher>,
    /// Where in the blob the next byte of a source belongs.
    at: u64,
    range: Range<u64>,
    withheld: Bytes,
}

impl Relay {
    /// The first source begins at the offset `at`, no later than the range; to `verify`, that has
    /// to be the blob's beginning, and the range has to reach its end.
    pub(super) fn new(digest: Digest, range: Range<u64>, at: u64, verify: bool) -> Self {
        let hasher = verify.then(|| Hasher::new(digest.algorithm()));
        Self { digest, hasher, at, range, withheld: Bytes::new() }
    }

    /// Where the next source has to begin.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Passes on what `chunks` yields, until the range is whole or the source ends.
    ///
    /// # Errors
    /// See [`Cause`].
    pub(super) async fn take<E>(
        &mut self,
        chunks: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
        client: &mpsc::Sender<Result<Bytes, CutOff>>,
    ) -> Result<(), Cause> {
        while self.at < self.range.end {
            let next = timeout(SILENCE, chunks.next()).await.map_err(|_| Cause::Broken)?;
            let mut chunk = next.ok_or(Cause::Broken)?.map_err(|_| Cause::Broken)?;
            let due = usize::try_from(self.range.end - self.at).unwrap_or(usize::MAX);
            if chunk.len() > due {
                if self.hasher.is_some() {
                    return Err(Cause::Mismatch);
                }
                chunk.truncate(due);
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            let skip = self.range.start.saturating_sub(self.at);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            self.at += chunk.len() as u64;
            let chunk = chunk.split_off(skip);
            if chunk.is_empty() {
                continue;
            }
            let ready = match self.hasher {
                Some(_) => std::mem::replace(&mut self.withheld, chunk),
                None => chunk,
            };
            if !ready.is_empty() {
                client.send(Ok(ready)).await.map_err(|_| Cause::Left)?;
            }
        }
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if hasher.finish() != self.digest {
            return Err(Cause::Mismatch);
        }
        let withheld = std::mem::take(&mut self.withheld);
        if !withheld.is_empty() {
            client.send(Ok(withheld)).await.map_err(|_| Cause::Left)?;
        }
        Ok(())
    }
}
