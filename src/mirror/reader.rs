//! One client's way through a file: a kept one, or a flight's while it grows.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::{runtime::Handle, sync::watch};

use super::{
    answer::CutOff,
    buffer::{Buffer, CHUNK},
    flight::{Aboard, Progress},
    keep::Keeper,
};
use crate::store::Key;

/// How much of a blob's end is withheld until its digest is known to match, in bytes.
const TAIL: u64 = CHUNK as u64;

/// Yields the bytes of a range of a file, waiting for them where a flight has yet to write them.
/// Reads what the page cache holds in place, on the thread that polls; only what must come from
/// the disk goes to the engine's blocking pool.
pub(super) struct Reader {
    file: Arc<File>,
    range: Range<u64>,
    growth: Option<Growth>,
    waiting: Option<BoxFuture<'static, Waited>>,
    engine: Handle,
    doubt: Option<Doubt>,
}

/// What is to be looked at again if its file cannot be read.
pub(super) struct Doubt {
    keeper: Keeper,
    key: Key,
}

impl Doubt {
    pub(super) fn new(keeper: &Keeper, key: &Key) -> Self {
        Self { keeper: keeper.clone(), key: key.clone() }
    }
}

/// A flight that is still writing the file.
struct Growth {
    progress: Option<watch::Receiver<Progress>>,
    total: u64,
    /// Keeps the flight's disk spoken for until its last reader is gone.
    _aboard: Arc<Aboard>,
}

enum Waited {
    Grown(watch::Receiver<Progress>, bool),
    Read(io::Result<Bytes>),
}

impl Reader {
    /// Reads a file that nobody writes any more.
    pub(super) fn kept(file: Arc<File>, range: Range<u64>, engine: Handle, doubt: Doubt) -> Self {
        Self { file, range, growth: None, waiting: None, engine, doubt: Some(doubt) }
    }

    /// Reads along with a flight whose whole length is `total`.
    pub(super) fn aboard(
        aboard: Arc<Aboard>,
        file: Arc<File>,
        progress: watch::Receiver<Progress>,
        range: Range<u64>,
        total: u64,
        engine: Handle,
    ) -> Self {
        let growth = Growth { progress: Some(progress), total, _aboard: aboard };
        Self { file, range, growth: Some(growth), waiting: None, engine, doubt: None }
    }

    /// Up to where the file may be read now.
    fn readable(&self) -> Result<u64, CutOff> {
        let Some(growth) = &self.growth else { return Ok(self.range.end) };
        let Some(progress) = &growth.progress else { return Err(CutOff) };
        match &*progress.borrow() {
            Progress::Opening => Ok(0),
            Progress::Filling { written, .. } => {
                Ok((*written).min(growth.total.saturating_sub(TAIL)))
            }
            Progress::Verified { .. } => Ok(growth.total),
            Progress::Failed(_) => Err(CutOff),
        }
    }

    fn wait(&mut self) {
        let Some(mut progress) = self.growth.as_mut().and_then(|growth| growth.progress.take())
        else {
            return;
        };
        self.waiting = Some(Box::pin(async move {
            let alive = progress.changed().await.is_ok();
            Waited::Grown(progress, alive)
        }));
    }

    fn read_blocking(&mut self, length: usize) {
        let (file, offset) = (self.file.clone(), self.range.start);
        let read = self.engine.spawn_blocking(move || {
            let mut buffer = Buffer::take();
            let read = file.read_at(buffer.space(length), offset)?;
            Ok(buffer.freeze(read))
        });
        self.waiting = Some(Box::pin(async move {
            Waited::Read(read.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())))
        }));
    }

    fn took(&mut self, bytes: Bytes) -> Result<Bytes, CutOff> {
        if bytes.is_empty() {
            return Err(self.unreadable(io::ErrorKind::UnexpectedEof));
        }
        self.range.start += bytes.len() as u64;
        Ok(bytes)
    }

    /// The disk fails, or the file is shorter than it was.
    fn unreadable(&mut self, cause: io::ErrorKind) -> CutOff {
        tracing::error!(?cause, "a file of the cache cannot be read");
        if let Some(Doubt { keeper, key }) = self.doubt.take() {
            keeper.distrust(&key);
        }
        CutOff
    }

    fn cut(&mut self, cause: CutOff) -> Poll<Option<Result<Bytes, CutOff>>> {
        self.range.start = self.range.end;
        Poll::Ready(Some(Err(cause)))
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, CutOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                let waited = ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
                match waited {
                    Waited::Grown(progress, alive) => {
                        let over = !matches!(
                            &*progress.borrow(),
                            Progress::Opening | Progress::Filling { .. }
                        );
                        if let Some(growth) = &mut self.growth {
                            growth.progress = (alive || over).then_some(progress);
                        }
                    }
                    Waited::Read(Ok(bytes)) => match self.took(bytes) {
                        Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                        Err(cause) => return self.cut(cause),
                    },
                    Waited::Read(Err(cause)) => {
                        let cause = self.unreadable(cause.kind());
                        return self.cut(cause);
                    }
                }
            }
            if self.range.is_empty() {
                return Poll::Ready(None);
            }
            let until = match self.readable() {
                Ok(until) => until.min(self.range.end),
                Err(cause) => return self.cut(cause),
            };
            if until <= self.range.start {
                self.wait();
                continue;
            }
            let length = usize::try_from(until - self.range.start).unwrap_or(CHUNK).min(CHUNK);
            let mut buffer = Buffer::take();
            let mut space = [IoSliceMut::new(buffer.space(length))];
            match preadv2(&self.file, &mut space, self.range.start, ReadWriteFlags::NOWAIT) {
                Ok(read) if read > 0 => match self.took(buffer.freeze(read)) {
                    Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                    Err(cause) => return self.cut(cause),
                },
                // Not in the page cache, or a file system that cannot tell.
                Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::INTR) => {
                    self.read_blocking(length);
                }
                Err(cause) => {
                    let cause = self.unreadable(cause.kind());
                    return self.cut(cause);
                }
            }
        }
    }
}
