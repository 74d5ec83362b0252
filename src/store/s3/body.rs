//! Bodies on their way into the bucket, which can be sent again when a call is tried again.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::store::Payload;

/// Bytes read and sent at once.
const CHUNK: usize = 64 << 10;

/// These bytes of `payload`, as often as they are wanted. A file is read as it is sent, so that an
/// upload costs one chunk of memory whatever its size.
pub(super) fn section(payload: &Payload, range: Range<u64>, engine: &Handle) -> ByteStream {
    match payload {
        Payload::Bytes(bytes) => ByteStream::from(slice(bytes, &range)),
        Payload::File { file, .. } => {
            let (file, engine) = (file.clone(), engine.clone());
            ByteStream::new(SdkBody::retryable(move || {
                SdkBody::from_body_1_x(FileBody {
                    file: file.clone(),
                    rest: range.clone(),
                    engine: engine.clone(),
                    reading: None,
                })
            }))
        }
    }
}

/// These bytes, as far as there are any.
pub(super) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
    let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
    bytes.slice(start..end)
}

/// A stretch of a file.
struct FileBody {
    file: Arc<File>,
    rest: Range<u64>,
    engine: Handle,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    fn took(&mut self, chunk: Bytes) -> Frame<Bytes> {
        self.rest.start += chunk.len() as u64;
        Frame::data(chunk)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            if let Some(reading) = &mut this.reading {
                let chunk = ready!(Pin::new(reading).poll(cx));
                this.reading = None;
                let chunk = chunk.map_err(io::Error::other).flatten();
                return Poll::Ready(Some(chunk.map(|chunk| this.took(chunk))));
            }
            let left = this.rest.end.saturating_sub(this.rest.start);
            let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            if length == 0 {
                return Poll::Ready(None);
            }
            // What was just spooled is in the page cache: reading it here saves a change of
            // threads.
            match read_cached(&this.file, this.rest.start, length) {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(this.took(chunk)))),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(None) => {
                    let (file, at) = (this.file.clone(), this.rest.start);
                    this.reading =
                        Some(this.engine.spawn_blocking(move || read(&file, at, length)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end.saturating_sub(self.rest.start))
    }
}

/// Bytes at `at` if they can be had without waiting for a disk; none if not.
fn read_cached(file: &File, at: u64, length: usize) -> io::Result<Option<Bytes>> {
    let mut buffer = vec![0; length];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut buffer)], at, ReadWriteFlags::NOWAIT);
    match read {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => {
            buffer.truncate(read);
            Ok(Some(buffer.into()))
        }
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, at)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_section_of_a_file_can_be_sent_again() {
        let data: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        let payload = Payload::File { file: Arc::new(file), len: 200_000 };
        let body = section(&payload, 7..190_001, &Handle::current()).into_inner();
        assert_eq!(body.content_length(), Some(189_994));
        for _ in 0..2 {
            let again = ByteStream::new(body.try_clone().expect("not retryable"));
            assert_eq!(again.collect().await.unwrap().to_vec(), &data[7..190_001]);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let body = section(&Payload::File { file, len: 9 }, 0..9, &Handle::current());
        assert!(body.collect().await.is_err());
    }
}
