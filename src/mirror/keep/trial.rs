//! Trying what the shared store can do, before anything is entrusted to it.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{super::lock, Keeper};
use crate::store::{Abilities, Finding, StoreError};

/// How long a trial that failed answers for the next.
const PAUSE: Duration = Duration::from_secs(5);

impl Keeper {
    /// Makes sure that there is a shared store, tries what it can do, and notes if it fails. What
    /// is found is told once.
    pub(in crate::mirror) async fn probe(&self) -> Result<Abilities, StoreError> {
        let mut failed = self.shared.trying.lock().await;
        self.try_out(&mut failed).await
    }

    /// Whether the store is worth another trial: it fails, or the place that it keeps things in was
    /// made and could not be configured as it should be.
    pub(in crate::mirror) fn is_to_be_tried(&self) -> bool {
        self.failing().is_some() || self.shared.unfinished.load(Ordering::Relaxed)
    }

    /// Waits until the shared store has been tried once since the start: until then nobody knows
    /// whether it encrypts. One that takes what is written and gives strange answers to other
    /// questions has been: whoever writes there judges each answer for himself.
    ///
    /// # Errors
    /// The trial failed.
    pub(super) async fn was_tried(&self) -> Result<(), StoreError> {
        if lock(&self.shared.abilities).is_some() {
            return Ok(());
        }
        let mut failed = self.shared.trying.lock().await;
        if lock(&self.shared.abilities).is_some() {
            return Ok(());
        }
        let is_recent = |at: &Instant| at.elapsed() < PAUSE;
        let known = failed.as_ref().and_then(|(at, error)| match error {
            StoreError::Broken { .. } | StoreError::Refused { .. } => Some(Ok(())),
            error => is_recent(at).then(|| Err(error.clone())),
        });
        if let Some(known) = known {
            return known;
        }
        match self.try_out(&mut failed).await {
            Ok(_) | Err(StoreError::Broken { .. } | StoreError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the shared store was seen to do; it is tried if that is not known.
    pub(in crate::mirror) async fn abilities(&self) -> Result<Abilities, StoreError> {
        let known = lock(&self.shared.abilities).clone();
        match known {
            Some(abilities) => Ok(abilities),
            None => self.probe().await,
        }
    }

    async fn try_out(
        &self,
        failed: &mut Option<(Instant, StoreError)>,
    ) -> Result<Abilities, StoreError> {
        let probed = match self.far.prepare().await {
            Ok(ground) => {
                self.shared.unfinished.store(ground.unfinished, Ordering::Relaxed);
                *lock(&self.shared.key) = ground.key.as_ref().map(|key| key.what.clone());
                let mut findings: Vec<_> = ground.findings.into_iter().chain(ground.key).collect();
                // Where only the place was unfinished, nothing is written again.
                let known = lock(&self.shared.abilities).clone();
                let probed = match known.filter(|_| self.failing().is_none()) {
                    Some(abilities) => Ok(abilities),
                    None => self.far.probe().await,
                };
                let cannot_remove = probed.as_ref().ok().and_then(|it| it.cannot_remove.as_ref());
                findings.extend(cannot_remove.map(|why| Finding {
                    what: format!("nothing can be removed, so nothing is cleaned up: {why}"),
                    hint: why.hint().map(str::to_owned),
                }));
                self.tell(findings);
                probed
            }
            Err(error) => Err(error),
        };
        // A failure is said there, and stops nothing here.
        let _ = self.look_at_tenancy().await;
        self.note_write(probed.as_ref().err());
        *failed = probed.as_ref().err().map(|error| (Instant::now(), error.clone()));
        if let Ok(abilities) = &probed {
            lock(&self.shared.down).take();
            *lock(&self.shared.abilities) = Some(abilities.clone());
        }
        probed
    }

    fn tell(&self, findings: Vec<Finding>) {
        let mut told = lock(&self.shared.told);
        for finding in findings.iter().filter(|finding| !told.contains(finding)) {
            match &finding.hint {
                Some(hint) => tracing::warn!(hint, "{}", finding.what),
                None => tracing::info!("{}", finding.what),
            }
        }
        *told = findings;
    }
}
