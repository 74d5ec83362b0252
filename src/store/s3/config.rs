//! Configuration of the store in a bucket.

use std::time::Duration;

use crate::{settings::KmsKey, store::Layout};

/// A bucket, and the way to write to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The region it lies in; none: as the SDK's default chain finds it.
    pub region: Option<String>,
    /// The address of an S3-compatible store; none: AWS.
    pub endpoint: Option<String>,
    /// True if it is made where it is missing.
    pub create: bool,
    /// True if every object must be written encrypted.
    pub encrypt: bool,
    /// The KMS key to encrypt with; none: as the bucket's default says.
    pub key: Option<KmsKey>,
    /// The prefix below which all keys lie; empty: none.
    pub prefix: String,
    /// Paths of what belongs to the upstream's repositories.
    pub layout: Layout,
    /// The account that must own it, sent with every call; none: our own, where that can be found
    /// out.
    pub owner: Option<String>,
}

/// Sizes and times that tests make small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Up to this many bytes are written by one PutObject.
    pub single: u64,
    /// The least length of a part in bytes, except the last (S3 asks for 5 MiB).
    pub part: u64,
    /// The first part of the probe's two-part upload, in bytes.
    pub probe_part: u64,
    /// The wait before the second attempt of a call; it doubles with each further one.
    pub backoff: Duration,
    /// Maximum time to open a connection.
    pub connect: Duration,
    /// Maximum time for the store to answer, without the time to send a body.
    pub answer: Duration,
    /// Maximum time to put parts together; S3 "could take several minutes" (API reference,
    /// CompleteMultipartUpload).
    pub complete: Duration,
    /// Maximum time for which a body may stand still.
    pub stall: Duration,
    /// Maximum time for STS and KMS to answer, which are asked for what is good to know.
    pub aside: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            single: 64 << 20,
            part: 16 << 20,
            probe_part: 5 << 20,
            backoff: Duration::from_millis(200),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
            complete: Duration::from_secs(300),
            stall: Duration::from_secs(20),
            aside: Duration::from_secs(3),
        }
    }
}
