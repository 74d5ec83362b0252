//! The one table from what went wrong to status, code and headers.

use std::time::{Duration, SystemTime};

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
    },
};

use super::{
    headers::{JSON, value},
    query::BadQuery,
    route::BadPath,
};
use crate::{
    mirror::Refusal,
    oci::{Code, error_body},
};

/// After how many seconds a client may try again where the upstream failed. Short, since the
/// mirror itself paces what it asks.
const RETRY_SECONDS: u64 = 5;

/// The most bytes of request headers that are taken, as nginx takes by default (4 × 8 KiB). What
/// is over 128 KiB never gets here: actix answers 431 itself.
pub(super) const MAX_HEADERS: usize = 32 << 10;

/// What is wrong with a request before the mirror is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    /// The path asks for nothing.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The query is malformed.
    #[error(transparent)]
    Query(#[from] BadQuery),
    /// `ns` names a registry that this mirror does not stand for.
    #[error("this mirror does not stand for that registry")]
    Namespace,
    /// The method is not one of a mirror.
    #[error("a mirror takes GET and HEAD only")]
    Method,
    /// The path is one of a push, whatever the method.
    #[error("a mirror takes no uploads")]
    Upload,
    /// There are more bytes of headers than a client of a registry has reason to send.
    #[error("the headers are longer than {MAX_HEADERS} bytes")]
    Headers,
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// The status line.
    pub(super) status: StatusCode,
    code: Code,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: Code, message: String) -> Self {
        Self { status, code, message, header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// What to answer to a malformed request.
    pub(super) fn of_request(bad: BadRequest) -> Self {
        let (status, code) = match bad {
            BadRequest::Path(path) => match path {
                BadPath::TooLong => (StatusCode::URI_TOO_LONG, Code::NameInvalid),
                BadPath::Encoding | BadPath::Name => (StatusCode::BAD_REQUEST, Code::NameInvalid),
                BadPath::NoEndpoint | BadPath::Catalog => {
                    (StatusCode::NOT_FOUND, Code::Unsupported)
                }
                BadPath::Tag => (StatusCode::BAD_REQUEST, Code::ManifestInvalid),
                BadPath::Digest(_) => (StatusCode::BAD_REQUEST, Code::DigestInvalid),
            },
            BadRequest::Query(_) => (StatusCode::BAD_REQUEST, Code::Unknown),
            BadRequest::Namespace => (StatusCode::NOT_FOUND, Code::NameUnknown),
            BadRequest::Method | BadRequest::Upload => {
                (StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported)
            }
            BadRequest::Headers => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::Unknown),
        };
        let problem = Self::new(status, code, bad.to_string());
        match bad {
            BadRequest::Method => problem.with(ALLOW, HeaderValue::from_static("GET, HEAD")),
            // RFC 9110, 10.2.1: empty where no method is allowed.
            BadRequest::Upload => problem.with(ALLOW, HeaderValue::from_static("")),
            _ => problem,
        }
    }

    /// What to answer where the mirror has nothing.
    pub(super) fn of_refusal(refusal: &Refusal, now: SystemTime) -> Self {
        let (status, code) = match refusal {
            Refusal::NoRepository => (StatusCode::NOT_FOUND, Code::NameUnknown),
            Refusal::NoManifest => (StatusCode::NOT_FOUND, Code::ManifestUnknown),
            Refusal::NoBlob => (StatusCode::NOT_FOUND, Code::BlobUnknown),
            Refusal::NotOffered => (StatusCode::NOT_FOUND, Code::Unsupported),
            Refusal::Limited { .. } => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Refusal::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, Code::RangeInvalid),
            Refusal::Upstream { .. } => (StatusCode::BAD_GATEWAY, Code::Unavailable),
            Refusal::Late => (StatusCode::GATEWAY_TIMEOUT, Code::Unavailable),
        };
        let problem = Self::new(status, code, refusal.to_string());
        match refusal {
            Refusal::Limited { until } => {
                problem.with(RETRY_AFTER, value(&seconds_left(*until, now).to_string()))
            }
            Refusal::Range { size } => {
                problem.with(CONTENT_RANGE, value(&format!("bytes */{size}")))
            }
            Refusal::Upstream { .. } | Refusal::Late => {
                problem.with(RETRY_AFTER, value(&RETRY_SECONDS.to_string()))
            }
            _ => problem,
        }
    }

    /// The error code as it goes out.
    pub(super) fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The answer itself.
    pub(super) fn response(self) -> HttpResponse {
        let mut response =
            HttpResponse::with_body(self.status, error_body(self.code, &self.message))
                .map_into_boxed_body();
        response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Whole seconds until then, rounded up, so that a client that obeys does not come too early;
/// at least one.
fn seconds_left(until: SystemTime, now: SystemTime) -> u64 {
    let left = until.duration_since(now).unwrap_or_default();
    let whole = left.as_secs() + u64::from(left > Duration::from_secs(left.as_secs()));
    whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::BadDigest;

    #[test]
    fn seconds_left_are_whole_and_never_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for (left, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_000, 59), (59_500, 60)] {
            assert_eq!(seconds_left(now + Duration::from_millis(left), now), seconds, "{left} ms");
        }
        assert_eq!(seconds_left(now - Duration::from_secs(9), now), 1);
    }

    #[test]
    fn refusals_have_the_status_that_clients_act_upon() {
        let now = SystemTime::UNIX_EPOCH;
        let until = now + Duration::from_secs(90);
        let why = "it is away".into();
        for (refusal, status, code, header) in [
            (Refusal::NoRepository, 404, "NAME_UNKNOWN", None),
            (Refusal::NoManifest, 404, "MANIFEST_UNKNOWN", None),
            (Refusal::NoBlob, 404, "BLOB_UNKNOWN", None),
            (Refusal::NotOffered, 404, "UNSUPPORTED", None),
            (Refusal::Limited { until }, 429, "TOOMANYREQUESTS", Some(("retry-after", "90"))),
            (
                Refusal::Range { size: 7 },
                416,
                "RANGE_INVALID",
                Some(("content-range", "bytes */7")),
            ),
            (Refusal::Upstream { why }, 502, "UNAVAILABLE", Some(("retry-after", "5"))),
            (Refusal::Late, 504, "UNAVAILABLE", Some(("retry-after", "5"))),
        ] {
            let problem = Problem::of_refusal(&refusal, now);
            assert_eq!((problem.status.as_u16(), problem.code()), (status, code), "{refusal:?}");
            let response = problem.response();
            assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
            if let Some((name, value)) = header {
                assert_eq!(response.headers().get(name).unwrap(), value, "{refusal:?}");
            }
        }
    }

    #[test]
    fn a_malformed_request_is_never_the_servers_fault() {
        for (bad, status, code) in [
            (BadRequest::Path(BadPath::TooLong), 414, "NAME_INVALID"),
            (BadRequest::Path(BadPath::Encoding), 400, "NAME_INVALID"),
            (BadRequest::Path(BadPath::Name), 400, "NAME_INVALID"),
            (BadRequest::Path(BadPath::Tag), 400, "MANIFEST_INVALID"),
            (BadRequest::Path(BadPath::Digest(BadDigest)), 400, "DIGEST_INVALID"),
            (BadRequest::Path(BadPath::NoEndpoint), 404, "UNSUPPORTED"),
            (BadRequest::Path(BadPath::Catalog), 404, "UNSUPPORTED"),
            (BadRequest::Query(BadQuery), 400, "UNKNOWN"),
            (BadRequest::Namespace, 404, "NAME_UNKNOWN"),
            (BadRequest::Method, 405, "UNSUPPORTED"),
            (BadRequest::Upload, 405, "UNSUPPORTED"),
            (BadRequest::Headers, 431, "UNKNOWN"),
        ] {
            let problem = Problem::of_request(bad);
            assert_eq!((problem.status.as_u16(), problem.code()), (status, code), "{bad:?}");
        }
        let allow = Problem::of_request(BadRequest::Method).response();
        assert_eq!(allow.headers().get("allow").unwrap(), "GET, HEAD");
    }
}
