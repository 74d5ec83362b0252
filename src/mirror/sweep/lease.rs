//! The lease: whoever holds it cleans up, and nobody else.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::SweepError;
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
    renewed: Instant,
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
        let now = store.now().await?;
        let when = match records.get(PATH).await? {
            None => When::Absent,
            Some((value, version)) => {
                // What nobody can read binds nobody.
                let held = serde_json::from_slice::<Held>(&value).ok();
                let taken = held.filter(|held| held.holder != holder);
                if let Some(until) = taken.map(|held| from_unix(held.until))
                    && until > now
                {
                    return Err(SweepError::Busy { until });
                }
                When::Is(version)
            }
        };
        let holder = holder.to_owned();
        match records.put(PATH, held(&holder, now + term)?, when).await? {
            Written::Done(version) => {
                Ok(Self { store, records, holder, term, version, renewed: Instant::now() })
            }
            Written::Conflict => Err(SweepError::Busy { until: now + term }),
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
        if self.renewed.elapsed() > self.term / 3 { self.renew().await } else { Ok(()) }
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
                self.renewed = Instant::now();
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
