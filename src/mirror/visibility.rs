//! Which repositories may be served: credentials lift the rate limit, they do not open doors.

use std::{sync::Arc, time::Duration, time::SystemTime};

use bytes::Bytes;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Inner,
    answer::Refusal,
    once::Once,
    refuse::{refusal, why},
};
use crate::{
    clock::{age, from_unix, to_unix},
    oci::{Name, Reference},
    settings::Private,
    store::{Area, When},
    telemetry::Why,
    upstream::{Trust, UpstreamError, Visibility},
};

/// For how long a repository is believed to be public.
const PUBLIC: Duration = Duration::from_secs(24 * 3600);

/// How long after a failed check the last answer stands before the upstream is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many repositories' verdicts are remembered.
const REMEMBERED: usize = 10_000;

/// On what terms a repository is served.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) area: Area,
    pub(super) trust: Trust,
    /// Until when the verdict stands.
    pub(super) until: SystemTime,
}

/// What was last found out about a repository.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    public: bool,
    checked_at: SystemTime,
    /// Not to be asked again before this.
    patience: SystemTime,
}

/// The record of a verdict.
#[derive(Serialize, Deserialize)]
struct Record {
    public: bool,
    /// Seconds since 1970.
    checked_at: u64,
}

/// The verdicts on repositories.
#[derive(Debug)]
pub(super) struct Verdicts {
    known: Cache<Name, Verdict>,
    asking: Once<Name, Result<Verdict, UpstreamError>>,
}

impl Verdicts {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(REMEMBERED), asking: Once::new() }
    }
}

impl Inner {
    /// Whether and on what terms `name` is served.
    pub(super) async fn access(
        self: &Arc<Self>,
        name: &Name,
        hint: Option<&Reference>,
    ) -> Result<Access, Refusal> {
        let settings = self.parts.settings.load();
        let verdict = self.verdict(name, hint, settings.not_found_ttl.0).await?;
        if verdict.public {
            let until = (verdict.checked_at + PUBLIC).max(verdict.patience);
            return Ok(Access { area: Area::Public, trust: Trust::Public, until });
        }
        match settings.private_repositories {
            Private::Deny => {
                self.parts.metrics.refusal(Why::NotPublic);
                Err(Refusal::NoRepository)
            }
            Private::Allow => Ok(Access {
                area: Area::Private(name.clone()),
                trust: Trust::Private,
                until: verdict.checked_at + settings.not_found_ttl.0,
            }),
        }
    }

    async fn verdict(
        self: &Arc<Self>,
        name: &Name,
        hint: Option<&Reference>,
        not_found_ttl: Duration,
    ) -> Result<Verdict, Refusal> {
        let fresh = move |verdict: &Verdict, now| {
            let life = if verdict.public { PUBLIC } else { not_found_ttl };
            age(now, verdict.checked_at) < life || now < verdict.patience
        };
        if let Some(verdict) = self.verdicts.known.get(name)
            && fresh(&verdict, self.parts.clock.now())
        {
            return Ok(verdict);
        }
        let ask = || {
            let (mirror, name, hint) = (self.clone(), name.clone(), hint.cloned());
            async move {
                let known = match mirror.verdicts.known.get(&name) {
                    Some(verdict) => Some(verdict),
                    None => mirror.recorded_verdict(&name).await,
                };
                match known {
                    Some(verdict) if fresh(&verdict, mirror.parts.clock.now()) => {
                        mirror.verdicts.known.insert(name, verdict);
                        Ok(verdict)
                    }
                    known => mirror.find_out(&name, hint.as_ref(), known).await,
                }
            }
        };
        let (answer, _) = self.verdicts.asking.ask(&self.parts.engine, name.clone(), ask).await;
        match answer {
            Some(answer) => answer.map_err(|error| refusal(error, Refusal::NoRepository)),
            None => Err(Refusal::Upstream { why: "the repository could not be checked".into() }),
        }
    }

    async fn find_out(
        self: &Arc<Self>,
        name: &Name,
        hint: Option<&Reference>,
        known: Option<Verdict>,
    ) -> Result<Verdict, UpstreamError> {
        let asking = self.parts.upstream.visibility(name, hint);
        let answer = timeout(super::DEADLINE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        self.note(&answer);
        let now = self.parts.clock.now();
        let public = match answer {
            Ok(visibility) => visibility == Visibility::Public,
            Err(UpstreamError::Unknown | UpstreamError::Denied) => false,
            Err(error) => {
                // Public once is public while nobody can be asked.
                let Some(verdict) = known.filter(|verdict| verdict.public) else {
                    return Err(error);
                };
                self.parts.metrics.stale(why(&error));
                tracing::warn!(repository = %name, %error, "the repository is believed to be public still");
                let verdict = Verdict { patience: now + PATIENCE, ..verdict };
                self.verdicts.known.insert(name.clone(), verdict);
                return Ok(verdict);
            }
        };
        let verdict = Verdict { public, checked_at: now, patience: now };
        self.verdicts.known.insert(name.clone(), verdict);
        // Names that do not exist leave no trace in the store, only those that ceased to be public.
        if public || known.is_some_and(|verdict| verdict.public) {
            let record = Record { public, checked_at: to_unix(now) };
            self.write_record(path(name), &record);
        }
        Ok(verdict)
    }

    async fn recorded_verdict(&self, name: &Name) -> Option<Verdict> {
        let record: Record = self.read_record(&path(name)).await?;
        let checked_at = from_unix(record.checked_at);
        Some(Verdict { public: record.public, checked_at, patience: checked_at })
    }

    /// The upstream denied what its token service had granted: ask anew next time, and do not go by
    /// what was found out before.
    pub(super) fn doubt(&self, name: &Name) {
        let long_ago = SystemTime::UNIX_EPOCH;
        let verdict = Verdict { public: false, checked_at: long_ago, patience: long_ago };
        self.verdicts.known.insert(name.clone(), verdict);
    }

    /// Writes a small record, without anybody waiting for it.
    pub(super) fn write_record(&self, path: String, value: &impl Serialize) {
        let Ok(value) = serde_json::to_vec(value) else { return };
        let (records, busy) = (self.parts.records.clone(), self.busy());
        self.parts.engine.spawn(async move {
            if let Err(error) = records.put(&path, Bytes::from(value), When::Always).await {
                tracing::debug!(%error, path, "a record is not written");
            }
            drop(busy);
        });
    }

    /// Reads a small record; none also where the store fails or is late.
    pub(super) async fn read_record<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Option<T> {
        let reading = timeout(super::RECORD_DEADLINE, self.parts.records.get(path));
        match reading.await {
            Ok(Ok(found)) => serde_json::from_slice(&found?.0).ok(),
            Ok(Err(error)) => {
                tracing::debug!(%error, path, "a record cannot be read");
                None
            }
            Err(_) => None,
        }
    }
}

fn path(name: &Name) -> String {
    format!("repositories/{name}/_visibility")
}
