//! The CDN: signed addresses that expire, and no patience with `Authorization`.

use std::time::{Duration, Instant, SystemTime};

use registry_mirror::oci::Digest;

use super::{
    answer::{Answer, Request},
    state::{Kind, Seen, State},
};

/// The address of a blob, good for a while.
pub(super) fn sign(state: &State, digest: &Digest) -> String {
    let expires = unix(state.now() + state.knobs.cdn_life);
    let path = format!("/registry-v2/blobs/{}/{}/data", digest.algorithm().as_str(), digest.hex());
    let signature = signature(state, &path, expires);
    format!("http://{}{path}?verify={expires}-{signature}", state.cdn)
}

fn signature(state: &State, path: &str, expires: u64) -> String {
    let text = format!("{} {path} {expires}", state.cdn_secret);
    Digest::sha256(text.as_bytes()).hex()[..24].to_owned()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

pub(super) fn answer(state: &mut State, request: &Request) -> (Kind, Answer) {
    state.seen.push(Seen {
        kind: Kind::Cdn,
        method: request.method.clone(),
        path: request.target(),
        range: request.header("range"),
        accept: request.header("accept"),
        authorization: request.header("authorization").is_some(),
        account: None,
        at: Instant::now(),
    });
    (Kind::Cdn, content(state, request))
}

pub(super) fn content(state: &State, request: &Request) -> Answer {
    let xml = |status, code: &str| {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        Answer::new(status, "application/xml", body)
    };
    // S3 and R2 answer so when a request is signed twice.
    if request.header("authorization").is_some() {
        return xml(400, "InvalidArgument");
    }
    if let Some(left) = request.path.strip_prefix("/hop/") {
        return hop(state, left, request);
    }
    let verified = request.parameter("verify").is_some_and(|verify| {
        verify.split_once('-').is_some_and(|(expires, given)| {
            expires.parse().is_ok_and(|expires| {
                expires > unix(state.now()) && given == signature(state, &request.path, expires)
            })
        })
    });
    if !verified {
        return xml(403, "AccessDenied");
    }
    let mut parts = request.path.rsplit('/').skip(1);
    let digest =
        parts.next().zip(parts.next()).map(|(hex, algorithm)| format!("{algorithm}:{hex}"));
    let digest: Option<Digest> = digest.and_then(|text| text.parse().ok());
    match digest.and_then(|digest| state.library.bytes(&digest)) {
        Some(bytes) => Answer::content(request, &bytes),
        None => xml(404, "NoSuchKey"),
    }
}

/// `/hop/<n>?to=<digest>`: another redirect, until none is left.
fn hop(state: &State, left: &str, request: &Request) -> Answer {
    let to = request.parameter("to").unwrap_or_default();
    let (Ok(left), Ok(digest)) = (left.parse::<usize>(), to.parse::<Digest>()) else {
        return Answer::new(404, "text/plain", "");
    };
    let location = match left {
        0 => sign(state, &digest),
        // Relative, as RFC 9110 allows.
        left => format!("/hop/{}?to={digest}", left - 1),
    };
    Answer::new(307, "text/plain", "").with("Location", location)
}
