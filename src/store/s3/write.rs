//! Writes, each under a condition and with the encryption that is wanted.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::rand;
use aws_smithy_types::base64;
use bytes::Bytes;

use super::{
    Inner, body,
    encryption::{Encryption, Seal, Verdict, sealed},
    failure::Failure,
    read::{self, Seen},
    sums::{Sum, Sums},
};
use crate::{
    oci::Algorithm,
    store::{Key, Meta, Payload, Put, Sealed, StoreError},
};

const PUT: &str = "PutObject";
/// Writes of one key until a race with others is given up.
pub(super) const TRIES: u32 = 6;

/// On what condition something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// There is nothing under the key (`If-None-Match: *`).
    Absent,
    /// What is under the key is this writing (`If-Match`).
    Is(String),
}

impl Condition {
    pub(super) fn if_none_match(&self) -> Option<String> {
        (*self == Self::Absent).then(|| "*".into())
    }

    pub(super) fn if_match(&self) -> Option<String> {
        match self {
            Self::Is(etag) => Some(etag.clone()),
            Self::Always | Self::Absent => None,
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) key: String,
    pub(super) payload: Payload,
    /// The payload's SHA-256 in base64, if it is known; else it is made when it is needed.
    pub(super) sha256: Option<String>,
    pub(super) metadata: HashMap<String, String>,
    /// The length of a part, for what is written in parts.
    pub(super) parts: Option<u64>,
}

/// The store's answer to a write that succeeded.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) etag: String,
    pub(super) encryption: Option<Sealed>,
}

/// How one try at a write ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Answer),
    /// The condition did not hold.
    Unmet,
    /// Others are writing.
    Raced,
    /// The store says that it knows no conditional writes, or nothing at all of what was asked: a
    /// write without a condition tells.
    Unconditional,
    /// The upload is gone: ended by somebody, or completed by an attempt whose answer was lost.
    Lost,
}

impl Write {
    /// Something small and without metadata.
    pub(super) fn small(key: String, bytes: Bytes) -> Self {
        let payload = Payload::Bytes(bytes);
        Self { key, payload, sha256: None, metadata: HashMap::new(), parts: None }
    }
}

impl Inner {
    /// Keeps content: writes it once, and leaves what is there if it is ours and has the right size,
    /// unless that is to be `replaced`.
    pub(super) async fn keep(
        &self,
        key: &Key,
        payload: &Payload,
        meta: &Meta,
        replaced: bool,
    ) -> Result<Put, StoreError> {
        let write = self.content(key, payload, meta);
        // What an attempt of ours left without encryption, its answer lost, is written anew, and so
        // is what bears no mark of ours: nobody has hashed it, and these bytes are hashed.
        let is_it = |seen: &Seen| {
            !replaced
                && seen.info.size == payload.len()
                && seen.info.meta.verified
                && self.encryption.accepts(seen.info.encryption.as_ref())
        };
        self.may_add(&write.key).await?;
        let mut conditional = self.learned.is_conditional();
        let mut condition = Condition::Absent;
        for attempt in 0..TRIES {
            if condition == Condition::Absent && !conditional {
                condition = Condition::Always;
                match self.look(&write.key).await? {
                    Some(seen) if is_it(&seen) => return Ok(Put::AlreadyThere),
                    Some(seen) => self.may_replace(&write.key, &seen).await?,
                    None => {}
                }
            }
            match self.sealed(&write, condition.clone()).await? {
                Outcome::Done(_) => {
                    if !conditional {
                        self.learned.found_unconditional();
                    }
                    return Ok(Put::Stored);
                }
                Outcome::Unmet | Outcome::Lost => match self.look(&write.key).await? {
                    Some(seen) if is_it(&seen) => return Ok(Put::AlreadyThere),
                    Some(seen) => {
                        self.may_replace(&write.key, &seen).await?;
                        condition = Condition::Is(seen.etag);
                    }
                    None => condition = Condition::Absent,
                },
                Outcome::Raced => self.pause(attempt).await,
                Outcome::Unconditional => {
                    conditional = false;
                    condition = Condition::Absent;
                }
            }
        }
        Err(StoreError::Unavailable { operation: PUT, code: "ConditionalRequestConflict".into() })
    }

    fn content(&self, key: &Key, payload: &Payload, meta: &Meta) -> Write {
        let mut metadata = HashMap::new();
        if meta.verified {
            metadata.insert(read::VERIFIED.to_owned(), read::YES.to_owned());
        }
        if let Some(media_type) = &meta.media_type {
            metadata.insert(read::MEDIA_TYPE.to_owned(), media_type.to_string());
        }
        let sha256 = match key.digest.algorithm() {
            Algorithm::Sha256 => Some(base64::encode(key.digest.bytes())),
            Algorithm::Sha512 => None,
        };
        let parts = (payload.len() > self.tuning.single).then(|| self.part_length(payload.len()));
        Write { key: self.keys.content(key), payload: payload.clone(), sha256, metadata, parts }
    }

    /// Writes with the encryption that is wanted, and takes back what was written without it.
    ///
    /// # Errors
    /// [`StoreError::NotEncrypted`] if the store does not encrypt, [`StoreError::OtherKey`] if it
    /// does so otherwise than it was asked to.
    pub(super) async fn sealed(
        &self,
        write: &Write,
        condition: Condition,
    ) -> Result<Outcome, StoreError> {
        self.sealed_by(&self.encryption, write, condition).await
    }

    /// The same by what `encryption` knows.
    pub(super) async fn sealed_by(
        &self,
        encryption: &Encryption,
        write: &Write,
        mut condition: Condition,
    ) -> Result<Outcome, StoreError> {
        // The writing of ours that lies there and is not encrypted as it must be.
        let mut plain: Option<String> = None;
        loop {
            let end = match encryption.seal() {
                Ok(seal) => {
                    self.once(encryption, write, &condition, &seal).await.map(|end| (end, seal))
                }
                Err(error) => Err(error),
            };
            let end = match end {
                Ok((Outcome::Done(answer), seal)) => {
                    match encryption.judge(&seal, answer.encryption.as_ref()) {
                        Verdict::Sealed => return Ok(Outcome::Done(answer)),
                        Verdict::Again => {
                            if condition != Condition::Always {
                                condition = Condition::Is(answer.etag.clone());
                            }
                            plain = Some(answer.etag);
                            continue;
                        }
                        Verdict::Refused(error) => {
                            let is = answer.encryption.map(|sealed| sealed.to_string());
                            let bucket = &self.bucket.name;
                            tracing::error!(bucket, encrypted = is, "{error}");
                            plain = Some(answer.etag);
                            Err(error)
                        }
                    }
                }
                Ok((other, _)) => Ok(other),
                Err(error) => Err(error),
            };
            // What is there now is another's if the condition did not hold.
            if let Some(etag) = plain.filter(|_| !matches!(end, Ok(Outcome::Unmet))) {
                self.take_back(&write.key, &etag).await;
            }
            return end;
        }
    }

    /// Removes a writing of ours that is not encrypted as it must be, unless others have replaced it.
    async fn take_back(&self, key: &str, etag: &str) {
        let is_ours = match self.look(key).await {
            Ok(Some(seen)) if !etag.is_empty() => seen.etag == etag,
            Ok(Some(seen)) => seen.info.meta.verified || self.keys.is_ours(key),
            Ok(None) => false,
            // Where that cannot be told, only what no other program writes is removed.
            Err(_) => self.keys.is_ours(key),
        };
        if !is_ours {
            return;
        }
        if let Err(error) = self.delete_one(key).await {
            tracing::error!(key, %error, "it stays there unencrypted");
        }
    }

    /// Writes by one call.
    pub(super) async fn put_whole(
        &self,
        write: &Write,
        condition: &Condition,
        seal: &Seal,
        sums: Sums,
    ) -> Result<Answer, Failure> {
        let client = self.client(PUT).await?;
        let length = write.payload.len();
        let sum = Sum::of_whole(self, PUT, &write.payload, sums, write.sha256.clone()).await?;
        let answer = client
            .put_object()
            .bucket(&self.bucket.name)
            .key(&write.key)
            .set_expected_bucket_owner(self.owner())
            .set_if_none_match(condition.if_none_match())
            .set_if_match(condition.if_match())
            .set_server_side_encryption(seal.algorithm())
            .set_ssekms_key_id(seal.key())
            .set_bucket_key_enabled(seal.bucket_key())
            .set_metadata(Some(write.metadata.clone()))
            .set_checksum_sha256(sum.sha256)
            .set_content_md5(sum.md5)
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .body(body::section(&write.payload, 0..length, &self.engine))
            .customize()
            .config_override(self.sending(length))
            .send()
            .await
            .map_err(|error| Failure::new(PUT, &error))?;
        Ok(Answer {
            encryption: sealed(answer.server_side_encryption(), answer.ssekms_key_id()),
            etag: answer.e_tag.unwrap_or_default(),
        })
    }

    /// Waits before a race is tried again: longer each time, and not in step with the others.
    pub(super) async fn pause(&self, attempt: u32) {
        let mut random = [0];
        // Without randomness the wait is merely in step.
        let _ = rand::fill(&mut random);
        let most = self.tuning.backoff.saturating_mul(1 << attempt.min(6));
        let [random] = random;
        tokio::time::sleep(most.mul_f64(0.5 + f64::from(random) / 512.0)).await;
    }
}

/// Something that no other write has, in hexadecimal.
pub(super) fn nonce() -> String {
    let mut random = [0; 16];
    if rand::fill(&mut random).is_err() {
        // The time is enough to tell two writes of one process apart.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        random = now.unwrap_or(Duration::ZERO).as_nanos().to_be_bytes();
    }
    format!("{:032x}", u128::from_be_bytes(random))
}
