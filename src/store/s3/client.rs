//! The SDK, set up.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
        interceptors::FinalizerInterceptorContextRef,
        retry::RetryConfig,
        timeout::{TimeoutConfig, TimeoutConfigBuilder},
    },
    error::BoxError,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

use super::{Inner, Tuning, arn, failure::Failure, others::ServerClock};
use crate::telemetry::Metrics;

/// Attempts at one call, the first included (the SDK's own default, spelled out).
const ATTEMPTS: u32 = 3;
/// The slowest upload that is waited for, in bytes a second: one that is never answered ends in
/// minutes.
const SLOWEST: u64 = 1 << 20;
/// Where an S3-compatible store is said to lie if nothing else is known; most do not care.
const ANY_REGION: &str = "us-east-1";

/// A client that speaks TLS by rustls and asks no proxy.
pub(super) fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

/// What calls are made with.
#[derive(Debug)]
pub(super) struct Aws {
    s3: Client,
    /// What clients of other services are made of.
    shared: SdkConfig,
}

impl Aws {
    /// For services that are asked for what is good to know, and not waited for.
    pub(super) fn aside(&self, tuning: &Tuning) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(tuning.aside)
            .operation_timeout(tuning.aside)
            .build();
        self.shared.clone().into_builder().timeout_config(timeouts).build()
    }

    /// The region that calls go to.
    pub(super) fn region(&self) -> Option<&str> {
        self.shared.region().map(Region::as_ref)
    }
}

impl Inner {
    /// The client, built on first use; whose the bucket must be is known then, if it can be.
    ///
    /// # Errors
    /// No region is known yet; the next call looks again.
    pub(super) async fn client(&self, operation: &'static str) -> Result<&Client, Failure> {
        Ok(&self.aws(operation).await?.s3)
    }

    /// What that client is made of, on the same terms.
    pub(super) async fn aws(&self, operation: &'static str) -> Result<&Aws, Failure> {
        let aws = self.set_up(operation).await?;
        self.find_owner(aws).await;
        Ok(aws)
    }

    /// The same, whether or not it is known whose the bucket must be.
    pub(super) async fn set_up(&self, operation: &'static str) -> Result<&Aws, Failure> {
        self.aws.get_or_try_init(|| self.build(operation)).await
    }

    /// Whether the bucket is AWS's, so that STS and KMS are, too.
    pub(super) fn is_aws(&self) -> bool {
        self.bucket.endpoint.as_deref().is_none_or(arn::is_of_aws)
    }

    async fn build(&self, operation: &'static str) -> Result<Aws, Failure> {
        let bucket = &self.bucket;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(self.tuning.backoff),
            )
            .timeout_config(quick(&self.tuning).build())
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().grace_period(self.tuning.stall).build(),
            )
            // Each write has the checksum that the store takes ([`super::sums`]), in a header: many
            // stores do not know trailers.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Every reader hashes what it gets, so a second sum over it would only cost time.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let region = bucket.region.as_deref().filter(|region| !region.is_empty());
        let fallback = bucket.endpoint.as_ref().map(|_| ANY_REGION);
        if let Some(region) = region.or(fallback) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(Failure::no_region(operation));
        }
        let mut config = aws_sdk_s3::config::Builder::from(&shared).interceptor(Counting {
            metrics: self.metrics.clone(),
            clock: self.server_clock.clone(),
        });
        if let Some(endpoint) = &bucket.endpoint {
            // Many S3-compatible stores know no bucket by its host name.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        Ok(Aws { s3: Client::from_conf(config.build()), shared })
    }

    /// For a call that sends `bytes`: the SDK counts the sending as waiting for an answer, so the
    /// time grows with it. A body that stands still is ended sooner, by the SDK's watch on it.
    pub(super) fn sending(&self, bytes: u64) -> aws_sdk_s3::config::Builder {
        let limit = self.tuning.answer + Duration::from_secs(bytes / SLOWEST);
        let timeouts = quick(&self.tuning).read_timeout(limit).operation_attempt_timeout(limit);
        aws_sdk_s3::Config::builder().timeout_config(timeouts.build())
    }

    /// For the call that puts parts together.
    pub(super) fn completing(&self) -> aws_sdk_s3::config::Builder {
        let limit = self.tuning.complete;
        let timeouts = quick(&self.tuning).read_timeout(limit).operation_attempt_timeout(limit);
        aws_sdk_s3::Config::builder().timeout_config(timeouts.build())
    }
}

/// For a call whose answer begins soon. There is no limit on a whole transfer.
fn quick(tuning: &Tuning) -> TimeoutConfigBuilder {
    TimeoutConfig::builder()
        .connect_timeout(tuning.connect)
        .read_timeout(tuning.answer)
        .operation_attempt_timeout(tuning.connect + tuning.answer)
        .disable_operation_timeout()
}

/// Counts each attempt, since each is one call to the server (and on the bill), and hears the time.
#[derive(Debug)]
struct Counting {
    metrics: Metrics,
    clock: Arc<ServerClock>,
}

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = cfg.load::<Metadata>().map_or("other", |call| label(call.name()));
        let status = context.response().map(|response| response.status().as_u16());
        let outcome = match status {
            Some(404) => "absent",
            Some(409 | 412) => "conflict",
            Some(200..=299) if context.output_or_error().is_some_and(|output| output.is_ok()) => {
                "ok"
            }
            _ => "error",
        };
        self.metrics.store_call(operation, outcome);
        if let Some(date) = context.response().and_then(|response| response.headers().get("date")) {
            self.clock.hear(date);
        }
        Ok(())
    }
}

/// The calls that are made here; a label is a constant.
fn label(operation: &str) -> &'static str {
    const CALLS: [&str; 24] = [
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "DeleteObject",
        "DeleteObjects",
        "GetObject",
        "HeadObject",
        "ListMultipartUploads",
        "ListObjectsV2",
        "PutObject",
        "UploadPart",
        "HeadBucket",
        "CreateBucket",
        "GetBucketEncryption",
        "GetBucketLifecycleConfiguration",
        "GetBucketPolicy",
        "GetBucketTagging",
        "GetBucketVersioning",
        "GetPublicAccessBlock",
        "PutBucketEncryption",
        "PutBucketLifecycleConfiguration",
        "PutBucketPolicy",
        "PutBucketTagging",
        "PutPublicAccessBlock",
    ];
    CALLS.into_iter().find(|call| *call == operation).unwrap_or("other")
}
