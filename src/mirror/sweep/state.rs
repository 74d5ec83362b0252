//! What one clean-up leaves to the next, and tells all nodes.
//!
//! A clean-up *marks* by writing down two times: whatever was last used at or before them is to
//! go. A later one removes it, when the marks have stood for the grace, and only what is still
//! unused then. So a mark costs one record however many objects it means, and every node can tell
//! what may go soon without asking for each.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::SweepError;
use crate::{
    clock::to_unix,
    settings::Settings,
    store::{LINK_LIFETIME, Records, StoreError, Version, When, Written},
};

const PATH: &str = "sweep/state";

/// How often a node reports its use, at most and at least.
const REPORT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How far the store's clock may seem to go back. What was written down at a later time than that was
/// written when the clock was wrong.
pub(super) const SLACK: Duration = Duration::from_secs(60);

/// All times are seconds since 1970 by the store's clock. A time of 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::mirror) struct State {
    /// Since when use was written down without a break.
    pub(super) since: u64,
    /// When the last clean-up began that came to its end.
    pub(super) swept: u64,
    /// When the last of them began that was not there for ripe marks alone; 0 if that is `swept`.
    regular: u64,
    /// When a clean-up was last at work, whether it came to its end or not.
    active: u64,
    /// How many seconds lay between two clean-ups then, as the settings said.
    interval: u64,
    /// When the marks were made.
    pub(super) marked: u64,
    /// What was last used at or before this has expired.
    pub(super) expired: u64,
    /// What was last used at or before this is beyond `max_size`, so many bytes of it.
    pub(super) surplus: u64,
    pub(super) surplus_bytes: u64,
    /// The `max_size` that this was reckoned by, in bytes.
    pub(super) max_size: u64,
    /// The latest of all marks that were ever made. Nothing that was used after it is removed by
    /// anybody, however late they act.
    pub(super) latest_mark: u64,
    /// Time at which public content was last found to be a registry's, which hosts images there.
    pub(super) hosted: u64,
    /// True if the last clean-up found it so.
    is_hosted: bool,
    /// How much is marked, in bytes.
    pub(super) doomed: u64,
    /// How many objects there are.
    pub(super) objects: u64,
    /// And how many bytes.
    pub(super) bytes: u64,
    /// Which writing of the record this was read from; none if there was none.
    #[serde(skip)]
    read_from: Option<Version>,
}

/// What is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removable {
    /// What was last used at or before this, or came to be known of only then.
    pub(super) expired: u64,
    /// What was last used at or before this.
    pub(super) surplus: u64,
    /// But no more of it than makes, with what has expired, so many bytes.
    pub(super) surplus_bytes: u64,
}

impl State {
    /// What was left; the first clean-up finds nothing.
    pub(super) async fn read(records: &dyn Records) -> Result<Self, SweepError> {
        match records.get(PATH).await? {
            None => Ok(Self::default()),
            Some((value, version)) => match serde_json::from_slice::<Self>(&value) {
                Ok(state) => Ok(Self { read_from: Some(version), ..state }),
                Err(_) => Err(SweepError::Unreadable { path: PATH.into() }),
            },
        }
    }

    /// What of it can be believed at `now`: a time that is yet to come is none.
    pub(super) fn at(mut self, now: u64) -> Self {
        let latest = now + SLACK.as_secs();
        if self.latest_mark > latest {
            let stand = [self.expired, self.surplus].into_iter().filter(|mark| *mark <= latest);
            self.latest_mark = stand.max().unwrap_or_default();
        }
        let Self { since, swept, regular, active, marked, hosted, .. } = &mut self;
        for time in [since, swept, regular, active, marked, hosted] {
            if *time > latest {
                *time = 0;
            }
        }
        self
    }

    /// Writes it down in place of what it was read from.
    ///
    /// # Errors
    /// [`SweepError::Lost`] if another wrote it meanwhile.
    pub(super) async fn write(&mut self, records: &dyn Records) -> Result<(), SweepError> {
        let when = self.read_from.clone().map_or(When::Absent, When::Is);
        match records.put(PATH, json("state", self)?, when).await? {
            Written::Done(version) => {
                self.read_from = Some(version);
                Ok(())
            }
            Written::Conflict => Err(SweepError::Lost),
        }
    }

    /// What may be removed at `now`: as it was marked, if that is long enough ago, and as far as the
    /// settings would mark it still.
    pub(super) fn removable(&self, settings: &Settings, now: u64) -> Removable {
        if self.marked == 0 || self.ripens(settings, now) {
            return Removable::default();
        }
        let expired = self.expired.min(now.saturating_sub(settings.expire_after.0.as_secs()));
        let cap = settings.max_size.map_or(u64::MAX, |size| size.0);
        let (surplus, surplus_bytes) =
            if cap <= self.max_size { (self.surplus, self.surplus_bytes) } else { (0, 0) };
        Removable { expired, surplus, surplus_bytes }
    }

    /// All that is marked.
    pub(super) fn all_marked(&self) -> Removable {
        let Self { expired, surplus, surplus_bytes, .. } = *self;
        Removable { expired, surplus, surplus_bytes }
    }

    /// Whether marks were made that may not be acted on yet.
    pub(super) fn ripens(&self, settings: &Settings, now: u64) -> bool {
        self.marked > 0 && now < self.marked + grace(settings).as_secs()
    }

    /// When the next clean-up is due: as often as the settings say, and once in between when the
    /// marks of the last have stood for the grace and there is something to remove. What that one
    /// marks waits for the next: in a busy store there always is something, and one clean-up would
    /// follow the other.
    pub(super) fn due(&self, settings: &Settings) -> u64 {
        let next = self.next(settings);
        let is_first = self.swept == self.regular() && self.marked >= self.swept;
        if is_first && self.doomed > 0 {
            next.min(self.marked + grace(settings).as_secs())
        } else {
            next
        }
    }

    /// Whether a clean-up that begins at `now` is there for ripe marks alone.
    pub(super) fn is_in_between(&self, settings: &Settings, now: u64) -> bool {
        (self.due(settings)..self.next(settings)).contains(&now)
    }

    fn next(&self, settings: &Settings) -> u64 {
        self.regular() + settings.cleanup_interval.0.as_secs()
    }

    fn regular(&self) -> u64 {
        if self.regular == 0 { self.swept } else { self.regular }
    }

    /// Notes that use is written down and a clean-up at work at `now`. After a break it counts from
    /// now on: what was in use before has its full time again. When one was last at work, if there
    /// was such a break; 0 if none ever was.
    pub(super) fn go_on(&mut self, settings: &Settings, now: u64) -> Option<u64> {
        let interval = settings.cleanup_interval.0.as_secs();
        // What was agreed on until now counts, too: a shorter interval is no break.
        let patience = self.interval.max(interval).saturating_mul(3).max(REPORT.1.as_secs());
        let last = self.active.max(self.swept);
        let is_broken = self.since == 0 || now > last.saturating_add(patience);
        if is_broken {
            self.since = now;
        }
        (self.active, self.interval) = (now, interval);
        is_broken.then_some(last)
    }

    /// Notes at `now` whether public content is a registry's. What has just come to be a mirror's
    /// counts as used now.
    pub(super) const fn note_hosted(&mut self, is_hosted: bool, now: u64) {
        if is_hosted || self.is_hosted {
            self.hosted = now;
        }
        self.is_hosted = is_hosted;
    }

    /// Notes that a clean-up is still at work at `now`.
    pub(super) const fn is_at_work(&mut self, now: u64) {
        self.active = now;
    }

    /// Notes that the clean-up which began at `begun` came to its end at `now`.
    pub(super) fn end(&mut self, begun: u64, now: u64, was_in_between: bool) {
        self.regular = if was_in_between { self.regular() } else { begun };
        (self.swept, self.active) = (begun, now);
    }
}

/// How often a node reports its use.
pub(in crate::mirror) fn report_every(settings: &Settings) -> Duration {
    (settings.expire_after.0 / 8).clamp(REPORT.0, REPORT.1)
}

/// How long after marking nothing that is marked is removed: until every node has reported what it
/// used meanwhile and knows the mark, and no address is good any more that was given out before.
pub(super) fn grace(settings: &Settings) -> Duration {
    let addresses = if settings.blob_redirect { LINK_LIFETIME } else { Duration::ZERO };
    report_every(settings) * 2 + addresses
}

/// The longest that a lease may last.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// How long the lease lasts.
pub(super) fn term(settings: &Settings) -> Duration {
    settings.cleanup_interval.0.clamp(Duration::from_secs(5), LONGEST)
}

/// The time of the store's clock as it is written down.
pub(super) fn seconds(now: SystemTime) -> u64 {
    to_unix(now)
}

pub(super) fn json(what: &'static str, value: &impl Serialize) -> Result<Bytes, StoreError> {
    let broken = |_| StoreError::Broken { operation: what, what: "it cannot be written".into() };
    serde_json::to_vec(value).map(Bytes::from).map_err(broken)
}
