//! What can go wrong with one request.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// What is done to a request instead of answering it well. Body faults count bytes of the body of
/// that response, not of the content it is a range of.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is closed after that many bytes of the body.
    Cut(usize),
    /// Nothing more is sent after that many bytes of the body; the connection stays open.
    Stall(usize),
    /// The body comes in pieces of so many bytes, with a pause before each.
    Slow(usize, Duration),
    /// The first byte of the body is wrong.
    Wrong,
    /// The last byte of the body is wrong.
    WrongEnd,
    /// So many bytes too many, which `Content-Length` counts.
    TooLong(usize),
    /// So many bytes too few, which `Content-Length` does not count: the body looks whole.
    TooShort(usize),
    /// `Content-Length` is missing and the body is chunked.
    Chunked,
    /// `Range` is ignored: 200 with the whole.
    IgnoreRange,
    /// 206 that starts so many bytes later than what was asked for.
    WrongRange(u64),
    /// 206 whose total in `Content-Range` is so many bytes more than the truth.
    WrongTotal(u64),
    /// This status with a JSON error body.
    Status(u16),
    /// This status with these headers and body, as they are.
    Raw(u16, Vec<(String, String)>, Vec<u8>),
    /// 401 with a challenge, whatever token came.
    Unauthorized,
    /// The abuse limit, for this request alone; `Retry-After` in seconds if given.
    Abuse(Option<u64>),
    /// The connection is closed without an answer.
    Drop,
    /// No answer ever comes.
    Hang,
    /// The answer waits until the gate opens.
    Hold(Gate),
    /// After so many bytes of the body the rest waits until the gate opens.
    HoldBody(usize, Gate),
}

/// Something that requests wait at until a test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        // The sender lives as long as `self`, so that this ends only when the gate opens.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
