//! What the fake Hub knows while it runs.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{content::Library, fault::Fault};

/// What kind of request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The token service.
    Token,
    /// `/v2/` itself.
    Ping,
    /// HEAD of a manifest.
    Head,
    /// GET of a manifest.
    Manifest,
    /// HEAD of a blob at the registry.
    BlobHead,
    /// GET of a blob at the registry.
    Blob,
    /// GET or HEAD at the CDN.
    Cdn,
    /// Tag listings.
    Tags,
    /// Referrers.
    Referrers,
    /// Anything else.
    Other,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: Kind,
    pub method: String,
    /// With its query.
    pub path: String,
    pub range: Option<String>,
    pub accept: Option<String>,
    /// Whether it had an `Authorization` header.
    pub authorization: bool,
    /// The account whose password or token it came with; none if anonymous.
    pub account: Option<String>,
    pub at: Instant,
}

/// How the registry wants callers to prove themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By a token of the token service.
    Bearer,
    /// By user and password, at the registry itself.
    Basic,
    /// Not at all.
    Open,
}

/// Where a blob is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// At the CDN, by a signed address.
    Cdn,
    /// At the CDN, over so many hops of 307 before.
    Hops(usize),
    /// At the registry itself.
    Inline,
    /// At this address, as it is.
    To(String),
}

/// A limit on requests of every kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abuse {
    /// Seconds in `Retry-After`, if it is sent.
    pub retry_after: Option<u64>,
}

/// How the fake behaves. Public, to be changed while it runs.
#[derive(Clone, Debug)]
pub struct Knobs {
    pub auth: Auth,
    /// Tokens say nothing of themselves.
    pub opaque_tokens: bool,
    /// `expires_in`; none leaves it out. A token lives so long, or 60 s.
    pub expires_in: Option<u64>,
    /// The token comes as `access_token` alone.
    pub access_token_only: bool,
    /// The token service refuses every password.
    pub refuse_credentials: bool,
    /// An account's token opens nothing but the repositories that the account names, not even
    /// public ones.
    pub narrow_accounts: bool,
    /// The realm of the challenge, instead of the fake's own token service.
    pub realm: Option<String>,
    /// HEAD of a manifest is answered 405.
    pub no_head: bool,
    /// `Docker-Content-Digest` is sent.
    pub digest_header: bool,
    /// The referrers API is there.
    pub referrers: bool,
    pub redirect: Redirect,
    /// HEAD of a blob is redirected too.
    pub redirect_heads: bool,
    /// How long a CDN address is good.
    pub cdn_life: Duration,
    /// The abuse limit, while it is on.
    pub abuse: Option<Abuse>,
    /// `Retry-After` of the pull limit's 429, as text.
    pub pull_retry_after: Option<String>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            auth: Auth::Bearer,
            opaque_tokens: false,
            expires_in: Some(300),
            access_token_only: false,
            refuse_credentials: false,
            narrow_accounts: false,
            realm: None,
            no_head: false,
            digest_header: true,
            referrers: true,
            redirect: Redirect::Cdn,
            redirect_heads: false,
            cdn_life: Duration::from_secs(1200),
            abuse: None,
            pull_retry_after: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) password: String,
    pub(super) private: HashSet<String>,
    pub(super) limit: Option<u64>,
}

/// What a token stands for.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) account: Option<String>,
    pub(super) repositories: Vec<String>,
    pub(super) expires: SystemTime,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) knobs: Knobs,
    pub(super) faults: VecDeque<(Kind, Fault, usize)>,
    pub(super) library: Library,
    pub(super) accounts: HashMap<String, Account>,
    pub(super) anonymous_limit: Option<u64>,
    /// Pulls made, by account; anonymous ones under none.
    pub(super) pulls: HashMap<Option<String>, u64>,
    pub(super) grants: HashMap<String, Grant>,
    pub(super) issued: u64,
    pub(super) cdn_secret: u64,
    pub(super) offset: Duration,
    pub(super) seen: Vec<Seen>,
    pub(super) auth: SocketAddr,
    pub(super) cdn: SocketAddr,
}

impl State {
    pub(super) fn new([_, auth, cdn]: [SocketAddr; 3]) -> Self {
        Self {
            knobs: Knobs::default(),
            faults: VecDeque::new(),
            library: Library::default(),
            accounts: HashMap::new(),
            anonymous_limit: None,
            pulls: HashMap::new(),
            grants: HashMap::new(),
            issued: 0,
            cdn_secret: 0,
            offset: Duration::ZERO,
            seen: Vec::new(),
            auth,
            cdn,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + self.offset
    }

    pub(super) fn account(
        &mut self,
        user: &str,
        password: &str,
        private: &[&str],
        limit: Option<u64>,
    ) {
        let private = private.iter().map(|&name| name.to_owned()).collect();
        self.accounts
            .insert(user.to_owned(), Account { password: password.to_owned(), private, limit });
    }

    /// Whether a caller may pull from a repository; no one may from one that does not exist.
    pub(super) fn may_pull(&self, account: Option<&str>, name: &str) -> bool {
        let Some(repository) = self.library.get(name) else { return false };
        let own = account.and_then(|user| self.accounts.get(user));
        let named = own.is_some_and(|account| account.private.contains(name));
        let narrow = self.knobs.narrow_accounts && account.is_some();
        named || (!repository.private && !narrow)
    }

    pub(super) fn limit(&self, account: Option<&str>) -> Option<u64> {
        match account {
            Some(user) => self.accounts.get(user)?.limit,
            None => self.anonymous_limit,
        }
    }

    pub(super) fn pulls_left(&self, account: Option<&str>) -> Option<u64> {
        let used = self.pulls.get(&account.map(str::to_owned)).copied().unwrap_or(0);
        Some(self.limit(account)?.saturating_sub(used))
    }

    /// The fault for a request of this kind, if one is left.
    pub(super) fn take_fault(&mut self, kind: Kind) -> Option<Fault> {
        let at = self.faults.iter().position(|(of, ..)| *of == kind)?;
        let (_, fault, left) = self.faults.get_mut(at)?;
        let fault = fault.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.faults.remove(at);
        }
        Some(fault)
    }
}
