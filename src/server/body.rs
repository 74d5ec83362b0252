//! Bodies on their way to a client.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures_util::Stream;

use super::record::{End, Record};
use crate::mirror::{BlobBytes, CutOff};

/// The body of an answer to HEAD: its length, and no bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced(pub(super) u64);

impl MessageBody for Announced {
    type Error = CutOff;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        Poll::Ready(None)
    }
}

/// A blob's bytes, exactly as many as were announced; an error cuts the connection short of them.
/// When it goes, whole or not, it is written down how far it came.
pub(super) struct Transfer {
    length: u64,
    sent: u64,
    cut: bool,
    source: BlobBytes,
    record: Record,
}

impl Transfer {
    /// `length` bytes of `source`.
    pub(super) fn new(length: u64, source: BlobBytes, record: Record) -> Self {
        Self { length, sent: 0, cut: false, source, record }
    }
}

impl MessageBody for Transfer {
    type Error = CutOff;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        let polled = Pin::new(&mut self.source).poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => self.sent += chunk.len() as u64,
            Poll::Ready(Some(Err(CutOff))) => self.cut = true,
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let end = match self.sent {
            sent if sent >= self.length => End::Whole,
            _ if self.cut => End::Cut,
            _ => End::Left,
        };
        self.record.close(self.sent, end);
    }
}
