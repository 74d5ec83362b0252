//! What a bucket gets that was made just now.

use std::mem;

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
        LifecycleRule, LifecycleRuleFilter, PublicAccessBlockConfiguration, ServerSideEncryption,
        ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
        Tag, Tagging,
    },
};
use serde_json::json;
use tokio::time::sleep;

use super::super::{Inner, arn, failure::Failure, lock};
use crate::store::{Finding, StoreError};

/// Attempts at a step while S3 is still making the bucket known to all its parts.
const ATTEMPTS: u32 = 5;
/// After how many days an upload that nobody finished is ended.
const UNFINISHED_DAYS: i32 = 1;

/// Something that is done to a new bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Step {
    Tags,
    Encryption,
    AccessBlock,
    Lifecycle,
    Policy,
}

impl Inner {
    /// Configures a bucket that was made just now. What fails is said and stops nothing; what failed
    /// for the moment is left for [`Self::go_on`].
    pub(super) async fn configure(&self, client: &Client) -> Vec<Finding> {
        let steps = self.steps();
        self.take_all(client, steps).await
    }

    /// Takes the steps that are left of a bucket that this very process made, unless somebody has
    /// seen to them meanwhile.
    pub(super) async fn go_on(&self, client: &Client) -> Vec<Finding> {
        let left = mem::take(&mut *lock(&self.left));
        let mut steps = Vec::new();
        for step in left {
            if !self.has(client, step).await {
                steps.push(step);
            }
        }
        self.take_all(client, steps).await
    }

    /// Whether there are steps left.
    pub(super) fn is_unfinished(&self) -> bool {
        !lock(&self.left).is_empty()
    }

    async fn take_all(
        &self,
        client: &Client,
        steps: impl IntoIterator<Item = Step>,
    ) -> Vec<Finding> {
        let (mut findings, mut left) = (Vec::new(), Vec::new());
        for step in steps {
            if let Err(failure) = self.again(|| self.take(client, step)).await {
                findings.push(step.failed(&failure));
                if is_passing(&failure) {
                    left.push(step);
                }
            }
        }
        *lock(&self.left) = left;
        findings
    }

    /// The tags are the first: they show others who look that it is being configured.
    fn steps(&self) -> impl Iterator<Item = Step> {
        // It would lock out whoever speaks plain HTTP to a store of their own.
        let has_tls = self.bucket.endpoint.as_ref().is_none_or(|url| url.starts_with("https:"));
        let policy = has_tls.then_some(Step::Policy);
        let steps = [Step::Tags, Step::Encryption, Step::AccessBlock, Step::Lifecycle];
        steps.into_iter().chain(policy)
    }

    async fn take(&self, client: &Client, step: Step) -> Result<(), Failure> {
        match step {
            Step::Tags => self.put_tags(client).await,
            Step::Encryption => self.put_encryption(client).await,
            Step::AccessBlock => self.put_access_block(client).await,
            Step::Lifecycle => self.put_lifecycle(client).await,
            Step::Policy => self.put_policy(client).await,
        }
    }

    /// A bucket is not known everywhere at once, and steps at the same time are refused.
    async fn again<F>(&self, step: impl Fn() -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let mut wait = self.tuning.backoff;
        for _ in 1..ATTEMPTS {
            match step().await {
                Err(failure) if failure.is_race() || failure.code() == "NoSuchBucket" => {
                    sleep(wait).await;
                    wait *= 2;
                }
                settled => return settled,
            }
        }
        step().await
    }

    async fn put_encryption(&self, client: &Client) -> Result<(), Failure> {
        let key = self.bucket.key.as_ref().map(ToString::to_string);
        let algorithm = match key {
            Some(_) => ServerSideEncryption::AwsKms,
            None => ServerSideEncryption::Aes256,
        };
        let with_key = key.is_some();
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(algorithm)
            .set_kms_master_key_id(key)
            .build();
        let rule = ServerSideEncryptionRule::builder()
            .set_apply_server_side_encryption_by_default(default.ok())
            .set_bucket_key_enabled(with_key.then_some(true))
            .build();
        let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build();
        let call = client
            .put_bucket_encryption()
            .bucket(&self.bucket.name)
            .set_server_side_encryption_configuration(rules.ok())
            .set_expected_bucket_owner(self.owner());
        settled("PutBucketEncryption", call.send().await)
    }

    async fn put_access_block(&self, client: &Client) -> Result<(), Failure> {
        let all = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let call = client
            .put_public_access_block()
            .bucket(&self.bucket.name)
            .public_access_block_configuration(all)
            .set_expected_bucket_owner(self.owner());
        settled("PutPublicAccessBlock", call.send().await)
    }

    async fn put_lifecycle(&self, client: &Client) -> Result<(), Failure> {
        let abort = AbortIncompleteMultipartUpload::builder()
            .days_after_initiation(UNFINISHED_DAYS)
            .build();
        let rule = LifecycleRule::builder()
            .id("end-unfinished-uploads")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(abort)
            .build();
        let rules =
            rule.and_then(|rule| BucketLifecycleConfiguration::builder().rules(rule).build());
        let call = client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.bucket.name)
            .set_lifecycle_configuration(rules.ok())
            .set_expected_bucket_owner(self.owner());
        settled("PutBucketLifecycleConfiguration", call.send().await)
    }

    async fn put_policy(&self, client: &Client) -> Result<(), Failure> {
        let region = client.config().region().map(|region| region.as_ref());
        let bucket = arn::of_bucket(&self.bucket.name, region);
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket.clone(), format!("{bucket}/*")],
                "Condition": { "Bool": { "aws:SecureTransport": "false" } },
            }],
        });
        let call = client
            .put_bucket_policy()
            .bucket(&self.bucket.name)
            .policy(policy.to_string())
            .set_expected_bucket_owner(self.owner());
        settled("PutBucketPolicy", call.send().await)
    }

    async fn put_tags(&self, client: &Client) -> Result<(), Failure> {
        let tag = Tag::builder().key("managed-by").value("registry-mirror").build();
        let tags = tag.and_then(|tag| Tagging::builder().tag_set(tag).build());
        let call = client
            .put_bucket_tagging()
            .bucket(&self.bucket.name)
            .set_tagging(tags.ok())
            .set_expected_bucket_owner(self.owner());
        settled("PutBucketTagging", call.send().await)
    }
}

impl Step {
    /// The IAM action that it takes.
    const fn action(self) -> &'static str {
        match self {
            Self::Tags => "s3:PutBucketTagging",
            Self::Encryption => "s3:PutEncryptionConfiguration",
            Self::AccessBlock => "s3:PutBucketPublicAccessBlock",
            Self::Lifecycle => "s3:PutLifecycleConfiguration",
            Self::Policy => "s3:PutBucketPolicy",
        }
    }

    /// What the bucket lacks without it.
    const fn lack(self) -> &'static str {
        match self {
            Self::Tags => "no tags",
            Self::Encryption => "no encryption by default",
            Self::AccessBlock => "no block of public access",
            Self::Lifecycle => "no rule that ends unfinished uploads",
            Self::Policy => "no policy that demands TLS",
        }
    }

    fn failed(self, failure: &Failure) -> Finding {
        let (action, lack) = (self.action(), self.lack());
        if failure.is_unknown_feature() {
            return Finding::info(format!("the store cannot be told: the bucket has {lack}"));
        }
        let what = if failure.is_denied() {
            format!("`{action}` is not granted, so the new bucket has {lack}")
        } else {
            format!("the new bucket has {lack} ({})", failure.code())
        };
        let hint = if is_passing(failure) {
            "it is tried again when the store is next looked at, until the service is restarted; \
             or set it by hand; docs/operations.md has all of it"
        } else {
            "set it by hand; docs/operations.md has all of it"
        };
        Finding::warning(what, hint)
    }
}

/// Whether the same step may well succeed later.
fn is_passing(failure: &Failure) -> bool {
    !failure.is_unknown_feature()
        && matches!(StoreError::from(failure.clone()), StoreError::Unavailable { .. })
}

fn settled<T, E>(
    operation: &'static str,
    answer: Result<T, SdkError<E, HttpResponse>>,
) -> Result<(), Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    answer.map(drop).map_err(|error| Failure::new(operation, &error))
}
