//! The key that content is encrypted by, as KMS describes it. S3 asks KMS by itself and its answers
//! decide what is written; what is asked here only explains them, and any of it may be forbidden.

use aws_sdk_kms::{
    Client,
    types::{DataKeySpec, KeyMetadata, KeySpec, KeyState, KeyUsageType},
};

use super::{Inner, arn, client::Aws, failure::Failure};
use crate::{settings::KmsKey, store::Finding};

const DESCRIBE: &str = "DescribeKey";
const DRY_RUN: &str = "GenerateDataKey";
const SETTING: &str = "registry_mirror_bucket_encryption_key";

/// What KMS says of a key.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Which key it is now.
    pub(super) arn: Option<String>,
    /// What keeps S3 from using it, or may.
    pub(super) trouble: Option<Finding>,
    /// What else there is to know.
    pub(super) findings: Vec<Finding>,
}

impl Described {
    fn trouble(what: String, hint: &str) -> Self {
        Self { trouble: Some(Finding::warning(what, hint)), ..Self::default() }
    }

    fn unseen(what: String) -> Self {
        Self { findings: vec![Finding::info(what)], ..Self::default() }
    }
}

impl Inner {
    /// Looks at `key`: whether it is there, enabled and symmetric, in the bucket's region, and
    /// whether we may use it for the bucket. Asks nobody where the bucket is not AWS's.
    pub(super) async fn describe_key(&self, aws: &Aws, key: &KmsKey) -> Described {
        if !self.is_aws() {
            return Described::default();
        }
        let region = aws.region().unwrap_or_default();
        if let Some(other) = key.region().filter(|other| *other != region) {
            return Described::trouble(
                format!("the key `{key}` lies in {other}, and the bucket in {region}"),
                "S3 takes keys of the bucket's own region only",
            );
        }
        let client = Client::new(&aws.aside(&self.tuning));
        let asked = client.describe_key().key_id(key.as_str()).send().await;
        let answer = match asked.map_err(|error| Failure::new(DESCRIBE, &error)) {
            Ok(answer) => answer.key_metadata,
            Err(failure) => return not_described(key, &failure, region),
        };
        let Some(about) = answer else {
            return Described::unseen(format!("KMS says nothing of the key `{key}`"));
        };
        let mut described = Described { arn: about.arn.clone(), ..Described::default() };
        described.trouble = match unusable(key, &about) {
            Some(trouble) => Some(trouble),
            None => self.try_key(&client, key, region).await,
        };
        described
    }

    /// Asks KMS for what S3 would ask it for, but for the result. The context is the bucket's, as
    /// S3 gives it where bucket keys are used (S3 User Guide, "Encryption context").
    async fn try_key(&self, client: &Client, key: &KmsKey, region: &str) -> Option<Finding> {
        let bucket = arn::of_bucket(&self.bucket.name, Some(region));
        let call = client
            .generate_data_key()
            .key_id(key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .encryption_context("aws:s3:arn", &bucket)
            .dry_run(true);
        let failure = Failure::new(DRY_RUN, &call.send().await.err()?);
        match failure.code() {
            "DryRunOperationException" => None,
            // A policy may let S3 ask in our name and not ourselves (`kms:ViaService`).
            _ if failure.is_denied() => Some(Finding::info(format!(
                "`kms:{DRY_RUN}` for the key `{key}` and `{bucket}` is not granted to us directly"
            ))),
            code @ ("DisabledException"
            | "KMSInvalidStateException"
            | "InvalidKeyUsageException"
            | "NotFoundException") => Some(Finding::warning(
                format!("KMS refuses the key `{key}` ({code})"),
                format!("look at the key that {SETTING} names"),
            )),
            _ => None,
        }
    }
}

/// What follows when a key cannot be looked at.
fn not_described(key: &KmsKey, failure: &Failure, region: &str) -> Described {
    match failure.code() {
        "NotFoundException" => Described::trouble(
            format!("KMS knows no key `{key}` in {region}"),
            "an alias is written as `alias/NAME`; without an ARN it is looked for in our own account",
        ),
        "InvalidArnException" | "ValidationException" => Described::trouble(
            format!("`{key}` is no name of a key"),
            "write the key's id or ARN, `alias/NAME`, or the ARN of an alias",
        ),
        _ if failure.is_denied() => Described::unseen(format!(
            "`kms:{DESCRIBE}` is not granted, so the key `{key}` is not looked at"
        )),
        code => Described::unseen(format!(
            "KMS cannot be asked about the key `{key}` ({code}), so it is not looked at"
        )),
    }
}

/// Why nobody can encrypt by this key.
fn unusable(key: &KmsKey, about: &KeyMetadata) -> Option<Finding> {
    let is = about.key_state.as_ref().map_or("unknown", KeyState::as_str);
    let what = match &about.key_state {
        Some(KeyState::Enabled) | None => {
            let spec = about.key_spec.as_ref().filter(|spec| **spec != KeySpec::SymmetricDefault);
            let usage =
                about.key_usage.as_ref().filter(|usage| **usage != KeyUsageType::EncryptDecrypt);
            let other = spec.map(KeySpec::as_str).or(usage.map(KeyUsageType::as_str))?;
            return Some(Finding::warning(
                format!("the key `{key}` is of the kind {other}"),
                "S3 encrypts by symmetric keys only (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT)",
            ));
        }
        Some(KeyState::Disabled) => (format!("the key `{key}` is disabled"), "enable it"),
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => (
            format!("the key `{key}` is to be deleted"),
            "cancel that (`aws kms cancel-key-deletion`) and enable it, or name another: without \
             the key nothing that it encrypted can be read again",
        ),
        Some(_) => (format!("the key `{key}` is in the state {is}"), "look at it in KMS"),
    };
    Some(Finding::warning(what.0, what.1))
}
