//! A bucket that `registry:2` filled: warm on the first day, and trusted in nothing.

use std::time::Duration;

use bytes::Bytes;
use registry_mirror::{
    mirror::{ByteRange, Refusal, Want},
    oci::{Digest, Reference, Tag},
    store::{Area, Key, Meta},
    upstream::{Scope, UpstreamError},
};

use super::{APP, Bench, TYPE, body, count, name, noise};

/// Puts content there as another program does, for these repositories.
fn put(bench: &Bench, digest: Digest, bytes: Bytes, repositories: &[&str]) {
    let key = Key { area: Area::Public, digest };
    bench.far.insert(&key, bytes, Meta::default());
    for repository in repositories {
        bench.far.links.lock().unwrap().insert((name(repository), digest));
    }
}

fn holds(bench: &Bench, digest: Digest) -> Option<Bytes> {
    let key = Key { area: Area::Public, digest };
    bench.far.bytes(&key)
}

#[tokio::test(start_paused = true)]
async fn what_it_holds_is_not_fetched_again() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    let text = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#;
    let manifest = bench.script.manifest(APP, "1", TYPE, text);
    put(&bench, digest, bytes.clone(), &[APP]);
    put(&bench, manifest, Bytes::from(text), &[APP]);
    assert_eq!(bench.bytes(digest).await, bytes);
    let reference = Reference::Digest(manifest);
    let found = bench.mirror.manifest(&name(APP), &reference, Want::Body).await.unwrap();
    assert_eq!(found.bytes.unwrap(), text);
    assert_eq!(found.media_type.as_str(), "application/vnd.oci.image.manifest.v1+json");
    let asked = &bench.script.asked;
    assert_eq!((count(&asked.blobs), count(&asked.manifests)), (0, 0), "it was fetched again");
}

#[tokio::test(start_paused = true)]
async fn what_another_repository_put_there_opens_no_door() {
    let bench = Bench::new();
    let bytes = noise(1000);
    let digest = Digest::sha256(&bytes);
    bench.script.blob("acme/secret", bytes.clone());
    bench.script.private("acme/secret");
    bench.script.blob(APP, noise(10));
    put(&bench, digest, bytes, &["acme/secret"]);
    // Asked for by its digest in the name of a public repository, and in its own.
    let other = bench.mirror.blob(&name(APP), &digest, None, Want::Body).await;
    assert_eq!(other.map(|blob| blob.size).unwrap_err(), Refusal::NoBlob);
    let own = bench.mirror.blob(&name("acme/secret"), &digest, None, Want::Body).await;
    assert_eq!(own.map(|blob| blob.size).unwrap_err(), Refusal::NoRepository);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_in_it_is_never_whole_and_is_replaced() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    let text = r#"{"layers":[]}"#;
    let manifest = bench.script.manifest(APP, "1", TYPE, text);
    let mut damaged = bytes.to_vec();
    damaged[499_999] ^= 1;
    put(&bench, digest, damaged.into(), &[APP]);
    put(&bench, manifest, Bytes::from(r#"{"layers":[1]}"#), &[APP]);
    bench.outlives(digest, &bytes).await;
    // At once: what failed because of the bucket is no reason to wait.
    assert_eq!(bench.bytes(digest).await, bytes);
    let reference = Reference::Digest(manifest);
    let found = bench.mirror.manifest(&name(APP), &reference, Want::Body).await.unwrap();
    assert_eq!(found.bytes.unwrap(), text);
    bench.mirror.idle().await;
    assert!(holds(&bench, digest) == Some(bytes), "it is not replaced");
    assert_eq!(holds(&bench, manifest), Some(Bytes::from(text)));
}

/// Nobody asks for it again, and it is gone all the same.
#[tokio::test(start_paused = true)]
async fn what_is_damaged_in_it_is_removed() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    let mut damaged = bytes.to_vec();
    damaged[0] ^= 1;
    put(&bench, digest, damaged.into(), &[APP]);
    // Nobody else has it.
    bench.script.blob_under(APP, digest, noise(10));
    let _ = bench.blob(digest).await;
    bench.mirror.idle().await;
    assert!(holds(&bench, digest).is_none(), "it is still there");
}

#[tokio::test(start_paused = true)]
async fn while_the_hub_is_away_the_links_of_the_old_registry_say_what_a_tag_means() {
    let bench = Bench::new();
    let text = Bytes::from_static(br#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#);
    let digest = Digest::sha256(&text);
    put(&bench, digest, text.clone(), &[APP]);
    let link = |bench: &Bench, tag: &str, age: u64| {
        let at = bench.now() - Duration::from_secs(age);
        let key = (name(APP), tag.parse().unwrap());
        bench.far.tag_links.lock().unwrap().insert(key, (digest, at));
    };
    // The repository is known to be public, and tag `gone` to be none.
    bench.script.manifest(APP, "other", TYPE, "{}");
    bench.tag("other").await.unwrap();
    assert_eq!(bench.tag("gone").await.unwrap_err(), Refusal::NoManifest);
    bench.mirror.idle().await;
    bench.clock.advance(Duration::from_secs(600));
    bench.script.fail(Some(UpstreamError::passing("away")));

    link(&bench, "1", 3600);
    let answer = bench.tag("1").await.unwrap();
    assert_eq!((answer.digest, answer.bytes), (digest, Some(text)));
    assert!(answer.stale.is_some(), "it says that it is old");
    link(&bench, "ancient", 31 * 86_400);
    assert!(bench.tag("ancient").await.is_err(), "older than `tag_max_stale`");
    assert!(bench.tag("none").await.is_err());
    // What we found out ourselves is newer.
    let other = bench.tag("other").await.unwrap().digest;
    link(&bench, "other", 3600);
    assert_eq!(
        bench
            .restarted()
            .manifest(&name(APP), &Reference::Tag("other".parse().unwrap()), Want::Body)
            .await
            .unwrap()
            .digest,
        other
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_hub_is_away_a_head_is_answered_as_a_get_is() {
    let bench = Bench::new();
    let text = Bytes::from_static(br#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#);
    let digest = Digest::sha256(&text);
    put(&bench, digest, text.clone(), &[APP]);
    let key = (name(APP), "1".parse().unwrap());
    bench.far.tag_links.lock().unwrap().insert(key, (digest, bench.now()));
    bench.script.manifest(APP, "other", TYPE, "{}");
    bench.tag("other").await.unwrap();
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("away")));
    for asked in [Reference::Tag("1".parse().unwrap()), Reference::Digest(digest)] {
        let mirror = bench.restarted();
        let head = mirror.manifest(&name(APP), &asked, Want::Head).await.unwrap();
        assert_eq!((head.digest, head.size), (digest, text.len() as u64));
        assert_eq!(head.media_type.as_str(), "application/vnd.oci.image.manifest.v1+json");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_manifest_that_the_old_registry_has_is_had_under_the_pull_limit() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    bench.tag("1").await.unwrap();
    let moved = r#"{"layers":[],"moved":true}"#;
    let digest = bench.script.manifest(APP, "1", TYPE, moved);
    put(&bench, digest, Bytes::from(moved), &[APP]);
    bench.clock.advance(Duration::from_secs(600));
    let until = bench.now() + Duration::from_secs(3600);
    *bench.script.pulls_failing.lock().unwrap() =
        Some(UpstreamError::CoolingOff { until, scope: Scope::Pulls });
    let answer = bench.tag("1").await.unwrap();
    assert_eq!((answer.digest, answer.stale), (digest, None));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_private_image_comes_out_however_it_is_asked_for() {
    let bench = Bench::new();
    let secret = "acme/secret";
    bench.script.private(secret);
    let layer = noise(1000);
    let text = Bytes::from_static(br#"{"layers":[]}"#);
    let digests = [&layer, &text].map(|bytes| Digest::sha256(bytes));
    put(&bench, digests[0], layer, &[secret]);
    put(&bench, digests[1], text, &[secret]);
    let tag: Tag = "1".parse().unwrap();
    let key = (name(secret), tag.clone());
    bench.far.tag_links.lock().unwrap().insert(key, (digests[1], bench.now()));
    bench.script.manifest(APP, "1", TYPE, "{}");
    bench.tag("1").await.unwrap();
    for away in [false, true] {
        bench.script.fail(away.then(|| UpstreamError::passing("away")));
        let mirror = bench.restarted();
        let references = [Reference::Tag(tag.clone()), Reference::Digest(digests[1])];
        for want in [Want::Head, Want::Body] {
            for (of, asked) in [(secret, &references[0]), (secret, &references[1])] {
                assert!(mirror.manifest(&name(of), asked, want).await.is_err(), "{of} {asked:?}");
            }
            assert!(mirror.manifest(&name(APP), &references[1], want).await.is_err());
            for of in [secret, APP] {
                for range in [None, Some(ByteRange::Between(0, 9)), Some(ByteRange::Last(9))] {
                    for digest in digests {
                        let answer = mirror.blob(&name(of), &digest, range, want).await;
                        assert!(answer.is_err(), "{of} {digest} {range:?} {want:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_the_hub_said_is_gone_does_not_come_back_by_an_older_link() {
    let bench = Bench::new();
    let manifest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    let key = (name(APP), "1".parse().unwrap());
    bench.far.tag_links.lock().unwrap().insert(key, (manifest, bench.now()));
    bench.clock.advance(Duration::from_secs(600));
    bench.script.untag(APP, "1");
    assert_eq!(bench.tag("1").await.unwrap_err(), Refusal::NoManifest);
    bench.mirror.idle().await;
    bench.clock.advance(Duration::from_secs(600));
    bench.script.fail(Some(UpstreamError::passing("away")));
    for mirror in [bench.mirror.clone(), bench.restarted()] {
        let asked = Reference::Tag("1".parse().unwrap());
        assert!(mirror.manifest(&name(APP), &asked, Want::Body).await.is_err());
    }
}

/// It has to be hashed before anybody has the end of it, so it takes the way through the spool.
#[tokio::test(start_paused = true)]
async fn without_copies_what_it_holds_is_not_fetched_again_either() {
    let bench = Bench::on(&tokio::runtime::Handle::current(), false, |_| {});
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    put(&bench, digest, bytes.clone(), &[APP]);
    let readers = (0..8).map(|_| bench.bytes(digest));
    for got in futures_util::future::join_all(readers).await {
        assert_eq!(got, bytes);
    }
    let head = bench.mirror.blob(&name(APP), &digest, None, Want::Head).await.unwrap();
    assert_eq!(head.size, 500_000);
    let asked = &bench.script.asked;
    assert_eq!((count(&asked.blobs), count(&asked.blob_sizes)), (0, 0), "the upstream was asked");
    let bench = Bench::with(|settings| settings.local_cache_size = super::Size(1000));
    bench.script.blob(APP, bytes.clone());
    put(&bench, digest, bytes.clone(), &[APP]);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(count(&bench.script.asked.blobs), 0, "it is too large for the disk");
}

#[tokio::test(start_paused = true)]
async fn a_head_of_what_is_another_repositorys_asks_the_upstream() {
    let bench = Bench::new();
    let bytes = noise(1000);
    let digest = Digest::sha256(&bytes);
    bench.script.blob(APP, noise(10));
    put(&bench, digest, bytes, &["acme/secret"]);
    let head = bench.mirror.blob(&name(APP), &digest, None, Want::Head).await;
    assert_eq!(head.map(|blob| blob.size).unwrap_err(), Refusal::NoBlob);
}

/// One repository's flight may fail where another's would find what is its own.
#[tokio::test(start_paused = true)]
async fn a_flight_of_another_repository_that_fails_is_no_answer_for_this_one() {
    // Without a disk, so that the one who asks first begins the flight.
    let bench = Bench::on(&tokio::runtime::Handle::current(), false, |_| {});
    let bytes = noise(1000);
    let digest = Digest::sha256(&bytes);
    for repository in [APP, "acme/other"] {
        bench.script.blob(repository, noise(10));
        bench.script.manifest(repository, "1", TYPE, "{}");
        let tag = Reference::Tag("1".parse().unwrap());
        bench.mirror.manifest(&name(repository), &tag, Want::Body).await.unwrap();
    }
    put(&bench, digest, bytes.clone(), &[APP]);
    bench.script.fail(Some(UpstreamError::passing("away")));
    let other = name("acme/other");
    let theirs = bench.mirror.blob(&other, &digest, None, Want::Body);
    let (theirs, ours) = tokio::join!(theirs, bench.blob(digest));
    assert!(theirs.is_err());
    assert_eq!(body(ours.unwrap()).await.unwrap(), bytes);
}
