//! From a request to an answer: what a worker remembers first, then the mirror.

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::BoxBody,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
            IF_NONE_MATCH, IF_RANGE, LINK, LOCATION, RANGE, WARNING,
        },
    },
};

use super::{
    Shared,
    body::{Announced, Transfer},
    conditions::{etag, has_already, may_range, range},
    headers::{API_VERSION, DIGEST, FILTERS, JSON, NAMESPACE, OCTETS, RANGES, V2, value},
    hot::{Hot, Ready},
    problem::{BadRequest, MAX_HEADERS, Problem},
    query::Query,
    record::{self, Asked, Record, reason},
    route::Route,
    tally::{Key, Tally},
};
use crate::{
    mirror::{Listing, Refusal, Want},
    oci::{Digest, Name, Reference},
    telemetry::Why,
};

/// What one worker has to itself.
pub(super) struct Worker {
    shared: Arc<Shared>,
    hot: RefCell<Hot>,
    tally: Arc<Tally>,
}

/// Why a request is not answered with what it asks for.
enum Refused {
    Malformed(BadRequest),
    Mirror { name: Name, reference: String, refusal: Refusal },
}

impl<E: Into<BadRequest>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Malformed(error.into())
    }
}

impl Refused {
    fn by_mirror(name: &Name, reference: impl ToString, refusal: Refusal) -> Self {
        Self::Mirror { name: name.clone(), reference: reference.to_string(), refusal }
    }
}

/// One request of a listing or of content, beyond its path.
struct Ask<'a> {
    request: &'a HttpRequest,
    asked: Asked,
    want: Want,
    namespace: Option<HeaderValue>,
    /// When it came, see [`Shared::age`].
    age: u64,
}

impl Ask<'_> {
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }
}

impl Worker {
    /// A worker with nothing in its memory, and room for `budget` bytes of manifests twice over.
    pub(super) fn new(shared: Arc<Shared>, budget: usize) -> Self {
        let tally = shared.tallies.open();
        Self { shared, hot: RefCell::new(Hot::new(budget)), tally }
    }

    /// The answer, if this worker has it at hand. Takes no lock that another worker takes, and
    /// makes no system call.
    pub(super) fn remembered(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let get = *request.method() == Method::GET;
        if !get && *request.method() != Method::HEAD {
            return None;
        }
        let key = request.uri().path_and_query()?.as_str();
        let now = self.shared.clock.now();
        let ready = self.hot.borrow_mut().get(key, now, self.shared.age())?;
        let client = client_of(request);
        let known =
            request.headers().get(IF_NONE_MATCH).is_some_and(|tags| matches_tag(tags, &ready.etag));
        let bytes = if get && !known { ready.bytes.len() as u64 } else { 0 };
        self.tally.add(Key::of_memory(&ready.name, client, ready.digest), bytes);
        tracing::debug!(path = key, verdict = "memory", bytes, client = ?client, "answered");
        Some(if known {
            ready.response(StatusCode::NOT_MODIFIED, BoxBody::new(()))
        } else {
            ready.response(StatusCode::OK, BoxBody::new(ready.bytes.clone()))
        })
    }

    /// The answer, whatever it takes.
    pub(super) async fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let asked = Asked::now(client_of(request));
        let refused = match self.try_answer(request, asked).await {
            Ok(response) => return response,
            Err(refused) => refused,
        };
        match refused {
            Refused::Malformed(bad) => {
                let problem = Problem::of_request(bad);
                let path = request.uri().path();
                let shown = path.get(..path.len().min(256)).unwrap_or_default();
                asked.malformed(shown, &problem, &bad);
                self.shared.metrics.refusal(Why::BadRequest);
                problem.response()
            }
            Refused::Mirror { name, reference, refusal } => {
                let problem = Problem::of_refusal(&refusal, self.shared.clock.now());
                asked.refused(&name, &reference, &refusal, &problem);
                problem.response()
            }
        }
    }

    async fn try_answer(
        &self,
        request: &HttpRequest,
        asked: Asked,
    ) -> Result<HttpResponse, Refused> {
        let want = match *request.method() {
            Method::GET => Want::Body,
            Method::HEAD => Want::Head,
            _ => return Err(BadRequest::Method.into()),
        };
        // Before anything looks at the settings.
        let age = self.shared.age();
        let headers = request.headers().iter();
        if headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
            > MAX_HEADERS
        {
            return Err(BadRequest::Headers.into());
        }
        let route = Route::of(request.uri().path())?;
        if route == Route::Livez {
            return Ok(livez(self.shared.is_draining()));
        }
        let query = Query::of(request.uri().query().unwrap_or_default())?;
        let namespace = match query.get("ns") {
            Some(ns) if self.shared.namespaces.load().has(ns) => Some(value(ns)),
            Some(_) => return Err(BadRequest::Namespace.into()),
            None => None,
        };
        let ask = Ask { request, asked, want, namespace, age };
        let mut response = match route {
            Route::Livez | Route::Ping => ping(),
            Route::Upload => return Err(BadRequest::Upload.into()),
            Route::Manifest(name, reference) => self.manifest(&ask, &name, &reference).await?,
            Route::Blob(name, digest) => self.blob(&ask, &name, &digest).await?,
            Route::Tags(name) => {
                let query = query.tags()?;
                let listing = self.shared.mirror.tags(&name, &query).await;
                let listing =
                    listing.map_err(|refusal| Refused::by_mirror(&name, "tags", refusal))?;
                listed(&ask, &name, "tags", &listing)
            }
            Route::Referrers(name, digest) => {
                let query = query.referrers()?;
                let listing = self.shared.mirror.referrers(&name, &digest, &query).await;
                let listing =
                    listing.map_err(|refusal| Refused::by_mirror(&name, digest, refusal))?;
                listed(&ask, &name, "referrers", &listing)
            }
        };
        let headers = response.headers_mut();
        headers.insert(API_VERSION.clone(), V2.clone());
        if let Some(namespace) = ask.namespace {
            headers.insert(NAMESPACE.clone(), namespace);
        }
        Ok(response)
    }

    async fn manifest(
        &self,
        ask: &Ask<'_>,
        name: &Name,
        reference: &Reference,
    ) -> Result<HttpResponse, Refused> {
        let manifest = self
            .shared
            .mirror
            .manifest(name, reference, ask.want)
            .await
            .map_err(|refusal| Refused::by_mirror(name, reference, refusal))?;
        let known = ask
            .header(IF_NONE_MATCH)
            .is_some_and(|tags| has_already(tags, &etag(&manifest.digest)));
        let sent = if ask.want == Want::Body && !known { manifest.size } else { 0 };
        record::manifest(ask.asked, name, &reference.to_string(), &manifest, sent, &self.tally);
        self.shared.metrics.served(sent);

        let bytes = manifest.bytes.clone().unwrap_or_default();
        let ready = Ready::new(name, &manifest, bytes, ask.namespace.clone());
        let mut response = match (&manifest.bytes, ask.want) {
            _ if known => ready.response(StatusCode::NOT_MODIFIED, BoxBody::new(())),
            (Some(bytes), _) => ready.response(StatusCode::OK, BoxBody::new(bytes.clone())),
            (None, Want::Head) => {
                ready.response(StatusCode::OK, BoxBody::new(Announced(manifest.size)))
            }
            (None, Want::Body) => {
                let refusal = Refusal::Upstream { why: "the manifest came without a body".into() };
                return Err(Refused::by_mirror(name, reference, refusal));
            }
        };
        warn(&mut response, manifest.stale);
        let key = ask.request.uri().path_and_query().map_or("", |key| key.as_str());
        if manifest.stale.is_none() && manifest.bytes.is_some() {
            self.hot.borrow_mut().put(key, ready, self.shared.clock.now(), ask.age);
        }
        Ok(response)
    }

    async fn blob(
        &self,
        ask: &Ask<'_>,
        name: &Name,
        digest: &Digest,
    ) -> Result<HttpResponse, Refused> {
        let tag = etag(digest);
        let known = ask.header(IF_NONE_MATCH).is_some_and(|tags| has_already(tags, &tag));
        let want = if known { Want::Head } else { ask.want };
        let part = match want {
            Want::Body if may_range(ask.header(IF_RANGE), &tag) => {
                ask.header(RANGE).and_then(range)
            }
            _ => None,
        };
        let blob = self
            .shared
            .mirror
            .blob(name, digest, part, want)
            .await
            .map_err(|refusal| Refused::by_mirror(name, digest, refusal))?;

        let link = blob.link.filter(|_| !known);
        let status = match (known, &link, part) {
            (true, ..) => StatusCode::NOT_MODIFIED,
            (_, Some(_), _) => StatusCode::TEMPORARY_REDIRECT,
            (_, _, Some(_)) => StatusCode::PARTIAL_CONTENT,
            _ => StatusCode::OK,
        };
        let record = Record {
            name: name.clone(),
            digest: *digest,
            verdict: blob.verdict,
            status: status.as_u16(),
            asked: ask.asked,
            tally: self.tally.clone(),
            metrics: self.shared.metrics.clone(),
        };
        if let Some(link) = link {
            record.headed();
            let mut response = HttpResponse::with_body(status, BoxBody::new(()));
            let headers = response.headers_mut();
            headers.insert(LOCATION, value(link.expose()));
            headers.insert(DIGEST.clone(), value(&digest.to_string()));
            return Ok(response);
        }
        let length = blob.range.end.saturating_sub(blob.range.start);
        let body = match blob.body {
            _ if known => BoxBody::new(()),
            Some(source) => BoxBody::new(Transfer::new(length, source, record)),
            None => {
                record.headed();
                BoxBody::new(Announced(length))
            }
        };
        let mut response = HttpResponse::with_body(status, body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, OCTETS.clone());
        headers.insert(ACCEPT_RANGES, RANGES.clone());
        headers.insert(DIGEST.clone(), value(&digest.to_string()));
        headers.insert(ETAG, value(&tag));
        if part.is_some() {
            let last = blob.range.end.saturating_sub(1);
            let shown = format!("bytes {}-{last}/{}", blob.range.start, blob.size);
            headers.insert(CONTENT_RANGE, value(&shown));
        }
        Ok(response)
    }
}

/// The answer that a listing is.
fn listed(ask: &Ask<'_>, name: &Name, kind: &str, listing: &Listing) -> HttpResponse {
    let sent = if ask.want == Want::Body { listing.bytes.len() as u64 } else { 0 };
    ask.asked.answered(name, kind, listing.verdict, listing.stale, sent);
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(listing.bytes.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, value(listing.media_type.as_str()));
    if let Some(next) = &listing.next {
        // A relative reference, so that it is right however the client came here.
        let link = format!("<{}?{next}>; rel=\"next\"", ask.request.uri().path());
        headers.insert(LINK, value(&link));
    }
    if let Some(filters) = &listing.filters {
        headers.insert(FILTERS.clone(), value(filters));
    }
    warn(&mut response, listing.stale);
    response
}

/// Says of an old answer that it is old (RFC 7234, 5.5: obsolete there, but the only header that
/// says it to a person).
fn warn(response: &mut HttpResponse, stale: Option<Why>) {
    if let Some(why) = stale {
        let text = format!("299 - \"this answer may be old: {}\"", reason(why));
        response.headers_mut().insert(WARNING, value(&text));
    }
}

/// The answer to a client that asks whether this is a registry.
fn ping() -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new("{}"));
    response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    response
}

/// The answer to a load balancer.
pub(super) fn livez(draining: bool) -> HttpResponse {
    if draining {
        HttpResponse::with_body(StatusCode::SERVICE_UNAVAILABLE, BoxBody::new("draining\n"))
    } else {
        HttpResponse::with_body(StatusCode::OK, BoxBody::new("ok\n"))
    }
}

fn matches_tag(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else { return false };
    has_already(tags, etag)
}

/// The peer's address; an IPv4 client of a dual-stack socket is shown as IPv4.
fn client_of(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip().to_canonical())
}
