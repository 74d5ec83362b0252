//! The admin API: jobs for those who may read the token.

use std::{fmt, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::BoxBody,
    dev::Payload,
    http::{
        Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc::{Sender, channel, error::TrySendError},
    task::block_in_place,
};
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use crate::mirror::{Job, Line};

/// Everything below this asks for the token.
pub(super) const API: &str = "/api/";
const JOBS: &str = "/api/v1/jobs";

/// The longest request, in bytes.
const LONGEST: usize = 1 << 20;
/// Lines that wait for the asker.
const AHEAD: usize = 256;

/// What an asker must show. Made anew at each start, and never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// 32 random bytes in hexadecimal digits; none if the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The token itself, for the file that says who may ask.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a request shows it; how long that takes says nothing about it.
    fn is_shown_by(&self, request: &HttpRequest) -> bool {
        let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let shown = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| {
            aws_lc_rs::constant_time::verify_slices_are_equal(shown, self.0.as_bytes()).is_ok()
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The answer to one request below [`API`], whose `Host` and `Origin` were looked at.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    if !shared.token.as_ref().is_some_and(|token| token.is_shown_by(&request)) {
        let mut response = plain(StatusCode::UNAUTHORIZED, "the token is missing or wrong\n");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    if request.uri().path() != JOBS {
        return plain(StatusCode::NOT_FOUND, "there is nothing here\n");
    }
    if *request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "POST only\n");
    }
    let Some(body) = whole(payload).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long, or broke off\n");
    };
    match serde_json::from_slice(&body) {
        Ok(job) => run(&shared, job),
        Err(_) => plain(StatusCode::BAD_REQUEST, "this service knows no such job\n"),
    }
}

async fn whole(mut payload: Payload) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        body.extend_from_slice(&chunk.ok()?);
        if body.len() > LONGEST {
            return None;
        }
    }
    Some(body)
}

/// Does a job on the engine. An asker who leaves ends it, unless it removes something: a clean-up
/// that is cut off holds its lease for a while, and after a purge the workers must forget.
fn run(shared: &Arc<Shared>, job: Job) -> HttpResponse {
    let (sender, receiver) = channel(AHEAD);
    let (mirror, forgets) = (shared.mirror.clone(), matches!(job, Job::Purge { .. }));
    let goes_on = matches!(job, Job::Clean { dry_run: false } | Job::Purge { dry_run: false, .. });
    let shared = shared.clone();
    let engine = mirror.parts().engine.clone();
    let task = engine.spawn(async move {
        mirror.run(job, &|line| send(&sender, &line)).await;
        if forgets {
            shared.forget();
        }
    });
    let task = if goes_on { None } else { Some(AbortOnDropHandle::new(task)) };
    let lines = stream::unfold((receiver, task), |(mut receiver, task)| async move {
        let line: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), (receiver, task)))
    });
    let mut response = HttpResponse::Ok().streaming(lines);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    response
}

/// Hands a line on, and waits for a slow asker: what is told must be heard, and must not pile up.
fn send(sender: &Sender<Bytes>, line: &Line) {
    let Ok(mut text) = serde_json::to_vec(line) else { return };
    text.push(b'\n');
    if let Err(TrySendError::Full(text)) = sender.try_send(text.into()) {
        // Somebody who left hears nothing.
        let _ = block_in_place(|| sender.blocking_send(text));
    }
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::with_body(status, BoxBody::new(text))
}
