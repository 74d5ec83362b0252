//! What a job is about, as people write it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::oci::{Digest, Name, Reference};

/// `alpine`, `alpine:3.20`, `docker.io/library/alpine@sha256:…`, or a digest alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository; none for a digest alone.
    pub name: Option<Name>,
    /// A tag or a digest; none for a whole repository.
    pub reference: Option<Reference>,
}

/// It is no image's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an image: write `name`, `name:tag`, `name@digest` or a digest")]
pub struct BadImage;

impl Image {
    /// Whether it means a manifest of this repository with this tag, if it has one.
    pub(super) fn means(&self, name: &Name, tag: Option<&str>, digest: &Digest) -> bool {
        if self.name.as_ref().is_some_and(|own| own != name) {
            return false;
        }
        match &self.reference {
            None => true,
            Some(Reference::Tag(own)) => tag == Some(own.as_str()),
            Some(Reference::Digest(own)) => own == digest,
        }
    }
}

impl FromStr for Image {
    type Err = BadImage;

    fn from_str(text: &str) -> Result<Self, BadImage> {
        if let Ok(digest) = text.parse() {
            return Ok(Self { name: None, reference: Some(Reference::Digest(digest)) });
        }
        if text.starts_with("sha256:") || text.starts_with("sha512:") {
            return Err(BadImage);
        }
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        let (name, reference) = match (text.split_once('@'), text.rsplit_once(':')) {
            (Some((name, digest)), _) => {
                // Of `name:tag@digest` the digest counts.
                let name = name.split_once(':').map_or(name, |(name, _)| name);
                (name, Some(Reference::Digest(digest.parse().map_err(|_| BadImage)?)))
            }
            (None, Some((name, tag))) => {
                (name, Some(Reference::Tag(tag.parse().map_err(|_| BadImage)?)))
            }
            (None, None) => (text, None),
        };
        let name = Name::of_client(name).map_err(|_| BadImage)?;
        Ok(Self { name: Some(name), reference })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_ref().map_or("", Name::as_str);
        match &self.reference {
            None => f.write_str(name),
            Some(Reference::Tag(tag)) => write!(f, "{name}:{tag}"),
            Some(Reference::Digest(digest)) if name.is_empty() => write!(f, "{digest}"),
            Some(Reference::Digest(digest)) => write!(f, "{name}@{digest}"),
        }
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_as_people_write_them() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, expected) in [
            ("alpine", "library/alpine"),
            ("alpine:3.20", "library/alpine:3.20"),
            ("docker.io/acme/app", "acme/app"),
            (&format!("acme/app:1@{digest}"), &format!("acme/app@{digest}")),
            (&digest, &digest),
        ] {
            assert_eq!(text.parse::<Image>().unwrap().to_string(), *expected);
        }
        for bad in
            ["", "Alpine", "alpine:", "alpine@sha256:1", "a b", "sha256:zz", "localhost:5000/x"]
        {
            assert_eq!(bad.parse::<Image>(), Err(BadImage), "{bad}");
        }
    }
}
