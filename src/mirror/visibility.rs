//! Which repositories may be served: credentials lift the rate limit, they do not open doors.

use std::{sync::Arc, time::Duration, time::SystemTime};

use quick_cache::sync::Cache;
use tokio::time::timeout;

mod record;

use record::Finding;

use super::{
    Inner,
    answer::Refusal,
    once::Once,
    places::Place,
    refuse::{refusal, why},
};
use crate::{
    clock::age,
    oci::{Name, Reference},
    settings::Private,
    store::Area,
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
    /// True if the upstream denied what was found out before: it is asked again at once.
    is_doubted: bool,
    /// True if it was public until that.
    was_public: bool,
    /// True if layout 1 says so, which is never used stale.
    is_old: bool,
    checked_at: SystemTime,
    /// Not to be asked again before this.
    patience: SystemTime,
}

impl Verdict {
    /// Denial at that time.
    fn denied(at: SystemTime) -> Self {
        let [public, is_doubted, was_public, is_old] = [false; 4];
        Self { public, is_doubted, was_public, is_old, checked_at: at, patience: at }
    }

    /// Returns true if a denial takes something back.
    fn is_open(&self) -> bool {
        self.public || self.was_public
    }
}

/// The verdicts on repositories.
#[derive(Debug)]
pub(super) struct Verdicts {
    known: Cache<Name, Verdict>,
    asking: Once<Name, Result<Verdict, UpstreamError>>,
    /// Denials that could not be written down yet.
    denials: record::Denials,
}

impl Verdicts {
    pub(super) fn new() -> Self {
        let denials = record::Denials::default();
        Self { known: Cache::new(REMEMBERED), asking: Once::new(), denials }
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.known.clear();
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
            !verdict.is_doubted && (age(now, verdict.checked_at) < life || now < verdict.patience)
        };
        if let Some(verdict) = self.verdicts.known.get(name)
            && fresh(&verdict, self.parts.clock.now())
        {
            return Ok(verdict);
        }
        let ask = || {
            let (mirror, name, hint) = (self.clone(), name.clone(), hint.cloned());
            async move {
                let place = mirror.verdict_place(&name);
                match mirror.known_verdict(&name, &place).await {
                    Some(verdict) if fresh(&verdict, mirror.parts.clock.now()) => {
                        mirror.verdicts.known.insert(name, verdict);
                        Ok(verdict)
                    }
                    known => mirror.find_out(&name, place, hint.as_ref(), known).await,
                }
            }
        };
        let (answer, _) = self.verdicts.asking.ask(&self.parts.engine, name.clone(), ask).await;
        match answer {
            Some(answer) => answer.map_err(|error| refusal(error, Refusal::NoRepository)),
            None => Err(Refusal::Upstream { why: "the repository could not be checked".into() }),
        }
    }

    /// Verdict known for `name`: a denial, or the newer of memory and record, since another node may
    /// have found out more.
    async fn known_verdict(&self, name: &Name, place: &Place) -> Option<Verdict> {
        let is_denied = |known: &Option<Verdict>| known.is_some_and(|verdict| !verdict.public);
        let remembered = self.verdicts.known.get(name);
        if is_denied(&remembered) {
            return remembered;
        }
        let recorded = self.recorded_verdict(place).await;
        // It may have been denied meanwhile.
        let remembered = self.verdicts.known.get(name);
        if is_denied(&remembered) {
            return remembered;
        }
        let is_newer = |a: &Verdict, b: &Verdict| a.checked_at >= b.checked_at;
        match (remembered, recorded) {
            (Some(remembered), Some(recorded)) if is_newer(&recorded, &remembered) => {
                Some(recorded)
            }
            (remembered, recorded) => remembered.or(recorded),
        }
    }

    async fn find_out(
        self: &Arc<Self>,
        name: &Name,
        place: Place,
        hint: Option<&Reference>,
        known: Option<Verdict>,
    ) -> Result<Verdict, UpstreamError> {
        let remembered = || self.verdicts.known.get(name);
        let asked = self.parts.clock.now();
        let asking = self.parts.upstream.visibility(name, hint);
        let answer = timeout(super::DEADLINE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        self.note(&answer);
        let now = self.parts.clock.now();
        if self.verdict_place(name).path != place.path {
            return Err(UpstreamError::passing("the upstream was changed meanwhile"));
        }
        let public = match answer {
            Ok(visibility) => visibility == Visibility::Public,
            Err(UpstreamError::Unknown | UpstreamError::Denied) => false,
            Err(error) => {
                // Public once is public while nobody can be asked, unless it was denied meanwhile.
                let is_denied = remembered().is_some_and(|verdict| !verdict.public);
                let may_stand = |verdict: &Verdict| verdict.public && !verdict.is_old && !is_denied;
                let Some(verdict) = known.filter(may_stand) else {
                    return Err(error);
                };
                self.parts.metrics.stale(why(&error));
                tracing::warn!(repository = %name, %error, "the repository is believed to be public still");
                let verdict = Verdict { patience: now + PATIENCE, ..verdict };
                self.verdicts.known.insert(name.clone(), verdict);
                return Ok(verdict);
            }
        };
        // What was denied since it was asked may have been so for being private since.
        let is_late = |known: Verdict| known.is_doubted && known.checked_at > asked;
        if public && remembered().is_some_and(is_late) {
            return Err(UpstreamError::passing("the upstream granted and denied the repository"));
        }
        let was_public = known.into_iter().chain(remembered()).any(|verdict| verdict.is_open());
        let verdict = Verdict { public, ..Verdict::denied(asked) };
        self.verdicts.known.insert(name.clone(), verdict);
        self.record_verdict(Finding { place, public, at: asked, was_public });
        Ok(verdict)
    }

    /// The upstream denied what its token service had granted: ask anew next time, and do not go by
    /// what was found out before, here or on another node.
    pub(super) fn doubt(self: &Arc<Self>, name: &Name) {
        let now = self.parts.clock.now();
        // Of a private repository whose content we are denied there is nothing to take back.
        let was_public = self.verdicts.known.get(name).is_some_and(|known| known.is_open());
        let verdict = Verdict { is_doubted: true, was_public, ..Verdict::denied(now) };
        self.verdicts.known.insert(name.clone(), verdict);
        self.parts.upstream.distrust(name);
        let place = self.verdict_place(name);
        self.record_verdict(Finding { place, public: false, at: now, was_public });
    }
}
