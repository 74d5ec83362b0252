use super::{
    client::{ask, get},
    node::Node,
};

#[test]
fn health_and_metrics_are_open_to_who_reaches_them() {
    let node = Node::alone(|_| {});
    assert_eq!(get(node.admin(), "/livez").status, 200);

    let ready = get(node.admin(), "/readyz");
    assert_eq!(ready.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(json["ready"], true);
    for part in ["store", "upstream", "spool"] {
        assert_eq!(json["parts"][part]["status"], "ok", "{json}");
    }

    let metrics = get(node.admin(), "/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("registry_mirror_misses_total 0"), "{text}");
    assert!(!text.contains("registry_mirror_disk_size_bytes 0"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");

    assert_eq!(get(node.admin(), "/").status, 404);
    assert_eq!(get(node.admin(), "/v2/").status, 404);
    assert_eq!(ask(node.admin(), "POST", "/livez", &[]).status, 405);
}

#[test]
fn no_web_page_gets_at_the_admin_port() {
    let node = Node::alone(|_| {});
    let status = |headers: &[(&str, &str)]| ask(node.admin(), "GET", "/metrics", headers).status;
    assert_eq!(status(&[("origin", "http://localhost:5002")]), 403);
    assert_eq!(status(&[("host", "evil.example:5002")]), 403);
    assert_eq!(status(&[("host", "10.1.2.3:5002")]), 403);
    assert_eq!(status(&[("host", "127.0.0.1:5002")]), 200);
}

#[test]
fn a_node_that_drains_says_so_and_still_serves() {
    let node = Node::alone(|_| {});
    node.service.server.drain();
    for address in [node.address(), node.admin()] {
        assert_eq!(get(address, "/livez").status, 503);
    }
    assert_eq!(get(node.admin(), "/readyz").status, 503);
    assert_eq!(get(node.address(), "/v2/").status, 200);
}
