use std::{io::Write, net::Shutdown};

use super::{
    client::{ask, connect, get, receive},
    node::Node,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn the_root_says_what_this_is() {
    let node = Node::alone(|_| {});
    for path in ["/v2/", "/v2", "/v2/?ns=docker.io"] {
        for method in ["GET", "HEAD"] {
            let reply = ask(node.address(), method, path, &[]);
            assert_eq!(reply.status, 200, "{method} {path}");
            assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.length(), 2);
            assert!(method == "HEAD" || reply.body == b"{}");
            let namespace = path.contains("ns=").then_some("docker.io");
            assert_eq!(reply.header("oci-namespace"), namespace);
        }
    }
    let reply = get(node.address(), "/livez");
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"ok\n".as_slice()));
}

#[test]
fn what_is_broken_gets_the_right_oci_error() {
    let node = Node::alone(|_| {});
    let long_name = format!("/v2/{}/manifests/x", "a/".repeat(200) + "a");
    let long_path = format!("/v2/{}", "a".repeat(4000));
    for (path, status, code) in [
        ("/", 404, "UNSUPPORTED"),
        ("/v1/search?q=x", 404, "UNSUPPORTED"),
        ("/v2/_catalog", 404, "UNSUPPORTED"),
        ("/v2/alpine", 404, "UNSUPPORTED"),
        ("/v2/Alpine/manifests/x", 400, "NAME_INVALID"),
        ("/v2/../../etc/passwd/manifests/x", 400, "NAME_INVALID"),
        ("/v2/a//b/manifests/x", 400, "NAME_INVALID"),
        ("/v2/a%00/manifests/x", 400, "NAME_INVALID"),
        ("/v2/%zz/manifests/x", 400, "NAME_INVALID"),
        (&long_name, 400, "NAME_INVALID"),
        (&long_path, 414, "NAME_INVALID"),
        ("/v2/alpine/manifests/-x", 400, "MANIFEST_INVALID"),
        ("/v2/alpine/manifests/sha256:12", 400, "DIGEST_INVALID"),
        ("/v2/alpine/blobs/latest", 400, "DIGEST_INVALID"),
        ("/v2/alpine/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("/v2/alpine/referrers/x", 400, "DIGEST_INVALID"),
        ("/v2/alpine/tags/list?n=many", 400, "UNKNOWN"),
        ("/v2/alpine/tags/list?last=%0d%0a", 400, "UNKNOWN"),
        ("/v2/alpine/manifests/x?ns=%zz", 400, "UNKNOWN"),
        ("/v2/alpine/manifests/x?ns=quay.io", 404, "NAME_UNKNOWN"),
        ("/v2/alpine/manifests/x?ns=", 404, "NAME_UNKNOWN"),
        ("/v2/?ns=gcr.io", 404, "NAME_UNKNOWN"),
        ("/v2/alpine/blobs/uploads/", 405, "UNSUPPORTED"),
    ] {
        let reply = get(node.address(), path);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "GET {path}");
        let head = ask(node.address(), "HEAD", path, &[]);
        assert_eq!(head.status, status, "HEAD {path}");
        assert_eq!(head.length(), reply.body.len(), "HEAD {path}");
    }
    assert!(node.service.metrics.text().contains(r#"refusals_total{why="BadRequest"}"#));
}

#[test]
fn a_mirror_takes_nothing() {
    let node = Node::alone(|_| {});
    let blob = format!("/v2/alpine/blobs/{DIGEST}");
    for (method, path) in [
        ("POST", "/v2/alpine/blobs/uploads/"),
        ("PATCH", "/v2/alpine/blobs/uploads/1"),
        ("PUT", "/v2/alpine/manifests/latest"),
        ("DELETE", &blob),
        ("OPTIONS", "/v2/"),
        ("BREW", "/v2/"),
    ] {
        let reply = ask(node.address(), method, path, &[("content-length", "0")]);
        assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method} {path}");
    }
}

#[test]
fn headers_beyond_reason_are_refused() {
    let node = Node::alone(|_| {});
    let some = "x".repeat(40_000);
    let reply = ask(node.address(), "GET", "/v2/", &[("x-some", &some)]);
    assert_eq!((reply.status, reply.code().as_str()), (431, "UNKNOWN"));

    let many = (0..200).map(|n| (format!("x-{n}"), "x")).collect::<Vec<_>>();
    let many = many.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>();
    let reply = ask(node.address(), "GET", "/v2/", &many);
    assert!((400..500).contains(&reply.status), "{}", reply.status);

    let path = format!("/v2/{}", "a".repeat(70_000));
    let reply = get(node.address(), &path);
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    assert_eq!(get(node.address(), "/v2/").status, 200, "it goes on");
}

#[test]
fn what_is_no_http_hurts_nobody() {
    let node = Node::alone(|_| {});
    for bytes in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let mut stream = connect(node.address());
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // Whether it answers 400 or hangs up is all the same.
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 5"), "{:?}", String::from_utf8_lossy(&rest));
    }
    drop(connect(node.address()));
    assert_eq!(get(node.address(), "/v2/").status, 200, "it goes on");
}

#[test]
fn a_connection_is_kept_for_more() {
    let node = Node::alone(|_| {});
    let mut stream = connect(node.address());
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\nGET /v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let reply = receive(&mut stream, "GET");
    assert_eq!(reply.status, 200);
    let rest = String::from_utf8(reply.body).unwrap();
    assert!(rest.contains("HTTP/1.1 404 Not Found"), "{rest}");
}
