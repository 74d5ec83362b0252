//! The lease: whoever holds it cleans up, and nobody else.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    SweepError,
    state::{LONGEST, SLACK},
};
use crate::{
    clock::{from_unix, to_unix},
    store::{Records, Store, StoreError, Version, When, Written},
};

const PATH: &str = "sweep/lease";

/// What is written down of it.
#[derive(Serialize, Deserialize)]
struct Held {
    holder: String,
    /// The second since 1970, by the store's clock, after which anybody may take it.
    until: u64,
}

/// A lease that is held. Given up without [`Lease::release`], it ends by itself.
#[derive(Debug)]
pub(super) struct Lease {
    store: Arc<dyn Store>,
    records: Arc<dyn Records>,
    holder: String,
    term: Duration,
    version: Version,
    until: SystemTime,
}

/// What a clean-up goes on under: the lease; nothing where there can be none, or where nothing is
/// changed.
#[derive(Debug, Default)]
pub(super) struct Hold<'a>(pub(super) Option<&'a mut Lease>);

impl Hold<'_> {
    /// As [`Lease::keep`]. To be called wherever something is asked of the store that may have to
    /// be asked many times.
    pub(super) async fn keep(&mut self) -> Result<(), SweepError> {
        match &mut self.0 {
            Some(lease) => lease.keep().await,
            None => Ok(()),
        }
    }

    /// As [`Lease::renew`]. To be called before what cannot be taken back.
    pub(super) async fn renew(&mut self) -> Result<(), SweepError> {
        match &mut self.0 {
            Some(lease) => lease.renew().await,
            None => Ok(()),
        }
    }
}

impl Lease {
    /// Takes the lease for `holder`, which may have held it before.
    ///
    /// # Errors
    /// [`SweepError::Busy`] if another holds it.
    pub(super) async fn take(
        store: Arc<dyn Store>,
        records: Arc<dyn Records>,
        holder: &str,
        term: Duration,
    ) -> Result<Self, SweepError> {
        let there = records.get(PATH).await?;
        // Asked after that: to one who stood still in between, a lease that was taken meanwhile
        // would seem to end too late to be believed.
        let now = store.now().await?;
        let when = match there {
            None => When::Absent,
            Some((value, version)) => {
                // What nobody can read binds nobody, nor what was written by a clock that was wrong.
                let held = serde_json::from_slice::<Held>(&value).ok();
                let latest = to_unix(now + LONGEST + SLACK);
                let taken = held.filter(|held| held.holder != holder && held.until <= latest);
                if let Some(until) = taken.map(|held| from_unix(held.until))
                    && until > now
                {
                    return Err(SweepError::Busy { until });
                }
                When::Is(version)
            }
        };
        let (holder, until) = (holder.to_owned(), now + term);
        match records.put(PATH, held(&holder, until)?, when).await? {
            Written::Done(version) => Ok(Self { store, records, holder, term, version, until }),
            Written::Conflict => Err(SweepError::Busy { until }),
        }
    }

    /// Holds it for another term.
    ///
    /// # Errors
    /// [`SweepError::Lost`] if another took it meanwhile.
    pub(super) async fn renew(&mut self) -> Result<(), SweepError> {
        let until = self.store.now().await? + self.term;
        self.write(until).await
    }

    /// Holds it for another term, unless that was done a moment ago.
    ///
    /// # Errors
    /// As [`Lease::renew`].
    pub(super) async fn keep(&mut self) -> Result<(), SweepError> {
        let left = self.until.duration_since(self.store.now().await?).unwrap_or_default();
        let is_fresh = (self.term * 2 / 3..=self.term + SLACK).contains(&left);
        if is_fresh { Ok(()) } else { self.renew().await }
    }

    /// Lets others have it.
    ///
    /// # Errors
    /// As [`Lease::renew`].
    pub(super) async fn release(mut self) -> Result<(), SweepError> {
        self.write(SystemTime::UNIX_EPOCH).await
    }

    async fn write(&mut self, until: SystemTime) -> Result<(), SweepError> {
        let when = When::Is(self.version.clone());
        match self.records.put(PATH, held(&self.holder, until)?, when).await? {
            Written::Done(version) => {
                self.version = version;
                self.until = until;
                Ok(())
            }
            Written::Conflict => Err(SweepError::Lost),
        }
    }
}

fn held(holder: &str, until: SystemTime) -> Result<bytes::Bytes, StoreError> {
    let held = Held { holder: holder.to_owned(), until: to_unix(until) };
    super::state::json("lease", &held)
}
