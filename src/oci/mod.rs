//! The registry's vocabulary: digests, names, manifests, error codes. Imports nothing of ours.

mod digest;
mod error;
mod manifest;
mod name;
mod registry;

pub use digest::{Algorithm, BadDigest, Digest, Hasher};
pub use error::{Code, error_body};
pub use manifest::{Child, MANIFEST_TYPES, MAX_MANIFEST, MediaType, Outline};
pub use name::{BadName, Name, Reference, Tag};
pub use registry::{DOCKER_HUB, authority, is_docker_hub, registry_name};
