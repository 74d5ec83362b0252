//! What lies beside the bucket at AWS: STS, which tells whose credentials these are, and KMS with
//! one key.

use super::{Bucket, SECRET, wire::refusal};

/// The account that credentials are of unless a test says otherwise.
pub const ACCOUNT: &str = "111122223333";
/// The ARN of the one key that KMS has.
pub const KEY: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// The alias that means it.
pub const ALIAS: &str = "alias/mirror";

/// STS and KMS.
#[derive(Clone, Debug)]
pub(super) struct Cloud {
    state: &'static str,
    spec: &'static str,
    /// What requests for the key named, and what they said of the bucket.
    contexts: Vec<String>,
}

impl Default for Cloud {
    fn default() -> Self {
        Self { state: "Enabled", spec: "SYMMETRIC_DEFAULT", contexts: Vec::new() }
    }
}

/// The call on STS or KMS that a request is; none if it is S3's.
pub(super) fn operation(request: &s3s::HttpRequest) -> Option<&'static str> {
    let host = request.uri().host().unwrap_or_default();
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    match (host.split('.').next(), target) {
        (Some("sts"), _) => Some("GetCallerIdentity"),
        (Some("kms"), Some("TrentService.DescribeKey")) => Some("DescribeKey"),
        (Some("kms"), Some("TrentService.GenerateDataKey")) => Some("GenerateDataKey"),
        _ => None,
    }
}

/// Its answer.
pub(super) fn answer(bucket: &Bucket, operation: &str, body: &[u8]) -> s3s::HttpResponse {
    if operation == "GetCallerIdentity" {
        let text = format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>"
        );
        return response(200, text);
    }
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    let named = asked["KeyId"].as_str().unwrap();
    let cloud = &mut bucket.state().cloud;
    if ![KEY, ALIAS, KEY.rsplit('/').next().unwrap()].contains(&named) {
        return refused("NotFoundException");
    }
    if operation == "DescribeKey" {
        let about = serde_json::json!({ "KeyMetadata": {
            "KeyId": KEY.rsplit('/').next(), "Arn": KEY, "KeyState": cloud.state,
            "KeySpec": cloud.spec, "KeyUsage": "ENCRYPT_DECRYPT", "Enabled": cloud.state == "Enabled",
        }});
        return response(200, about.to_string());
    }
    assert_eq!(asked["DryRun"], true, "a key is really asked for: {asked}");
    cloud.contexts.push(asked["EncryptionContext"]["aws:s3:arn"].as_str().unwrap().to_owned());
    refused("DryRunOperationException")
}

/// A refusal in the manner of KMS.
pub(super) fn refused(code: &str) -> s3s::HttpResponse {
    response(400, format!(r#"{{"__type":"{code}","message":"{SECRET}"}}"#))
}

/// A refusal in the manner of whoever is asked.
pub(super) fn failed(operation: &str, status: u16, code: &str) -> s3s::HttpResponse {
    if operation == "GetCallerIdentity" {
        return refusal(status, code, false);
    }
    refused(code)
}

fn response(status: u16, text: String) -> s3s::HttpResponse {
    http::Response::builder().status(status).body(s3s::Body::from(text)).unwrap()
}

impl Bucket {
    /// The same bucket, beside a KMS whose key is in that state.
    pub fn key_state(self, state: &'static str) -> Self {
        self.state().cloud.state = state;
        self
    }

    /// The same bucket, beside a KMS whose key is of that kind.
    pub fn key_spec(self, spec: &'static str) -> Self {
        self.state().cloud.spec = spec;
        self
    }

    /// What dry runs at KMS said of the bucket.
    pub fn key_contexts(&self) -> Vec<String> {
        self.state().cloud.contexts.clone()
    }
}
