//! Promise 8 with the real client against the fake Hub: how little is asked under a limit.

use std::thread;

use super::{
    client::{ask, get},
    node::Node,
};
use crate::support::hub::{Abuse, Hub, Kind, noise};

/// What a hundred clients get who ask at once.
fn hundred(ask: impl Fn(usize) -> u16 + Sync) -> Vec<u16> {
    thread::scope(|scope| {
        let ask = &ask;
        let clients: Vec<_> = (0..100).map(|n| scope.spawn(move || ask(n))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn under_the_pull_limit_a_hundred_requests_for_a_manifest_cost_one_get() {
    let hub = Hub::start();
    let image = hub.image("library/alpine", "3.20", &[]);
    hub.anonymous_limit(Some(0));
    let node = Node::behind(&hub);
    let path = format!("/v2/alpine/manifests/{}", image.digest);
    let statuses = hundred(|_| get(node.address(), &path).status);
    assert!(statuses.iter().all(|status| *status == 429), "{statuses:?}");
    assert_eq!(hub.count(Kind::Manifest), 1);
}

#[test]
fn under_the_abuse_limit_a_hundred_mixed_requests_cost_two_at_most() {
    let hub = Hub::start();
    let blob = hub.blob("library/alpine", noise(1, 1000));
    hub.image("library/alpine", "3.20", &[]);
    hub.knobs(|knobs| knobs.abuse = Some(Abuse { retry_after: Some(60) }));
    let node = Node::behind(&hub);
    let statuses = hundred(|n| {
        let repository = format!("library/alpine{}", n % 7);
        match n % 5 {
            0 => get(node.address(), &format!("/v2/{repository}/manifests/3.20")),
            1 => ask(node.address(), "HEAD", &format!("/v2/{repository}/manifests/3.20"), &[]),
            2 => get(node.address(), &format!("/v2/{repository}/blobs/{blob}")),
            3 => get(node.address(), &format!("/v2/{repository}/tags/list")),
            _ => get(node.address(), &format!("/v2/{repository}/referrers/{blob}")),
        }
        .status
    });
    assert!(statuses.iter().all(|status| *status == 429), "{statuses:?}");
    assert!(hub.total() <= 2, "{:?}", hub.requests());
}
