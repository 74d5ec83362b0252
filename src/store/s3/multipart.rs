//! Writes in parts. Every path that does not end in an object ends the upload, since what an
//! upload holds is paid for until then; what a crash leaves is found by the listing of uploads.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt, stream};

use super::{
    Inner, body,
    encryption::{Seal, sealed},
    failure::Failure,
    sums::{Sum, Sums},
    write::{Answer, Condition, Outcome, Write},
};
use crate::store::Sealed;

const CREATE: &str = "CreateMultipartUpload";
const PART: &str = "UploadPart";
const COMPLETE: &str = "CompleteMultipartUpload";
const ABORT: &str = "AbortMultipartUpload";
/// Parts of one upload on their way at once.
const AT_ONCE: usize = 4;
/// S3 takes 10,000 parts; this leaves room.
const MOST_PARTS: u64 = 9000;

/// A part that arrived.
struct Sent {
    part: CompletedPart,
    /// The encryption that the answer named.
    named: Option<Sealed>,
}

impl Inner {
    /// The length of the parts of `size` bytes.
    pub(super) fn part_length(&self, size: u64) -> u64 {
        self.tuning.part.max(size.div_ceil(MOST_PARTS)).max(1)
    }

    pub(super) async fn put_in_parts(
        &self,
        write: &Write,
        length: u64,
        condition: &Condition,
        seal: &Seal,
        sums: Sums,
    ) -> Result<Outcome, Failure> {
        let (upload, named) = self.create(write, seal, sums).await?;
        let result = match self.parts(write, length, &upload, sums).await {
            Ok(sent) => {
                let of_parts = sent.iter().map(|part| part.named.clone()).reduce(Option::and);
                let parts = sent.into_iter().map(|part| part.part).collect();
                let answer = self.complete(write, &upload, parts, condition).await;
                answer.map(|answer| Answer {
                    encryption: together([answer.encryption, named, of_parts.flatten()]),
                    etag: answer.etag,
                })
            }
            Err(failure) => Err(failure),
        };
        match result {
            Ok(answer) => Ok(Outcome::Done(answer)),
            Err(failure) => {
                if let Err(failure) = self.abort_upload(&write.key, &upload).await {
                    let code = failure.code();
                    tracing::warn!(key = write.key, code, "an upload could not be ended");
                    if self.keys.is_probe(&write.key) {
                        *super::lock(&self.stuck_upload) = Some((write.key.clone(), upload));
                    }
                }
                if failure.is_lost_upload() { Ok(Outcome::Lost) } else { Err(failure) }
            }
        }
    }

    async fn create(
        &self,
        write: &Write,
        seal: &Seal,
        sums: Sums,
    ) -> Result<(String, Option<Sealed>), Failure> {
        let client = self.client(CREATE).await?;
        let answer = client
            .create_multipart_upload()
            .bucket(&self.bucket.name)
            .key(&write.key)
            .set_expected_bucket_owner(self.owner())
            .set_server_side_encryption(seal.algorithm())
            .set_ssekms_key_id(seal.key())
            .set_bucket_key_enabled(seal.bucket_key())
            .set_metadata(Some(write.metadata.clone()))
            .set_checksum_algorithm((sums == Sums::Checksum).then_some(ChecksumAlgorithm::Crc32))
            .send()
            .await
            .map_err(|error| Failure::new(CREATE, &error))?;
        let named = sealed(answer.server_side_encryption(), answer.ssekms_key_id());
        let upload = answer.upload_id.ok_or_else(|| Failure::unreadable(CREATE))?;
        Ok((upload, named))
    }

    /// Sends all parts, a few at a time. After a failure no further part is begun, but those on
    /// their way are waited for: a part that arrives after the upload was ended may stay behind.
    async fn parts(
        &self,
        write: &Write,
        length: u64,
        upload: &str,
        sums: Sums,
    ) -> Result<Vec<Sent>, Failure> {
        let size = write.payload.len();
        let failed = AtomicBool::new(false);
        let count = size.div_ceil(length).max(1);
        let sent: Vec<_> = stream::iter(0..count)
            .map(|n| {
                let failed = &failed;
                async move {
                    if failed.load(Ordering::Relaxed) {
                        return None;
                    }
                    let start = n.saturating_mul(length);
                    let range = start..start.saturating_add(length).min(size);
                    let sent = self.part(write, upload, n + 1, range, sums).await;
                    failed.fetch_or(sent.is_err(), Ordering::Relaxed);
                    Some(sent)
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        // A part is left out only after another failed, whose failure is then what is returned.
        sent.into_iter().flatten().collect()
    }

    async fn part(
        &self,
        write: &Write,
        upload: &str,
        number: u64,
        range: std::ops::Range<u64>,
        sums: Sums,
    ) -> Result<Sent, Failure> {
        let client = self.client(PART).await?;
        let sum = Sum::of_part(self, PART, &write.payload, range.clone(), sums).await?;
        let length = range.end - range.start;
        let number = i32::try_from(number).map_err(|_| Failure::unreadable(PART))?;
        let answer = client
            .upload_part()
            .bucket(&self.bucket.name)
            .key(&write.key)
            .upload_id(upload)
            .part_number(number)
            .set_expected_bucket_owner(self.owner())
            .set_checksum_crc32(sum.crc32)
            .set_content_md5(sum.md5)
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .body(body::section(&write.payload, range, &self.engine))
            .customize()
            .config_override(self.sending(length))
            .send()
            .await
            .map_err(|error| Failure::new(PART, &error))?;
        let named = sealed(answer.server_side_encryption(), answer.ssekms_key_id());
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32)
            .build();
        Ok(Sent { part, named })
    }

    async fn complete(
        &self,
        write: &Write,
        upload: &str,
        parts: Vec<CompletedPart>,
        condition: &Condition,
    ) -> Result<Answer, Failure> {
        let client = self.client(COMPLETE).await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let answer = client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(&write.key)
            .upload_id(upload)
            .multipart_upload(parts)
            .set_expected_bucket_owner(self.owner())
            .set_if_none_match(condition.if_none_match())
            .set_if_match(condition.if_match())
            .customize()
            .config_override(self.completing())
            .send()
            .await
            .map_err(|error| Failure::new(COMPLETE, &error))?;
        Ok(Answer {
            encryption: sealed(answer.server_side_encryption(), answer.ssekms_key_id()),
            etag: answer.e_tag.unwrap_or_default(),
        })
    }

    /// Ends an upload; gone already is no error.
    pub(super) async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), Failure> {
        let client = self.client(ABORT).await?;
        let call = client.abort_multipart_upload().bucket(&self.bucket.name).key(key);
        match call.upload_id(upload).set_expected_bucket_owner(self.owner()).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = Failure::new(ABORT, &error);
                if failure.is_absent() { Ok(()) } else { Err(failure) }
            }
        }
    }
}

/// What the answers to one upload say of its encryption: S3 says it when the upload is begun and when
/// it is completed; SeaweedFS 4.48 says it for each part instead, and others leave the key out of one.
fn together(answers: [Option<Sealed>; 3]) -> Option<Sealed> {
    let mut answers = answers.into_iter().flatten();
    let mut first = answers.next()?;
    if first.key.is_none() {
        first.key = answers.find(|other| other.algorithm == first.algorithm).and_then(|o| o.key);
    }
    Some(first)
}
