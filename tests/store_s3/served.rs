//! Over a real connection: runtimes that come and go, readers that leave, a bucket that is away.

use futures_util::StreamExt as _;
use registry_mirror::store::Body;
use tokio::runtime::{Builder, Runtime};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn plain_http() -> impl aws_sdk_s3::config::HttpClient + 'static {
    aws_smithy_http_client::Builder::new().build_http()
}

fn engine() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn worker() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn over_http(endpoint: String, engine: &Handle) -> S3 {
    let settings = s3::Bucket { endpoint: Some(endpoint), ..settings() };
    S3::with_http_client(settings, engine.clone(), Metrics::new(), tuning(), plain_http())
}

#[test]
fn the_suites_hold_over_http() {
    let engine = engine();
    let bucket = Bucket::new();
    engine.block_on(async {
        let server = bucket.serve().await;
        let s3 = Arc::new(over_http(server.endpoint(), engine.handle()));
        conformance::store::put_then_get(s3.clone()).await;
        conformance::store::ranges(s3.clone()).await;
        conformance::store::content_in_a_file(s3.clone()).await;
        conformance::store::list_covers_each_shard(s3.clone()).await;
        conformance::store::one_key_many_writers(s3.clone()).await;
        conformance::store::remove(s3.clone()).await;
        conformance::store::probe(s3.clone()).await;
        conformance::records::one_of_many_changers_wins(s3.clone()).await;
        conformance::records::list_below_a_prefix(s3).await;
    });
}

/// What a plain client gets for an address.
fn fetched(address: &str) -> (String, Vec<u8>) {
    use std::io::{Read as _, Write as _};
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned(), body)
}

#[test]
fn an_address_is_good_for_its_content_and_nothing_else() {
    let engine = engine();
    let bucket = Bucket::new();
    let (bytes, other) = (content(1000), content(2000));
    bucket.put_marked(&place(&key(&bytes)), bytes.clone());
    bucket.put_marked(&place(&key(&other)), other.clone());
    let server = engine.block_on(bucket.serve());
    let s3 = over_http(server.endpoint(), engine.handle());
    engine.block_on(s3.tenancy()).unwrap();
    let before = bucket.all_calls();
    let link = engine.block_on(Store::link(&s3, &key(&bytes))).unwrap().expect("an address");
    assert_eq!(bucket.all_calls(), before, "to sign asks nobody");
    let address = link.expose();
    assert!(address.contains("X-Amz-Expires=900"), "{address}");
    let (status, body) = fetched(address);
    assert!(status.contains("200") && body == bytes, "{status}");
    let hex = |bytes: &Bytes| key(bytes).digest.hex();
    let elsewhere = address
        .replace(&hex(&bytes), &hex(&other))
        .replace(&format!("/{}/", &hex(&bytes)[..2]), &format!("/{}/", &hex(&other)[..2]));
    let (status, body) = fetched(&elsewhere);
    assert!(status.contains("403") && body != other, "one address opens others: {status}");
}

/// A connection lives on the runtime that opened it: that must be the engine, or a worker that
/// ends takes the bodies of others with it.
#[test]
fn a_body_outlives_the_runtime_that_asked_for_it() {
    let engine = engine();
    let bucket = Bucket::new();
    let bytes = content(8 << 20);
    bucket.put_marked(&place(&key(&bytes)), bytes.clone());
    let server = engine.block_on(bucket.serve());
    let s3 = over_http(server.endpoint(), engine.handle());
    let first = worker();
    let (head, mut chunks) = first.block_on(async {
        let found = Store::get(&s3, &key(&bytes), None).await.unwrap().unwrap();
        let Body::Stream(mut chunks) = found.body else { panic!("a bucket has no files") };
        (chunks.next().await.unwrap().unwrap(), chunks)
    });
    drop(first);
    let rest = worker().block_on(async {
        let mut rest = Vec::new();
        while let Some(chunk) = tokio::time::timeout(LONG, chunks.next()).await.unwrap() {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= 64 << 10, "a chunk of {} bytes", chunk.len());
            rest.extend_from_slice(&chunk);
        }
        rest
    });
    assert!([&head[..], &rest[..]].concat() == bytes, "all of it, in order");
}

#[test]
fn a_put_outlives_whoever_asked_for_it() {
    let engine = engine();
    let bucket = Bucket::new();
    let bytes = content(600_000);
    let server = engine.block_on(bucket.serve());
    let s3 = over_http(server.endpoint(), engine.handle());
    worker().block_on(async {
        let (key, payload, meta) = (key(&bytes), file_payload(&bytes), blob());
        let put = Store::put(&s3, &key, payload, &meta);
        tokio::select! {
            biased;
            _ = put => panic!("it cannot be done at once"),
            () = std::future::ready(()) => {}
        }
    });
    engine.block_on(async {
        let there = async {
            while bucket.bytes(&place(&key(&bytes))).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, there).await.expect("the put goes on");
    });
    assert_eq!(bucket.uploads(), [""; 0]);
}

#[test]
fn a_bucket_that_is_away_is_an_error_and_then_none() {
    let engine = engine();
    let bucket = Bucket::new();
    engine.block_on(async {
        let server = bucket.serve().await;
        let endpoint = server.endpoint();
        drop(server);
        let s3 = over_http(endpoint, engine.handle());
        let error = tokio::time::timeout(LONG, s3.head(&key(b"x"))).await.unwrap().unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { .. }), "{error}");
        assert!(error.retryable());
        let text = format!("{error} {error:?}");
        assert!(!text.contains("127.0.0.1"), "an address in `{text}`");
    });
}

#[test]
fn bodies_that_break_on_the_wire_are_errors() {
    let engine = engine();
    let bucket = Bucket::new();
    let bytes = content(300_000);
    bucket.put_marked(&place(&key(&bytes)), bytes.clone());
    engine.block_on(async {
        let server = bucket.serve().await;
        let s3 = over_http(server.endpoint(), engine.handle());
        for fault in [Fault::Cut(200_000), Fault::Short(200_000)] {
            bucket.fail("GetObject", fault.clone(), 1);
            let found = Store::get(&s3, &key(&bytes), None).await.unwrap().unwrap();
            let end = tokio::time::timeout(LONG, read(found.body)).await.unwrap();
            assert!(end.is_err(), "{fault:?} passed for a whole body");
        }
        for (operation, size) in [("PutObject", 1000), ("UploadPart", 600_000)] {
            let bytes = content(size);
            bucket.fail(operation, Fault::Refused, 2);
            let put = Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await;
            assert_eq!(put, Ok(Put::Stored), "{operation}");
            assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
        }
    });
}
