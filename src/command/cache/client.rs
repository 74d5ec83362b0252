//! Asking a running service.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::NoAnswer;
use crate::mirror::{Job, Line};

/// The longest line, in bytes.
const LONGEST: usize = 1 << 20;

/// Has the service at `address` do a job, and hands on what it tells.
pub(super) async fn ask(
    address: SocketAddr,
    token: &str,
    job: &Job,
    tell: &dyn Fn(Line),
) -> Result<(), NoAnswer> {
    let broken = |_| NoAnswer::new("the service broke off", "see its log; then ask again");
    let stream = TcpStream::connect(address).await.map_err(|error| {
        let message = format!("the service does not answer at {address}: {}", error.kind());
        NoAnswer::new(message, "look at registry_mirror_admin_address")
    })?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let body = serde_json::to_vec(job).unwrap_or_default();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/jobs")
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body))
        .map_err(|_| NoAnswer::new("the token is none", "restart the service"))?;
    let talk = async {
        let mut response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                let message = "the service does not take the token that lies there";
                return Err(NoAnswer::new(message, "another service left it; restart that one"));
            }
            status => {
                let message = format!("the service answers {status}");
                return Err(NoAnswer::new(message, "it may be of another version"));
            }
        }
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = response.frame().await {
            let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = serde_json::from_slice(&line).map_err(|_| {
                    NoAnswer::new(
                        "the service tells what is not understood",
                        "upgrade this program",
                    )
                })?;
                tell(line);
            }
            if rest.len() > LONGEST {
                return Err(NoAnswer::new("the service tells without end", "see its log"));
            }
        }
        Ok(())
    };
    tokio::select! {
        told = talk => told,
        // It ends when the talk has, or breaks before.
        Err(error) = connection => Err(broken(error)),
    }
}
