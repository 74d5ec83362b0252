//! The registry, as `registry-1.docker.io` behaves.

use std::time::Instant;

use registry_mirror::oci::Digest;
use serde_json::json;

use super::{
    answer::{Answer, Request},
    cdn,
    state::{Auth, Kind, Redirect, Seen, State},
    token::basic_credential,
};

/// What a path asks for.
enum Target<'a> {
    Ping,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Other,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v2/") else { return Self::Other };
        if rest.is_empty() {
            return Self::Ping;
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Self::Tags(name);
        }
        let Some((rest, last)) = rest.rsplit_once('/') else { return Self::Other };
        match rest.rsplit_once('/') {
            Some((name, "manifests")) => Self::Manifest(name, last),
            Some((name, "blobs")) => Self::Blob(name, last),
            Some((name, "referrers")) => Self::Referrers(name, last),
            _ => Self::Other,
        }
    }

    fn kind(&self, head: bool) -> Kind {
        match self {
            Self::Ping => Kind::Ping,
            Self::Manifest(..) if head => Kind::Head,
            Self::Manifest(..) => Kind::Manifest,
            Self::Blob(..) if head => Kind::BlobHead,
            Self::Blob(..) => Kind::Blob,
            Self::Tags(_) => Kind::Tags,
            Self::Referrers(..) => Kind::Referrers,
            Self::Other => Kind::Other,
        }
    }

    fn name(&self) -> Option<&'a str> {
        match self {
            Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
            Self::Ping | Self::Other => None,
        }
    }
}

pub(super) fn answer(state: &mut State, request: &Request) -> (Kind, Answer) {
    let kind = Target::of(&request.path).kind(request.is_head());
    state.seen.push(Seen {
        kind,
        method: request.method.clone(),
        path: request.target(),
        range: request.header("range"),
        accept: request.header("accept"),
        authorization: request.header("authorization").is_some(),
        account: caller(state, request).ok().flatten(),
        at: Instant::now(),
    });
    (kind, route(state, request))
}

pub(super) fn route(state: &mut State, request: &Request) -> Answer {
    if let Some(abuse) = state.knobs.abuse {
        return Answer::abuse(abuse.retry_after);
    }
    let target = Target::of(&request.path);
    if matches!(target, Target::Other) {
        return Answer::new(404, "text/plain", "404 page not found\n");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Answer::error(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    let account = match admit(state, request, target.name()) {
        Ok(account) => account,
        Err(refusal) => return refusal,
    };
    let answer = match target {
        Target::Ping => Answer::json(200, &json!({})),
        Target::Manifest(name, reference) => manifest(state, request, account, name, reference),
        Target::Blob(name, digest) => blob(state, request, name, digest),
        Target::Tags(name) => tags(state, request, name),
        Target::Referrers(name, digest) => referrers(state, request, name, digest),
        Target::Other => Answer::new(404, "text/plain", "404 page not found\n"),
    };
    answer.with("Docker-Distribution-Api-Version", "registry/2.0")
}

/// The account whose token or password a request carries; an error if it carries a bad one.
fn caller(state: &State, request: &Request) -> Result<Option<String>, &'static str> {
    let Some(header) = request.header("authorization") else { return Ok(None) };
    if let Some(token) = header.strip_prefix("Bearer ") {
        let grant = state.grants.get(token).filter(|grant| grant.expires > state.now());
        return grant.map(|grant| grant.account.clone()).ok_or("invalid_token");
    }
    let (user, password) = basic_credential(&header).ok_or("invalid_token")?;
    let right = state.accounts.get(&user).is_some_and(|account| account.password == password);
    if right { Ok(Some(user)) } else { Err("invalid_token") }
}

fn admit(state: &State, request: &Request, name: Option<&str>) -> Result<Option<String>, Answer> {
    let account = caller(state, request).map_err(|why| challenge(state, request, Some(why)))?;
    match state.knobs.auth {
        Auth::Open => Ok(account),
        Auth::Basic if account.is_some() => Ok(account),
        Auth::Basic => Err(challenge(state, request, None)),
        Auth::Bearer => {
            let header = request.header("authorization").unwrap_or_default();
            let grant = header.strip_prefix("Bearer ").and_then(|token| state.grants.get(token));
            let Some(grant) = grant else { return Err(challenge(state, request, None)) };
            match name {
                Some(name) if !grant.repositories.iter().any(|of| of == name) => {
                    Err(challenge(state, request, Some("insufficient_scope")))
                }
                _ => Ok(account),
            }
        }
    }
}

/// 401 as the Hub says it.
pub(super) fn challenge(state: &State, request: &Request, why: Option<&str>) -> Answer {
    let own = format!("http://{}/token", state.auth);
    let realm = state.knobs.realm.as_deref().unwrap_or(&own);
    let mut challenge = match state.knobs.auth {
        Auth::Basic => "Basic realm=\"a registry, quoted \\\"so\\\"\"".to_owned(),
        _ => format!("Bearer realm=\"{realm}\",service=\"registry.docker.io\""),
    };
    if state.knobs.auth != Auth::Basic {
        if let Some(name) = Target::of(&request.path).name() {
            challenge += &format!(",scope=\"repository:{name}:pull\"");
        }
        if let Some(why) = why {
            challenge += &format!(",error=\"{why}\"");
        }
    }
    Answer::error(401, "UNAUTHORIZED", "authentication required")
        .with("WWW-Authenticate", challenge)
        .with("Docker-Distribution-Api-Version", "registry/2.0")
}

fn manifest(
    state: &mut State,
    request: &Request,
    account: Option<String>,
    name: &str,
    reference: &str,
) -> Answer {
    if request.is_head() && state.knobs.no_head {
        return Answer::error(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    if !request.is_head() && state.pulls_left(account.as_deref()) == Some(0) {
        let text = if account.is_some() {
            "You have reached your pull rate limit. You may increase the limit by authenticating \
             and upgrading: https://www.docker.com/increase-rate-limits"
        } else {
            "You have reached your unauthenticated pull rate limit. \
             https://www.docker.com/increase-rate-limit"
        };
        let mut answer = Answer::error(429, "TOOMANYREQUESTS", text);
        if let Some(after) = &state.knobs.pull_retry_after {
            answer = answer.with("Retry-After", after.clone());
        }
        return limits(state, account.as_deref(), answer);
    }
    let found = state.library.get(name).and_then(|repository| {
        let (digest, media_type, bytes) = repository.find(reference)?;
        Some((digest, media_type.to_owned(), bytes))
    });
    let Some((digest, media_type, bytes)) = found else {
        let answer = Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        return limits(state, account.as_deref(), answer);
    };
    let accept = request.header("accept").unwrap_or_default();
    if !accept.split(',').any(|one| one.split(';').next().unwrap_or("").trim() == media_type) {
        return Answer::error(
            404,
            "MANIFEST_UNKNOWN",
            "manifest found, but accept header does not support its media type",
        );
    }
    if !request.is_head() {
        *state.pulls.entry(account.clone()).or_default() += 1;
    }
    let mut answer = Answer::new(200, &media_type, bytes).with("ETag", format!("\"{digest}\""));
    if state.knobs.digest_header {
        answer = answer.with("Docker-Content-Digest", digest.to_string());
    }
    limits(state, account.as_deref(), answer)
}

fn limits(state: &State, account: Option<&str>, answer: Answer) -> Answer {
    let Some((limit, left)) = state.limit(account).zip(state.pulls_left(account)) else {
        return answer;
    };
    answer
        .with("RateLimit-Limit", format!("{limit};w=21600"))
        .with("RateLimit-Remaining", format!("{left};w=21600"))
        .with("Docker-RateLimit-Source", account.unwrap_or("127.0.0.1"))
}

fn blob(state: &State, request: &Request, name: &str, digest: &str) -> Answer {
    let unknown = || Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    let Ok(digest) = digest.parse::<Digest>() else {
        return Answer::error(400, "DIGEST_INVALID", "invalid digest");
    };
    let here = state.library.get(name).is_some_and(|of| of.blobs.contains(&digest));
    let Some(bytes) = state.library.bytes(&digest).filter(|_| here) else { return unknown() };
    let redirect = !request.is_head() || state.knobs.redirect_heads;
    let location = match &state.knobs.redirect {
        Redirect::Cdn if redirect => cdn::sign(state, &digest),
        Redirect::Hops(hops) if redirect => {
            format!("http://{}/hop/{}?to={digest}", state.cdn, hops.saturating_sub(1))
        }
        Redirect::To(address) if redirect => address.clone(),
        _ => {
            return Answer::content(request, &bytes)
                .with("Docker-Content-Digest", digest.to_string());
        }
    };
    Answer::new(307, "application/octet-stream", "")
        .with("Location", location)
        .with("Docker-Content-Digest", digest.to_string())
}

fn tags(state: &State, request: &Request, name: &str) -> Answer {
    let Some(repository) = state.library.get(name) else {
        return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let last = request.parameter("last").unwrap_or_default();
    let n = request.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut tags: Vec<&String> = repository.tags.keys().filter(|tag| **tag > last).collect();
    let more = tags.len() > n;
    tags.truncate(n);
    let answer = Answer::json(200, &json!({"name": name, "tags": tags}));
    match tags.last() {
        Some(last) if more => {
            let link = format!("</v2/{name}/tags/list?last={last}&n={n}>; rel=\"next\"");
            answer.with("Link", link)
        }
        _ => answer,
    }
}

fn referrers(state: &State, request: &Request, name: &str, digest: &str) -> Answer {
    if !state.knobs.referrers {
        return Answer::new(404, "text/plain", "404 page not found\n");
    }
    let Ok(digest) = digest.parse::<Digest>() else {
        return Answer::error(400, "DIGEST_INVALID", "invalid digest");
    };
    let kind = request.parameter("artifactType");
    let index = "application/vnd.oci.image.index.v1+json";
    let found = state.library.referrers(name, &digest, kind.as_deref());
    let body = json!({"schemaVersion": 2, "mediaType": index, "manifests": found});
    let answer = Answer::new(200, index, body.to_string());
    if kind.is_some() { answer.with("OCI-Filters-Applied", "artifactType") } else { answer }
}
