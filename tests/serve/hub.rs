//! The whole way: a client, the mirror, the real client of the upstream, and the fake Hub.

use std::time::Duration;

use super::{
    client::{ask, get},
    node::Node,
};
use crate::support::hub::{Fault, Hub, Kind, noise};

fn assert_pulls(node: &Node, path: &str, body: &[u8]) {
    let reply = get(node.address(), path);
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    assert!(reply.is_whole() && reply.body == body, "{path} came differently");
}

#[test]
fn the_second_pull_of_an_image_does_not_touch_the_upstream() {
    let hub = Hub::start();
    let layers = [noise(1, 300_000), noise(2, 70_000)];
    let image = hub.image("library/alpine", "3.20", &layers);
    let node = Node::behind(&hub);
    let pull = || {
        let head = ask(node.address(), "HEAD", "/v2/alpine/manifests/3.20?ns=docker.io", &[]);
        assert_eq!(head.status, 200);
        let digest = head.header("docker-content-digest").unwrap().to_owned();
        assert_eq!(digest, image.digest.to_string());
        let manifest = get(node.address(), &format!("/v2/alpine/manifests/{digest}?ns=docker.io"));
        assert_eq!(manifest.body, image.bytes);
        assert_eq!(head.length(), manifest.body.len());
        assert_eq!(manifest.header("content-type"), head.header("content-type"));
        for layer in image.layers.iter().chain([&image.config]) {
            let path = format!("/v2/alpine/blobs/{}?ns=docker.io", layer.digest);
            assert_pulls(&node, &path, &layer.bytes);
        }
    };
    pull();
    node.settle();
    assert_eq!(hub.count(Kind::Manifest), 1);
    let before = hub.total();
    pull();
    assert_eq!(hub.total(), before, "{:?}", &hub.requests()[before..]);
    hub.stop();
    pull();
}

#[test]
fn a_transfer_that_breaks_off_is_resumed_and_nobody_sees_it() {
    let hub = Hub::start();
    let bytes = noise(3, 1_000_000);
    let digest = hub.blob("library/alpine", bytes.clone());
    hub.image("library/alpine", "latest", &[]);
    let node = Node::behind(&hub);
    hub.fault(Kind::Cdn, Fault::Cut(300_000), 1);
    hub.fault(Kind::Cdn, Fault::Cut(300_000), 1);
    assert_pulls(&node, &format!("/v2/alpine/blobs/{digest}"), &bytes);
    node.settle();
    let ranges: Vec<_> = hub.requests_of(Kind::Cdn).into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[0].is_none() && ranges[1].is_some() && ranges[2].is_some(), "{ranges:?}");
}

#[test]
fn an_upstream_that_stops_leaves_what_is_known() {
    let hub = Hub::start();
    let image = hub.image("library/alpine", "3.20", &[noise(4, 1000)]);
    let node = Node::behind(&hub);
    assert_pulls(&node, "/v2/alpine/manifests/3.20", &image.bytes);
    hub.stop();
    node.clock.advance(Duration::from_secs(3600));
    let stale = get(node.address(), "/v2/alpine/manifests/3.20");
    assert_eq!((stale.status, &stale.body[..]), (200, &image.bytes[..]));
    assert!(stale.header("warning").is_some_and(|text| text.starts_with("299 - ")));
    let missing = get(node.address(), "/v2/alpine/manifests/3.21");
    assert!(matches!(missing.status, 502 | 504), "{missing:?}");
    assert_eq!(missing.code(), "UNAVAILABLE");
    assert!(missing.header("retry-after").is_some());
}

#[test]
fn the_pull_limit_is_429_and_costs_one_request() {
    let hub = Hub::start();
    hub.image("library/alpine", "3.20", &[]);
    hub.anonymous_limit(Some(0));
    let node = Node::behind(&hub);
    for _ in 0..20 {
        let reply = get(node.address(), "/v2/alpine/manifests/3.20");
        assert_eq!((reply.status, reply.code().as_str()), (429, "TOOMANYREQUESTS"), "{reply:?}");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    assert_eq!(hub.count(Kind::Manifest), 1);
}

#[test]
fn what_is_private_is_unknown_and_tags_go_page_by_page() {
    let hub = Hub::start();
    hub.image("acme/secret", "1", &[]);
    hub.private("acme/secret");
    for tag in ["a", "b", "c"] {
        hub.image("library/alpine", tag, &[]);
    }
    let node = Node::behind(&hub);
    let reply = get(node.address(), "/v2/acme/secret/manifests/1");
    assert_eq!((reply.status, reply.code().as_str()), (404, "NAME_UNKNOWN"), "{reply:?}");

    let page = get(node.address(), "/v2/alpine/tags/list?n=2");
    assert_eq!(page.status, 200, "{page:?}");
    let link = page.header("link").expect("there is more").to_owned();
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    assert!(next.starts_with("/v2/"), "{link}");
    let last = get(node.address(), next);
    let json: serde_json::Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(json["tags"], serde_json::json!(["c"]), "{json}");
    assert_eq!(last.header("link"), None);
}
