//! When to report and when to clean up.

use std::{sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep};

use super::{HeldBack, State, Step, SweepError, Swept, Tally, lock, walk};
use crate::{
    clock::to_unix,
    mirror::{Inner, sweep::report_every},
    telemetry::Metrics,
};

/// How long after a failure, or when another is at it, the next look is.
const AGAIN: Duration = Duration::from_secs(60);

/// How often the log says how far a clean-up is.
const SAY: Duration = Duration::from_secs(60);

/// The longest wait between two looks at the settings.
const LOOK: Duration = Duration::from_secs(30);

impl Inner {
    /// Reports what this node uses, again and again, for ever.
    pub(in crate::mirror) async fn keep_reporting(&self) {
        loop {
            sleep(report_every(&self.parts.settings.load())).await;
            if let Err(error) = self.report_use().await {
                let hint = error.hint();
                tracing::warn!(%error, hint = hint.as_deref(), "use cannot be reported yet");
            }
        }
    }

    /// Cleans up whenever it is due, for ever.
    pub(in crate::mirror) async fn keep_clean(&self) {
        let mut told = None;
        // A start has other things to do.
        sleep(self.after_failure()).await;
        loop {
            match self.until_due().await {
                Ok(wait) if !wait.is_zero() => sleep(wait.min(LOOK)).await,
                Ok(_) => {
                    let ended = self.sweep_and_tell(&mut told).await;
                    sleep(if ended { Duration::from_secs(1) } else { self.after_failure() }).await;
                }
                Err(error) => {
                    self.tell_end(&Err(error), &mut told);
                    sleep(self.after_failure()).await;
                }
            }
        }
    }

    fn after_failure(&self) -> Duration {
        AGAIN.min(self.parts.settings.load().cleanup_interval.0).max(Duration::from_secs(1))
    }

    /// How long it is until the next clean-up, on whichever node. The record is read again only
    /// when that time has come: another may have done it.
    async fn until_due(&self) -> Result<Duration, SweepError> {
        let settings = self.parts.settings.load_full();
        let last = super::lock(&self.swept).clone();
        let now = walk::now(self).await?;
        if let Some(due) = last.map(|state| state.at(now).due(&settings))
            && due > now
        {
            return Ok(Duration::from_secs(due - now));
        }
        let state = State::read(&*self.parts.records).await?.at(now);
        let due = state.due(&settings);
        *super::lock(&self.swept) = Some(state);
        Ok(Duration::from_secs(due.saturating_sub(now)))
    }

    /// Cleans up, and says in the log and the metrics how it ended; `told` is what was said last of
    /// why it could not. Whether it came to its end.
    async fn sweep_and_tell(&self, told: &mut Option<String>) -> bool {
        let progress = Progress::new(self.parts.metrics.clone());
        let ended = self.sweep(&|step: Step| progress.take(&step)).await;
        match &ended {
            Ok(swept) => tell(swept, progress.begun.elapsed()),
            Err(_) => progress.stopped(),
        }
        self.tell_end(&ended, told);
        ended.is_ok()
    }

    /// Says how a clean-up ended, or that nobody can tell whether one is due.
    fn tell_end(&self, ended: &Result<Swept, SweepError>, told: &mut Option<String>) {
        let outcome = match ended {
            Ok(_) => "done",
            Err(SweepError::Busy { .. }) => "busy",
            Err(SweepError::Lost) => "lost",
            Err(_) => "failed",
        };
        self.parts.metrics.cleanup().ended(outcome, to_unix(self.parts.clock.now()));
        let trouble = match ended {
            Ok(swept) => swept.held_back.as_ref().map(HeldBack::to_string),
            Err(SweepError::Busy { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = trouble.as_ref().filter(|why| told.as_ref() != Some(*why)) {
            let hint = ended.as_ref().err().and_then(SweepError::hint);
            tracing::warn!(why, hint = hint.as_deref(), "nothing is removed from the store");
        }
        *told = trouble;
    }
}

/// How far a clean-up is, for the log and the metrics.
struct Progress {
    metrics: Metrics,
    begun: Instant,
    so_far: Mutex<SoFar>,
}

struct SoFar {
    said: Instant,
    parts: u16,
    removed: Tally,
}

impl Progress {
    fn new(metrics: Metrics) -> Self {
        let begun = Instant::now();
        let so_far = SoFar { said: begun, parts: 0, removed: Tally::default() };
        Self { metrics, begun, so_far: Mutex::new(so_far) }
    }

    fn take(&self, step: &Step) {
        let mut so_far = lock(&self.so_far);
        match *step {
            Step::Removed(removed) => so_far.removed = removed,
            Step::WouldRemove { .. } => {}
            Step::Walked { parts, of, .. } => {
                so_far.parts = parts;
                self.metrics.cleanup().progress(f64::from(parts) / f64::from(of));
                if so_far.said.elapsed() >= SAY {
                    so_far.said = Instant::now();
                    let Tally { objects: removed, bytes: removed_bytes } = so_far.removed;
                    tracing::info!(parts, of, removed, removed_bytes, "the clean-up goes on");
                }
            }
        }
    }

    /// One that came to no end may have done much all the same.
    fn stopped(&self) {
        let so_far = lock(&self.so_far);
        let Tally { objects: removed, bytes: removed_bytes } = so_far.removed;
        if so_far.parts > 0 || removed > 0 {
            let parts = so_far.parts;
            tracing::info!(parts, removed, removed_bytes, "the clean-up stopped before its end");
        }
    }
}

fn tell(swept: &Swept, took: Duration) {
    let Swept { left, removed, refused, marked, uploads, records, .. } = swept;
    tracing::info!(
        objects = left.objects,
        bytes = left.bytes,
        removed = removed.objects,
        removed_bytes = removed.bytes,
        refused,
        marked_bytes = marked,
        uploads,
        records,
        seconds = took.as_secs(),
        "cleaned up"
    );
}
