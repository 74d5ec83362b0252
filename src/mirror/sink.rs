//! What a flight does with the bytes: write, hash, publish how far it is.

use std::{io, os::unix::fs::FileExt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future::join};
use tokio::{runtime::Handle, time::timeout};

use super::flight::{Aboard, Failure, Pilot, Progress};
use crate::oci::{Digest, Hasher};

/// How much is handed to the disk at once at the most, in bytes.
const BATCH: usize = 256 << 10;

/// Takes the bytes of one blob, in order, from one source after another.
pub(super) struct Sink<'a> {
    pilot: &'a Pilot,
    aboard: Arc<Aboard>,
    hasher: Option<Hasher>,
    written: u64,
    total: Option<u64>,
    engine: Handle,
    silence: Duration,
}

/// How a source ended.
#[derive(Debug)]
pub(super) enum End<E> {
    /// It said that it was at its end.
    Clean,
    /// It broke off, with its reason, or went silent.
    Broken(Option<E>),
    /// The file cannot be written to.
    Disk(io::Error),
    /// Going on is pointless.
    Fatal(Failure),
}

struct Batch<E> {
    chunks: Vec<Bytes>,
    bytes: usize,
    end: Option<End<E>>,
}

impl<'a> Sink<'a> {
    /// A sink for the flight of `pilot` into the file of `aboard`; `silence` is how long a source
    /// may send nothing.
    pub(super) fn new(
        pilot: &'a Pilot,
        aboard: Arc<Aboard>,
        total: Option<u64>,
        engine: Handle,
        silence: Duration,
    ) -> Self {
        let hasher = Some(Hasher::new(pilot.key.digest.algorithm()));
        pilot.progress.send_replace(Progress::Filling { written: 0, total });
        Self { pilot, aboard, hasher, written: 0, total, engine, silence }
    }

    /// Bytes taken so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The blob's length, as the first source said.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether every byte that was announced has come.
    pub(super) fn is_full(&self) -> bool {
        self.total == Some(self.written)
    }

    /// Takes what `chunks` yields. Gathers the next bytes while the last ones are written.
    pub(super) async fn take<E>(
        &mut self,
        mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> End<E> {
        let mut next = gather(&mut chunks, self.silence).await;
        loop {
            let Batch { chunks: batch, bytes, end } = next;
            let grown = self.written.saturating_add(bytes as u64);
            if self.total.is_some_and(|total| grown > total) {
                return End::Fatal(Failure::upstream("the upstream sent more than it announced"));
            }
            if self.aboard.spooled.as_ref().is_some_and(|spooled| !spooled.has_room(grown)) {
                return End::Fatal(Failure::NoRoom);
            }
            let write = self.write(batch);
            let (written, after) = match end {
                None => {
                    let (written, after) = join(write, gather(&mut chunks, self.silence)).await;
                    (written, Ok(after))
                }
                Some(end) => (write.await, Err(end)),
            };
            match written {
                Ok(hasher) => self.hasher = Some(hasher),
                Err(cause) => return End::Disk(cause),
            }
            self.written = grown;
            let total = self.total;
            self.pilot.progress.send_replace(Progress::Filling { written: grown, total });
            match after {
                Ok(batch) => next = batch,
                Err(end) => return end,
            }
        }
    }

    fn write(&mut self, batch: Vec<Bytes>) -> impl Future<Output = io::Result<Hasher>> + use<> {
        let hasher = self.hasher.take();
        let aboard = self.aboard.clone();
        let mut offset = self.written;
        let writing = self.engine.spawn_blocking(move || {
            let mut hasher = hasher.ok_or(io::ErrorKind::Other)?;
            for chunk in &batch {
                aboard.file.write_all_at(chunk, offset)?;
                hasher.update(chunk);
                offset += chunk.len() as u64;
            }
            Ok(hasher)
        });
        async move { writing.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) }
    }

    /// What everything that was taken hashes to.
    pub(super) fn digest(self) -> Option<Digest> {
        self.hasher.map(Hasher::finish)
    }
}

/// The next bytes: waits for some, then takes along what is there already.
async fn gather<E>(
    chunks: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    silence: Duration,
) -> Batch<E> {
    let mut batch = Batch { chunks: Vec::new(), bytes: 0, end: None };
    let mut next = timeout(silence, chunks.next())
        .await
        .map_or(Some(Err(None)), |next| next.map(|chunk| chunk.map_err(Some)));
    loop {
        match next {
            None => batch.end = Some(End::Clean),
            Some(Err(cause)) => batch.end = Some(End::Broken(cause)),
            Some(Ok(chunk)) => {
                batch.bytes += chunk.len();
                batch.chunks.push(chunk);
            }
        }
        if batch.end.is_some() || batch.bytes >= BATCH {
            return batch;
        }
        match chunks.next().now_or_never() {
            Some(ready) => next = ready.map(|chunk| chunk.map_err(Some)),
            None => return batch,
        }
    }
}
