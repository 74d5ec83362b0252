//! Record of a verdict, for other nodes and for later. A denial takes back an older "public", however
//! often that has to be tried.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{PUBLIC, Verdict};
use crate::{
    clock::{age, from_unix, to_unix},
    mirror::{Inner, lock, places::Place},
    oci::Name,
    store::{StoreError, Version, When, Written},
};

/// Denials that wait to be written down.
const MAX_WAITING_DENIALS: usize = 10_000;
/// First and longest pause before a denial is written again.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Attempts at one writing that others come before.
const MAX_CONFLICTS: u32 = 5;

/// What is written down. A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    public: bool,
    /// Seconds since 1970.
    checked_at: u64,
}

impl Record {
    /// Order in which writings count: the later one, and of two in one second the denial.
    fn rank(&self) -> (u64, bool) {
        (self.checked_at, !self.public)
    }
}

/// Denials that wait to be written down, by repository.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<Name, SystemTime>>);

impl Inner {
    /// Verdict that was written down, if any. What layout 1 says of a public repository is believed
    /// for a day and no longer: the version that wrote it took no denial back.
    pub(super) async fn recorded_verdict(&self, name: &Name) -> Option<Verdict> {
        let mut writings = self.read_record::<Record>(&self.verdict_place(name)).await;
        let now = self.parts.clock.now();
        writings.old.take_if(|old| old.public && age(now, from_unix(old.checked_at)) >= PUBLIC);
        let record = writings.newer(Record::rank)?;
        let checked_at = from_unix(record.checked_at);
        Some(Verdict { public: record.public, ..Verdict::at(checked_at) })
    }

    /// Writes down what was found out `at` that time, without anybody waiting for it. A denial is
    /// tried again until it is written.
    pub(super) fn record_verdict(self: &Arc<Self>, name: &Name, public: bool, at: SystemTime) {
        let (mirror, name, busy) = (self.clone(), name.clone(), self.busy());
        self.parts.engine.spawn(async move {
            let written = mirror.write_verdict(&name, public, at).await;
            drop(busy);
            if let Err(error) = written {
                tracing::debug!(%error, repository = %name, public, "a verdict is not written");
                if !public && mirror.verdicts.denials.wait(&name, at) {
                    mirror.write_denial(&name).await;
                }
            }
        });
    }

    /// Writes a denial that waits, until it is written.
    async fn write_denial(&self, name: &Name) {
        let mut pause = RETRY_PAUSE.0;
        while let Some(at) = self.verdicts.denials.of(name) {
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE.1);
            match self.write_verdict(name, false, at).await {
                Ok(()) => self.verdicts.denials.done(name, at),
                Err(error) => tracing::warn!(
                    %error, repository = %name,
                    "denial not written, other nodes may serve the repository"
                ),
            }
        }
    }

    /// Writes down what was found out `at` that time, unless something newer is there. Names that do
    /// not exist leave no trace in the store, only those that ceased to be public.
    async fn write_verdict(
        &self,
        name: &Name,
        public: bool,
        at: SystemTime,
    ) -> Result<(), StoreError> {
        let record = Record { public, checked_at: to_unix(at) };
        let place = self.verdict_place(name);
        let records = &self.parts.records;
        let value = serde_json::to_vec(&record).map(Bytes::from).unwrap_or_default();
        for _ in 0..MAX_CONFLICTS {
            let there = records.get(&place.path).await?;
            let old = match &place.old {
                Some(old) => records.get(old).await?,
                None => None,
            };
            let known = [&there, &old].into_iter().flatten().filter_map(read);
            let known = known.max_by_key(Record::rank);
            let is_trace = !public && known.is_none_or(|known| !known.public);
            if is_trace || known.is_some_and(|known| known.rank() > record.rank()) {
                return Ok(());
            }
            let when = there.map_or(When::Absent, |(_, version)| When::Is(version));
            if let Written::Done(_) = records.put(&place.path, value.clone(), when).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable { operation: "put", code: "Conflict".into() })
    }

    fn verdict_place(&self, name: &Name) -> Place {
        self.place(&format!("{name}/_visibility"))
    }
}

fn read((value, _): &(Bytes, Version)) -> Option<Record> {
    serde_json::from_slice(value).ok()
}

impl Denials {
    /// Notes a denial; whether there is none yet that waits, so that somebody has to write it.
    fn wait(&self, name: &Name, at: SystemTime) -> bool {
        let mut waiting = lock(&self.0);
        if let Some(known) = waiting.get_mut(name) {
            *known = at.max(*known);
            return false;
        }
        let has_room = waiting.len() < MAX_WAITING_DENIALS;
        if has_room {
            waiting.insert(name.clone(), at);
        }
        has_room
    }

    fn of(&self, name: &Name) -> Option<SystemTime> {
        lock(&self.0).get(name).copied()
    }

    /// The denial of that time is written; a later one waits still.
    fn done(&self, name: &Name, at: SystemTime) {
        let mut waiting = lock(&self.0);
        if waiting.get(name).is_some_and(|known| *known <= at) {
            waiting.remove(name);
        }
    }
}
