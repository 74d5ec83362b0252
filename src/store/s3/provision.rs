//! The bucket itself: made and configured where it is missing, else only looked at.

mod configure;
mod inspect;
mod set;

use aws_sdk_s3::{
    Client,
    config::{Builder, retry::RetryConfig},
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};

pub(super) use self::configure::Step;
use super::{Inner, failure::Failure, kms::Described};
use crate::store::{Finding, Ground, StoreError};

const HEAD: &str = "HeadBucket";
const CREATE: &str = "CreateBucket";
/// The one region that must not be named when a bucket is made (API reference, CreateBucket).
const NAMELESS_REGION: &str = "us-east-1";

impl Inner {
    /// Makes the bucket if it is missing and may be made, and configures it then. One that was
    /// there is looked at and never written to, whoever made it: another node may have been
    /// first, and configures it itself; but what failed when this process made it is gone on with.
    /// What KMS says of the key is asked in either case.
    pub(super) async fn provision(&self) -> Result<Ground, StoreError> {
        let aws = self.set_up(HEAD).await?;
        self.insist_on_owner(aws).await;
        let client = self.client(HEAD).await?;
        let mut key = self.bucket.key.clone();
        let (seen, is_open) = self.see(client).await;
        let mut ground = match seen {
            Ok(()) => {
                let mut findings = self.go_on(client).await;
                let (of_bucket, default_key) = self.inspect(client).await;
                findings.extend(of_bucket);
                findings.extend(self.elsewhere().await);
                key = key.or(default_key);
                Ground { findings, ..Ground::default() }
            }
            Err(failure) if failure.status() == 404 && self.bucket.create => {
                self.check_maker(aws).await?;
                self.make(client).await?
            }
            Err(failure) => self.not_seen(failure, is_open)?,
        };
        ground.unfinished = self.is_unfinished();
        if self.lacks_owner() {
            let what = "our own account is not known, so the owner of the bucket is not checked";
            ground.findings.push(Finding::info(what));
        }
        if let Some(key) = key {
            let Described { arn, trouble, findings } = self.describe_key(aws, &key).await;
            *super::lock(&self.key_is) = arn.filter(|_| self.bucket.key.is_some());
            ground.findings.extend(findings);
            ground.key = trouble;
        }
        Ok(ground)
    }

    /// Whether the bucket is there, is whose it must be, and may be looked at; and whether it may be
    /// looked at by whoever expects no owner. S3 does not say why it refuses a HEAD, and the reason
    /// may be gone with it: the answer puts right a clock that was wrong. So a bucket is another's
    /// only if it is refused by that name twice, and not without.
    async fn see(&self, client: &Client) -> (Result<(), Failure>, bool) {
        let owner = self.owner();
        match self.head_bucket(client, owner.clone()).await {
            Err(failure) if failure.status() == 403 => {}
            seen => return (seen, false),
        }
        match (self.head_bucket(client, None).await, owner) {
            (Ok(()), Some(owner)) => (self.head_bucket(client, Some(owner)).await, true),
            (seen, _) => (seen, false),
        }
    }

    async fn head_bucket(&self, client: &Client, owner: Option<String>) -> Result<(), Failure> {
        let call = client.head_bucket().bucket(&self.bucket.name).set_expected_bucket_owner(owner);
        call.send().await.map(drop).map_err(|error| Failure::new(HEAD, &error))
    }

    /// What follows when the bucket cannot be seen and is not to be made. `is_open`: it can, but not
    /// as its owner's.
    fn not_seen(&self, failure: Failure, is_open: bool) -> Result<Ground, StoreError> {
        let name = &self.bucket.name;
        let misplaced =
            |what, hint: &str| Err(StoreError::Misconfigured { what, hint: hint.to_owned() });
        match (failure.status(), self.owner()) {
            (404, _) => misplaced(
                format!("there is no bucket `{name}`"),
                "make it, or set registry_mirror_bucket_create to true",
            ),
            (301 | 307, _) if self.bucket.endpoint.is_none() => misplaced(
                format!("the bucket `{name}` lies in another region"),
                "set registry_mirror_bucket_location to the region that it lies in",
            ),
            (403, Some(owner)) if is_open => misplaced(
                format!("the bucket `{name}` is not the account's {owner}"),
                "set registry_mirror_bucket_owner to the account that owns it, if it is the right \
                 one; names of buckets are the world's",
            ),
            (403, Some(owner)) => Ok(Ground::of(Finding::warning(
                format!(
                    "the bucket `{name}` cannot be looked at: it is not the account's {owner}, or \
                     `s3:ListBucket` is not granted"
                ),
                "look at registry_mirror_bucket_owner and at the role of the node",
            ))),
            (403, None) => Ok(Ground::of(Finding::warning(
                format!("the bucket `{name}` cannot be looked at: `s3:ListBucket` is not granted"),
                "without it S3 answers 403 for what is missing, and nothing is served from the bucket",
            ))),
            _ => Err(failure.into()),
        }
    }

    async fn make(&self, client: &Client) -> Result<Ground, StoreError> {
        let name = &self.bucket.name;
        let region = client.config().region().map(|region| region.as_ref());
        // What is only assumed of a store that is not AWS is not asked of it.
        let is_known = self.bucket.endpoint.is_none() || self.bucket.region.is_some();
        let place = region.filter(|region| is_known && *region != NAMELESS_REGION);
        // That region's S3 answers 200 also for one that is there and ours.
        let is_surely_new = place.is_some();
        let place = place.map(|region| {
            let region = BucketLocationConstraint::from(region);
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let made = client
            .create_bucket()
            .bucket(name)
            .set_create_bucket_configuration(place)
            .customize()
            .config_override(once())
            .send()
            .await
            .map_err(|error| Failure::new(CREATE, &error));
        match made {
            // Another node was first, or another program, and is configuring it now.
            Ok(_) if !is_surely_new && self.is_another_at_it(client).await => Ok(Ground::default()),
            Err(failure) if failure.code() == "BucketAlreadyOwnedByYou" => Ok(Ground::default()),
            Ok(_) => {
                tracing::info!(bucket = name, "the bucket was missing and is made");
                let findings = self.configure(client).await;
                Ok(Ground { created: true, findings, ..Ground::default() })
            }
            Err(failure) if failure.code() == "BucketAlreadyExists" => {
                Err(StoreError::Misconfigured {
                    what: format!("the bucket `{name}` belongs to another account"),
                    hint: "names of buckets are the world's; set registry_mirror_bucket_name to \
                           another"
                        .into(),
                })
            }
            Err(failure) if failure.is_denied() => Err(StoreError::Misconfigured {
                what: format!(
                    "the bucket `{name}` is missing and cannot be made: `s3:CreateBucket` is not \
                     granted"
                ),
                hint: "grant it to the role of the node, or make the bucket".into(),
            }),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// For a call that is not tried again: after an answer that was lost, a second attempt would take
/// the bucket that the first one made for another node's, and nothing would be said of what it lacks.
fn once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}
