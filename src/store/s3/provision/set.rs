//! What of its configuration a bucket has already.

use aws_sdk_s3::Client;

use super::{
    super::{Inner, failure::Failure},
    configure::settled,
};

impl Inner {
    /// Whether somebody else is configuring a bucket that seems to have been made just now. In
    /// us-east-1 S3 also answers 200 to whoever makes a bucket that is theirs already (API
    /// reference, CreateBucket, `BucketAlreadyOwnedByYou`).
    pub(super) async fn is_another_at_it(&self, client: &Client) -> bool {
        // A new one has none of this. What may not be looked at says nothing.
        self.look_at_tags(client).await.is_ok()
            || self.look_at_lifecycle(client).await.is_ok()
            || self.look_at_policy(client).await.is_ok()
    }

    async fn look_at_tags(&self, client: &Client) -> Result<(), Failure> {
        let call = client.get_bucket_tagging().bucket(&self.bucket.name);
        let call = call.set_expected_bucket_owner(self.owner());
        settled("GetBucketTagging", call.send().await)
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
