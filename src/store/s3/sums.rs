//! Checksums of what is sent. AWS takes `x-amz-checksum-*`, and a bucket with Object Lock demands a
//! checksum; some stores refuse that header and take none, some know `Content-MD5` alone.

use std::{fs::File, ops::Range, os::unix::fs::FileExt, sync::Arc};

use aws_lc_rs::digest;
use aws_smithy_types::base64;
use md5::{Digest as _, Md5};

use super::{Inner, body, failure::Failure};
use crate::store::Payload;

/// Bytes of a file that are read and summed at once.
const CHUNK: usize = 256 << 10;

/// Kind of checksum that a store takes with a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sums {
    /// `x-amz-checksum-sha256` for what is sent whole, `x-amz-checksum-crc32` for parts (S3 User
    /// Guide, "Checking object integrity").
    #[default]
    Checksum,
    /// No checksum.
    Nothing,
    /// `Content-MD5` (RFC 1864).
    ContentMd5,
}

impl Sums {
    /// All kinds, in the order in which they are tried.
    pub(super) const ALL: [Self; 3] = [Self::Checksum, Self::Nothing, Self::ContentMd5];

    /// Name for the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Checksum => "x-amz-checksum",
            Self::Nothing => "none",
            Self::ContentMd5 => "content-md5",
        }
    }
}

/// Checksum of one body, in base64, by the header that it goes into. At most one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) sha256: Option<String>,
    pub(super) crc32: Option<String>,
    pub(super) md5: Option<String>,
}

impl Sum {
    /// Checksum of a body that is sent whole and whose SHA-256 is `known`, if it is.
    ///
    /// # Errors
    /// The file of the payload cannot be read.
    pub(super) async fn of_whole(
        inner: &Inner,
        operation: &'static str,
        payload: &Payload,
        sums: Sums,
        known: Option<String>,
    ) -> Result<Self, Failure> {
        let range = 0..payload.len();
        Ok(match (sums, known) {
            (Sums::Nothing, _) => Self::default(),
            (Sums::Checksum, Some(known)) => Self { sha256: Some(known), ..Self::default() },
            (Sums::Checksum, None) => {
                let sha256 = Sha256(digest::Context::new(&digest::SHA256));
                let sum = inner.summed(operation, payload, range, sha256).await?;
                Self { sha256: Some(sum), ..Self::default() }
            }
            (Sums::ContentMd5, _) => inner.md5(operation, payload, range).await?,
        })
    }

    /// Checksum of a part.
    ///
    /// # Errors
    /// The file of the payload cannot be read.
    pub(super) async fn of_part(
        inner: &Inner,
        operation: &'static str,
        payload: &Payload,
        range: Range<u64>,
        sums: Sums,
    ) -> Result<Self, Failure> {
        match sums {
            Sums::Nothing => Ok(Self::default()),
            Sums::Checksum => {
                let crc32 = Crc32(crc32fast::Hasher::new());
                let sum = inner.summed(operation, payload, range, crc32).await?;
                Ok(Self { crc32: Some(sum), ..Self::default() })
            }
            Sums::ContentMd5 => inner.md5(operation, payload, range).await,
        }
    }
}

/// `Content-MD5` of a small body.
pub(super) fn content_md5(body: &[u8]) -> String {
    base64::encode(Md5::digest(body))
}

/// A checksum that is being made.
trait Summing: Send + 'static {
    fn update(&mut self, bytes: &[u8]);
    fn finish(self) -> String;
}

struct Sha256(digest::Context);

impl Summing for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        base64::encode(self.0.finish())
    }
}

struct Crc32(crc32fast::Hasher);

impl Summing for Crc32 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        base64::encode(self.0.finalize().to_be_bytes())
    }
}

impl Summing for Md5 {
    fn update(&mut self, bytes: &[u8]) {
        md5::Digest::update(self, bytes);
    }

    fn finish(self) -> String {
        base64::encode(self.finalize())
    }
}

impl Inner {
    async fn md5(
        &self,
        operation: &'static str,
        payload: &Payload,
        range: Range<u64>,
    ) -> Result<Sum, Failure> {
        let sum = self.summed(operation, payload, range, Md5::new()).await?;
        Ok(Sum { md5: Some(sum), ..Sum::default() })
    }

    async fn summed(
        &self,
        operation: &'static str,
        payload: &Payload,
        range: Range<u64>,
        mut summing: impl Summing,
    ) -> Result<String, Failure> {
        match payload {
            Payload::Bytes(bytes) => {
                summing.update(&body::slice(bytes, &range));
                Ok(summing.finish())
            }
            Payload::File { file, .. } => {
                let file = file.clone();
                let reading = self.engine.spawn_blocking(move || of_file(&file, range, summing));
                let read = reading.await.ok().and_then(Result::ok);
                read.ok_or_else(|| Failure::unread(operation))
            }
        }
    }
}

fn of_file(
    file: &Arc<File>,
    mut rest: Range<u64>,
    mut summing: impl Summing,
) -> std::io::Result<String> {
    let mut buffer = vec![0; CHUNK];
    while !rest.is_empty() {
        let length = usize::try_from(rest.end - rest.start).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut buffer[..length];
        file.read_exact_at(chunk, rest.start)?;
        summing.update(chunk);
        rest.start += length as u64;
    }
    Ok(summing.finish())
}
