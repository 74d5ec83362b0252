//! Removing what a walk found to be unused, a batch at a time; before each it is asked again whether
//! that is so.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Reason, Step, SweepError,
    walk::{self, Walk},
};
use crate::store::{Key, NotRemoved, StoreError};

/// What one DeleteObjects takes.
const BATCH: usize = 1000;

/// How many late uses are remembered; reports of more are read again before each batch.
const REMEMBERED: usize = 50_000;

/// How many lines of late reports are read at a time.
const AT_ONCE: usize = 10_000;

/// How often it is asked whether another program writes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What goes.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) key: Key,
    pub(super) size: u64,
    /// The second since 1970 of its last use, or of its writing.
    pub(super) last: u64,
    pub(super) reason: Reason,
}

/// What was reported since the walk began.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// The reports that were read and need not be read again.
    pub(super) known: HashSet<String>,
    /// The last use of what is in them.
    uses: HashMap<Key, u64>,
}

impl Walk<'_> {
    /// Removes what is still unused of `victims`, as long as anything may be removed at all.
    pub(super) async fn remove(&mut self, victims: Vec<Victim>) -> Result<(), SweepError> {
        let mut victims = victims.into_iter().peekable();
        while victims.peek().is_some() {
            let mut batch: Vec<Victim> = victims.by_ref().take(BATCH).collect();
            if self.writes {
                if !self.may_go_on().await? {
                    batch.into_iter().chain(victims).for_each(|victim| self.spare(&victim));
                    return Ok(());
                }
                // To look at many takes time, so that use is asked for after it.
                let keys: Vec<Key> = batch.iter().map(|victim| victim.key.clone()).collect();
                let removable = self.mirror.parts.far.may_remove(&keys).await;
                self.hold.renew().await?;
                batch = self.still_unused(batch).await?;
                let keys: Vec<Key> = batch.iter().map(|victim| victim.key.clone()).collect();
                let removed = match removable {
                    Ok(()) => self.mirror.parts.far.remove(&keys).await,
                    Err(error) => Err(NotRemoved::Failed(error)),
                };
                let stayed = match removed {
                    Ok(()) => HashSet::new(),
                    Err(NotRemoved::Failed(error @ StoreError::Hosted { .. })) => {
                        self.is_hosted(error);
                        batch.into_iter().chain(victims).for_each(|victim| self.spare(&victim));
                        return Ok(());
                    }
                    Err(NotRemoved::Failed(error)) if error.retryable() => {
                        return Err(error.into());
                    }
                    Err(NotRemoved::Failed(why)) => self.stays(keys, &why),
                    Err(NotRemoved::Stayed { keys, why }) => self.stays(keys, &why),
                };
                let (spared, went): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|victim| stayed.contains(&victim.key));
                spared.iter().for_each(|victim| self.spare(victim));
                batch = went;
            }
            batch.into_iter().for_each(|victim| self.went(victim));
            if self.writes {
                (self.tell)(Step::Removed(self.removed));
            }
        }
        Ok(())
    }

    /// The bucket hosts the images of a registry: nothing more goes.
    fn is_hosted(&mut self, error: StoreError) {
        self.mirror.keeper.note_hosted(Some(&error));
        self.held_back = Some(super::HeldBack::Hosted(error));
        self.removable = super::state::Removable::default();
    }

    /// The store refuses to remove these; said for the first of a walk.
    fn stays(&mut self, keys: Vec<Key>, why: &StoreError) -> HashSet<Key> {
        if self.refused == 0 {
            let digest = keys.first().map(|key| key.digest.to_string());
            tracing::warn!(%why, digest, "what nobody uses cannot be removed");
        }
        self.refused += keys.len() as u64;
        keys.into_iter().collect()
    }

    fn went(&mut self, victim: Victim) {
        let Victim { key, size, last, reason } = victim;
        self.removed.add(size);
        if self.writes {
            tracing::debug!(digest = %key.digest, last, ?reason, "removed");
            self.mirror.parts.metrics.cleanup().removed(reason.as_str(), size);
        } else {
            (self.tell)(Step::WouldRemove { key, size, last, reason });
        }
    }

    /// Whether more may be removed. Once it may not, it may not until the next clean-up.
    async fn may_go_on(&mut self) -> Result<bool, SweepError> {
        if self.held_back.is_none() {
            let now = walk::now(self.mirror).await?;
            self.held_back = self.mirror.upstream_fails();
            if self.held_back.is_none() && now >= self.looked + LOOK_AGAIN.as_secs() {
                self.looked = now;
                self.held_back = self.mirror.other_writes(now).await?;
            }
            if let Some(why) = &self.held_back {
                tracing::debug!(%why, "nothing more is removed");
                self.removable = super::state::Removable::default();
            }
        }
        Ok(self.held_back.is_none())
    }

    /// Of `batch`, what nobody has reported as used since it was looked at.
    async fn still_unused(&mut self, batch: Vec<Victim>) -> Result<Vec<Victim>, SweepError> {
        let reported = self.mirror.report_use().await;
        let mut used = HashSet::new();
        let last: HashMap<&Key, u64> = batch.iter().map(|v| (&v.key, v.last)).collect();
        let is_late = |key: &Key, at: u64| last.get(key).is_some_and(|last| at > *last);
        if reported.is_err() {
            let own = self.mirror.usage.told(self.mirror.parts.far.now().await?).into_iter();
            used.extend(own.filter(|(key, at)| is_late(key, at.last)).map(|(key, _)| key));
        }
        let mut known = self.late.known.clone();
        loop {
            let gathered = self.mirror.gather(&known, AT_ONCE, &mut self.hold).await?;
            let fits = self.late.uses.len() < REMEMBERED;
            for (key, at) in gathered.uses.into_values().flatten() {
                if is_late(&key, at.last) {
                    used.insert(key.clone());
                }
                if fits {
                    let late = self.late.uses.entry(key).or_default();
                    *late = at.last.max(*late);
                }
            }
            if fits {
                self.late.known.extend(gathered.paths.iter().cloned());
            }
            known.extend(gathered.paths);
            if !gathered.more {
                break;
            }
        }
        let late = &self.late.uses;
        let remembered = |key: &&Key| late.get(*key).is_some_and(|at| is_late(key, *at));
        used.extend(last.keys().copied().filter(remembered).cloned());
        let (spared, unused): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|victim| used.contains(&victim.key));
        spared.iter().for_each(|victim| self.spare(victim));
        Ok(unused)
    }

    pub(super) fn spare(&mut self, victim: &Victim) {
        self.left.add(victim.size);
        self.spread.add(victim.last, victim.size);
    }
}
