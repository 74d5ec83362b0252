//! Places in the bucket (docs/dev/layout.md). Content lies where `registry:2.x` puts it, so that a
//! bucket which that program filled is warm on the first day; everything of our own lies under
//! `registry-mirror/v1/`. All of it may lie below a prefix.

use crate::{
    oci::{Algorithm, Digest, Name, Tag},
    store::{Area, BackLink, Key, Layout, Shard, StoreError},
};

/// Everything of our own.
const OURS: &str = "registry-mirror/v1/";
/// Under [`OURS`], what belongs to the repositories of one upstream each.
const UPSTREAMS: &str = "upstreams/";
/// Under [`OURS`] and an upstream, content of repositories that are not public. Under [`OURS`] alone
/// in layout 1.
const PRIVATE: &str = "private/";
/// Under [`OURS`], what trials of the store write.
const PROBE: &str = "probe/";
/// Under [`OURS`], the word that the bucket's content is a mirror's.
const ADOPTED: &str = "adopted";
/// Everything of `registry:2`.
const REGISTRY: &str = "docker/registry/v2/";
/// Under [`REGISTRY`], content that anyone may be served.
const PUBLIC: &str = "blobs/";
/// Under [`REGISTRY`], links of each repository.
const REPOSITORIES: &str = "repositories/";
/// Locks of GitLab's registry.
const LOCKFILES: &str = "docker/registry/lockfiles/";
/// List of what is to expire, which `registry:2` writes as a pull-through cache and only then
/// (distribution 2.8, `registry/proxy/proxyregistry.go`).
const SCHEDULER: &str = "scheduler-state.json";

/// Keys of a bucket, all of them below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Empty, or ends in a slash.
    prefix: String,
    layout: Layout,
}

impl Keys {
    /// Keys below `prefix` (`registry:2` calls it `rootdirectory`); slashes around it do not matter.
    pub(super) fn new(prefix: &str, layout: Layout) -> Self {
        let prefix = prefix.trim_matches('/');
        let end = if prefix.is_empty() { "" } else { "/" };
        Self { prefix: format!("{prefix}{end}"), layout }
    }

    /// The prefix: empty, or ends in a slash.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn ours(&self, path: &str) -> String {
        format!("{}{OURS}{path}", self.prefix)
    }

    fn registry(&self, path: &str) -> String {
        format!("{}{REGISTRY}{path}", self.prefix)
    }

    /// Place of content.
    pub(super) fn content(&self, key: &Key) -> String {
        format!("{}{}", self.area(&key.area), below(&key.digest))
    }

    /// Beginning of all content of one area.
    fn area(&self, area: &Area) -> String {
        match area {
            Area::Public => self.registry(PUBLIC),
            Area::Private(name) => format!("{}{name}/_blobs/", self.private()),
        }
    }

    /// Place of private content in layout 1, where that is looked at.
    pub(super) fn old_content(&self, key: &Key) -> Option<String> {
        let Area::Private(name) = &key.area else { return None };
        let area = self.layout.reads_old().then(|| self.old_private())?;
        Some(format!("{area}{name}/_blobs/{}", below(&key.digest)))
    }

    /// Beginning of all private content of the upstream.
    pub(super) fn private(&self) -> String {
        self.ours(&format!("{UPSTREAMS}{}/{PRIVATE}", self.layout.upstream()))
    }

    /// Beginning of all private content in layout 1, which is Docker Hub's.
    pub(super) fn old_private(&self) -> String {
        self.ours(PRIVATE)
    }

    /// Returns true if layout 1 is looked at.
    pub(super) fn reads_old(&self) -> bool {
        self.layout.reads_old()
    }

    /// Private content at the path `rest` below the beginning of all of it; none if it is something
    /// else.
    pub(super) fn private_at(rest: &str) -> Option<Key> {
        // No repository's name has a component that begins with an underscore.
        let (name, blob) = rest.split_once("/_blobs/")?;
        let (algorithm, path) = blob.split_once('/')?;
        let (_, hex) = path.strip_suffix("/data")?.split_once('/')?;
        let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
        let is_canonical = below(&digest) == blob;
        is_canonical.then_some(())?;
        Some(Key { area: Area::Private(name.parse().ok()?), digest })
    }

    /// Beginning of all content of one shard.
    pub(super) fn shard(&self, area: &Area, shard: Shard) -> String {
        format!("{}{}/{:02x}/", self.area(area), shard.algorithm.as_str(), shard.first)
    }

    /// Beginning of all public content of one algorithm.
    pub(super) fn algorithm(&self, algorithm: Algorithm) -> String {
        self.registry(&format!("{PUBLIC}{}/", algorithm.as_str()))
    }

    /// Beginning of all public content.
    pub(super) fn public(&self) -> String {
        self.registry(PUBLIC)
    }

    /// Beginning of all links of repositories.
    pub(super) fn repositories(&self) -> String {
        self.registry(REPOSITORIES)
    }

    /// Beginning of all locks of GitLab's registry.
    pub(super) fn lockfiles(&self) -> String {
        self.at(LOCKFILES)
    }

    /// List of what is to expire of a pull-through `registry:2`.
    pub(super) fn scheduler(&self) -> String {
        self.at(SCHEDULER)
    }

    /// Word that the bucket's content is a mirror's.
    pub(super) fn adopted(&self) -> String {
        self.ours(ADOPTED)
    }

    /// Links by which `registry:2` says that a repository has this content: as a layer, or as a
    /// manifest.
    pub(super) fn links(&self, name: &Name, digest: &Digest) -> [String; 2] {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        ["_layers", "_manifests/revisions"]
            .map(|kind| format!("{}{name}/{kind}/{algorithm}/{hex}/link", self.repositories()))
    }

    /// Link by which `registry:2` says what a tag means now.
    pub(super) fn tag_link(&self, name: &Name, tag: &Tag) -> String {
        format!("{}{name}/_manifests/tags/{tag}/current/link", self.repositories())
    }

    /// Links that it looks for; for a tag also among all that it ever meant.
    pub(super) fn back_links(&self, link: &BackLink) -> Vec<String> {
        match link {
            BackLink::Blob(name, digest) => self.links(name, digest)[..1].to_vec(),
            BackLink::Manifest(name, digest) => self.links(name, digest)[1..].to_vec(),
            BackLink::Tag(name, tag, digest, _) => {
                let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
                let ever = format!("{}{name}/_manifests/tags/{tag}/index", self.repositories());
                vec![format!("{ever}/{algorithm}/{hex}/link"), self.tag_link(name, tag)]
            }
        }
    }

    /// Place of the record `path`.
    ///
    /// # Errors
    /// It is not a record's path, or lies among content and probes.
    pub(super) fn record(&self, operation: &'static str, path: &str) -> Result<String, StoreError> {
        if is_record(path) {
            Ok(self.ours(path))
        } else {
            Err(StoreError::Denied { operation, code: "not a record's path".into() })
        }
    }

    /// Beginning of all records below the path `below`.
    ///
    /// # Errors
    /// As for [`Self::record`].
    pub(super) fn records(
        &self,
        operation: &'static str,
        below: &str,
    ) -> Result<String, StoreError> {
        if below.is_empty() { Ok(self.ours("")) } else { Ok(self.record(operation, below)? + "/") }
    }

    /// Path of the record at `key`; none if it is something else.
    pub(super) fn record_path<'a>(&self, key: &'a str) -> Option<&'a str> {
        self.of_ours(key).filter(|path| is_record(path))
    }

    /// Place that the probe `name` writes to.
    pub(super) fn probe(&self, name: &str) -> String {
        self.ours(&format!("{PROBE}{name}"))
    }

    /// Returns true if a trial of the store writes `key`.
    pub(super) fn is_probe(&self, key: &str) -> bool {
        self.of_ours(key).is_some_and(|path| path.starts_with(PROBE))
    }

    /// Returns true if `key` is of our own, which no other program writes.
    pub(super) fn is_ours(&self, key: &str) -> bool {
        self.of_ours(key).is_some()
    }

    /// Returns true if `key` is in the place of public content.
    pub(super) fn is_public(&self, key: &str) -> bool {
        self.of_registry(key).is_some_and(|path| path.starts_with(PUBLIC))
    }

    /// Returns true if `registry:2` keeps there what it has not received whole: it then copies it to the
    /// place of content. No component of a repository's name begins with an underscore.
    pub(super) fn is_incoming(&self, key: &str) -> bool {
        let path = self.of_registry(key).and_then(|path| path.strip_prefix(REPOSITORIES));
        path.is_some_and(|path| path.contains("/_uploads/"))
    }

    fn of_ours<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())?.strip_prefix(OURS)
    }

    fn of_registry<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())?.strip_prefix(REGISTRY)
    }
}

/// Path of content below the beginning of all content of its area.
fn below(digest: &Digest) -> String {
    let hex = digest.hex();
    let first = hex.get(..2).unwrap_or_default();
    format!("{}/{first}/{hex}/data", digest.algorithm().as_str())
}

/// Digest of the content at `path`, which begins with `prefix`, a shard's; none if it is something
/// else.
pub(super) fn digest(path: &str, prefix: &str, shard: Shard) -> Option<Digest> {
    let hex = path.strip_prefix(prefix)?.strip_suffix("/data")?;
    let digest: Digest = format!("{}:{hex}", shard.algorithm.as_str()).parse().ok()?;
    (digest.bytes().first() == Some(&shard.first)).then_some(digest)
}

/// Keys below a prefix that show that a mirror keeps its content there: of this layout, of the one
/// before, of a pull-through `registry:2`.
pub(super) fn signs_of_a_mirror(prefix: &str) -> [String; 3] {
    let ours = |record: &str| format!("{prefix}{OURS}{record}");
    [ours("layout"), ours("sweep/state"), format!("{prefix}{SCHEDULER}")]
}

fn is_record(path: &str) -> bool {
    let is_below = |path: &str, area: &str| {
        let rest = path.strip_prefix(area.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let of_upstream = path.strip_prefix(UPSTREAMS).and_then(|rest| rest.split_once('/'));
    is_path(path)
        && !is_below(path, PRIVATE)
        && !is_below(path, PROBE)
        && !of_upstream.is_some_and(|(_, rest)| is_below(rest, PRIVATE))
}

/// Letters, digits, `.`, `_` and `-`; `:`, `[` and `]` for the name of an upstream.
fn is_path(path: &str) -> bool {
    path.split('/').all(|component| {
        !matches!(component, "" | "." | "..")
            && component.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("", Layout::default())
    }

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn content_lies_where_registry_2_puts_it() {
        let key = Key { area: Area::Public, digest: Digest::sha256(b"abc") };
        let path = format!("docker/registry/v2/blobs/sha256/ba/{HEX}/data");
        assert_eq!(keys().content(&key), path);
        for prefix in ["mirrors/one", "/mirrors/one", "mirrors/one/"] {
            let keys = Keys::new(prefix, Layout::default());
            assert_eq!(keys.content(&key), format!("mirrors/one/{path}"));
            assert!(keys.is_public(&keys.content(&key)) && !keys.is_public(&path));
        }
    }

    #[test]
    fn links_lie_where_registry_2_puts_them() {
        let [layer, revision] =
            keys().links(&"library/alpine".parse().unwrap(), &Digest::sha256(b"abc"));
        let root = "docker/registry/v2/repositories/library/alpine";
        assert_eq!(layer, format!("{root}/_layers/sha256/{HEX}/link"));
        assert_eq!(revision, format!("{root}/_manifests/revisions/sha256/{HEX}/link"));
    }

    #[test]
    fn private_content_lies_apart_for_each_repository() {
        let area = Area::Private("acme/app".parse().unwrap());
        let key = Key { area, digest: Digest::sha256(b"abc") };
        let rest = format!("acme/app/_blobs/sha256/ba/{HEX}/data");
        let now = format!("registry-mirror/v1/upstreams/docker.io/private/{rest}");
        let before = format!("registry-mirror/v1/private/{rest}");
        assert_eq!((keys().content(&key), keys().old_content(&key)), (now, Some(before)));
        assert_eq!(Keys::private_at(&rest), Some(key.clone()));
        for other in [rest.replace("/ba/", "/bb/"), rest.replace("/data", "/x"), rest + "/data"] {
            assert_eq!(Keys::private_at(&other), None, "{other}");
        }
        let elsewhere = Keys::new("", Layout::of("http://localhost:5000"));
        let start = "registry-mirror/v1/upstreams/localhost:5000/private/acme/app/_blobs/";
        assert!(elsewhere.content(&key).starts_with(start));
        assert_eq!(elsewhere.old_content(&key), None, "it was Docker Hub's");
        let layout = Layout::default();
        layout.set_old_left(false);
        assert_eq!(Keys::new("", layout).old_content(&key), None, "none are left");
    }

    #[test]
    fn a_listing_takes_only_what_is_content() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest_ = Digest::of(algorithm, b"abc");
            let part = Shard { algorithm, first: digest_.bytes()[0] };
            let prefix = keys().shard(&Area::Public, part);
            let path = keys().content(&Key { area: Area::Public, digest: digest_ });
            assert_eq!(digest(&path, &prefix, part), Some(digest_));
            assert_eq!(digest(&format!("{path}x"), &prefix, part), None);
            assert_eq!(digest(&format!("{prefix}00/data"), &prefix, part), None);
        }
    }

    #[test]
    fn records_keep_out_of_the_way_of_content() {
        let keys = keys();
        assert_eq!(keys.record("x", "tags/a").unwrap(), "registry-mirror/v1/tags/a");
        assert_eq!(keys.record("x", "private-eye").unwrap(), "registry-mirror/v1/private-eye");
        let of_upstream = "upstreams/localhost:5000/repositories/a/_tags/1";
        assert!(keys.record("x", of_upstream).is_ok());
        let bad = ["", "/a", "a/", "a//b", "..", "a/./b", "a b", "private", "private/x", "probe/x"];
        for bad in bad.into_iter().chain(["upstreams/docker.io/private/a", "upstreams/x/private"]) {
            assert!(keys.record("x", bad).is_err(), "`{bad}` was taken");
        }
        assert_eq!(keys.record_path("registry-mirror/v1/use/n1"), Some("use/n1"));
        assert_eq!(keys.record_path("registry-mirror/v1/private/a/_blobs/x"), None);
        assert_eq!(keys.record_path("docker/registry/v2/x"), None);
        let below = Keys::new("p", Layout::default());
        assert_eq!(below.record("x", "a").unwrap(), "p/registry-mirror/v1/a");
        assert_eq!(below.record_path("p/registry-mirror/v1/a"), Some("a"));
        assert_eq!(below.record_path("registry-mirror/v1/a"), None);
    }
}
