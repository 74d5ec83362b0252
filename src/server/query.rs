//! What stands behind the question mark: the registry that is meant, and the parameters of
//! listings, checked and written anew so that nothing else of the client's goes upstream.

use std::fmt::Write;

use super::route::decode;
use crate::oci::{Tag, authority, is_docker_hub};

/// Which registries this mirror stands for, by the name that `?ns=` gives.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    /// The upstream's own host, with its port where its URL has one.
    upstream: Option<String>,
}

impl Namespaces {
    /// Docker Hub, and the host of `upstream_url`.
    pub(super) fn of(upstream_url: &str) -> Self {
        Self { upstream: authority(upstream_url) }
    }

    /// Whether this mirror answers for the registry called `ns`.
    pub(super) fn has(&self, ns: &str) -> bool {
        let ns = ns.to_ascii_lowercase();
        is_docker_hub(&ns) || self.upstream.as_deref() == Some(&ns)
    }
}

/// The parameters of one query. A name that comes twice counts as it came first.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// A query that is not percent-encoded UTF-8, or a parameter outside its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query is malformed")]
pub(super) struct BadQuery;

impl Query {
    /// Reads a query as it stands on the wire, without the question mark. A plus sign is itself:
    /// no parameter here holds a space, and media types come with a plus that is not encoded.
    ///
    /// # Errors
    /// It is not percent-encoded UTF-8.
    pub(super) fn of(raw: &str) -> Result<Self, BadQuery> {
        let text = |part: &str| decode(part).ok_or(BadQuery);
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((text(name)?, text(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The query of a tag listing: `n` and `last` (distribution-spec 1.1, "Listing Tags").
    ///
    /// # Errors
    /// `n` is no number below 2³², or `last` is no tag.
    pub(super) fn tags(&self) -> Result<String, BadQuery> {
        let mut query = String::new();
        if let Some(n) = self.get("n") {
            let n: u32 = n.parse().map_err(|_| BadQuery)?;
            push(&mut query, "n", &n.to_string());
        }
        if let Some(last) = self.get("last").filter(|last| !last.is_empty()) {
            let last: Tag = last.parse().map_err(|_| BadQuery)?;
            push(&mut query, "last", last.as_str());
        }
        Ok(query)
    }

    /// The query of a referrers listing: `artifactType`, a media type (distribution-spec 1.1,
    /// "Listing Referrers"; RFC 6838, 4.2 for the grammar, with room for parameters).
    ///
    /// # Errors
    /// It is no media type.
    pub(super) fn referrers(&self) -> Result<String, BadQuery> {
        let mut query = String::new();
        if let Some(kind) = self.get("artifactType").filter(|kind| !kind.is_empty()) {
            if kind.len() > 255 || !kind.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(BadQuery);
            }
            push(&mut query, "artifactType", kind);
        }
        Ok(query)
    }
}

/// Adds a parameter, everything but unreserved characters percent-encoded (RFC 3986, 2.3).
fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            query.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hub_and_the_upstream_are_answered_for() {
        let names = Namespaces::of("https://user@Mirror.Example:8443/path");
        for good in ["docker.io", "index.docker.io", "registry-1.docker.io", "mirror.example:8443"]
        {
            assert!(names.has(good), "{good}");
        }
        for bad in ["", "quay.io", "docker.io.evil.example", "mirror.example", "docker.io/x"] {
            assert!(!names.has(bad), "{bad}");
        }
    }

    #[test]
    fn a_listing_passes_on_only_what_it_knows() {
        let query = |raw| Query::of(raw).unwrap();
        assert_eq!(query("").tags().unwrap(), "");
        assert_eq!(query("ns=docker.io&n=5&last=3.20&x=y").tags().unwrap(), "n=5&last=3.20");
        assert_eq!(query("n=1&n=2").tags().unwrap(), "n=1");
        for raw in ["artifactType=application/spdx+json", "artifactType=application%2Fspdx%2Bjson"]
        {
            assert_eq!(query(raw).referrers().unwrap(), "artifactType=application%2Fspdx%2Bjson");
        }
        assert_eq!(query("artifactType=a%20b").referrers(), Err(BadQuery));
    }

    #[test]
    fn a_malformed_query_is_refused() {
        assert!(Query::of("ns=%zz").is_err());
        for bad in ["n=-1", "n=x", "n=", "n=99999999999", "last=a%0d%0ab", "last=a/b"] {
            assert_eq!(Query::of(bad).unwrap().tags(), Err(BadQuery), "{bad}");
        }
    }
}
