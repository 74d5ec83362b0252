//! Media types, and the few fields of a manifest that a mirror reads. Manifests are kept and
//! served as the bytes that came; nothing here writes one.

use std::{fmt, str::FromStr, sync::Arc};

use serde::Deserialize;

use super::Digest;

/// The largest manifest that is taken, in bytes: what Docker Hub and `registry:2` accept
/// (distribution-spec 1.1 asks for at least 4 MiB).
pub const MAX_MANIFEST: usize = 4 << 20;

/// Every manifest type that is asked for upstream, whatever the client listed: the answer is kept
/// by digest, so the union is safe, and without the list types a registry may pick a platform.
pub const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A `Content-Type` as it came. Visible ASCII, at most 255 bytes, so that it can always be sent
/// on as a header. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MediaType {
    type Err = super::BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good =
            (1..=255).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if good { Ok(Self(text.into())) } else { Err(super::BadName) }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the manifest says.
    pub size: u64,
}

/// What a manifest names, as far as a mirror cares: a blob's size before it is fetched, and what
/// is used when the manifest is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its own `mediaType` field.
    pub media_type: Option<MediaType>,
    /// Child manifests of an index.
    pub manifests: Vec<Child>,
    /// Config and layers (or an artifact's blobs).
    pub blobs: Vec<Child>,
}

impl Outline {
    /// Reads what can be read. A manifest of a kind that is not understood names nothing, and is
    /// served all the same.
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(raw) = serde_json::from_slice::<Raw>(bytes) else { return Self::default() };
        let children = |list: Vec<Descriptor>| {
            list.into_iter()
                .filter_map(|d| Some(Child { digest: d.digest.parse().ok()?, size: d.size }))
                .collect()
        };
        let blobs = raw.config.into_iter().chain(raw.layers).chain(raw.blobs).collect();
        Self {
            media_type: raw.media_type.and_then(|text| text.parse().ok()),
            manifests: children(raw.manifests),
            blobs: children(blobs),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    blobs: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_names_children_and_blobs() {
        let a = Digest::sha256(b"a");
        let text = format!(
            r#"{{"mediaType":"x/y","config":{{"digest":"{a}","size":1}},"layers":[{{"digest":"{a}","size":2}},{{"digest":"md5:00","size":2}}]}}"#
        );
        let outline = Outline::read(text.as_bytes());
        assert_eq!(outline.media_type.unwrap().as_str(), "x/y");
        assert_eq!(outline.blobs, [Child { digest: a, size: 1 }, Child { digest: a, size: 2 }]);
        assert_eq!(Outline::read(b"\xff not json"), Outline::default());
    }

    #[test]
    fn a_media_type_can_always_be_a_header() {
        assert!("application/json; charset=utf-8".parse::<MediaType>().is_ok());
        for bad in ["", "a\nb", "a\u{7f}", "ü"] {
            assert!(bad.parse::<MediaType>().is_err());
        }
    }
}
