//! What somebody should know about a bucket that was there. Nothing of it is changed.

use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, ExpirationStatus},
};

use super::super::{Inner, failure::Failure};
use crate::store::Finding;

/// What there is to say about one that was there.
type Judged = Result<Option<Finding>, Failure>;

impl Inner {
    /// What somebody should know about a bucket that was there.
    pub(super) async fn inspect(&self, client: &Client) -> Vec<Finding> {
        let steps = [
            ("s3:GetBucketPublicAccessBlock", self.judge_access(client).await),
            ("s3:GetLifecycleConfiguration", self.judge_lifecycle(client).await),
            ("s3:GetBucketVersioning", self.judge_versions(client).await),
        ];
        let judged = steps.into_iter().map(|(action, judged)| match judged {
            Ok(finding) => finding,
            Err(failure) if failure.is_denied() => Some(Finding::info(format!(
                "`{action}` is not granted, so the bucket is not checked for it"
            ))),
            // A store that does not know the question is not to be blamed for the answer.
            Err(_) => None,
        });
        judged.flatten().collect()
    }

    async fn judge_access(&self, client: &Client) -> Judged {
        let call = client
            .get_public_access_block()
            .bucket(&self.bucket.name)
            .set_expected_bucket_owner(self.owner());
        let blocked = match call.send().await {
            Ok(answer) => answer.public_access_block_configuration.is_some_and(|block| {
                [
                    block.block_public_acls,
                    block.ignore_public_acls,
                    block.block_public_policy,
                    block.restrict_public_buckets,
                ]
                .into_iter()
                .all(|blocked| blocked == Some(true))
            }),
            Err(error) => match Failure::new("GetPublicAccessBlock", &error) {
                failure if failure.status() == 404 => false,
                failure => return Err(failure),
            },
        };
        Ok((!blocked).then(|| {
            Finding::warning(
                format!("the bucket `{}` does not block public access", self.bucket.name),
                "switch all four blocks of public access on",
            )
        }))
    }

    async fn judge_lifecycle(&self, client: &Client) -> Judged {
        let call = client
            .get_bucket_lifecycle_configuration()
            .bucket(&self.bucket.name)
            .set_expected_bucket_owner(self.owner());
        let ends = match call.send().await {
            Ok(answer) => answer.rules().iter().any(|rule| {
                *rule.status() == ExpirationStatus::Enabled
                    && rule.abort_incomplete_multipart_upload().is_some()
            }),
            Err(error) => match Failure::new("GetBucketLifecycleConfiguration", &error) {
                failure if failure.status() == 404 => false,
                failure => return Err(failure),
            },
        };
        Ok((!ends).then(|| {
            Finding::warning(
                format!("the bucket `{}` never ends unfinished uploads", self.bucket.name),
                "add a lifecycle rule with AbortIncompleteMultipartUpload after a day",
            )
        }))
    }

    async fn judge_versions(&self, client: &Client) -> Judged {
        let call = client
            .get_bucket_versioning()
            .bucket(&self.bucket.name)
            .set_expected_bucket_owner(self.owner());
        let answer =
            call.send().await.map_err(|error| Failure::new("GetBucketVersioning", &error))?;
        Ok((answer.status == Some(BucketVersioningStatus::Enabled)).then(|| {
            Finding::warning(
                format!(
                    "the bucket `{}` keeps versions, so what is removed stays",
                    self.bucket.name
                ),
                "add a lifecycle rule with NoncurrentVersionExpiration after a day and \
                 ExpiredObjectDeleteMarker",
            )
        }))
    }
}
