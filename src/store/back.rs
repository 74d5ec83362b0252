//! What `registry:2` must find beside content that it is to serve.

use std::time::SystemTime;

use crate::oci::{Digest, Name, Tag};

/// A word of which content a repository has, as `registry:2` writes it down: a file that names a
/// digest (distribution 2.8, `registry/storage/paths.go`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackLink {
    /// The repository has this blob.
    Blob(Name, Digest),
    /// It has this manifest.
    Manifest(Name, Digest),
    /// Its tag means this manifest, as was found out then.
    Tag(Name, Tag, Digest, SystemTime),
}

impl BackLink {
    /// The repository.
    pub fn name(&self) -> &Name {
        match self {
            Self::Blob(name, _) | Self::Manifest(name, _) | Self::Tag(name, ..) => name,
        }
    }

    /// What it names.
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Blob(_, digest) | Self::Manifest(_, digest) | Self::Tag(_, _, digest, _) => {
                digest
            }
        }
    }
}
