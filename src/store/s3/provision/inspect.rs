//! What somebody should know about a bucket that was there. Nothing of it is changed.

use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, ExpirationStatus},
};

use serde_json::Value as Json;

use super::{
    super::{Inner, failure::Failure},
    set::is_by_kms,
};
use crate::{settings::KmsKey, store::Finding};

/// What there is to say about one that was there.
type Judged = Result<Option<Finding>, Failure>;

impl Inner {
    /// What somebody should know about a bucket that was there, and the KMS key that it encrypts by
    /// unless told otherwise, if it has one.
    pub(super) async fn inspect(&self, client: &Client) -> (Vec<Finding>, Option<KmsKey>) {
        let (default, key) = match self.judge_default(client).await {
            Ok((finding, key)) => (Ok(finding), key),
            Err(failure) => (Err(failure), None),
        };
        let steps = [
            ("s3:GetEncryptionConfiguration", default),
            ("s3:GetBucketPublicAccessBlock", self.judge_access(client).await),
            ("s3:GetLifecycleConfiguration", self.judge_lifecycle(client).await),
            ("s3:GetBucketVersioning", self.judge_versions(client).await),
            ("s3:GetBucketPolicy", self.judge_policy(client).await),
        ];
        let judged = steps.into_iter().map(|(action, judged)| match judged {
            Ok(finding) => finding,
            Err(failure) if failure.is_denied() => Some(Finding::info(format!(
                "`{action}` is not granted, so the bucket is not checked for it"
            ))),
            // A store that does not know the question is not to be blamed for the answer.
            Err(_) => None,
        });
        (judged.flatten().collect(), key)
    }

    async fn judge_default(
        &self,
        client: &Client,
    ) -> Result<(Option<Finding>, Option<KmsKey>), Failure> {
        // Where none is set the probe tells what the store does.
        let rule = self.encryption_rule(client).await?;
        let rule = rule.as_ref();
        let default = rule.and_then(|rule| rule.apply_server_side_encryption_by_default());
        let by_kms = default.is_some_and(is_by_kms);
        let key = default.and_then(|default| default.kms_master_key_id()).map(KmsKey::new);
        let has_bucket_key = rule.and_then(|rule| rule.bucket_key_enabled()) == Some(true);
        let dear = by_kms && !has_bucket_key && self.bucket.key.is_none();
        let finding = dear.then(|| {
            Finding::warning(
                format!(
                    "the bucket `{}` encrypts by KMS without a bucket key, so each object costs \
                     calls to KMS",
                    self.bucket.name
                ),
                "switch the bucket key on in its default encryption",
            )
        });
        Ok((finding, key))
    }

    async fn judge_policy(&self, client: &Client) -> Judged {
        let policy = self.policy(client).await?.and_then(|answer| answer.policy);
        let policy = policy.unwrap_or_default();
        let is_aws = self.is_aws();
        Ok((is_aws && !demands_tls(&policy)).then(|| {
            Finding::info(format!(
                "the bucket `{}` has no policy that demands TLS of everybody",
                self.bucket.name
            ))
        }))
    }

    async fn judge_access(&self, client: &Client) -> Judged {
        let set = self.access_block(client).await?;
        let block = set.and_then(|answer| answer.public_access_block_configuration);
        let blocked = block.is_some_and(|block| {
            [
                block.block_public_acls,
                block.ignore_public_acls,
                block.block_public_policy,
                block.restrict_public_buckets,
            ]
            .into_iter()
            .all(|blocked| blocked == Some(true))
        });
        Ok((!blocked).then(|| {
            Finding::warning(
                format!("the bucket `{}` does not block public access", self.bucket.name),
                "switch all four blocks of public access on",
            )
        }))
    }

    async fn judge_lifecycle(&self, client: &Client) -> Judged {
        let ends = self.lifecycle(client).await?.is_some_and(|answer| {
            answer.rules().iter().any(|rule| {
                *rule.status() == ExpirationStatus::Enabled
                    && rule.abort_incomplete_multipart_upload().is_some()
            })
        });
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

/// Whether a statement of the policy denies what comes without TLS.
fn demands_tls(policy: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Json>(policy) else { return false };
    let statements = match &policy["Statement"] {
        Json::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    };
    statements.iter().any(|statement| {
        let conditions = ["Bool", "BoolIfExists"].map(|test| &statement["Condition"][test]);
        let mut values = conditions.into_iter().filter_map(|test| test.get("aws:SecureTransport"));
        statement["Effect"] == "Deny"
            && values.any(|value| [value, &value[0]].iter().any(|v| **v == "false" || **v == false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_demands_tls_is_known_in_all_its_forms() {
        for value in [r#""false""#, r#"["false"]"#, "false"] {
            let statement = format!(
                r#"{{"Effect":"Deny","Condition":{{"BoolIfExists":{{"aws:SecureTransport":{value}}}}}}}"#
            );
            assert!(demands_tls(&format!(r#"{{"Statement":{statement}}}"#)), "{statement}");
            assert!(demands_tls(&format!(r#"{{"Statement":[{{}},{statement}]}}"#)), "{statement}");
            assert!(!demands_tls(&format!(
                r#"{{"Statement":{}}}"#,
                statement.replace("Deny", "Allow")
            )));
        }
        assert!(!demands_tls("") && !demands_tls("{}"));
    }
}
