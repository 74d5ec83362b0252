//! The headers that are not HTTP's own, and how values are made without copying what is shared.

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

/// The digest of the content (distribution-spec 1.1, "Pulling manifests").
pub(super) static DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Says that this is a registry of the second version; old clients look for it.
pub(super) static API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// Which registry the answer is of, where the client named one.
pub(super) static NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// Which filters the upstream applied to a referrers listing.
pub(super) static FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Value of [`API_VERSION`].
pub(super) static V2: HeaderValue = HeaderValue::from_static("registry/2.0");
/// The type of error bodies.
pub(super) static JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The type of blobs, whatever they hold.
pub(super) static OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Value of `Accept-Ranges`.
pub(super) static RANGES: HeaderValue = HeaderValue::from_static("bytes");

/// A header value of `text`; empty for text that no header can hold, which none of ours is.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes()))
        .unwrap_or(HeaderValue::from_static(""))
}
