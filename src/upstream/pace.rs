//! How fast an upstream may be asked. Docker Hub has two limits. The pull limit counts manifest
//! GETs by account; it says no by a 429 with a JSON body. The abuse limit counts everything by
//! address; its 429 is plain text. Each stops what it is about and nothing else, and while it does,
//! callers get their answer here, without a request.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Limits, Scope, Timing, UpstreamError};
use crate::{
    clock::Clock,
    telemetry::{Kind, Metrics},
};

/// As whom a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Without a credential.
    Anonymous,
    /// With the configured credential.
    Credential,
}

/// How long pulls wait where the upstream does not say, and between two looks at what is left.
const PULLS_STEP: Duration = Duration::from_secs(60);
/// The first and the longest wait after an abuse 429 without `Retry-After`.
const ABUSE_STEP: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// No cool-off is longer: `Retry-After` is clamped to it. One that seems to be was made before the
/// clock was set back, and is over.
const LONGEST: Duration = Duration::from_secs(6 * 3600 + 60);

/// What may be done about a pull now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulls {
    /// Go.
    Free,
    /// A HEAD has to show first that some are left.
    Due,
}

/// The limits of one upstream, and what they stop now.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// After so long without an answer, one request goes ahead of the others.
    idle: Duration,
    /// The others wait for it no longer than this.
    patience: Duration,
    /// What counts by our address, whoever we say that we are.
    state: Arc<Mutex<State>>,
    /// What counts by the account.
    account: Arc<Mutex<Account>>,
}

#[derive(Debug, Default)]
struct State {
    everything: Option<SystemTime>,
    abuse_step: Option<Duration>,
    pulls: Option<Cooling>,
    answered: Option<Instant>,
    first: Option<First>,
    turns: u64,
}

#[derive(Debug, Default)]
struct Account {
    pulls: Option<Cooling>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Cooling {
    since: Instant,
    until: SystemTime,
}

/// Who went ahead. Its end is told by dropping the sender.
#[derive(Debug)]
struct First {
    number: u64,
    since: Instant,
    end: watch::Sender<()>,
}

/// The right to ask. Whoever holds the first one after a pause goes ahead of the others until it is
/// dropped: not until the first answer, which is a token's and says nothing of the pull limit.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    first: Option<u64>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        if self.first.is_some() && state.first.as_ref().map(|first| first.number) == self.first {
            state.first = None;
        }
    }
}

impl Pace {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        idle: Duration,
        patience: Duration,
    ) -> Self {
        let (state, account) = (Arc::default(), Arc::default());
        Self { clock, metrics, idle, patience, state, account }
    }

    /// The limits of another client of the same upstream, which counts requests of either as ours.
    /// Of another account it is told only what binds our address.
    #[must_use]
    pub(super) fn heir(&self, timing: Timing, same_account: bool) -> Self {
        Self {
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            idle: timing.idle,
            patience: timing.patience,
            state: self.state.clone(),
            account: if same_account { self.account.clone() } else { Arc::default() },
        }
    }

    /// Nothing panics while it holds the lock; were it to, what it guards would still be sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at, or changes, what stops the pulls of `who`.
    fn cooling_pulls<T>(&self, who: Who, then: impl FnOnce(&mut Option<Cooling>) -> T) -> T {
        match who {
            Who::Anonymous => then(&mut self.state().pulls),
            Who::Credential => then(&mut self.account().pulls),
        }
    }

    fn is_ahead(&self, until: SystemTime) -> bool {
        let now = self.clock.now();
        now < until && until <= now + LONGEST
    }

    fn everything(&self, state: &State) -> Option<SystemTime> {
        state.everything.filter(|until| self.is_ahead(*until))
    }

    /// Whether anything may be asked at all.
    pub(super) fn check(&self) -> Result<(), UpstreamError> {
        match self.everything(&self.state()) {
            Some(until) => Err(UpstreamError::CoolingOff { until, scope: Scope::Everything }),
            None => Ok(()),
        }
    }

    /// Waits for the right to ask. After a pause, and after the abuse limit, one caller goes first
    /// and the others wait for what it is told, so that a limit is met by one request and not by
    /// everyone at once. They wait once: if the first gets no answer, they find out for
    /// themselves.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, UpstreamError> {
        self.check()?;
        let (mut end, patience) = {
            let mut state = self.state();
            if let Some(first) = &state.first {
                (first.end.subscribe(), self.patience.saturating_sub(first.since.elapsed()))
            } else if state.answered.is_some_and(|at| at.elapsed() < self.idle) {
                return Ok(Turn { pace: self, first: None });
            } else {
                state.turns += 1;
                let number = state.turns;
                let end = watch::Sender::new(());
                state.first = Some(First { number, since: Instant::now(), end });
                return Ok(Turn { pace: self, first: Some(number) });
            }
        };
        // Ends when the sender is dropped: the first has what it wanted, or gave up.
        let _ = timeout(patience, end.changed()).await;
        self.check()?;
        Ok(Turn { pace: self, first: None })
    }

    /// The upstream answered, and not by a limit or an error of its own. A token's answer says
    /// nothing of the registry, which may still be limiting.
    pub(super) fn answered(&self, kind: Kind) {
        let mut state = self.state();
        state.answered = Some(Instant::now());
        if kind != Kind::Token && self.everything(&state).is_none() {
            state.abuse_step = None;
        }
    }

    /// A manifest's HEAD or GET, sent at `sent`, told what is left.
    pub(super) fn told(&self, who: Who, limits: Limits, sent: Instant) {
        // What was asked before the limit struck says nothing about it.
        let is_over = |cooling: &mut Option<Cooling>| {
            limits.remaining != Some(0) && cooling.take_if(|cooling| sent > cooling.since).is_some()
        };
        if self.cooling_pulls(who, is_over) {
            tracing::info!("the upstream's pull limit has pulls left again");
        }
        self.account().limits = limits;
        self.metrics.limits(limits.limit, limits.remaining);
    }

    /// Whether a manifest may be fetched.
    pub(super) fn pulls(&self, who: Who) -> Result<Pulls, UpstreamError> {
        match self.cooling_pulls(who, |cooling| *cooling) {
            None => Ok(Pulls::Free),
            Some(Cooling { until, .. }) if self.is_ahead(until) => {
                Err(UpstreamError::CoolingOff { until, scope: Scope::Pulls })
            }
            Some(_) => Ok(Pulls::Due),
        }
    }

    /// The pull limit said no, or a HEAD showed that nothing is left.
    pub(super) fn no_pulls(&self, who: Who, wait: Option<Duration>) -> UpstreamError {
        let until = self.clock.now() + wait.unwrap_or(PULLS_STEP);
        let cooling = Cooling { since: Instant::now(), until };
        let known = self.cooling_pulls(who, |before| before.replace(cooling)).is_some();
        if !known {
            self.metrics.cool_off("pulls");
            let seconds = wait.unwrap_or(PULLS_STEP).as_secs();
            tracing::warn!(seconds, "the upstream's pull limit is reached, manifest GETs wait");
        }
        UpstreamError::CoolingOff { until, scope: Scope::Pulls }
    }

    /// The abuse limit said no.
    pub(super) fn abused(&self, wait: Option<Duration>) -> UpstreamError {
        let now = self.clock.now();
        let mut state = self.state();
        let known = self.everything(&state);
        let wait = wait.unwrap_or_else(|| {
            // Requests that were under way together are one offence.
            if let Some(until) = known {
                return until.duration_since(now).unwrap_or_default();
            }
            let step = state.abuse_step.map_or(ABUSE_STEP.0, |step| (step * 2).min(ABUSE_STEP.1));
            state.abuse_step = Some(step);
            jittered(step)
        });
        let until = known.unwrap_or(now).max(now + wait);
        state.everything = Some(until);
        state.answered = None;
        state.first = None;
        if known.is_none() {
            self.metrics.cool_off("everything");
            tracing::warn!(
                seconds = wait.as_secs(),
                "the upstream's abuse limit is reached, every request waits"
            );
        }
        UpstreamError::CoolingOff { until, scope: Scope::Everything }
    }

    pub(super) fn limits(&self) -> Limits {
        self.account().limits
    }

    /// What waits now for callers who ask as `who`.
    pub(super) fn cooling(&self, who: Who) -> Option<(Scope, SystemTime)> {
        let pulls = self.cooling_pulls(who, |cooling| cooling.map(|cooling| cooling.until));
        self.everything(&self.state()).map(|until| (Scope::Everything, until)).or_else(|| {
            pulls.filter(|until| self.is_ahead(*until)).map(|until| (Scope::Pulls, until))
        })
    }
}

/// Between the whole of `wait` and a fifth more, so that nodes that were stopped together do not
/// come back together.
pub(super) fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    wait + wait.mul_f64(0.2 * random as f64 / 1024.0)
}

#[cfg(test)]
mod tests;
