//! The registry's vocabulary: digests, names, manifests, error codes. Imports nothing of ours.

mod digest;
mod error;
mod manifest;
mod name;

pub use digest::{Algorithm, BadDigest, Digest, Hasher};
pub use error::{Code, error_body};
pub use manifest::{Child, MANIFEST_TYPES, MAX_MANIFEST, MediaType, Outline};
pub use name::{BadName, Name, Reference, Tag};
