use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use registry_mirror::oci::{Algorithm, Digest};

use super::{
    client::{Reply, ask, get},
    node::Node,
};
use crate::support::scripted::{Script, Transfer};

const NAME: &str = "library/alpine";
const TYPE: &str = "application/vnd.oci.image.index.v1+json";
const TEXT: &str = r#"{"schemaVersion":2,  "manifests":[]}"#;

fn noise(length: usize) -> Bytes {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

fn upstream() -> Arc<Script> {
    Arc::default()
}

fn manifest_gets(script: &Script) -> usize {
    script.asked.manifests.load(Ordering::SeqCst)
}

fn assert_manifest(reply: &Reply, digest: Digest) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("docker-content-digest"), Some(digest.to_string().as_str()));
    assert_eq!(reply.header("etag"), Some(format!("\"{digest}\"").as_str()));
    assert_eq!(reply.header("content-type"), Some(TYPE));
    assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"));
    assert_eq!(reply.header("content-encoding"), None);
    assert_eq!(reply.header("warning"), None);
    assert_eq!(reply.length(), TEXT.len());
}

#[test]
fn a_manifest_comes_as_it_is_by_tag_and_digest_and_the_upstream_is_asked_once() {
    let script = upstream();
    let digest = script.manifest(NAME, "3.20", TYPE, TEXT);
    let node = Node::of(&script);
    let by_digest = format!("/v2/{NAME}/manifests/{digest}");
    for path in [
        "/v2/library/alpine/manifests/3.20",
        "/v2/alpine/manifests/3.20",
        "/v2/library%2Falpine/manifests/3.20",
        by_digest.as_str(),
    ] {
        for _ in 0..2 {
            let reply = get(node.address(), path);
            assert_manifest(&reply, digest);
            assert_eq!(reply.body, TEXT.as_bytes(), "{path}");
            assert_manifest(&ask(node.address(), "HEAD", path, &[]), digest);
        }
    }
    assert_eq!(manifest_gets(&script), 1);
    assert_eq!(script.asked.heads.load(Ordering::SeqCst), 1);
}

#[test]
fn the_namespace_is_echoed_from_memory_too() {
    let script = upstream();
    let digest = script.manifest(NAME, "3.20", TYPE, TEXT);
    let node = Node::of(&script);
    for ns in [Some("docker.io"), None, Some("index.docker.io")] {
        let query = ns.map(|ns| format!("?ns={ns}")).unwrap_or_default();
        for _ in 0..3 {
            let reply = get(node.address(), &format!("/v2/alpine/manifests/3.20{query}"));
            assert_manifest(&reply, digest);
            assert_eq!(reply.header("oci-namespace"), ns);
        }
    }
    let reply = get(node.address(), "/v2/alpine/manifests/3.20?ns=ghcr.io");
    assert_eq!((reply.status, reply.code().as_str()), (404, "NAME_UNKNOWN"));
}

#[test]
fn a_worker_answers_from_its_own_memory_and_says_so_later() {
    let script = upstream();
    script.manifest(NAME, "3.20", TYPE, TEXT);
    let node = Node::of(&script);
    for _ in 0..20 {
        assert_eq!(get(node.address(), "/v2/alpine/manifests/3.20").status, 200);
    }
    node.stop();
    // Each worker asks the mirror once; all the rest is counted when the worker's counts are taken.
    let hits = node.metric(r#"registry_mirror_hits_total{tier="Memory"}"#);
    assert_eq!(hits, 19);
    assert_eq!(node.metric("registry_mirror_served_bytes_total"), 20 * TEXT.len() as u64);
}

#[test]
fn a_client_that_has_it_is_not_sent_it_again() {
    let script = upstream();
    let digest = script.manifest(NAME, "3.20", TYPE, TEXT);
    let blob = script.blob(NAME, noise(1000));
    let node = Node::of(&script);
    let tags = [format!("\"{digest}\""), format!("W/\"{digest}\""), "*".to_owned()];
    for tag in &tags {
        for _ in 0..2 {
            let headers = [("if-none-match", tag.as_str())];
            let reply = ask(node.address(), "GET", "/v2/alpine/manifests/3.20", &headers);
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{tag}");
            assert_eq!(reply.header("etag"), Some(tags[0].as_str()));
        }
    }
    let path = format!("/v2/alpine/blobs/{blob}");
    let tag = format!("\"{blob}\"");
    let reply = ask(node.address(), "GET", &path, &[("if-none-match", &tag)]);
    assert_eq!((reply.status, reply.body.len()), (304, 0));
    let reply = ask(node.address(), "GET", &path, &[("if-none-match", "\"other\"")]);
    assert_eq!((reply.status, reply.body.len()), (200, 1000));
}

#[test]
fn a_blob_comes_whole_and_the_second_time_from_here() {
    let script = upstream();
    let bytes = noise(300_000);
    let digest = script.blob(NAME, bytes.clone());
    let long = Digest::of(Algorithm::Sha512, &bytes);
    script.blob_under(NAME, long, bytes.clone());
    let node = Node::of(&script);
    for digest in [digest, long] {
        let path = format!("/v2/alpine/blobs/{digest}?ns=docker.io");
        for _ in 0..2 {
            let reply = get(node.address(), &path);
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
            assert_eq!(reply.header("accept-ranges"), Some("bytes"));
            assert_eq!(reply.header("oci-namespace"), Some("docker.io"));
            assert_eq!(reply.header("docker-content-digest"), Some(digest.to_string().as_str()));
            assert!(reply.is_whole());
            assert_eq!(reply.body, bytes);
            node.settle();
        }
        let head = ask(node.address(), "HEAD", &path, &[]);
        assert_eq!((head.status, head.length()), (200, bytes.len()));
    }
    assert_eq!(script.asked.blobs.load(Ordering::SeqCst), 2);
}

#[test]
fn ranges_are_parts_of_arriving_and_of_kept_blobs() {
    let script = upstream();
    let bytes = noise(200_000);
    let node = Node::of(&script);
    let size = bytes.len();
    let last = size - 1;
    for (n, kept) in [false, true].into_iter().enumerate() {
        // A blob of its own for each round, so that the first asks for what is not here yet.
        let bytes = Bytes::from([&[n as u8][..], &bytes[1..]].concat());
        let path = format!("/v2/alpine/blobs/{}", script.blob(NAME, bytes.clone()));
        if kept {
            assert_eq!(get(node.address(), &path).body, bytes);
            node.settle();
        }
        for (range, first, end) in [
            ("bytes=0-", 0, last),
            ("bytes=100000-100009", 100_000, 100_009),
            ("bytes=199990-999999", 199_990, last),
            ("bytes=-10", size - 10, last),
            ("bytes=-999999", 0, last),
        ] {
            let reply = ask(node.address(), "GET", &path, &[("range", range)]);
            assert_eq!(reply.status, 206, "{range}");
            assert_eq!(
                reply.header("content-range"),
                Some(format!("bytes {first}-{end}/{size}").as_str())
            );
            assert_eq!(reply.length(), end - first + 1);
            assert_eq!(reply.body, bytes[first..=end], "{range}, kept: {kept}");
        }
        for range in ["bytes=200000-", "bytes=300000-400000", "bytes=-0"] {
            let reply = ask(node.address(), "GET", &path, &[("range", range)]);
            assert_eq!((reply.status, reply.code().as_str()), (416, "RANGE_INVALID"), "{range}");
            assert_eq!(reply.header("content-range"), Some(format!("bytes */{size}").as_str()));
        }
        for range in ["bytes=0-1,5-6", "bytes=9-1", "bytes=x", "pages=1-2", ""] {
            let reply = ask(node.address(), "GET", &path, &[("range", range)]);
            assert_eq!((reply.status, reply.body.len()), (200, size), "{range}");
        }
        let head = ask(node.address(), "HEAD", &path, &[("range", "bytes=0-1")]);
        assert_eq!((head.status, head.length()), (200, size));
        let other = [("range", "bytes=0-1"), ("if-range", "\"other\"")];
        assert_eq!(ask(node.address(), "GET", &path, &other).status, 200);
    }
    assert_eq!(script.asked.blobs.load(Ordering::SeqCst), 2, "one fetch a blob");
}

#[test]
fn wrong_bytes_never_complete() {
    let script = upstream();
    let digest = script.blob(NAME, noise(200_000));
    let node = Node::of(&script);
    script.next(vec![Transfer::WrongFrom(100_000); 8]);
    let path = format!("/v2/alpine/blobs/{digest}");
    let reply = get(node.address(), &path);
    assert!(reply.status != 200 || !reply.is_whole(), "a wrong blob was completed");
    assert_eq!(reply.length(), 200_000);
    script.transfers.lock().unwrap().clear();
    node.settle();
    assert_eq!(get(node.address(), &path).body, noise(200_000), "wrong bytes were kept");
}

#[test]
fn an_empty_blob_is_a_blob() {
    let script = upstream();
    let digest = script.blob(NAME, Bytes::new());
    let node = Node::of(&script);
    for _ in 0..2 {
        let reply = get(node.address(), &format!("/v2/alpine/blobs/{digest}"));
        assert_eq!((reply.status, reply.length(), reply.body.len()), (200, 0, 0));
        node.settle();
    }
}
