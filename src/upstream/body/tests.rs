use std::time::Duration;

use futures_util::StreamExt;
use tokio::{runtime::Handle, time::sleep};

use super::*;
use crate::{
    clock,
    telemetry::Metrics,
    upstream::{Hub, HubConfig},
};

fn wire() -> Arc<Wire> {
    let config = HubConfig { url: "http://127.0.0.1:1".to_owned(), ..HubConfig::default() };
    let hub = Hub::new(config, Handle::current(), clock::system(), Metrics::new()).unwrap();
    hub.registry().wire.clone()
}

/// An answer whose body comes in pieces, each after a pause.
fn answer(status: u16, headers: &[(&str, &str)], pieces: &[(u64, &'static str)]) -> Response {
    let pieces = stream::iter(pieces.to_vec()).then(|(seconds, text)| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok::<_, std::io::Error>(Bytes::from(text))
    });
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(reqwest::Body::wrap_stream(pieces)).unwrap().into()
}

async fn read(mut blob: Blob) -> (String, Option<UpstreamError>) {
    let mut text = String::new();
    while let Some(chunk) = blob.chunks.next().await {
        match chunk {
            Ok(chunk) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Err(error) => {
                assert!(blob.chunks.next().await.is_none(), "it goes on after its error");
                return (text, Some(error));
            }
        }
    }
    (text, None)
}

#[tokio::test(start_paused = true)]
async fn slowness_is_borne_and_silence_is_not() {
    let slow = answer(200, &[], &[(29, "a"), (29, "b"), (29, "c"), (29, "d")]);
    assert_eq!(read(blob(wire(), slow, 0).unwrap()).await, ("abcd".to_owned(), None));
    let silent = answer(200, &[], &[(29, "a"), (31, "b")]);
    let (text, error) = read(blob(wire(), silent, 0).unwrap()).await;
    assert_eq!(text, "a");
    assert!(matches!(error, Some(UpstreamError::Unavailable { retry: true, .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_held_to_what_its_range_announced() {
    let range = [("content-range", "bytes 3-7/8")];
    let right = answer(206, &range, &[(0, "de"), (0, ""), (0, "fgh")]);
    let part = blob(wire(), right, 3).unwrap();
    assert_eq!(part.total, Some(8));
    assert_eq!(read(part).await, ("defgh".to_owned(), None));
    let short = answer(206, &range, &[(0, "defg")]);
    let (_, error) = read(blob(wire(), short, 3).unwrap()).await;
    assert!(matches!(error, Some(UpstreamError::Unavailable { retry: true, .. })), "{error:?}");
    let long = answer(206, &range, &[(0, "defg"), (0, "hi")]);
    let (text, error) = read(blob(wire(), long, 3).unwrap()).await;
    assert_eq!(text, "defg");
    assert!(matches!(error, Some(UpstreamError::Unavailable { retry: false, .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_lies_before_the_offset_is_skipped_across_pieces() {
    let pieces = [(0, "ab"), (0, "cd"), (0, "efgh")];
    for (from, rest) in [(1, "bcdefgh"), (2, "cdefgh"), (5, "fgh"), (8, "")] {
        let whole = answer(200, &[], &pieces);
        let part = blob(wire(), whole, from).unwrap();
        assert_eq!(read(part).await, (rest.to_owned(), None), "from {from}");
    }
    let (text, error) = read(blob(wire(), answer(200, &[], &pieces), 9).unwrap()).await;
    assert!(text.is_empty() && error.is_some(), "a body shorter than the offset looked whole");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_not_asked_for_is_refused() {
    for (status, range, from) in [
        (206, "bytes 4-7/8", 3),
        (206, "bytes 2-7/8", 3),
        (206, "bytes 3-6/8", 3),
        (206, "bytes 3-7", 3),
        (206, "", 3),
        (206, "bytes 0-7/8", 0),
        (416, "bytes */8", 8),
        (204, "", 0),
        (304, "", 0),
    ] {
        let answer = answer(status, &[("content-range", range)], &[(0, "defgh")]);
        assert!(blob(wire(), answer, from).is_err(), "{status} `{range}` for {from}");
    }
}
