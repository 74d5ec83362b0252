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
/// First and longest pause before denials are written again.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Attempts at one writing that others come before.
const MAX_CONFLICTS: u32 = 5;

/// Content of the record. A wire format.
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

/// Outcome of a look at a repository, to be written down.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) public: bool,
    pub(super) at: SystemTime,
    /// True if it was public until now, so that a denial must be written down.
    pub(super) was_public: bool,
}

/// Denials that wait to be written down, by the path of their record.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<String, Finding>>);

impl Inner {
    /// Verdict that was written down, if any. What layout 1 says of a public repository is believed
    /// for a day and no longer: the version that wrote it took no denial back.
    pub(super) async fn recorded_verdict(&self, place: &Place) -> Option<Verdict> {
        let mut writings = self.read_record::<Record>(place).await;
        let now = self.parts.clock.now();
        let is_known = writings.is_now_known;
        // Nor does it count where the record of a denial may be what could not be read.
        writings.old.take_if(|old| {
            old.public && (!is_known || age(now, from_unix(old.checked_at)) >= PUBLIC)
        });
        let is_old = writings
            .now
            .is_none_or(|now| writings.old.as_ref().is_some_and(|old| old.rank() > now.rank()));
        let record = writings.newer(Record::rank)?;
        let at = from_unix(record.checked_at);
        Some(Verdict { public: record.public, is_old, ..Verdict::denied(at) })
    }

    /// Place of the verdict on a repository.
    pub(super) fn verdict_place(&self, name: &Name) -> Place {
        self.place(&format!("{name}/_visibility"))
    }

    /// Writes down what was found out, without anybody waiting for it. The denial of what was public
    /// is tried again until it is written.
    pub(super) fn record_verdict(self: &Arc<Self>, finding: Finding) {
        let (mirror, busy) = (self.clone(), self.busy());
        self.parts.engine.spawn(async move {
            let written = mirror.write_verdict(&finding).await;
            drop(busy);
            if let Err(error) = written {
                let path = &finding.place.path;
                tracing::debug!(%error, path, "verdict on a repository not written");
                let must_be = !finding.public && finding.was_public;
                if must_be && mirror.verdicts.denials.wait(finding) {
                    mirror.write_denials().await;
                }
            }
        });
    }

    /// Writes the denials that wait, until none does.
    async fn write_denials(&self) {
        let (mut pause, mut is_said) = (RETRY_PAUSE.0, false);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE.1);
            for denial in self.verdicts.denials.all() {
                if let Err(error) = self.write_verdict(&denial).await {
                    if !std::mem::replace(&mut is_said, true) {
                        tracing::warn!(
                            %error,
                            "denials of repositories not written, other nodes may serve them"
                        );
                    }
                    // The next would meet the same.
                    break;
                }
                self.verdicts.denials.done(&denial);
                pause = RETRY_PAUSE.0;
            }
            if self.verdicts.denials.is_done() {
                return;
            }
        }
    }

    /// Writes down what was found out, unless something newer is there. Names that do not exist leave
    /// no trace in the store, only those that ceased to be public.
    async fn write_verdict(&self, finding: &Finding) -> Result<(), StoreError> {
        let Finding { place, public, at, was_public } = finding;
        let records = &self.parts.records;
        for _ in 0..MAX_CONFLICTS {
            let there = records.get(&place.path).await?;
            let old = match &place.old {
                Some(old) => records.get(old).await?,
                None => None,
            };
            let known = [&there, &old].into_iter().flatten().filter_map(read);
            let known = known.max_by_key(Record::rank);
            let mut record = Record { public: *public, checked_at: to_unix(*at) };
            // What was found out at a time that is yet to come was so by a clock that was wrong.
            let latest = to_unix(self.parts.clock.now()).max(record.checked_at);
            if !public && let Some(known) = known.filter(|known| known.checked_at > latest) {
                record.checked_at = known.checked_at;
            }
            let is_trace = !public && !was_public && known.is_none_or(|known| !known.public);
            if is_trace || known.is_some_and(|known| known.rank() >= record.rank()) {
                return Ok(());
            }
            let value = serde_json::to_vec(&record).map(Bytes::from).unwrap_or_default();
            let when = there.map_or(When::Absent, |(_, version)| When::Is(version));
            if let Written::Done(_) = records.put(&place.path, value, when).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable { operation: "put", code: "Conflict".into() })
    }
}

fn read((value, _): &(Bytes, Version)) -> Option<Record> {
    serde_json::from_slice(value).ok()
}

impl Denials {
    /// Notes a denial. Returns whether it is the only one, so that somebody has to write them.
    fn wait(&self, denial: Finding) -> bool {
        let mut waiting = lock(&self.0);
        let is_first = waiting.is_empty();
        if let Some(known) = waiting.get_mut(&denial.place.path) {
            known.at = known.at.max(denial.at);
        } else if waiting.len() < MAX_WAITING_DENIALS {
            waiting.insert(denial.place.path.clone(), denial);
        }
        is_first
    }

    fn all(&self) -> Vec<Finding> {
        lock(&self.0).values().cloned().collect()
    }

    /// That denial is written; a later one of the same repository waits still.
    fn done(&self, denial: &Finding) {
        let mut waiting = lock(&self.0);
        if waiting.get(&denial.place.path).is_some_and(|known| known.at <= denial.at) {
            waiting.remove(&denial.place.path);
        }
    }

    fn is_done(&self) -> bool {
        lock(&self.0).is_empty()
    }
}
