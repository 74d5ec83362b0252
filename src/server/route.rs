//! What a request's path asks for. Routing is done by hand, from the right: a repository's name
//! may itself hold words such as `manifests` or `tags`.

use crate::oci::{BadDigest, Digest, Name, Reference};

/// The longest path that is looked at, in bytes, as it stands on the wire. The longest one that
/// can mean something is a name of 255 characters and a sha512 digest, all of it percent-encoded.
pub(super) const MAX_PATH: usize = 2048;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Whether the process lives.
    Livez,
    /// Whether this is a registry (distribution-spec 1.1, end-1).
    Ping,
    /// A manifest (end-3).
    Manifest(Name, Reference),
    /// A blob (end-2).
    Blob(Name, Digest),
    /// The tags of a repository (end-8).
    Tags(Name),
    /// What refers to a digest (end-12).
    Referrers(Name, Digest),
    /// Something of a push, which a mirror does not take.
    Upload,
}

/// Why a path asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPath {
    /// It is longer than any that means something.
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// It is not percent-encoded UTF-8.
    #[error("the path is not valid percent-encoded UTF-8")]
    Encoding,
    /// There is no such endpoint.
    #[error("this mirror has no such endpoint")]
    NoEndpoint,
    /// Listing repositories, which a mirror cannot do.
    #[error("a mirror does not list repositories")]
    Catalog,
    /// The repository's name is outside the grammar.
    #[error("the repository's name is outside the grammar of the distribution spec")]
    Name,
    /// The tag is outside the grammar.
    #[error("the tag is outside the grammar of the distribution spec")]
    Tag,
    /// The digest is not one that can be verified.
    #[error("the digest is {0}")]
    Digest(BadDigest),
}

impl Route {
    /// Reads a path as it stands on the wire.
    ///
    /// # Errors
    /// See [`BadPath`].
    pub(super) fn of(raw: &str) -> Result<Self, BadPath> {
        if raw.len() > MAX_PATH {
            return Err(BadPath::TooLong);
        }
        let path = decode(raw).ok_or(BadPath::Encoding)?;
        match path.as_str() {
            "/livez" => return Ok(Self::Livez),
            "/v2" | "/v2/" => return Ok(Self::Ping),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or(BadPath::NoEndpoint)?;
        if rest == "_catalog" {
            return Err(BadPath::Catalog);
        }
        let mut parts = rest.rsplitn(3, '/');
        let (Some(last), Some(word)) = (parts.next(), parts.next()) else {
            return Err(BadPath::NoEndpoint);
        };
        let before = parts.next().unwrap_or_default();
        let name = |text: &str| Name::of_client(text).map_err(|_| BadPath::Name);
        match (word, last) {
            ("blobs", "uploads") => name(before).map(|_| Self::Upload),
            ("uploads", _) if before.ends_with("/blobs") => {
                name(before.strip_suffix("/blobs").unwrap_or(before)).map(|_| Self::Upload)
            }
            ("manifests", _) => Ok(Self::Manifest(name(before)?, reference(last)?)),
            ("blobs", _) => Ok(Self::Blob(name(before)?, digest(last)?)),
            ("referrers", _) => Ok(Self::Referrers(name(before)?, digest(last)?)),
            ("tags", "list") => Ok(Self::Tags(name(before)?)),
            _ => Err(BadPath::NoEndpoint),
        }
    }
}

/// A tag has no colon, a digest always has one.
fn reference(text: &str) -> Result<Reference, BadPath> {
    if text.contains(':') {
        digest(text).map(Reference::Digest)
    } else {
        text.parse().map(Reference::Tag).map_err(|_| BadPath::Tag)
    }
}

fn digest(text: &str) -> Result<Digest, BadPath> {
    text.parse().map_err(BadPath::Digest)
}

/// Undoes percent-encoding (RFC 3986, 2.1), once; none for what is not encoded right or is not
/// UTF-8.
pub(super) fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
