//! Reads: what lies under a key, and its bytes.

use std::{collections::HashMap, ops::Range, time::SystemTime};

use aws_sdk_s3::{
    operation::get_object::GetObjectOutput,
    presigning::PresigningConfig,
    primitives::{ByteStream, DateTime},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{Inner, encryption::sealed, failure::Failure};
use crate::{
    clock,
    store::{Body, Chunks, Found, Info, LINK_LIFETIME, Link, Meta, StoreError},
};

const GET: &str = "GetObject";
const HEAD: &str = "HeadObject";
/// Bytes handed on at once; what was measured to be cheapest on the way to a client.
const CHUNK: usize = 64 << 10;
/// Chunks that wait between the connection and a reader.
const AHEAD: usize = 4;
/// The name of the metadata that holds a manifest's media type.
pub(super) const MEDIA_TYPE: &str = "media-type";
/// The name of the metadata that says that the bytes were hashed before they were written.
pub(super) const VERIFIED: &str = "verified";
/// Its value.
pub(super) const YES: &str = "1";

/// What HeadObject says.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) info: Info,
    /// Which writing it is; never compared with a hash, which it is not under KMS or in parts.
    pub(super) etag: String,
    pub(super) metadata: HashMap<String, String>,
}

/// Something small, read whole.
#[derive(Debug)]
pub(super) struct Small {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
    pub(super) metadata: HashMap<String, String>,
}

impl Inner {
    /// An address that is signed for one GET of `key`, by whoever sends it. The expected owner is
    /// no part of it: it would be a header that the client had to send.
    pub(super) async fn link(&self, key: &str) -> Result<Link, StoreError> {
        let broken =
            |_| StoreError::Broken { operation: GET, what: "no address can be signed".into() };
        // The SDK signs calls by the server's clock where ours is wrong, but not addresses.
        let mut signing = PresigningConfig::builder().expires_in(LINK_LIFETIME);
        signing.set_start_time(self.server_clock.now());
        let signing = signing.build().map_err(|_| broken(()))?;
        let client = self.client(GET).await?;
        let signed =
            client.get_object().bucket(&self.bucket.name).key(key).presigned(signing).await;
        let signed = signed.map_err(|error| Failure::new(GET, &error))?;
        Ok(Link::new(signed.uri()))
    }

    /// What lies under `key`.
    pub(super) async fn look(&self, key: &str) -> Result<Option<Seen>, StoreError> {
        let call = self.client(HEAD).await?.head_object().bucket(&self.bucket.name).key(key);
        match call.set_expected_bucket_owner(self.owner()).send().await {
            Ok(answer) => {
                let size = length(HEAD, answer.content_length())?;
                let encryption = sealed(answer.server_side_encryption(), answer.ssekms_key_id());
                let metadata = answer.metadata.unwrap_or_default();
                let stored = when(answer.last_modified.as_ref());
                let meta = meta(&metadata);
                let info = Info { size, stored, meta, encryption };
                let etag = answer.e_tag.unwrap_or_default();
                Ok(Some(Seen { info, etag, metadata }))
            }
            Err(error) => absent(Failure::new(HEAD, &error)),
        }
    }

    /// Opens what lies under `key`, or `range` of it. One call, except for a range that cannot be
    /// served, whose error names the length.
    pub(super) async fn open(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Found>, StoreError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return self.outlying(key).await;
        }
        let header = range.as_ref().map(header);
        let call = self.client(GET).await?.get_object().bucket(&self.bucket.name).key(key);
        let call = call.set_expected_bucket_owner(self.owner()).set_range(header);
        match call.send().await {
            Ok(answer) => self.found(answer, range).map(Some),
            Err(error) => {
                let failure = Failure::new(GET, &error);
                match failure.size() {
                    _ if !failure.is_outlying() => absent(failure),
                    Some(size) => Err(StoreError::OutOfRange { size }),
                    None => self.outlying(key).await,
                }
            }
        }
    }

    /// The whole of something small.
    ///
    /// # Errors
    /// As for any read, and it is longer than `limit` bytes.
    pub(super) async fn small(&self, key: &str, limit: u64) -> Result<Option<Small>, StoreError> {
        let call = self.client(GET).await?.get_object().bucket(&self.bucket.name).key(key);
        let answer = match call.set_expected_bucket_owner(self.owner()).send().await {
            Ok(answer) => answer,
            Err(error) => return absent(Failure::new(GET, &error)),
        };
        let size = length(GET, answer.content_length())?;
        if size > limit {
            return Err(broken(format!("{size} bytes where at most {limit} were expected")));
        }
        let bytes = answer.body.collect().await.map_err(|_| cut())?.into_bytes();
        if bytes.len() as u64 != size {
            return Err(cut());
        }
        let etag = answer.e_tag.unwrap_or_default();
        Ok(Some(Small { bytes, etag, metadata: answer.metadata.unwrap_or_default() }))
    }

    async fn outlying<T>(&self, key: &str) -> Result<Option<T>, StoreError> {
        match self.look(key).await? {
            Some(seen) => Err(StoreError::OutOfRange { size: seen.info.size }),
            None => Ok(None),
        }
    }

    fn found(
        &self,
        answer: GetObjectOutput,
        range: Option<Range<u64>>,
    ) -> Result<Found, StoreError> {
        let length = length(GET, answer.content_length())?;
        let size = match range {
            None => length,
            Some(range) => checked(&range, length, answer.content_range())?,
        };
        let meta = answer.metadata.as_ref().map(meta).unwrap_or_default();
        let encryption = sealed(answer.server_side_encryption(), answer.ssekms_key_id());
        let info = Info { size, stored: when(answer.last_modified.as_ref()), meta, encryption };
        let (to, from) = mpsc::channel(AHEAD);
        self.engine.spawn(pump(answer.body, to));
        Ok(Found { info, body: Body::Stream(counted(from, length)) })
    }
}

/// Moves a body from its connection, which lives on the engine, towards a reader that may live
/// elsewhere. A reader that goes away frees the connection at once.
async fn pump(mut body: ByteStream, to: mpsc::Sender<Result<Bytes, StoreError>>) {
    loop {
        let next = tokio::select! {
            next = body.next() => next,
            () = to.closed() => return,
        };
        match next {
            None => return,
            Some(Err(_)) => {
                // Nobody is left to be told if this fails.
                let _ = to.send(Err(cut())).await;
                return;
            }
            Some(Ok(mut bytes)) => {
                while !bytes.is_empty() {
                    let chunk = bytes.split_to(bytes.len().min(CHUNK));
                    if to.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The chunks of a body of `length` bytes; an error if it ends sooner or goes on.
fn counted(from: mpsc::Receiver<Result<Bytes, StoreError>>, length: u64) -> Chunks {
    let state = Some((from, length));
    stream::unfold(state, |state| async move {
        let (mut from, left) = state?;
        match from.recv().await {
            Some(Ok(chunk)) => match left.checked_sub(chunk.len() as u64) {
                Some(left) => Some((Ok(chunk), Some((from, left)))),
                None => Some((Err(broken("a body longer than announced".into())), None)),
            },
            Some(Err(error)) => Some((Err(error), None)),
            None if left > 0 => Some((Err(cut()), None)),
            None => None,
        }
    })
    .boxed()
}

/// A range as a header. An end that no object reaches is left open: servers that count in signed
/// numbers would not understand it.
fn header(range: &Range<u64>) -> String {
    match i64::try_from(range.end) {
        Ok(end) => format!("bytes={}-{}", range.start, end - 1),
        Err(_) => format!("bytes={}-", range.start),
    }
}

/// The whole content's length, if the answer holds what was asked for.
fn checked(range: &Range<u64>, length: u64, named: Option<&str>) -> Result<u64, StoreError> {
    let named = named.unwrap_or_default();
    let Some((start, end, size)) = content_range(named) else {
        return Err(broken("no readable `Content-Range`".into()));
    };
    let wanted = range.end.min(size);
    if start == range.start && end == wanted && length == end - start {
        Ok(size)
    } else {
        Err(broken(format!("another range than bytes {}..{wanted}", range.start)))
    }
}

/// `bytes 0-99/1234` (RFC 9110, section 14.4) as start, end (exclusive) and whole length.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, end) = (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    let size = size.parse().ok()?;
    (start < end && end <= size).then_some((start, end, size))
}

/// What is kept beside content. An object without our marks was put there by another program.
fn meta(metadata: &HashMap<String, String>) -> Meta {
    Meta {
        media_type: metadata.get(MEDIA_TYPE).and_then(|text| text.parse().ok()),
        verified: metadata.get(VERIFIED).is_some_and(|value| value == YES),
    }
}

/// The one place that decides whether a failed read is a miss.
fn absent<T>(failure: Failure) -> Result<Option<T>, StoreError> {
    if failure.is_absent() { Ok(None) } else { Err(failure.into()) }
}

pub(super) fn length(operation: &'static str, length: Option<i64>) -> Result<u64, StoreError> {
    length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| StoreError::Broken { operation, what: "no length".into() })
}

/// S3's time as the machine's, in whole seconds, which is all that headers tell; 1970 for anything
/// before it or missing.
pub(super) fn when(time: Option<&DateTime>) -> SystemTime {
    let seconds = time.and_then(|time| u64::try_from(time.secs()).ok()).unwrap_or_default();
    clock::from_unix(seconds)
}

fn cut() -> StoreError {
    StoreError::Unavailable { operation: GET, code: "body broke off".into() }
}

fn broken(what: String) -> StoreError {
    StoreError::Broken { operation: GET, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_hold_the_range_that_was_asked_for() {
        assert_eq!(checked(&(0..10), 10, Some("bytes 0-9/100")), Ok(100));
        assert_eq!(checked(&(90..200), 10, Some("bytes 90-99/100")), Ok(100));
        for (range, length, named) in [
            (0..10, 10, None),
            (0..10, 10, Some("bytes 1-10/100")),
            (0..10, 9, Some("bytes 0-9/100")),
            (0..10, 10, Some("bytes 0-9/*")),
            (0..200, 10, Some("bytes 0-9/100")),
            (0..10, 10, Some("bytes 9-0/100")),
        ] {
            assert!(checked(&range, length, named).is_err(), "{range:?} {named:?}");
        }
    }

    #[tokio::test]
    async fn a_body_must_be_as_long_as_announced() {
        for (sent, good) in [(3, true), (2, false), (4, false)] {
            let (to, from) = mpsc::channel(1);
            to.send(Ok(Bytes::from(vec![0; sent]))).await.unwrap();
            drop(to);
            let ends: Vec<_> = counted(from, 3).collect().await;
            assert_eq!(ends.iter().all(Result::is_ok), good, "{sent} bytes of 3");
        }
    }
}
