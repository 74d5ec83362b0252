//! Requests as they go out: two clients, deadlines, retries, limits, redirects.

use std::{error::Error as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE},
};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{
    Limits, UpstreamError, headers,
    hub::Timing,
    pace::{Pace, Who, jittered},
    redirect::{MAX_HOPS, Redirects},
    routable::NotRoutable,
};
use crate::{
    clock::Clock,
    telemetry::{Kind, Metrics},
};

/// How often a request that got no answer, or a 5xx, is made again.
const RETRIES: u32 = 2;
/// The most that is read of an error's body, in bytes.
pub(super) const MAX_ERROR_BODY: usize = 64 << 10;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    pub(super) head: bool,
    pub(super) url: Url,
    pub(super) accept: Option<&'static str>,
    /// `Range: bytes=from-`, where it is not 0.
    pub(super) from: u64,
    pub(super) authorization: Option<HeaderValue>,
    /// As whom it is made, for the limits.
    pub(super) who: Who,
}

/// The way to one upstream.
#[derive(Debug)]
pub(super) struct Wire {
    /// For the registry and its token service: many small requests, HTTP/2 where it is offered.
    pub(super) small: Client,
    /// For bodies: HTTP/1.1, a connection each, so that one slow or lossy transfer does not hold
    /// up another, as it does within one HTTP/2 connection.
    pub(super) large: Client,
    pub(super) timing: Timing,
    pub(super) redirects: Redirects,
    pub(super) pace: Pace,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

impl Wire {
    /// Asks the upstream itself. The answer's status is below 500 and not 429; redirects are not
    /// followed.
    ///
    /// # Errors
    /// A limit, or no answer after the retries.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Response, UpstreamError> {
        let deadline = Instant::now() + self.timing.head;
        let mut attempt = 0;
        loop {
            self.pace.check()?;
            let sent = Instant::now();
            let failure = match self.send(ask, deadline).await {
                Ok(response) => match self.judge(ask, response, sent).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let wait = jittered(self.timing.backoff * 2_u32.pow(attempt));
            let again = matches!(failure, UpstreamError::Unavailable { retry: true, .. })
                && attempt < RETRIES
                && Instant::now() + wait < deadline;
            if !again {
                return Err(failure);
            }
            tracing::debug!(kind = ?ask.kind, why = %failure, "asking the upstream again");
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// The limits and failures that any answer of the upstream itself may tell of.
    async fn judge(
        &self,
        ask: &Ask,
        response: Response,
        sent: Instant,
    ) -> Result<Response, UpstreamError> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait = header(response.headers(), "retry-after")
                .and_then(|text| headers::retry_after(text, self.clock.now()));
            // The abuse limit's answer is plain text, also for a manifest.
            if ask.kind == Kind::Manifest && is_json(self.body(response, MAX_ERROR_BODY).await) {
                return Err(self.pace.no_pulls(ask.who, wait));
            }
            return Err(self.pace.abused(wait));
        }
        if status.is_server_error() {
            return Err(UpstreamError::passing(format!("it answers {}", status.as_u16())));
        }
        if matches!(ask.kind, Kind::Head | Kind::Manifest) && status.is_success() {
            let rate = |name| header(response.headers(), name).and_then(headers::rate);
            let limits =
                Limits { limit: rate("ratelimit-limit"), remaining: rate("ratelimit-remaining") };
            self.pace.told(ask.who, limits, sent);
        }
        self.pace.answered(ask.kind);
        Ok(response)
    }

    /// Follows redirects, if the answer is one, to an answer that is none.
    ///
    /// # Errors
    /// A hop that may not be taken, too many of them, a hop that does not answer or answers 429
    /// or 5xx. Where the last hop left the upstream's host, whatever is not 200, 206 or 416: a CDN
    /// has no say in what exists.
    pub(super) async fn land(
        &self,
        ask: &Ask,
        mut response: Response,
    ) -> Result<Response, UpstreamError> {
        let deadline = Instant::now() + self.timing.head;
        let mut hops = 0;
        while is_redirect(response.status()) {
            if hops == MAX_HOPS {
                return Err(UpstreamError::lasting("redirected too often"));
            }
            hops += 1;
            let location = header(response.headers(), LOCATION.as_str())
                .ok_or_else(|| UpstreamError::lasting("redirected to nowhere"))?;
            let url = self.redirects.follow(response.url(), location)?;
            let own = self.redirects.is_upstream(&url);
            let mut hop = Ask { kind: Kind::Redirect, url, ..ask.clone() };
            if !own {
                hop.authorization = None;
            }
            response = self.send(&hop, deadline).await?;
            let status = response.status();
            let body = matches!(status.as_u16(), 200 | 206 | 416);
            let own_word = own && status.is_client_error() && status.as_u16() != 429;
            if !body && !own_word && !is_redirect(status) {
                // An address that has expired answers 403: asking the registry again helps.
                return Err(UpstreamError::passing(format!(
                    "the address it redirects to answers {}",
                    status.as_u16()
                )));
            }
        }
        Ok(response)
    }

    async fn send(&self, ask: &Ask, deadline: Instant) -> Result<Response, UpstreamError> {
        let large = matches!(ask.kind, Kind::Blob | Kind::Redirect);
        let client = if large { &self.large } else { &self.small };
        let method = if ask.head { Method::HEAD } else { Method::GET };
        let mut request = client.request(method, ask.url.clone());
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if ask.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.from));
        }
        if let Some(authorization) = &ask.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = match timeout(left, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(why(&error)),
            Err(_) => Err(UpstreamError::passing("it does not answer in time")),
        };
        let status = outcome.as_ref().map_or(0, |response| response.status().as_u16());
        self.metrics.upstream(ask.kind, status);
        outcome
    }

    /// A whole body of at most `max` bytes.
    ///
    /// # Errors
    /// It is longer, breaks off, or falls silent.
    pub(super) async fn body(
        &self,
        mut response: Response,
        max: usize,
    ) -> Result<Bytes, UpstreamError> {
        let long = || UpstreamError::lasting("it sends more than it may");
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(long());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > max {
                return Err(long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of a body; none at its end.
    ///
    /// # Errors
    /// It breaks off or falls silent.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, UpstreamError> {
        match timeout(self.timing.silence, response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.metrics.received(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
                Ok(chunk)
            }
            Ok(Err(_)) => Err(UpstreamError::passing("the transfer broke off")),
            Err(_) => Err(UpstreamError::passing("the transfer fell silent")),
        }
    }
}

/// A header as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    headers.get(name)?.to_str().ok()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The first code in an error's body (distribution-spec 1.1, "Error Codes").
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok()?;
    Some(json.pointer("/errors/0/code")?.as_str()?.to_owned())
}

fn is_json(body: Result<Bytes, UpstreamError>) -> bool {
    body.is_ok_and(|body| serde_json::from_slice::<serde_json::Value>(&body).is_ok())
}

/// A failure of the client in our own words: its text names addresses, which may be signed.
fn why(error: &reqwest::Error) -> UpstreamError {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<NotRoutable>() {
            return UpstreamError::lasting(
                "redirected to an address that is not globally routable",
            );
        }
        match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(_)) => {
                return UpstreamError::lasting("its certificate is not believed");
            }
            Some(_) => return UpstreamError::passing("the TLS handshake fails"),
            None => {}
        }
        // An I/O error hides what it wraps from `source`.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|inner| inner as _).or_else(|| cause.source());
    }
    if error.is_timeout() {
        return UpstreamError::passing("it cannot be reached in time");
    }
    if error.is_connect() {
        return UpstreamError::passing("it cannot be reached");
    }
    UpstreamError::passing("the connection broke before it answered")
}
