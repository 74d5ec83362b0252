//! What of its configuration a bucket has already.

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
        get_bucket_policy::GetBucketPolicyOutput,
        get_public_access_block::GetPublicAccessBlockOutput,
    },
    types::{ServerSideEncryptionByDefault, ServerSideEncryptionRule},
};

use super::{
    super::{Inner, failure::Failure},
    configure::Step,
};

impl Inner {
    /// Whether somebody else is configuring a bucket that seems to have been made just now. In
    /// us-east-1 S3 also answers 200 to whoever makes a bucket that is theirs already (API
    /// reference, CreateBucket, `BucketAlreadyOwnedByYou`).
    pub(super) async fn is_another_at_it(&self, client: &Client) -> bool {
        // A new one has none of this, unless somebody gives it.
        for step in [Step::Tags, Step::Lifecycle, Step::Policy] {
            if self.has(client, step).await {
                return true;
            }
        }
        false
    }

    /// Whether the bucket has what `step` gives it, from whomever. What may not be looked at counts as
    /// lacking.
    pub(super) async fn has(&self, client: &Client, step: Step) -> bool {
        let has = match step {
            Step::Tags => self.tags(client).await.map(|set| set.is_some()),
            Step::Encryption => self.encryption_rule(client).await.map(|rule| {
                let rule = rule.as_ref();
                let default = rule.and_then(|rule| rule.apply_server_side_encryption_by_default());
                default.is_some_and(|by| self.bucket.key.is_none() || is_by_kms(by))
            }),
            Step::AccessBlock => self.access_block(client).await.map(|set| set.is_some()),
            Step::Lifecycle => self.lifecycle(client).await.map(|set| set.is_some()),
            Step::Policy => self.policy(client).await.map(|set| set.is_some()),
        };
        has.unwrap_or(false)
    }

    async fn tags(&self, client: &Client) -> Result<Option<()>, Failure> {
        let call = client.get_bucket_tagging().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        Ok(set("GetBucketTagging", call.send().await)?.map(drop))
    }

    /// How what is written is encrypted by default. At AWS there always is a rule.
    pub(in super::super) async fn encryption_rule(
        &self,
        client: &Client,
    ) -> Result<Option<ServerSideEncryptionRule>, Failure> {
        let call = client.get_bucket_encryption().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        let answer = set("GetBucketEncryption", call.send().await)?;
        let rules = answer.and_then(|answer| answer.server_side_encryption_configuration);
        Ok(rules.and_then(|rules| rules.rules.into_iter().next()))
    }

    pub(super) async fn access_block(
        &self,
        client: &Client,
    ) -> Result<Option<GetPublicAccessBlockOutput>, Failure> {
        let call = client.get_public_access_block().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        set("GetPublicAccessBlock", call.send().await)
    }

    pub(super) async fn lifecycle(
        &self,
        client: &Client,
    ) -> Result<Option<GetBucketLifecycleConfigurationOutput>, Failure> {
        let call = client.get_bucket_lifecycle_configuration().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        set("GetBucketLifecycleConfiguration", call.send().await)
    }

    pub(super) async fn policy(
        &self,
        client: &Client,
    ) -> Result<Option<GetBucketPolicyOutput>, Failure> {
        let call = client.get_bucket_policy().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        set("GetBucketPolicy", call.send().await)
    }
}

/// Whether a default is by a KMS key.
pub(super) fn is_by_kms(default: &ServerSideEncryptionByDefault) -> bool {
    default.sse_algorithm().as_str().starts_with("aws:kms")
}

/// What an answer holds; none where nothing is set, which S3 says by 404.
fn set<T, E>(
    operation: &'static str,
    answer: Result<T, SdkError<E, HttpResponse>>,
) -> Result<Option<T>, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer.map_err(|error| Failure::new(operation, &error)) {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.status() == 404 => Ok(None),
        Err(failure) => Err(failure),
    }
}
