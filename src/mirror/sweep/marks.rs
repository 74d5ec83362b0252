//! What a node knows of the marks, so that it gives nobody the address of what may be removed
//! before the address has lost its force.

use std::{fmt, sync::Mutex, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{
    SweepError,
    state::{LONGEST, State, report_every},
    walk,
};
use crate::{
    clock::to_unix,
    mirror::{Inner, lock, usage::Used},
    store::{Info, Key},
};

/// Of how much content the last report is remembered.
const REMEMBERED: usize = 50_000;

/// How long a batch may take from its look at the reports until what is in it has gone. What came to
/// be there or in use later than that ago may have been missed by one.
const BATCH: Duration = Duration::from_secs(2 * LONGEST.as_secs());

/// What is known of the marks.
pub(in crate::mirror) struct Marks {
    /// The latest mark that was ever made, and when this node learnt of it.
    latest: Mutex<Option<(Instant, u64)>>,
    /// What this node reported.
    reported: Cache<Key, Report>,
    /// Why no mark could be read, as was said last.
    trouble: Mutex<Option<String>>,
}

/// A report of use.
#[derive(Clone, Copy)]
struct Report {
    /// When the store had it.
    at: Instant,
    /// The last use, as it says.
    last: u64,
}

impl Marks {
    pub(in crate::mirror) fn new() -> Self {
        let reported = Cache::new(REMEMBERED);
        Self { latest: Mutex::default(), reported, trouble: Mutex::default() }
    }

    /// Takes in the latest mark, as it stands in the store now.
    pub(super) fn learn(&self, latest: u64) {
        *lock(&self.latest) = Some((Instant::now(), latest));
    }

    /// Takes in what was reported. An earlier report stands as long as it will do: it is the one
    /// that nobody can have missed.
    pub(super) fn reported(&self, told: &[(Key, Used)]) {
        let (at, latest) = (Instant::now(), *lock(&self.latest));
        let latest = latest.map_or(0, |(_, latest)| latest);
        for (key, used) in told {
            if self.reported.get(key).is_none_or(|known| known.last <= latest) {
                self.reported.insert(key.clone(), Report { at, last: used.last });
            }
        }
    }

    fn fail(&self, error: &SweepError) {
        let why = error.to_string();
        let mut said = lock(&self.trouble);
        if said.as_ref() != Some(&why) {
            let hint = error.hint();
            tracing::warn!(why, hint = hint.as_deref(), "nobody is sent to the bucket");
            *said = Some(why);
        }
    }
}

impl Inner {
    /// Whether content that the store has is sure to stay there for as long as an address is good:
    /// it was last used, as the store has been told, after all marks that are known here, and
    /// later marks stand for longer than that before they are acted on ([`super::state::grace`]).
    /// It must have been told for so long that no batch under way goes by what was before.
    pub(in crate::mirror) async fn is_safe(&self, key: &Key, info: &Info) -> bool {
        let Some((now, latest)) = self.latest_mark().await else { return false };
        let stored = to_unix(info.stored);
        let is_stored = stored > latest && now >= stored + BATCH.as_secs();
        let counts = |report: Report| report.last > latest && report.at.elapsed() >= BATCH;
        is_stored || self.marks.reported.get(key).is_some_and(counts)
    }

    /// The time by the store's clock, and the latest mark, as it stood no longer ago than nodes
    /// report; none if nobody can tell.
    async fn latest_mark(&self) -> Option<(u64, u64)> {
        let known = self.known_mark().await;
        match &known {
            Ok(_) => drop(lock(&self.marks.trouble).take()),
            Err(error) => self.marks.fail(error),
        }
        known.ok()
    }

    async fn known_mark(&self) -> Result<(u64, u64), SweepError> {
        let limit = report_every(&self.parts.settings.load());
        let now = walk::now(self).await?;
        let known = *lock(&self.marks.latest);
        if let Some((at, latest)) = known
            && at.elapsed() < limit
        {
            return Ok((now, latest));
        }
        // Asked by several at once now and then, which does no harm.
        let latest = State::read(&*self.parts.records).await?.at(now).latest_mark;
        self.marks.learn(latest);
        Ok((now, latest))
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marks")
    }
}
