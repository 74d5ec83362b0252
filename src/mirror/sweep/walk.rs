//! The walk over everything that is kept, a part at a time: what is known of its use beside the
//! listing of what is there.

use std::{collections::HashMap, time::Duration};

use super::{
    HeldBack, PARTS, Reason, Step, SweepError, Tally, Tell,
    error::is_full,
    lease::Hold,
    removal::{Late, Victim},
    reports::{ByPart, Known, Part},
    spread::Spread,
    state::{self, Removable, SLACK},
};
use crate::{
    clock::to_unix,
    mirror::{Inner, usage::Used},
    oci::Algorithm,
    store::{Area, Key, Listed, Shard},
};

/// How many manifests wait for the end of a walk at most.
const WAITING: usize = 50_000;

/// For how long the use of what is not there is remembered: it may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(86_400);

/// A walk.
pub(super) struct Walk<'a> {
    pub(super) mirror: &'a Inner,
    pub(super) hold: Hold<'a>,
    pub(super) tell: Tell<'a>,
    /// Since when use was written down.
    pub(super) since: u64,
    /// Time at which public content was last a registry's. It counts as used then.
    pub(super) hosted: u64,
    pub(super) now: u64,
    /// What was used or written after this, was so by a clock that was wrong.
    latest: u64,
    /// What goes.
    pub(super) removable: Removable,
    /// Whether anything is changed; if not, what would go is told.
    pub(super) writes: bool,
    /// Why nothing more goes, if that is so.
    pub(super) held_back: Option<HeldBack>,
    /// When it was last asked whether another program writes.
    pub(super) looked: u64,
    /// How much is left, by its last use.
    pub(super) spread: Spread,
    pub(super) left: Tally,
    pub(super) removed: Tally,
    /// How many objects the store refused to remove.
    pub(super) refused: u64,
    /// Manifests to be removed when what they name was: as long as one is there, a pull of what is
    /// missing costs nothing of the limit.
    waiting: Vec<Victim>,
    pub(super) late: Late,
    /// Whether there was no room for some of what was merged: the reports of it must stay.
    pub(super) unwritten: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(mirror: &'a Inner, tell: Tell<'a>, now: u64, since: u64) -> Self {
        Self {
            mirror,
            hold: Hold::default(),
            tell,
            since,
            hosted: 0,
            now,
            latest: now + SLACK.as_secs(),
            removable: Removable::default(),
            writes: false,
            held_back: None,
            looked: now,
            spread: Spread::default(),
            left: Tally::default(),
            removed: Tally::default(),
            refused: 0,
            waiting: Vec::new(),
            late: Late::default(),
            unwritten: false,
        }
    }

    /// Walks over all parts, and merges `reported` into them on the way.
    pub(super) async fn all(&mut self, mut reported: ByPart) -> Result<(), SweepError> {
        let store = self.mirror.parts.far.clone();
        let mut algorithms = vec![Algorithm::Sha256];
        if store.may_hold(Algorithm::Sha512).await? {
            algorithms.push(Algorithm::Sha512);
        }
        for first in 0..=u8::MAX {
            let part = Part::Public(first);
            let mut visit = self.begin(part.clone(), reported.remove(&part)).await?;
            for algorithm in &algorithms {
                let shard = Shard { algorithm: *algorithm, first };
                let mut from = None;
                loop {
                    self.hold.keep().await?;
                    let page = store.list(&Area::Public, shard, from).await?;
                    page.entries.into_iter().for_each(|listed| visit.see(self, listed));
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
            self.end(visit).await?;
            let done = u16::from(first) + 1;
            (self.tell)(Step::Walked { parts: done, of: PARTS, left: self.left });
        }
        self.private(reported).await?;
        let waiting = std::mem::take(&mut self.waiting);
        self.remove(waiting).await?;
        (self.tell)(Step::Walked { parts: PARTS, of: PARTS, left: self.left });
        Ok(())
    }

    /// Merges `reported` without looking at what is there; whether there was room for it.
    pub(super) async fn merge(&mut self, reported: ByPart) -> Result<bool, SweepError> {
        for (part, uses) in reported {
            self.hold.keep().await?;
            let known = Known::read(&*self.mirror.parts.records, &part, uses).await?;
            if !self.write(known, &part).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes down what is known of a part; whether there was room for it.
    async fn write(&self, known: Known, part: &Part) -> Result<bool, SweepError> {
        match known.write(&*self.mirror.parts.records, part).await {
            Err(error) if is_full(&error) => {
                tracing::debug!(%error, part = part.path(), "its use cannot be written down yet");
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// Private content is listed as one, repository after repository.
    async fn private(&mut self, mut reported: ByPart) -> Result<(), SweepError> {
        let (mut from, mut current): (_, Option<Visit>) = (None, None);
        let mut unseen = self.mirror.private_parts(&mut self.hold).await?;
        unseen.extend(reported.keys().cloned());
        loop {
            self.hold.keep().await?;
            let page = self.mirror.parts.far.list_private(from).await?;
            for listed in page.entries {
                let Area::Private(name) = &listed.key.area else { continue };
                let part = Part::Private(name.clone());
                let mut visit = match current.take() {
                    Some(visit) if visit.part == part => visit,
                    other => {
                        if let Some(done) = other {
                            self.end(done).await?;
                        }
                        unseen.remove(&part);
                        let uses = match self.visits_twice() {
                            true => reported.get(&part).cloned(),
                            false => reported.remove(&part),
                        };
                        self.begin(part.clone(), uses).await?
                    }
                };
                visit.see(self, listed);
                current = Some(visit);
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        if let Some(done) = current {
            self.end(done).await?;
        }
        for part in unseen {
            let visit = self.begin(part.clone(), reported.remove(&part)).await?;
            self.end(visit).await?;
        }
        Ok(())
    }

    /// Returns true if a repository that is not public is visited once for each layout.
    fn visits_twice(&self) -> bool {
        self.mirror.parts.layout.reads_old()
    }

    async fn begin(
        &mut self,
        part: Part,
        reported: Option<HashMap<Key, Used>>,
    ) -> Result<Visit, SweepError> {
        self.hold.keep().await?;
        self.latest = now(self.mirror).await? + SLACK.as_secs();
        let records = &*self.mirror.parts.records;
        let known = Known::read(records, &part, reported.unwrap_or_default()).await?;
        Ok(Visit { part, known, kept: HashMap::new(), victims: Vec::new() })
    }

    /// Removes what of a part is to go, and writes down what is known of the rest.
    async fn end(&mut self, mut visit: Visit) -> Result<(), SweepError> {
        // Not all of a part is seen where a registry hosts images, or by a visit for each layout.
        let sees_all = self.mirror.keeper.hosted().is_none() && !self.visits_twice();
        let remembered = match sees_all {
            true => ON_ITS_WAY,
            false => self.mirror.parts.settings.load().expire_after.0.max(ON_ITS_WAY),
        };
        let remembered = self.now.saturating_sub(remembered.as_secs());
        let absent = std::mem::take(&mut visit.known.uses).into_iter();
        let mut kept = visit.kept;
        kept.extend(absent.filter(|(_, used)| used.last > remembered && used.last <= self.latest));
        visit.known.uses = kept;
        self.remove(visit.victims).await?;
        if self.waiting.len() >= WAITING {
            let waiting = std::mem::take(&mut self.waiting);
            self.remove(waiting).await?;
        }
        if self.writes {
            if visit.known.is_needless() {
                // A removal has no condition, so one that was frozen here would take away what
                // another wrote.
                self.hold.renew().await?;
            } else {
                self.hold.keep().await?;
            }
            self.unwritten |= !self.write(visit.known, &visit.part).await?;
        }
        Ok(())
    }

    /// Why content goes that was last used at `last`, if it does.
    fn reason(&mut self, last: u64, size: u64) -> Option<Reason> {
        let Removable { expired, surplus, surplus_bytes } = &mut self.removable;
        let reason = if last.max(self.since) <= *expired {
            Some(Reason::Expired)
        } else if last <= *surplus && *surplus_bytes > 0 {
            Some(Reason::Surplus)
        } else {
            None
        };
        if reason.is_some() {
            *surplus_bytes = surplus_bytes.saturating_sub(size);
        }
        reason
    }
}

/// A part that is being walked over.
struct Visit {
    part: Part,
    known: Known,
    /// What is known of what is there.
    kept: HashMap<Key, Used>,
    victims: Vec<Victim>,
}

impl Visit {
    fn see(&mut self, walk: &mut Walk<'_>, listed: Listed) {
        let mut used = self.known.uses.remove(&listed.key);
        let mut written = to_unix(listed.stored);
        if written > walk.latest {
            // The clock was wrong then. What counts is when this was first seen, which is noted.
            used.get_or_insert(Used { last: walk.now, repositories: Vec::new() });
            written = 0;
        }
        if let Some(used) = used.as_mut().filter(|used| used.last > walk.latest) {
            used.last = walk.now;
        }
        let hosted = if listed.key.area == Area::Public { walk.hosted } else { 0 };
        let last = used.as_ref().map_or(0, |used| used.last);
        let last = last.max(written).max(hosted).min(walk.now);
        let reason = walk.reason(last, listed.size);
        let victim = Victim {
            key: listed.key.clone(),
            size: listed.size,
            last,
            reason: reason.unwrap_or(Reason::Expired),
        };
        if reason.is_none() {
            walk.spare(&victim);
        } else if used.as_ref().is_some_and(Used::is_manifest) {
            walk.waiting.push(victim);
        } else {
            self.victims.push(victim);
        }
        if let Some(used) = used {
            // Also of what goes: it may be spared yet, and is forgotten next time if not.
            self.kept.insert(listed.key, used);
        }
    }
}

/// The time of the store's clock, in seconds since 1970.
pub(super) async fn now(mirror: &Inner) -> Result<u64, SweepError> {
    Ok(state::seconds(mirror.parts.far.now().await?))
}
