//! Cleaning up: what nobody used for `expire_after` goes, and the least recently used beyond
//! `max_size`. One node does it at a time, for all.
//!
//! A clean-up takes the lease, merges the nodes' reports of use, and walks over what is kept, a
//! 256th at a time. It removes what an earlier one marked, if the marks have stood for the grace
//! and nobody used it since; then it marks anew ([`state`]). It holds the lease at each step, so one
//! that was frozen stops when it wakes: the most it can do late is one batch, of what was unused
//! when it was frozen, and that costs whoever wants it a fetch.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

mod error;
mod hosted;
mod lease;
mod leftovers;
mod marks;
mod removal;
mod reports;
mod spread;
mod state;
mod turn;
mod walk;

use super::{Inner, lock};
use crate::{
    clock::{from_unix, to_unix},
    settings::{Settings, StoreKind},
    store::{Key, StoreError},
};
use error::is_full;
use lease::{Hold, Lease};
use reports::{AT_ONCE, Gathered};
use walk::Walk;

pub use error::SweepError;
use state::Removable;
pub(super) use {
    marks::Marks,
    state::{State, report_every},
};

/// Above this share of `max_size`, in hundredths, a clean-up marks what makes it too much; so much
/// that the other share is left.
const WATERMARKS: (u64, u64) = (95, 85);

/// How long ago another program must have written last.
const ALONE: Duration = Duration::from_secs(3600);

/// How many parts a clean-up walks over: 256 of public content, and one of all other.
pub(super) const PARTS: u16 = 257;

/// Told as a clean-up goes on.
pub type Tell<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// One thing that a clean-up tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many parts of all were walked over, and so much stays in them.
    Walked {
        /// Parts that are done.
        parts: u16,
        /// All parts.
        of: u16,
        /// What stays in those that are done.
        left: Tally,
    },
    /// So much was removed so far; told after each batch.
    Removed(Tally),
    /// This would be removed; told only where nothing is.
    WouldRemove {
        /// What it is kept under.
        key: Key,
        /// Its length in bytes.
        size: u64,
        /// The second since 1970 of its last use, as far as is known.
        last: u64,
        /// Why it would go.
        reason: Reason,
    },
}

/// Why something is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody used it for `expire_after`.
    Expired,
    /// There is more than `max_size`, and it was not used for the longest time.
    Surplus,
}

impl Reason {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Surplus => "surplus",
        }
    }
}

/// Objects and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Their length together.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Why nothing may be removed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeldBack {
    /// What is removed now could not be fetched again.
    #[error("the upstream fails ({0})")]
    Upstream(String),
    /// An old `registry:2` still uses the bucket, and tells nobody what it uses.
    #[error("another registry wrote to the bucket {0} s ago")]
    OtherWriter(u64),
    /// The bucket hosts the images of a registry.
    #[error("{0}")]
    Hosted(StoreError),
}

/// How a clean-up ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What there is now.
    pub left: Tally,
    /// What was removed, or would be.
    pub removed: Tally,
    /// How many objects were to be removed, and the store refused to.
    pub refused: u64,
    /// What is marked now, in bytes; it goes at [`Swept::due`] if nobody uses it until then.
    pub marked: u64,
    /// When the next clean-up is due; none where nothing was changed.
    pub due: Option<SystemTime>,
    /// Uploads ended that nobody finished.
    pub uploads: u64,
    /// Records removed that nobody needs.
    pub records: u64,
    /// Why nothing was removed, or nothing more from some time on, if that is so.
    pub held_back: Option<HeldBack>,
}

impl Inner {
    /// Cleans up once.
    pub(super) async fn sweep(&self, tell: Tell<'_>) -> Result<Swept, SweepError> {
        let _turn = self.sweeping.lock().await;
        // Not before the turn has come: they may change while another clean-up goes on.
        let settings = self.parts.settings.load_full();
        if let Err(error) = self.report_use().await {
            tracing::debug!(%error, "use that is not reported yet counts all the same");
        }
        self.settle_layout().await?;
        let mut lease = if self.may_lease(&settings).await? {
            let (store, records) = (self.parts.far.clone(), self.parts.records.clone());
            let term = state::term(&settings);
            Some(Lease::take(store, records, self.parts.node.id(), term).await?)
        } else {
            None
        };
        tracing::debug!("the clean-up begins");
        let swept = self.sweep_alone(&settings, Hold(lease.as_mut()), tell).await;
        tracing::debug!("the clean-up ends");
        if let Some(lease) = lease {
            // One that was lost is no longer ours to give up.
            let released = lease.release().await;
            if swept.is_ok() {
                released?;
            }
        }
        swept
    }

    async fn sweep_alone(
        &self,
        settings: &Settings,
        hold: Hold<'_>,
        tell: Tell<'_>,
    ) -> Result<Swept, SweepError> {
        let records = &*self.parts.records;
        let state = State::read(records).await?;
        let now = walk::now(self).await?;
        let mut state = state.at(now);
        let is_in_between = state.is_in_between(settings, now);
        if let Some(last) = state.go_on(settings, now) {
            tell_break(last, now);
        }
        // Known to be at work also to those who come after one that fails.
        if let Err(error) = state.write(records).await {
            // What goes makes room.
            let makes_room = state.removable(settings, now) != Removable::default();
            if !(is_full(&error) && makes_room) {
                return Err(error);
            }
        }
        let mut before = state.clone();
        let swept = self.walk_and_mark(settings, state, (now, is_in_between), hold, tell).await;
        if swept.is_err()
            && let Ok(now) = walk::now(self).await
        {
            before.is_at_work(now);
            let noted = before.write(records).await;
            noted.unwrap_or_else(|error| tracing::debug!(%error, "the state stays as it is"));
        }
        swept
    }

    /// The clean-up itself; `begun` says when that was, and whether it is there for ripe marks alone.
    async fn walk_and_mark(
        &self,
        settings: &Settings,
        mut state: State,
        (now, is_in_between): (u64, bool),
        hold: Hold<'_>,
        tell: Tell<'_>,
    ) -> Result<Swept, SweepError> {
        let mut walk = Walk::new(self, tell, now, state.since);
        walk.hold = hold;
        walk.writes = true;
        let hosted = self.hosted().await?;
        state.note_hosted(hosted.is_some(), now);
        walk.hosted = state.hosted;
        walk.hold.keep().await?;
        walk.held_back = self.held_back(now).await?;
        if walk.held_back.is_none() {
            walk.removable = state.removable(settings, now);
        }
        let none = HashSet::new();
        let mut gathered = self.gather(&none, AT_ONCE, &mut walk.hold).await?;
        while gathered.more {
            if !walk.merge(gathered.uses).await? {
                // What was not read stays as it is, and is looked at before each batch.
                gathered = Gathered::default();
                break;
            }
            self.drop_reports(&gathered.paths, &mut walk.hold).await?;
            gathered = self.gather(&none, AT_ONCE, &mut walk.hold).await?;
        }
        walk.late.known.extend(gathered.paths.iter().cloned());
        self.add_own(&mut gathered.uses).await?;
        walk.all(gathered.uses).await?;
        let Walk { mut hold, spread, left, removed, refused, held_back, unwritten, .. } = walk;

        // Marks that are not ripe stay as they are: if each clean-up moved them, none ever would be.
        let marks_anew = !state.ripens(settings, now);
        if marks_anew {
            mark(&mut state, settings, now, &spread, left.bytes);
        }
        let expired = if state.expired < state.since { 0 } else { spread.until(state.expired) };
        state.doomed = expired.max(state.surplus_bytes);
        (state.objects, state.bytes) = (left.objects, left.bytes);
        hold.renew().await?;
        let ended = walk::now(self).await?;
        if marks_anew {
            // The grace is for those who have yet to read of the marks, which nobody can before now.
            state.marked = ended;
        }
        state.end(now, ended, is_in_between);
        state.write(&*self.parts.records).await?;
        self.marks.learn(state.latest_mark);
        self.parts.metrics.cleanup().left(left.objects, left.bytes, state.doomed);
        if !unwritten {
            self.drop_reports(&gathered.paths, &mut hold).await?;
        }
        // What cannot be found out again now is of use, however old it is.
        let needless = leftovers::needless(settings, state.since, now);
        let needless = needless.filter(|_| held_back.is_none());
        let (uploads, records) = self.clear_leftovers(needless, now, &mut hold).await?;
        let due = Some(from_unix(state.due(settings)));
        let marked = state.doomed;
        let held_back = hosted.or(held_back);
        Ok(Swept { left, removed, refused, marked, due, uploads, records, held_back })
    }

    /// Tells what a clean-up would remove if all that it marked went at once. Changes nothing.
    pub(super) async fn would_sweep(&self, tell: Tell<'_>) -> Result<Swept, SweepError> {
        let settings = self.parts.settings.load_full();
        let state = State::read(&*self.parts.records).await?;
        let now = walk::now(self).await?;
        let mut state = state.at(now);
        let held_back = match self.hosted().await? {
            None => self.held_back(now).await?,
            hosted => hosted,
        };
        let _ = state.go_on(&settings, now);
        let nothing = |_| {};
        let reported = self.all_reported().await?;
        let mut first = Walk::new(self, &nothing, now, state.since);
        first.hosted = state.hosted;
        first.all(reported.clone()).await?;
        mark(&mut state, &settings, now, &first.spread, first.left.bytes);
        let mut walk = Walk::new(self, tell, now, state.since);
        walk.hosted = state.hosted;
        walk.removable = state.all_marked();
        walk.all(reported).await?;
        let Walk { left, removed, .. } = walk;
        Ok(Swept { left, removed, held_back, ..Swept::default() })
    }

    /// Counts what there is.
    pub(super) async fn count(&self, tell: Tell<'_>) -> Result<Tally, SweepError> {
        let mut walk = Walk::new(self, tell, walk::now(self).await?, 0);
        walk.all(reports::ByPart::new()).await?;
        Ok(walk.left)
    }

    /// Whether there can be a lease; if not, this is the node that needs none. A directory belongs to
    /// one process, which can clean up also where there is no room to write down a lease.
    async fn may_lease(&self, settings: &Settings) -> Result<bool, SweepError> {
        if settings.store == StoreKind::Filesystem {
            return Ok(false);
        }
        if self.keeper.abilities().await?.conditional {
            return Ok(true);
        }
        if self.parts.node.is_called(&settings.sweeper) {
            Ok(false)
        } else {
            Err(SweepError::NotSweeper)
        }
    }

    /// Other reason for which nothing may be removed now, if there is one.
    async fn held_back(&self, now: u64) -> Result<Option<HeldBack>, SweepError> {
        self.try_upstream().await;
        match self.upstream_fails() {
            None => self.other_writes(now).await,
            fails => Ok(fails),
        }
    }

    /// Whether the upstream fails, as far as is known without asking it.
    fn upstream_fails(&self) -> Option<HeldBack> {
        self.upstream_trouble().map(HeldBack::Upstream)
    }

    /// Whether another program has written of late.
    async fn other_writes(&self, now: u64) -> Result<Option<HeldBack>, SweepError> {
        let other = self.parts.far.other_writer().await?.map(to_unix);
        let ago = other.map(|wrote| now.saturating_sub(wrote));
        Ok(ago.filter(|ago| *ago < ALONE.as_secs()).map(HeldBack::OtherWriter))
    }
}

/// Marks what has expired at `now`, and what of `bytes` in all is too much.
fn mark(state: &mut State, settings: &Settings, now: u64, spread: &spread::Spread, bytes: u64) {
    state.marked = now;
    state.expired = now.saturating_sub(settings.expire_after.0.as_secs());
    state.max_size = settings.max_size.map_or(0, |size| size.0);
    let share = |hundredths: u64| state.max_size / 100 * hundredths;
    (state.surplus, state.surplus_bytes) = (0, 0);
    if settings.max_size.is_some() && bytes > share(WATERMARKS.0) {
        state.surplus_bytes = bytes - share(WATERMARKS.1);
        // What was used a moment ago is not the least recently used of anything.
        let latest = now.saturating_sub(state::grace(settings).as_secs());
        state.surplus = spread.oldest(state.surplus_bytes).min(latest);
    }
    state.latest_mark = state.latest_mark.max(state.expired).max(state.surplus);
}

/// Says that use counts from `now` on, since no clean-up was at work after the second `last`.
fn tell_break(last: u64, now: u64) {
    if last == 0 {
        tracing::info!("use counts from now on, so nothing expires for `expire_after`");
        return;
    }
    let why = format!("no clean-up was at work for {} s", now.saturating_sub(last));
    let hint = "what was there before has its full `expire_after` again; see that a node runs";
    tracing::warn!(why, hint, "use counts from now on");
}
