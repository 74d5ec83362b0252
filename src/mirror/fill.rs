//! Filling a flight: from this node's disk, the shared store or the upstream, the first that
//! answers, going on with the next where one breaks off.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{
    Inner,
    answer::Refusal,
    flight::{Aboard, Failure, From, Pilot, Progress},
    refuse::refusal,
    sink::{End, Sink},
};
use crate::{
    store::{Body, Meta, Payload},
    telemetry::Tier,
    upstream::{Trust, UpstreamError},
};

/// How long a source may send nothing before it counts as broken off.
const SILENCE: Duration = Duration::from_secs(30);

/// How often the upstream is asked again without a byte of progress.
const TRIES: u32 = 5;

/// The first pause before the upstream is asked again; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a failure answers for those who come right after it, lest each of them meet it anew.
const LINGER: Duration = Duration::from_secs(1);

/// Fills one flight to its end. Owned by no client.
pub(super) async fn fill(mirror: Arc<Inner>, pilot: Pilot, trust: Trust) {
    let filling =
        Filling { mirror: &mirror, pilot: &pilot, trust, dropped: AtomicBool::new(false) };
    if let Err(failure) = filling.run().await {
        pilot.progress.send_replace(Progress::Failed(failure));
        // What was damaged in the bucket is gone from there: whoever comes next fares better.
        if !filling.dropped.load(Ordering::Relaxed) {
            sleep(LINGER).await;
        }
    }
}

struct Filling<'a> {
    mirror: &'a Inner,
    pilot: &'a Pilot,
    trust: Trust,
    /// Whether the bucket's content was wrong and is gone.
    dropped: AtomicBool,
}

impl<'a> Filling<'a> {
    async fn run(&self) -> Result<(), Failure> {
        let key = &self.pilot.key;
        // It may have been kept between the asker's look at the disk and this flight.
        if let Some(found) = self.mirror.keeper.near(key).await
            && let Body::File(file, range) = found.body
        {
            return self.kept(Aboard { file, spooled: None }, range.end);
        }
        let mut sink = None;
        if let Some(found) = self.mirror.keeper.far_of(key, &self.pilot.name).await {
            let size = found.info.size;
            match found.body {
                Body::File(file, range) => {
                    return self.kept(Aboard { file, spooled: None }, range.end);
                }
                Body::Stream(chunks) => {
                    if !self.mirror.fits_near(size) {
                        return Err(Failure::NoRoom);
                    }
                    let mut taking = self.begin(Some(size), From::Bucket)?;
                    self.mirror.parts.metrics.hit(Tier::Bucket, 1);
                    match taking.take(chunks).await {
                        End::Clean if taking.is_full() => {
                            return self.finish(taking, From::Bucket).await;
                        }
                        End::Fatal(failure) => return Err(failure),
                        End::Clean | End::Broken(_) => {
                            tracing::warn!(
                                digest = %key.digest,
                                written = taking.written(),
                                "the shared store broke off, so the upstream is asked for the rest"
                            );
                            sink = Some(taking);
                        }
                    }
                }
            }
        }
        self.mirror.parts.metrics.miss();
        self.go_upstream(sink).await
    }

    fn kept(&self, aboard: Aboard, total: u64) -> Result<(), Failure> {
        let _ = self.pilot.from.set(From::Disk);
        let _ = self.pilot.aboard.set(Arc::new(aboard));
        self.pilot.progress.send_replace(Progress::Verified { total });
        Ok(())
    }

    /// Readies the spool for a blob of `total` bytes and lets the readers know.
    fn begin(&self, total: Option<u64>, from: From) -> Result<Sink<'a>, Failure> {
        let limit = self.mirror.parts.settings.load().spool_size.0;
        let spooled = match self.mirror.spool.create(total, limit) {
            Ok(spooled) => {
                super::lock(&self.mirror.spool_trouble).take();
                spooled.ok_or(Failure::NoRoom)?
            }
            Err(cause) => {
                self.mirror.spool_failed(&cause);
                return Err(Failure::NoRoom);
            }
        };
        let aboard = Arc::new(Aboard { file: spooled.file().clone(), spooled: Some(spooled) });
        let _ = self.pilot.from.set(from);
        let _ = self.pilot.aboard.set(aboard.clone());
        Ok(Sink::new(self.pilot, aboard, total, self.mirror.parts.engine.clone(), SILENCE))
    }

    async fn go_upstream(&self, mut sink: Option<Sink<'a>>) -> Result<(), Failure> {
        let (mut tries, mut pause) = (0, PAUSE);
        loop {
            let from = sink.as_ref().map_or(0, Sink::written);
            let error = match self.ask(from).await {
                Ok(blob) => {
                    let mut taking = match sink.take() {
                        Some(taking) => taking,
                        None => {
                            self.mirror.parts.metrics.fill();
                            self.begin(blob.total, From::Upstream)?
                        }
                    };
                    if blob.total.is_some() && blob.total != taking.total() {
                        return Err(Failure::upstream(
                            "the upstream changed its mind on the length",
                        ));
                    }
                    match taking.take(blob.chunks).await {
                        End::Clean if taking.total().is_none() || taking.is_full() => {
                            return self.finish(taking, From::Upstream).await;
                        }
                        End::Fatal(failure) => return Err(failure),
                        End::Clean | End::Broken(_) => {}
                    }
                    if taking.written() > from {
                        (tries, pause) = (0, PAUSE);
                    }
                    tracing::warn!(
                        digest = %self.pilot.key.digest,
                        written = taking.written(),
                        "the upstream broke off, so the rest is asked for"
                    );
                    self.mirror.parts.metrics.resume();
                    sink = Some(taking);
                    UpstreamError::passing("the upstream broke off again and again")
                }
                Err(error) => error,
            };
            tries += 1;
            let passing = matches!(error, UpstreamError::Unavailable { retry: true, .. });
            if !passing || tries >= TRIES {
                return Err(Failure::Refused(refusal(error, Refusal::NoBlob)));
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn ask(&self, from: u64) -> Result<crate::upstream::Blob, UpstreamError> {
        let Pilot { name, key, .. } = self.pilot;
        let asking = self.mirror.parts.upstream.blob(name, &key.digest, from, self.trust);
        let answer = tokio::time::timeout(SILENCE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        self.mirror.note(&answer);
        answer
    }

    /// Judges what has come, lets the readers have the rest of it, and keeps it.
    async fn finish(&self, sink: Sink<'a>, from: From) -> Result<(), Failure> {
        let Pilot { key, aboard, progress, .. } = self.pilot;
        let total = sink.written();
        if sink.digest() != Some(key.digest) {
            self.mirror.parts.metrics.mismatch();
            tracing::error!(digest = %key.digest, ?from, "bytes do not match their digest");
            if from == From::Bucket {
                self.mirror.keeper.forget(key).await;
                self.dropped.store(true, Ordering::Relaxed);
            }
            return Err(Failure::upstream("the bytes do not match their digest"));
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

impl Inner {
    pub(super) fn spool_failed(&self, cause: &io::Error) {
        let why = format!("the spool cannot be used: {}", cause.kind());
        tracing::error!(why, "blobs are streamed through, each client alone");
        *super::lock(&self.spool_trouble) = Some(why);
    }
}
