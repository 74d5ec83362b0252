//! The fake Hub behaves as the real one does, asked by hand.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::support::hub::{Abuse, Fault, Hub, Kind, Redirect, noise};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request on its own connection; `url` is absolute.
fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream.write_all((text + "\r\n").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Reply { status: 0, head: String::new(), body: Vec::new() };
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, body: bytes[end + 4..].to_vec() }
}

fn token(hub: &Hub, name: &str, credential: Option<&str>) -> Reply {
    let scope = format!("repository:{name}:pull");
    let url = format!("{}/token?service=registry.docker.io&scope={scope}", hub.auth_url());
    let headers: Vec<_> = credential.map(|value| ("Authorization", value)).into_iter().collect();
    ask("GET", &url, &headers)
}

fn bearer(hub: &Hub, name: &str) -> String {
    format!("Bearer {}", token(hub, name, None).json()["token"].as_str().unwrap())
}

#[test]
fn a_pull_by_hand() {
    let hub = Hub::start();
    let image = hub.image("library/alpine", "3.20", &[noise(1, 70_000)]);
    let url = format!("{}/v2/library/alpine/manifests/3.20", hub.url());
    let refused = ask("GET", &url, &[("Accept", OCI)]);
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"repository:library/alpine:pull\""), "{challenge}");
    let bearer = bearer(&hub, "library/alpine");
    let manifest = ask("GET", &url, &[("Accept", OCI), ("Authorization", &bearer)]);
    assert_eq!((manifest.status, &manifest.body[..]), (200, &image.bytes[..]));
    assert_eq!(manifest.header("docker-content-digest").unwrap(), image.digest.to_string());
    let blob = format!("{}/v2/library/alpine/blobs/{}", hub.url(), image.layers[0].digest);
    let redirect = ask("GET", &blob, &[("Authorization", &bearer)]);
    assert_eq!(redirect.status, 307);
    let cdn = redirect.header("location").unwrap();
    assert_eq!(ask("GET", cdn, &[("Authorization", &bearer)]).status, 400);
    let part = ask("GET", cdn, &[("Range", "bytes=69990-")]);
    assert_eq!(part.header("content-range").unwrap(), "bytes 69990-69999/70000");
    assert_eq!((part.status, &part.body[..]), (206, &image.layers[0].bytes[69_990..]));
    assert_eq!(ask("GET", cdn, &[("Range", "bytes=70000-")]).status, 416);
    hub.expire_urls();
    assert_eq!(ask("GET", cdn, &[]).status, 403);
    assert_eq!((hub.count(Kind::Manifest), hub.count(Kind::Blob), hub.count(Kind::Cdn)), (2, 1, 4));
}

#[test]
fn tokens_open_what_they_say_and_expire() {
    let hub = Hub::start();
    hub.image("acme/secret", "1", &[]);
    hub.private("acme/secret");
    hub.account("robot", "s3cret", &["acme/secret"], None);
    let url = format!("{}/v2/acme/secret/manifests/1", hub.url());
    let anonymous = bearer(&hub, "acme/secret");
    assert_eq!(ask("HEAD", &url, &[("Accept", OCI), ("Authorization", &anonymous)]).status, 401);
    // robot:s3cret, then robot:wrong
    let given = token(&hub, "acme/secret", Some("Basic cm9ib3Q6czNjcmV0"));
    let own = format!("Bearer {}", given.json()["token"].as_str().unwrap());
    assert_eq!(token(&hub, "acme/secret", Some("Basic cm9ib3Q6d3Jvbmc=")).status, 401);
    assert_eq!(ask("HEAD", &url, &[("Accept", OCI), ("Authorization", &own)]).status, 200);
    hub.advance(Duration::from_secs(301));
    assert_eq!(ask("HEAD", &url, &[("Accept", OCI), ("Authorization", &own)]).status, 401);
}

#[test]
fn both_limits_look_as_they_do_on_the_hub() {
    let hub = Hub::start();
    hub.image("library/alpine", "3.20", &[]);
    hub.anonymous_limit(Some(1));
    let url = format!("{}/v2/library/alpine/manifests/3.20", hub.url());
    let bearer = bearer(&hub, "library/alpine");
    let headers = [("Accept", OCI), ("Authorization", bearer.as_str())];
    let head = ask("HEAD", &url, &headers);
    assert_eq!(head.header("ratelimit-remaining"), Some("1;w=21600"));
    assert_eq!(ask("GET", &url, &headers).status, 200);
    let limited = ask("GET", &url, &headers);
    assert_eq!(limited.status, 429);
    assert_eq!(limited.json()["errors"][0]["code"], "TOOMANYREQUESTS");
    assert_eq!(ask("HEAD", &url, &headers).header("ratelimit-remaining"), Some("0;w=21600"));
    hub.knobs(|knobs| knobs.abuse = Some(Abuse { retry_after: Some(7) }));
    let abuse = ask("HEAD", &url, &headers);
    assert_eq!((abuse.status, abuse.header("retry-after")), (429, Some("7")));
    assert_eq!(token(&hub, "library/alpine", None).status, 429);
}

#[test]
fn bodies_break_as_they_are_told() {
    let hub = Hub::start();
    hub.knobs(|knobs| knobs.redirect = Redirect::Inline);
    let image = hub.image("library/alpine", "3.20", &[noise(1, 5000)]);
    let bearer = bearer(&hub, "library/alpine");
    let url = format!("{}/v2/library/alpine/blobs/{}", hub.url(), image.layers[0].digest);
    let get = || ask("GET", &url, &[("Authorization", &bearer), ("Range", "bytes=1000-")]);
    let content = &image.layers[0].bytes;
    hub.fault(Kind::Blob, Fault::Cut(100), 1);
    assert_eq!(get().body, content[1000..1100]);
    hub.fault(Kind::Blob, Fault::IgnoreRange, 1);
    assert_eq!(get().body, content[..]);
    hub.fault(Kind::Blob, Fault::TooShort(1), 1);
    assert_eq!(get().header("content-length"), Some("3999"));
    hub.fault(Kind::Blob, Fault::WrongEnd, 1);
    assert_ne!(get().body, content[1000..]);
    hub.fault(Kind::Blob, Fault::Drop, 1);
    assert_eq!(get().status, 0);
    assert_eq!(get().body, content[1000..], "a fault outlived its turn");
}

#[test]
fn it_stops_and_comes_back_on_the_same_port() {
    let hub = Hub::start();
    hub.repository("library/alpine");
    hub.stop();
    let address = hub.url().replace("http://", "");
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    hub.restart();
    assert_eq!(token(&hub, "library/alpine", None).status, 200);
}
