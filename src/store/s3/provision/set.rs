//! What of its configuration a bucket has already.

use aws_sdk_s3::{Client, types::ServerSideEncryptionByDefault};

use super::{
    super::{Inner, failure::Failure},
    configure::{Step, settled},
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
        match step {
            Step::Tags => self.look_at_tags(client).await.is_ok(),
            Step::Encryption => self.look_at_encryption(client).await.is_ok_and(|is_it| is_it),
            Step::AccessBlock => self.look_at_access_block(client).await.is_ok(),
            Step::Lifecycle => self.look_at_lifecycle(client).await.is_ok(),
            Step::Policy => self.look_at_policy(client).await.is_ok(),
        }
    }

    async fn look_at_tags(&self, client: &Client) -> Result<(), Failure> {
        let call = client.get_bucket_tagging().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        settled("GetBucketTagging", call.send().await)
    }

    /// Whether the default is one of the kind that is wanted. At AWS there always is one.
    async fn look_at_encryption(&self, client: &Client) -> Result<bool, Failure> {
        let call = client.get_bucket_encryption().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        let answer = call.send().await;
        let answer = answer.map_err(|error| Failure::new("GetBucketEncryption", &error))?;
        let rules = answer.server_side_encryption_configuration;
        let rule = rules.as_ref().and_then(|rules| rules.rules().first());
        let default = rule.and_then(|rule| rule.apply_server_side_encryption_by_default());
        let is_by_kms =
            |by: &ServerSideEncryptionByDefault| by.sse_algorithm().as_str().starts_with("aws:kms");
        Ok(default.is_some_and(|by| self.bucket.key.is_none() || is_by_kms(by)))
    }

    async fn look_at_access_block(&self, client: &Client) -> Result<(), Failure> {
        let call = client.get_public_access_block().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        settled("GetPublicAccessBlock", call.send().await)
    }

    async fn look_at_lifecycle(&self, client: &Client) -> Result<(), Failure> {
        let call = client.get_bucket_lifecycle_configuration().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        settled("GetBucketLifecycleConfiguration", call.send().await)
    }

    async fn look_at_policy(&self, client: &Client) -> Result<(), Failure> {
        let call = client.get_bucket_policy().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        settled("GetBucketPolicy", call.send().await)
    }
}
