//! Filling a flight: from this node's disk, the shared store or the upstream, the first that
//! answers, going on with the next where one breaks off.

use std::{io, mem, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    Inner,
    answer::Refusal,
    copies,
    flight::{Aboard, Failure, From, Pilot, Progress},
    refuse::refusal,
    rest::{Patience, is_passing},
    sink::{End, Sink},
    spool::{Created, Spool},
};
use crate::{
    store::{Body, Chunks, Key, Meta, Payload},
    telemetry::Tier,
    upstream::{Trust, UpstreamError},
};

/// How long a source may send nothing before it counts as broken off.
const SILENCE: Duration = Duration::from_secs(30);

/// How long the disk may take to make a file; less than a client waits for the first word.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a failure answers for those who come right after it, lest each of them meet it anew.
const LINGER: Duration = Duration::from_secs(1);

/// Fills one flight to its end. Owned by no client. `in_store`: whether the shared store may have
/// the blob.
pub(super) async fn fill(mirror: Arc<Inner>, pilot: Pilot, trust: Trust, in_store: bool) {
    let filling = Filling { mirror: &mirror, pilot: &pilot, trust, in_store };
    if let Err(failure) = filling.run().await {
        // Whoever comes next fares better.
        let is_last = matches!(failure, Failure::Spoilt { .. });
        if is_last {
            pilot.leave();
        }
        pilot.progress.send_replace(Progress::Failed(failure));
        if !is_last {
            sleep(LINGER).await;
        }
    }
}

struct Filling<'a> {
    mirror: &'a Inner,
    pilot: &'a Pilot,
    trust: Trust,
    in_store: bool,
}

impl<'a> Filling<'a> {
    async fn run(&self) -> Result<(), Failure> {
        let key = &self.pilot.key;
        // It may have been kept between the asker's look at the disk and this flight, or has to be
        // hashed first.
        if let Some((found, is_checked)) = self.mirror.keeper.near_open(key).await
            && let Body::File(file, range) = found.body
        {
            let aboard = Aboard { file, spooled: None };
            return match is_checked {
                true => self.kept(aboard, range.end),
                false => self.check(aboard, range.end).await,
            };
        }
        let found = match self.in_store {
            true => self.mirror.keeper.far_of(key, &self.pilot.name).await,
            false => None,
        };
        let mut sink = None;
        if let Some(found) = found {
            match found.body {
                Body::File(file, range) => {
                    return self.kept(Aboard { file, spooled: None }, range.end);
                }
                // Nobody has hashed what another program put there: the spool is where that is done.
                Body::Stream(_)
                    if found.info.meta.verified && !self.mirror.fits_near(found.info.size) =>
                {
                    return Err(Failure::NoRoom);
                }
                Body::Stream(chunks) => {
                    match self.take_from_store(chunks, found.info.size).await? {
                        Taken::All(taken) => return self.finish(taken, From::Bucket).await,
                        Taken::Part(taken) => sink = Some(taken),
                    }
                }
            }
        }
        self.mirror.parts.metrics.miss();
        self.go_upstream(sink).await
    }

    /// Takes what the shared store has of the blob; where it breaks off, it has another chance.
    async fn take_from_store(&self, chunks: Chunks, size: u64) -> Result<Taken<'a>, Failure> {
        let key = &self.pilot.key;
        let mut taking = self.begin(Some(size), From::Bucket).await?;
        self.mirror.parts.metrics.hit(Tier::Bucket, 1);
        let mut has_chance = true;
        let mut next = Some(chunks);
        while let Some(chunks) = next.take() {
            match taking.take(chunks).await {
                End::Clean if taking.is_full() => return Ok(Taken::All(taking)),
                End::Disk(cause) => return Err(self.mirror.spool_broke(&cause)),
                End::Fatal(failure) => return Err(failure),
                End::Clean | End::Broken(_) => {}
            }
            let written = taking.written();
            tracing::warn!(digest = %key.digest, written, "the shared store broke off");
            if mem::take(&mut has_chance) {
                next = self.mirror.keeper.far_rest(key, written..size).await;
            }
        }
        self.mirror.keeper.broke_off();
        Ok(Taken::Part(taking))
    }

    /// Hashes a copy that this process has not seen before, while the readers read along.
    async fn check(&self, aboard: Aboard, total: u64) -> Result<(), Failure> {
        let Pilot { key, progress, .. } = self.pilot;
        let file = aboard.file.clone();
        let _ = self.pilot.from.set(From::Disk);
        let _ = self.pilot.aboard.set(Arc::new(aboard));
        let told = progress.clone();
        told.send_replace(Progress::Filling { written: 0, total: Some(total) });
        let algorithm = key.digest.algorithm();
        let hashing = self.mirror.parts.engine.spawn_blocking(move || {
            copies::hash_with(&file, total, algorithm, |written| {
                told.send_replace(Progress::Filling { written, total: Some(total) });
            })
        });
        let hashed = hashing.await.ok().and_then(Result::ok);
        let is_right = hashed == Some(key.digest);
        self.mirror.keeper.near_checked(key, total, is_right).await;
        if !is_right {
            return Err(Failure::Spoilt { why: "what this node kept of it was damaged" });
        }
        progress.send_replace(Progress::Verified { total });
        Ok(())
    }

    fn kept(&self, aboard: Aboard, total: u64) -> Result<(), Failure> {
        let _ = self.pilot.from.set(From::Disk);
        let _ = self.pilot.aboard.set(Arc::new(aboard));
        self.pilot.progress.send_replace(Progress::Verified { total });
        Ok(())
    }

    /// Readies the spool for a blob of `total` bytes and lets the readers know.
    async fn begin(&self, total: Option<u64>, from: From) -> Result<Sink<'a>, Failure> {
        let mut created = self.mirror.spooled(total).await;
        // What comes is worth more than what only might be wanted again.
        if let Created::NoDisk = created
            && self.mirror.keeper.give_way(Spool::needs(total)).await
        {
            created = self.mirror.spooled(total).await;
        }
        let Created::File(spooled) = created else { return Err(Failure::NoRoom) };
        super::lock(&self.mirror.spool_trouble).take();
        let aboard = Arc::new(Aboard { file: spooled.file().clone(), spooled: Some(*spooled) });
        let _ = self.pilot.from.set(from);
        let _ = self.pilot.aboard.set(aboard.clone());
        Ok(Sink::new(self.pilot, aboard, total, self.mirror.parts.engine.clone(), SILENCE))
    }

    async fn go_upstream(&self, mut sink: Option<Sink<'a>>) -> Result<(), Failure> {
        let mut patience = Patience::new();
        let Pilot { name, key, .. } = self.pilot;
        loop {
            let from = sink.as_ref().map_or(0, Sink::written);
            let error = match self.mirror.ask_for_blob(name, key, from, self.trust).await {
                Ok(blob) => {
                    let mut taking = match sink.take() {
                        Some(taking) => taking,
                        None => {
                            self.mirror.parts.metrics.fill();
                            self.begin(blob.total, From::Upstream).await?
                        }
                    };
                    if blob.total.is_some() && blob.total != taking.total() {
                        let why = "the upstream says another length than was said before";
                        return Err(self.mismatch(why));
                    }
                    match taking.take(blob.chunks).await {
                        End::Clean if taking.total().is_none() || taking.is_full() => {
                            return self.finish(taking, From::Upstream).await;
                        }
                        End::Disk(cause) => return Err(self.mirror.spool_broke(&cause)),
                        End::Fatal(failure) => return Err(failure),
                        End::Clean | End::Broken(_) => {}
                    }
                    if taking.written() > from {
                        patience.renew();
                    }
                    tracing::warn!(
                        digest = %key.digest,
                        written = taking.written(),
                        "the upstream broke off, so the rest is asked for"
                    );
                    self.mirror.parts.metrics.resume();
                    sink = Some(taking);
                    UpstreamError::passing("the upstream broke off again and again")
                }
                Err(error) => error,
            };
            if !is_passing(&error) || !patience.again().await {
                return Err(Failure::Refused(refusal(error, Refusal::NoBlob)));
            }
        }
    }

    /// What came is wrong. If any of it is the shared store's, what that has is passed over from now
    /// on: it may be right all the same, if the rest is the upstream's.
    fn mismatch(&self, why: &'static str) -> Failure {
        if self.pilot.from.get() != Some(&From::Bucket) {
            return Failure::upstream(why);
        }
        self.mirror.keeper.suspect(&self.pilot.key);
        Failure::Spoilt { why }
    }

    /// Judges what has come, lets the readers have the rest of it, and keeps it.
    async fn finish(&self, sink: Sink<'a>, from: From) -> Result<(), Failure> {
        let Pilot { key, aboard, progress, .. } = self.pilot;
        let total = sink.written();
        if sink.digest() != Some(key.digest) {
            self.mirror.parts.metrics.mismatch();
            tracing::error!(digest = %key.digest, ?from, "bytes do not match their digest");
            let failure = self.mismatch("the bytes do not match their digest");
            if from == From::Bucket {
                self.mirror.forget_in_background(key);
            }
            return Err(failure);
        }
        progress.send_replace(Progress::Verified { total });
        let Some(aboard) = aboard.get() else { return Ok(()) };
        let payload = Payload::File { file: aboard.file.clone(), len: total };
        let meta = Meta { media_type: None, verified: true };
        let new = from == From::Upstream;
        let kept = self.mirror.keeper.keep(key, &payload, &meta, new).await;
        if !kept.near && !kept.far {
            // Nobody else has it: whoever comes while it is being read reads along.
            progress.closed().await;
        }
        Ok(())
    }
}

/// How much of a blob came.
enum Taken<'a> {
    All(Sink<'a>),
    Part(Sink<'a>),
}

impl Inner {
    /// A new file of the spool. A disk that hangs has no room, and is left alone then.
    async fn spooled(&self, total: Option<u64>) -> Created {
        let (spool, limit) = (self.spool.clone(), self.parts.settings.load().spool_size.0);
        let creating = self.parts.engine.spawn_blocking(move || spool.create(total, limit));
        let cause = match timeout(PATIENCE, creating).await {
            Ok(Ok(Ok(created))) => return created,
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(_)) => io::ErrorKind::Other.into(),
            Err(_) => {
                self.spool.rest();
                io::ErrorKind::TimedOut.into()
            }
        };
        self.spool_failed(&cause);
        Created::NoRoom
    }

    /// Passes over content of the shared store that turned out to be wrong, and removes it: nobody
    /// waits for a store that is slow to do so.
    pub(super) fn forget_in_background(&self, key: &Key) {
        self.keeper.suspect(key);
        let (keeper, key, busy) = (self.keeper.clone(), key.clone(), self.busy());
        self.parts.engine.spawn(async move {
            keeper.forget(&key).await;
            drop(busy);
        });
    }

    /// The disk failed in the midst of a body. Those who come next are served without it for a while.
    fn spool_broke(&self, cause: &io::Error) -> Failure {
        self.spool_failed(cause);
        self.spool.rest();
        Failure::NoRoom
    }

    pub(super) fn spool_failed(&self, cause: &io::Error) {
        let why = format!("the spool cannot be used: {}", cause.kind());
        tracing::error!(why, "blobs are streamed through, each client alone");
        *super::lock(&self.spool_trouble) = Some(why);
    }
}
