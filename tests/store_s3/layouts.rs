//! Buckets as each layout left them, written by the program that had it (docs/dev/layout.md). Names
//! inside records and reports are a wire format: these fixtures are never changed.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use registry_mirror::{
    mirror::{Job, Line, Step, Want},
    oci::{Digest, Name, Reference},
    settings::Private,
    upstream::UpstreamError,
};

use super::*;
use crate::support::scripted::Hand;

const PUBLIC: &str = "library/public";
const PRIVATE: &str = "acme/secret";

/// A bucket as it was left.
struct Left {
    bucket: Bucket,
    /// The second since 1970 at which it was.
    written: u64,
    /// Of both images the digests of manifest, configuration and layer.
    public: Vec<Digest>,
    private: Vec<Digest>,
    objects: BTreeMap<String, Bytes>,
}

impl Left {
    fn read(layout: u64) -> Self {
        let path = format!("tests/fixtures/layout/{layout}.json");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let left: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(left["layout"], layout);
        let bucket = Bucket::new();
        let mut objects = BTreeMap::new();
        for (key, object) in left["objects"].as_object().unwrap() {
            let bytes: Bytes = match object.get("text") {
                Some(text) => text.as_str().unwrap().to_owned().into(),
                None => {
                    let text = object["base64"].as_str().unwrap();
                    aws_smithy_types::base64::decode(text).unwrap().into()
                }
            };
            let metadata = object["metadata"].as_object().unwrap().iter();
            let metadata = metadata.map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned()));
            bucket.put_with(key, bytes.clone(), metadata.collect());
            objects.insert(key.clone(), bytes);
        }
        let digests = |what: &str| {
            let texts = left[what].as_array().unwrap().iter();
            texts.map(|text| text.as_str().unwrap().parse().unwrap()).collect()
        };
        let written = left["written"].as_u64().unwrap();
        let (public, private) = (digests("public"), digests("private"));
        Self { bucket, written, public, private, objects }
    }

    /// A node of this version on it, some time after it was left, behind an upstream that knows of
    /// the private repository that it is none of the public ones, and nothing else.
    fn node(&self, after: u64) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let clock = Hand::new();
        clock.set(clock::from_unix(self.written + after));
        let script = Arc::<Script>::default();
        script.private(PRIVATE);
        let mirror = mirror_on(&self.bucket, tuning(), directory.path(), |parts| {
            let private_repositories = Private::Allow;
            let settings = Settings { private_repositories, ..Settings::default() };
            parts.settings = Arc::new(ArcSwap::from_pointee(settings));
            parts.node = Arc::new(Node::new(vec!["node-2".into()]));
            (parts.upstream, parts.clock) = (script.clone(), clock);
        });
        let layout = mirror.parts().layout.clone();
        Running { mirror, layout, script, _directory: directory }
    }

    /// What was there and is no longer as it was.
    fn changed(&self) -> Vec<&str> {
        let is = |key: &&String| self.bucket.bytes(key).as_ref() != self.objects.get(*key);
        self.objects.keys().filter(is).map(String::as_str).collect()
    }
}

struct Running {
    mirror: Mirror,
    layout: Layout,
    script: Arc<Script>,
    _directory: tempfile::TempDir,
}

impl Running {
    async fn tag(&self, name: &str) -> (Digest, bool) {
        let (name, tag) = (name.parse::<Name>().unwrap(), Reference::Tag("1".parse().unwrap()));
        let found = self.mirror.manifest(&name, &tag, Want::Body).await.unwrap();
        assert!(found.bytes.is_some());
        (found.digest, found.stale.is_some())
    }

    async fn blob(&self, name: &str, digest: Digest) -> Bytes {
        let name: Name = name.parse().unwrap();
        let blob = self.mirror.blob(&name, &digest, None, Want::Body).await.unwrap();
        let mut got = Vec::new();
        let mut body = blob.body.unwrap();
        while let Some(chunk) = body.next().await {
            got.extend_from_slice(&chunk.unwrap());
        }
        got.into()
    }
}

#[tokio::test]
async fn what_each_layout_left_is_served_without_the_upstream() {
    for layout in [1, 2] {
        let left = Left::read(layout);
        // Fresh by its record; and when it is not, and nobody can be asked.
        for (after, is_away) in [(60, false), (3600, true)] {
            let node = left.node(after);
            if is_away {
                node.script.fail(Some(UpstreamError::passing("away")));
            }
            assert_eq!(node.tag(PUBLIC).await, (left.public[0], is_away), "layout {layout}");
            for digest in &left.public {
                let bytes = node.blob(PUBLIC, *digest).await;
                assert_eq!(Digest::sha256(&bytes), *digest, "layout {layout}");
            }
        }
        let node = left.node(60);
        assert_eq!(node.tag(PRIVATE).await, (left.private[0], false), "layout {layout}");
        for digest in &left.private {
            let bytes = node.blob(PRIVATE, *digest).await;
            assert_eq!(Digest::sha256(&bytes), *digest, "layout {layout}");
        }
        let asked = &node.script.asked;
        let count = |count: &std::sync::atomic::AtomicUsize| {
            count.load(std::sync::atomic::Ordering::SeqCst)
        };
        assert_eq!((count(&asked.blobs), count(&asked.manifests), count(&asked.heads)), (0, 0, 0));
        for digest in &left.private {
            // It is that repository's alone.
            let other = "library/public".parse::<Name>().unwrap();
            assert!(node.mirror.blob(&other, digest, None, Want::Body).await.is_err());
        }
        node.mirror.idle().await;
        assert_eq!(left.changed(), [""; 0], "layout {layout}");
    }
}

#[tokio::test]
async fn what_each_layout_left_is_listed_and_purged() {
    for layout in [1, 2] {
        let left = Left::read(layout);
        let node = left.node(60);
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |line: Line| told.lock().unwrap().push(line);
        node.mirror.run(Job::List { image: None }, &tell).await;
        let images = |told: &std::sync::Mutex<Vec<Line>>| {
            let told = std::mem::take(&mut *told.lock().unwrap());
            let image = |line: Line| match line {
                Line::Image { repository, tag, digest, used, checked, kept: true, .. } => {
                    assert!(used.is_some() && checked.is_some(), "{repository}");
                    Some((repository, tag.unwrap(), digest))
                }
                _ => None,
            };
            told.into_iter().filter_map(image).collect::<Vec<_>>()
        };
        let expected = |name: &str, digests: &[Digest]| {
            (name.to_owned(), "1".to_owned(), digests[0].to_string())
        };
        let (private, public) = (expected(PRIVATE, &left.private), expected(PUBLIC, &left.public));
        assert_eq!(images(&told), [private.clone(), public], "layout {layout}");
        let purge =
            Job::Purge { images: vec!["library/public:1".parse().unwrap()], dry_run: false };
        node.mirror.run(purge, &tell).await;
        images(&told);
        node.mirror.run(Job::List { image: None }, &tell).await;
        assert_eq!(images(&told), [private], "layout {layout}");
        let gone =
            |digest: &Digest| left.bucket.keys().iter().all(|key| !key.contains(&digest.hex()));
        assert!(left.public.iter().all(gone), "layout {layout}");
        let purge = Job::Purge { images: vec!["acme/secret".parse().unwrap()], dry_run: false };
        node.mirror.run(purge, &tell).await;
        assert!(left.private.iter().all(gone), "layout {layout}: {:?}", left.bucket.keys());
        let tags = left.bucket.keys().into_iter().filter(|key| key.contains("/_tags/"));
        assert_eq!(tags.count(), 0, "layout {layout}");
    }
}

/// Its reports, its state and its lease go on in the same places, whichever node writes them.
#[tokio::test]
async fn clean_ups_go_on_where_each_layout_left_off() {
    for layout in [1, 2] {
        let left = Left::read(layout);
        // By the clock of the server, which is the one that counts, nothing of it is old.
        let node = left.node(60);
        let swept = node.mirror.sweep(&|_: Step| {}).await.unwrap();
        assert_eq!((swept.left.objects, swept.removed.objects), (6, 0), "layout {layout}");
        let reports = left.bucket.keys().into_iter().filter(|key| key.contains("/use/reports/"));
        assert_eq!(reports.count(), 0, "layout {layout}: they are merged");
        for first in ["1f", "5f", "92"] {
            let key = format!("registry-mirror/v1/use/public/{first}");
            let text = String::from_utf8(left.bucket.bytes(&key).unwrap().to_vec()).unwrap();
            assert!(text.starts_with("registry-mirror use 1\n"), "{text}");
        }
        let state = left.bucket.bytes("registry-mirror/v1/sweep/state").unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        assert!(state["since"].as_u64().unwrap() > 0);
        assert_eq!(node.layout.reads_old(), layout == 1, "layout {layout}");
        let record = left.bucket.bytes("registry-mirror/v1/layout").unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!((&record["version"], &record["old_left"]), (&2.into(), &(layout == 1).into()));
        assert!(record["written_by"].as_str().unwrap().starts_with("registry-mirror "));
        // What is old is neither moved nor written.
        let content = |key: &&str| key.contains("/repositories/") || key.contains("/private/acme");
        let changed = left.changed().into_iter().filter(content);
        let changed: Vec<_> = changed.filter(|key| !key.contains("/use/")).collect();
        assert_eq!(changed, [""; 0], "layout {layout}");
    }
}

#[tokio::test]
async fn what_is_written_now_names_its_upstream_and_the_newer_counts() {
    let left = Left::read(1);
    let node = left.node(3600);
    let text = r#"{"layers":[],"moved":true}"#;
    let moved =
        node.script.manifest(PUBLIC, "1", "application/vnd.oci.image.manifest.v1+json", text);
    assert_eq!(node.tag(PUBLIC).await, (moved, false));
    node.mirror.idle().await;
    let path = "registry-mirror/v1/upstreams/docker.io/repositories/library/public/_tags/1";
    assert!(left.bucket.bytes(path).is_some());
    assert_eq!(left.changed(), [""; 0], "what lies there was written");
    assert_eq!(left.node(3660).tag(PUBLIC).await.0, moved, "the newer counts");
    // A node of the version before goes on beside this one.
    let older = format!(
        r#"{{"digest":"{}","media_type":null,"size":null,"checked_at":{}}}"#,
        left.public[0],
        left.written + 3700
    );
    left.bucket.put("registry-mirror/v1/repositories/library/public/_tags/1", older);
    assert_eq!(left.node(3760).tag(PUBLIC).await.0, left.public[0], "the newer counts");
}

#[tokio::test]
async fn once_nothing_old_is_left_it_is_not_looked_for_and_found_again_if_it_comes() {
    let left = Left::read(1);
    for key in left.objects.keys() {
        if key.contains("/v1/repositories/") || key.contains("/v1/private/") {
            left.bucket.take(key);
        }
    }
    let node = left.node(60);
    node.script.manifest(PUBLIC, "1", "application/vnd.oci.image.manifest.v1+json", "{}");
    assert!(node.layout.reads_old(), "nobody has looked");
    node.mirror.sweep(&|_: Step| {}).await.unwrap();
    assert!(!node.layout.reads_old());
    left.bucket.reset_calls();
    node.tag(PUBLIC).await;
    node.mirror.idle().await;
    // Of what is public once before it is asked and once before it is written.
    assert_eq!(left.bucket.calls("GetObject"), 4, "one each of visibility, tag and manifest");
    left.bucket.put("registry-mirror/v1/repositories/library/other/_tags/1", "{}");
    node.mirror.sweep(&|_: Step| {}).await.unwrap();
    assert!(node.layout.reads_old(), "a node of the version before wrote it");
}

#[tokio::test]
async fn another_upstream_has_nothing_of_layout_1() {
    let left = Left::read(1);
    let node = left.node(60);
    assert!(node.layout.follow("http://Hub.Example:5000/"));
    node.script.fail(Some(UpstreamError::passing("away")));
    let (name, tag): (Name, _) = (PUBLIC.parse().unwrap(), Reference::Tag("1".parse().unwrap()));
    assert!(node.mirror.manifest(&name, &tag, Want::Body).await.is_err(), "it was Docker Hub's");
    node.script.fail(None);
    node.script.manifest(PUBLIC, "1", "application/vnd.oci.image.manifest.v1+json", "{}");
    node.tag(PUBLIC).await;
    node.mirror.idle().await;
    let path = "registry-mirror/v1/upstreams/hub.example:5000/repositories/library/public/_tags/1";
    assert!(left.bucket.bytes(path).is_some(), "{:?}", left.bucket.keys());
    let area = Area::Private(PRIVATE.parse().unwrap());
    let key = Key { area, digest: left.private[0] };
    assert!(node.mirror.parts().far.head(&key).await.unwrap().is_none());
    assert!(!node.layout.follow("http://hub.example:5000"), "the same");
    assert!(node.layout.follow("https://index.docker.io"));
    assert!(node.mirror.parts().far.head(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn a_newer_layout_holds_the_clean_up_back() {
    let left = Left::read(2);
    let newer = r#"{"version":3,"written_by":"registry-mirror 9","old_left":false}"#;
    left.bucket.put("registry-mirror/v1/layout", newer);
    let node = left.node(60);
    let error = node.mirror.sweep(&|_: Step| {}).await.unwrap_err();
    assert!(error.to_string().contains("`layout`"), "{error}");
    assert!(error.hint().unwrap().contains("upgrade"));
    node.tag(PUBLIC).await;
    assert_eq!(left.bucket.bytes("registry-mirror/v1/layout").unwrap(), newer);
}

/// Private content that nodes of both versions wrote goes as one.
#[tokio::test]
async fn private_content_of_both_layouts_is_listed_and_removed() {
    let bucket = Bucket::new().paged(3);
    let s3 = open(&bucket);
    let mut keys = Vec::new();
    for number in 0..20_u32 {
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        let name = ["acme/a", "acme/b", "acme/b/c"][number as usize % 3];
        let key =
            Key { area: Area::Private(name.parse().unwrap()), digest: Digest::sha256(&bytes) };
        let hex = key.digest.hex();
        let old =
            format!("registry-mirror/v1/private/{name}/_blobs/sha256/{}/{hex}/data", &hex[..2]);
        if number % 4 != 0 {
            bucket.put_marked(&old, bytes.clone());
        }
        if number % 4 != 1 {
            Store::put(&s3, &key, Payload::Bytes(bytes.clone()), &blob()).await.unwrap();
        }
        assert_eq!(read_found(Store::get(&s3, &key, None).await).await, bytes);
        assert_eq!(s3.head(&key).await.unwrap().unwrap().size, 4);
        keys.push(key);
    }
    let (mut listed, mut from) = (Vec::new(), None);
    loop {
        let page = s3.list_private(from).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.key));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let areas: Vec<_> = listed.iter().map(|key| format!("{:?}", key.area)).collect();
    let mut changes = areas.clone();
    changes.dedup();
    assert_eq!(changes.len(), 6, "repository after repository in each layout: {areas:?}");
    let unordered = |keys: &[Key]| {
        keys.iter().map(|key| format!("{key:?}")).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(listed.len(), 15 + 15, "what lies in both places comes twice");
    assert_eq!(unordered(&listed), unordered(&keys));
    assert_eq!(Store::remove(&s3, &keys).await, Ok(()));
    assert_eq!(bucket.keys(), [""; 0]);
}

/// Repositories whose content lies in both layouts are visited twice, and no use of it is lost.
#[tokio::test]
async fn use_of_private_content_of_both_layouts_is_remembered() {
    let bucket = Bucket::new();
    let now = clock::to_unix(std::time::SystemTime::now());
    let (new, old) = (content(100), content(200));
    let used = now - 3 * 86_400;
    let names = ["acme/one", "acme/two"];
    let record = |name: &str| format!("registry-mirror/v1/use/private/{name}/_");
    let line = |name: &str, bytes: &Bytes| format!("{used} {name}@{}\n", key(bytes).digest);
    for name in names {
        for (bytes, root) in [(&new, "upstreams/docker.io/"), (&old, "")] {
            let hex = key(bytes).digest.hex();
            let blob = format!("{name}/_blobs/sha256/{}/{hex}/data", &hex[..2]);
            bucket.put_marked(&format!("registry-mirror/v1/{root}private/{blob}"), bytes.clone());
        }
        let lines = [&new, &old].map(|bytes| line(name, bytes)).concat();
        bucket.put(&record(name), format!("registry-mirror use 1\n{lines}"));
    }
    let (since, last) = (now - 9 * 86_400, now - 3600);
    let state = format!(r#"{{"since":{since},"swept":{last},"active":{last},"interval":3600}}"#);
    bucket.put("registry-mirror/v1/sweep/state", state);
    let directory = tempfile::tempdir().unwrap();
    let mirror = mirror_on(&bucket, tuning(), directory.path(), |_| {});
    for _ in 0..2 {
        let swept = mirror.sweep(&|_: Step| {}).await.unwrap();
        assert_eq!((swept.left.objects, swept.removed.objects), (4, 0));
        for name in names {
            let text = String::from_utf8(bucket.bytes(&record(name)).unwrap().to_vec()).unwrap();
            for bytes in [&new, &old] {
                assert!(text.contains(&line(name, bytes)), "{name}: {text}");
            }
        }
    }
}
