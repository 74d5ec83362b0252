//! Where things lie in the bucket. Content lies where `registry:2.x` puts it, so that a bucket
//! which that program filled is warm on the first day; everything of our own lies under
//! `registry-mirror/v1/`.

use crate::{
    oci::{Algorithm, Digest, Name, Tag},
    store::{Area, BackLink, Key, Shard, StoreError},
};

/// Everything of our own.
const OURS: &str = "registry-mirror/v1/";
/// Under [`OURS`], content of repositories that are not public.
const PRIVATE: &str = "private/";
/// Under [`OURS`], what the probe writes.
const PROBE: &str = "probe/";
/// Content that anyone may be served.
const PUBLIC: &str = "docker/registry/v2/blobs/";
/// What `registry:2` notes of each repository.
pub(super) const REPOSITORIES: &str = "docker/registry/v2/repositories/";

/// Where `registry:2`, run as a mirror, notes what is to expire.
pub(super) const SCHEDULER: &str = "scheduler-state.json";

/// Where the content of `key` lies.
pub(super) fn content(key: &Key) -> String {
    let hex = key.digest.hex();
    let first = hex.get(..2).unwrap_or_default();
    format!("{}{first}/{hex}/data", blobs(&key.area, key.digest.algorithm()))
}

/// What all content of one shard begins with.
pub(super) fn shard(area: &Area, shard: Shard) -> String {
    format!("{}{:02x}/", blobs(area, shard.algorithm), shard.first)
}

/// Where `registry:2` notes that a repository has this content: as a layer, or as a manifest.
pub(super) fn links(name: &Name, digest: &Digest) -> [String; 2] {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    ["_layers", "_manifests/revisions"]
        .map(|kind| format!("{REPOSITORIES}{name}/{kind}/{algorithm}/{hex}/link"))
}

/// Where `registry:2` notes what a tag means now.
pub(super) fn tag_link(name: &Name, tag: &Tag) -> String {
    format!("{REPOSITORIES}{name}/_manifests/tags/{tag}/current/link")
}

/// Where it looks for a link; for a tag also among all that it ever meant.
pub(super) fn back_links(link: &BackLink) -> Vec<String> {
    match link {
        BackLink::Blob(name, digest) => links(name, digest)[..1].to_vec(),
        BackLink::Manifest(name, digest) => links(name, digest)[1..].to_vec(),
        BackLink::Tag(name, tag, digest, _) => {
            let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
            let ever = format!("{REPOSITORIES}{name}/_manifests/tags/{tag}/index");
            vec![format!("{ever}/{algorithm}/{hex}/link"), tag_link(name, tag)]
        }
    }
}

/// What all private content begins with.
pub(super) fn all_private() -> String {
    format!("{OURS}{PRIVATE}")
}

/// What the private content at `path` is kept under; none if it is something else.
pub(super) fn private(path: &str) -> Option<Key> {
    let path_in_area = path.strip_prefix(OURS)?.strip_prefix(PRIVATE)?;
    let (name, rest) = path_in_area.split_once("/_blobs/")?;
    let (algorithm, rest) = rest.split_once('/')?;
    let (_, hex) = rest.strip_suffix("/data")?.split_once('/')?;
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    let key = Key { area: Area::Private(name.parse().ok()?), digest };
    (content(&key) == path).then_some(key)
}

/// No repository's name has a component that begins with an underscore, so one repository's blobs
/// never lie among another's.
fn blobs(area: &Area, algorithm: Algorithm) -> String {
    let algorithm = algorithm.as_str();
    match area {
        Area::Public => format!("{PUBLIC}{algorithm}/"),
        Area::Private(name) => format!("{OURS}{PRIVATE}{name}/_blobs/{algorithm}/"),
    }
}

/// The digest of the content that lies at `path`, which begins with `prefix`, a shard's; none if it
/// is something else.
pub(super) fn digest(path: &str, prefix: &str, shard: Shard) -> Option<Digest> {
    let hex = path.strip_prefix(prefix)?.strip_suffix("/data")?;
    let digest: Digest = format!("{}:{hex}", shard.algorithm.as_str()).parse().ok()?;
    (digest.bytes().first() == Some(&shard.first)).then_some(digest)
}

/// Where the record `path` lies.
///
/// # Errors
/// It is not a record's path, or lies where content and probes do.
pub(super) fn record(operation: &'static str, path: &str) -> Result<String, StoreError> {
    if is_path(path) && !is_reserved(path) {
        Ok(format!("{OURS}{path}"))
    } else {
        Err(StoreError::Denied { operation, code: "not a record's path".into() })
    }
}

/// What all records below `prefix` begin with.
///
/// # Errors
/// As for [`record`].
pub(super) fn records(operation: &'static str, prefix: &str) -> Result<String, StoreError> {
    if prefix.is_empty() { Ok(OURS.into()) } else { Ok(record(operation, prefix)? + "/") }
}

/// The record that lies at `key`; none if it is something else.
pub(super) fn record_path(key: &str) -> Option<&str> {
    key.strip_prefix(OURS).filter(|path| is_path(path) && !is_reserved(path))
}

/// Where the probe `name` writes.
pub(super) fn probe(name: &str) -> String {
    format!("{OURS}{PROBE}{name}")
}

/// Whether we, or `registry:2` in our place, may have begun an upload to `key`. What another
/// program does elsewhere in the bucket is not ours to end.
pub(super) fn is_ours(key: &str) -> bool {
    key.starts_with(OURS) || key.starts_with(PUBLIC) || is_incoming(key)
}

/// Whether `registry:2` keeps there what it has not received whole: it then copies it to where
/// content lies. No component of a repository's name begins with an underscore.
pub(super) fn is_incoming(key: &str) -> bool {
    key.strip_prefix(REPOSITORIES).is_some_and(|path| path.contains("/_uploads/"))
}

fn is_reserved(path: &str) -> bool {
    [PRIVATE, PROBE].iter().any(|area| {
        path.strip_prefix(area.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn is_path(path: &str) -> bool {
    path.split('/').all(|component| {
        !matches!(component, "" | "." | "..")
            && component.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn content_lies_where_registry_2_puts_it() {
        let key = Key { area: Area::Public, digest: Digest::sha256(b"abc") };
        assert_eq!(content(&key), format!("docker/registry/v2/blobs/sha256/ba/{HEX}/data"));
    }

    #[test]
    fn links_lie_where_registry_2_puts_them() {
        let [layer, revision] = links(&"library/alpine".parse().unwrap(), &Digest::sha256(b"abc"));
        let root = "docker/registry/v2/repositories/library/alpine";
        assert_eq!(layer, format!("{root}/_layers/sha256/{HEX}/link"));
        assert_eq!(revision, format!("{root}/_manifests/revisions/sha256/{HEX}/link"));
    }

    #[test]
    fn private_content_lies_apart_for_each_repository() {
        let area = Area::Private("acme/app".parse().unwrap());
        let key = Key { area, digest: Digest::sha256(b"abc") };
        let path = format!("registry-mirror/v1/private/acme/app/_blobs/sha256/ba/{HEX}/data");
        assert_eq!(content(&key), path);
        assert_eq!(private(&path), Some(key));
        for other in [path.replace("/ba/", "/bb/"), path.replace("/data", "/x"), path + "/data"] {
            assert_eq!(private(&other), None, "{other}");
        }
    }

    #[test]
    fn a_listing_takes_only_what_is_content() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest_ = Digest::of(algorithm, b"abc");
            let part = Shard { algorithm, first: digest_.bytes()[0] };
            let prefix = shard(&Area::Public, part);
            let path = content(&Key { area: Area::Public, digest: digest_ });
            assert_eq!(digest(&path, &prefix, part), Some(digest_));
            assert_eq!(digest(&format!("{path}x"), &prefix, part), None);
            assert_eq!(digest(&format!("{prefix}00/data"), &prefix, part), None);
        }
    }

    #[test]
    fn records_keep_out_of_the_way_of_content() {
        assert_eq!(record("x", "tags/a").unwrap(), "registry-mirror/v1/tags/a");
        assert_eq!(record("x", "private-eye").unwrap(), "registry-mirror/v1/private-eye");
        for bad in ["", "/a", "a/", "a//b", "..", "a/./b", "a b", "private", "private/x", "probe/x"]
        {
            assert!(record("x", bad).is_err(), "`{bad}` was taken");
        }
        assert_eq!(record_path("registry-mirror/v1/use/n1"), Some("use/n1"));
        assert_eq!(record_path("registry-mirror/v1/private/a/_blobs/x"), None);
        assert_eq!(record_path("docker/registry/v2/x"), None);
    }
}
