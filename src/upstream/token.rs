//! Proof of who asks: how the upstream wants it, and the tokens that it gives.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use reqwest::{Response, StatusCode, header::HeaderValue};
use serde::Deserialize;
use url::Url;

use super::{
    Trust, UpstreamError,
    challenge::{self, Challenge},
    claims::{Grants, grants},
    pace::Who,
    single::Single,
    wire::{Ask, MAX_ERROR_BODY, Wire, error_code},
};
use crate::{oci::Name, telemetry::Kind};

/// For how long the credential is not tried again once the token service refused it.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// A token's life where the answer does not say (the Distribution project's token specification).
const DEFAULT_LIFE: u64 = 60;
/// The longest that a token's life is believed.
const LONGEST_LIFE: u64 = 3600;
/// The largest answer of a token service that is read, in bytes.
const MAX_ANSWER: usize = 256 << 10;
/// Above so many repositories, tokens that have run out are thrown away.
const MANY: usize = 512;

/// How the upstream wants its callers to prove themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    /// Not at all.
    Open,
    /// By user and password with every request.
    Basic,
    /// By a token of this service.
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone, Debug)]
struct Token {
    header: HeaderValue,
    grants: Grants,
    since: SystemTime,
    life: Duration,
}

impl Token {
    /// Whether it is good for another request: a tenth of its life, or ten seconds, are left. A
    /// clock that was set back makes it stale rather than eternal.
    fn is_fresh(&self, now: SystemTime) -> bool {
        let margin = (self.life / 10).max(Duration::from_secs(10)).min(self.life / 2);
        now.duration_since(self.since).is_ok_and(|age| age + margin < self.life)
    }
}

/// What is shown to the registry with a request.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) header: Option<HeaderValue>,
    /// What it opens, as far as it says so; none where it is no token.
    pub(super) grants: Option<Grants>,
    /// Whether it was made for this request, so that another would be no better.
    fresh: bool,
}

/// What to do about a request that the registry refused with 401.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask again with this.
    Again(Pass),
    /// Give up.
    Stop(UpstreamError),
}

type Slot = Arc<Single<Token>>;

/// The tokens of one upstream.
#[derive(Debug)]
pub(super) struct Tokens {
    wire: Arc<Wire>,
    /// The root of the registry's API, `…/v2/`.
    root: Url,
    /// User and password, as a `Basic` header has them.
    credential: Option<HeaderValue>,
    scheme: Single<Scheme>,
    slots: Mutex<HashMap<(Name, Who), Slot>>,
    refused: Mutex<Option<SystemTime>>,
}

impl Tokens {
    pub(super) fn new(wire: Arc<Wire>, root: Url, credential: Option<HeaderValue>) -> Self {
        Self {
            wire,
            root,
            credential,
            scheme: Single::default(),
            slots: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// As whom to ask for a repository.
    pub(super) fn who(&self, trust: Trust) -> Result<Who, UpstreamError> {
        match (trust, &self.credential) {
            (Trust::Public, None) => Ok(Who::Anonymous),
            (Trust::Private, None) => Err(UpstreamError::Denied),
            (_, Some(_)) if !self.is_refused() => Ok(Who::Credential),
            (Trust::Public, Some(_)) => Ok(Who::Anonymous),
            (Trust::Private, Some(_)) => Err(UpstreamError::CredentialRefused),
        }
    }

    /// Forgets the anonymous token of a repository: it may grant what is denied by now.
    pub(super) fn forget(&self, name: &Name) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&(name.clone(), Who::Anonymous));
    }

    fn is_refused(&self) -> bool {
        let now = self.wire.clock.now();
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < REFUSED_FOR))
    }

    /// The upstream refused the credential itself, or took it.
    fn credential_is(&self, refused: bool) {
        let now = refused.then(|| self.wire.clock.now());
        let mut held = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, now).is_some();
        drop(held);
        self.wire.metrics.credential_refused(refused);
        match (before, refused) {
            (false, true) => tracing::error!(
                "the upstream refuses the configured credential, public content is fetched \
                 anonymously"
            ),
            (true, false) => tracing::info!("the upstream takes the configured credential again"),
            _ => {}
        }
    }

    /// What to show with a request for a repository; makes one if there is none.
    pub(super) async fn pass(&self, name: &Name, who: Who) -> Result<Pass, UpstreamError> {
        let (scheme, _) = self.scheme.get(|_| true, self.discover()).await?;
        self.pass_by(&scheme, name, who, None).await
    }

    async fn pass_by(
        &self,
        scheme: &Scheme,
        name: &Name,
        who: Who,
        stale: Option<&HeaderValue>,
    ) -> Result<Pass, UpstreamError> {
        let header = match (scheme, who) {
            (Scheme::Open, _) | (Scheme::Basic, Who::Anonymous) => None,
            (Scheme::Basic, Who::Credential) => self.credential.clone(),
            (Scheme::Bearer { realm, service }, who) => {
                // Read when it is asked: another's fetch may have been waited for.
                let now = || self.wire.clock.now();
                let good = |token: &Token| token.is_fresh(now()) && Some(&token.header) != stale;
                let fetch = self.fetch(realm, service.as_deref(), name, who);
                let (token, fresh) = self.slot(name, who).get(good, fetch).await?;
                let Token { header, grants, .. } = token;
                return Ok(Pass { header: Some(header), grants: Some(grants), fresh });
            }
        };
        Ok(Pass { header, grants: None, fresh: false })
    }

    fn slot(&self, name: &Name, who: Who) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MANY && !slots.contains_key(&(name.clone(), who)) {
            // One that is in use has an owner besides the table. Dropping a good token costs a
            // request, keeping thousands costs memory for good.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry((name.clone(), who)).or_default().clone()
    }

    /// Decides what a 401 means. A token may have been withdrawn, so that one refresh is tried;
    /// whatever is refused then is refused.
    pub(super) async fn refused(
        &self,
        name: &Name,
        who: Who,
        shown: &Pass,
        response: &Response,
    ) -> Result<Next, UpstreamError> {
        // The service grants it, the registry refuses: that is their fault, and no answer.
        let contradicted = || UpstreamError::passing("it refuses the tokens of its own service");
        let Some(scheme) = self.scheme_of(response)? else {
            let granted = shown.grants == Some(Grants::Pull);
            return Ok(Next::Stop(if granted { contradicted() } else { UpstreamError::Denied }));
        };
        self.scheme.put(scheme.clone()).await;
        let next = match (&scheme, shown.grants) {
            (Scheme::Basic, _) if shown.header.is_none() && who == Who::Credential => {
                Next::Again(self.pass_by(&scheme, name, who, None).await?)
            }
            (Scheme::Basic, _) if who == Who::Credential => {
                self.credential_is(true);
                Next::Stop(UpstreamError::CredentialRefused)
            }
            (Scheme::Basic | Scheme::Open, _) => Next::Stop(UpstreamError::Denied),
            // It says itself that it does not open this.
            (Scheme::Bearer { .. }, Some(Grants::Nothing)) => Next::Stop(UpstreamError::Denied),
            (Scheme::Bearer { .. }, _) if !shown.fresh => {
                let pass = self.pass_by(&scheme, name, who, shown.header.as_ref()).await?;
                // Were it another's, a third would still be no better.
                Next::Again(Pass { fresh: true, ..pass })
            }
            (Scheme::Bearer { .. }, Some(Grants::Pull)) => Next::Stop(contradicted()),
            (Scheme::Bearer { .. }, _) => Next::Stop(UpstreamError::Denied),
        };
        Ok(next)
    }

    /// Asks the registry's root how it wants to be asked.
    async fn discover(&self) -> Result<Scheme, UpstreamError> {
        let ask = Ask {
            // Part of getting a token, and counted with it.
            kind: Kind::Token,
            head: false,
            url: self.root.clone(),
            accept: None,
            from: 0,
            authorization: None,
            who: Who::Anonymous,
        };
        let response = self.wire.ask(&ask).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            // Nothing is wanted here. Where a repository wants more, its 401 says so.
            return Ok(Scheme::Open);
        }
        self.scheme_of(&response)?.ok_or_else(|| {
            UpstreamError::lasting("it asks for a proof of a kind that is not supported")
        })
    }

    /// The scheme that a 401 asks for: tokens if it takes them.
    fn scheme_of(&self, response: &Response) -> Result<Option<Scheme>, UpstreamError> {
        let challenges: Vec<Challenge> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let find = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let Some(bearer) = find("bearer") else {
            return Ok(find("basic").map(|_| Scheme::Basic));
        };
        let malformed = || UpstreamError::lasting("it names no token service");
        let realm = bearer.parameter("realm").ok_or_else(malformed)?;
        let realm: Url = realm.parse().map_err(|_| malformed())?;
        if !self.wire.redirects.is_own_realm(&realm) {
            return Err(UpstreamError::lasting("it names a token service outside its own domain"));
        }
        let service = bearer.parameter("service").map(str::to_owned);
        Ok(Some(Scheme::Bearer { realm, service }))
    }

    async fn fetch(
        &self,
        realm: &Url,
        service: Option<&str>,
        name: &Name,
        who: Who,
    ) -> Result<Token, UpstreamError> {
        let mut url = realm.clone();
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{name}:pull"));
        let authorization = match who {
            Who::Anonymous => None,
            // It may have been refused for another repository while this one waited.
            Who::Credential if self.is_refused() => return Err(UpstreamError::CredentialRefused),
            Who::Credential => self.credential.clone(),
        };
        let known = authorization.is_some();
        let ask =
            Ask { kind: Kind::Token, head: false, url, accept: None, from: 0, authorization, who };
        let since = self.wire.clock.now();
        let response = self.wire.ask(&ask).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if known => {
                self.credential_is(true);
                return Err(UpstreamError::CredentialRefused);
            }
            status => {
                let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                // Whatever stands before the service may refuse too, and knows no repository: only
                // a registry's own code is an answer.
                if refused && self.denies(response).await? {
                    return Err(UpstreamError::Denied);
                }
                let why = format!("its token service answers {}", status.as_u16());
                return Err(UpstreamError::lasting(why));
            }
        }
        if known {
            self.credential_is(false);
        }
        let body = self.wire.body(response, MAX_ANSWER).await?;
        let odd = || UpstreamError::lasting("its token service answers with no token");
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| odd())?;
        let text = answer.token.or(answer.access_token).filter(|text| !text.is_empty());
        let text = text.ok_or_else(odd)?;
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| odd())?;
        header.set_sensitive(true);
        let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
        let life = Duration::from_secs(life);
        Ok(Token { header, grants: grants(&text, name), since, life })
    }

    /// Whether a refusal's body bears the code of one (distribution-spec 1.1, "Error Codes").
    async fn denies(&self, response: Response) -> Result<bool, UpstreamError> {
        let body = self.wire.body(response, MAX_ERROR_BODY).await?;
        Ok(error_code(&body).is_some_and(|code| matches!(&*code, "DENIED" | "UNAUTHORIZED")))
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}
