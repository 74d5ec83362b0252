use std::{sync::Arc, time::Duration};

use registry_mirror::{
    clock::Clock,
    oci::Digest,
    upstream::{Scope, UpstreamError},
};

use super::{
    client::{ask, get},
    node::Node,
};
use crate::support::scripted::Script;

const NAME: &str = "library/alpine";
const TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn what_the_upstream_does_not_have_is_404_each_in_its_own_way() {
    let script = Arc::<Script>::default();
    script.manifest(NAME, "3.20", TYPE, "{}");
    script.private("acme/secret");
    let node = Node::of(&script);
    let digest = Digest::sha256(b"nobody has it");
    let (blob, secret) =
        (format!("/v2/alpine/blobs/{digest}"), format!("/v2/acme/secret/blobs/{digest}"));
    for (path, code) in [
        ("/v2/alpine/manifests/none", "MANIFEST_UNKNOWN"),
        (&blob, "BLOB_UNKNOWN"),
        (&secret, "NAME_UNKNOWN"),
        ("/v2/acme/secret/manifests/latest", "NAME_UNKNOWN"),
    ] {
        let reply = get(node.address(), path);
        assert_eq!((reply.status, reply.code().as_str()), (404, code), "{path}");
        assert_eq!(reply.header("www-authenticate"), None, "a challenge asks for credentials");
        assert_eq!(ask(node.address(), "HEAD", path, &[]).status, 404, "{path}");
    }
}

#[test]
fn an_upstream_that_is_away_is_502_with_a_body_and_never_404() {
    let script = Arc::<Script>::default();
    script.fail(Some(UpstreamError::lasting("nobody is there")));
    let node = Node::of(&script);
    let blob = format!("/v2/alpine/blobs/{}", Digest::sha256(b""));
    for path in ["/v2/alpine/manifests/3.20", "/v2/alpine/tags/list", &blob] {
        let reply = get(node.address(), path);
        assert_eq!((reply.status, reply.code().as_str()), (502, "UNAVAILABLE"), "{path}");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!(wait >= 1);
    }
    assert_eq!(get(node.admin(), "/readyz").status, 200, "the upstream makes no node unready");
}

#[test]
fn what_is_known_is_served_while_the_upstream_is_away_and_marked_as_old() {
    let script = Arc::<Script>::default();
    let digest = script.manifest(NAME, "3.20", TYPE, "{}");
    let node = Node::of(&script);
    let path = "/v2/alpine/manifests/3.20";
    assert_eq!(get(node.address(), path).header("warning"), None);

    script.fail(Some(UpstreamError::lasting("nobody is there")));
    assert_eq!(get(node.address(), path).header("warning"), None, "it is fresh");
    node.clock.advance(Duration::from_secs(3600));
    for method in ["GET", "HEAD", "GET"] {
        let reply = ask(node.address(), method, path, &[]);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("docker-content-digest"), Some(digest.to_string().as_str()));
        let warning = reply.header("warning").expect("a stale answer says so");
        assert!(warning.starts_with("299 - \"") && warning.ends_with('"'), "{warning}");
    }

    script.fail(None);
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(get(node.address(), path).header("warning"), None, "it is back");
}

#[test]
fn a_limit_is_429_with_the_seconds_left_and_what_is_kept_is_served_as_ever() {
    let script = Arc::<Script>::default();
    script.manifest(NAME, "kept", TYPE, "{}");
    script.manifest(NAME, "new", TYPE, r#"{"new":1}"#);
    let node = Node::of(&script);
    assert_eq!(get(node.address(), "/v2/alpine/manifests/kept").status, 200);
    let until = node.clock.now() + Duration::from_millis(89_500);
    let limited = UpstreamError::CoolingOff { until, scope: Scope::Pulls };
    *script.pulls_failing.lock().unwrap() = Some(limited);
    for _ in 0..3 {
        let reply = get(node.address(), "/v2/alpine/manifests/new");
        assert_eq!((reply.status, reply.code().as_str()), (429, "TOOMANYREQUESTS"));
        assert_eq!(reply.header("retry-after"), Some("90"));
        assert_eq!(get(node.address(), "/v2/alpine/manifests/kept").status, 200);
    }
}

#[test]
fn listings_go_on_where_the_upstream_says_so() {
    let script = Arc::<Script>::default();
    let digest = script.manifest(NAME, "3.20", TYPE, "{}");
    let node = Node::of(&script);
    let tags = get(node.address(), "/v2/alpine/tags/list");
    assert_eq!(tags.status, 200);
    assert_eq!(tags.header("content-type"), Some("application/json"));
    let referrers = get(node.address(), &format!("/v2/alpine/referrers/{digest}"));
    assert!(matches!(referrers.status, 200 | 404), "{referrers:?}");
}
