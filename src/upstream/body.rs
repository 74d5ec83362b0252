//! A blob's body, from the offset that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Response, StatusCode};

use super::{
    Blob, Chunks, UpstreamError, headers,
    wire::{Wire, header},
};

/// Reads a body on, and knows what is still to come.
struct Reading {
    wire: Arc<Wire>,
    response: Response,
    /// Bytes in front of the offset, where the Range was ignored.
    skip: u64,
    /// Bytes still to be handed out, if that is known.
    left: Option<u64>,
}

/// The blob that an answer brings, from byte `from` on.
///
/// # Errors
/// It brings another part than was asked for, or none.
pub(super) fn blob(wire: Arc<Wire>, response: Response, from: u64) -> Result<Blob, UpstreamError> {
    let length = response.content_length();
    let (total, skip) = match response.status() {
        StatusCode::OK => (length, from),
        StatusCode::PARTIAL_CONTENT if from > 0 => {
            let range =
                header(response.headers(), "content-range").and_then(headers::content_range);
            let wrong = || UpstreamError::lasting("it sends another range than was asked for");
            let (first, last, total) = range.ok_or_else(wrong)?;
            let whole = total.is_none_or(|total| last + 1 == total);
            let measured = length.is_none_or(|length| length == last - first + 1);
            if first != from || !whole || !measured {
                return Err(wrong());
            }
            (total, 0)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            return Err(UpstreamError::lasting("its blob ends before the offset"));
        }
        status => {
            return Err(UpstreamError::lasting(format!("it answers {}", status.as_u16())));
        }
    };
    if total.is_some_and(|total| total < from) {
        return Err(UpstreamError::lasting("its blob ends before the offset"));
    }
    let left = total.map(|total| total - from);
    Ok(Blob { total, chunks: chunks(Reading { wire, response, skip, left }) })
}

/// The body as a stream that ends after its first error. It is read where it is polled, which must
/// be the engine, since silence is measured there and the connection lives there.
fn chunks(reading: Reading) -> Chunks {
    Box::pin(stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let Some(mut chunk) = self.wire.chunk(&mut self.response).await? else {
                return match (self.skip, self.left) {
                    (0, None | Some(0)) => Ok(None),
                    _ => Err(UpstreamError::passing("the transfer ended too early")),
                };
            };
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
                self.skip -= skipped as u64;
                chunk = chunk.split_off(skipped);
            }
            if chunk.is_empty() {
                continue;
            }
            if let Some(left) = &mut self.left {
                *left = left
                    .checked_sub(chunk.len() as u64)
                    .ok_or_else(|| UpstreamError::lasting("it sends more than it announced"))?;
            }
            return Ok(Some(chunk));
        }
    }
}

#[cfg(test)]
mod tests;
