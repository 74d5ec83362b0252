//! The bucket as a place: whether it is there, and how it is configured. What is written is kept as
//! it came, so that a test can look at it.

use std::collections::BTreeMap;

use super::{Bucket, wire::refusal};

/// The bucket as a place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) exists: bool,
    /// Whether this account made it, which S3 tells whoever tries again.
    pub(super) is_own: bool,
    /// Bodies by the name of what they configure (`encryption`, `policy`, …).
    pub(super) configured: BTreeMap<String, String>,
}

impl Default for Place {
    fn default() -> Self {
        Self { exists: true, is_own: true, configured: BTreeMap::new() }
    }
}

/// Calls on the bucket itself: the operation, its method and its query.
const CALLS: [(&str, &str, &str); 12] = [
    ("PutBucketEncryption", "PUT", "encryption"),
    ("PutPublicAccessBlock", "PUT", "publicAccessBlock"),
    ("PutBucketLifecycleConfiguration", "PUT", "lifecycle"),
    ("PutBucketPolicy", "PUT", "policy"),
    ("PutBucketTagging", "PUT", "tagging"),
    ("GetPublicAccessBlock", "GET", "publicAccessBlock"),
    ("GetBucketLifecycleConfiguration", "GET", "lifecycle"),
    ("GetBucketVersioning", "GET", "versioning"),
    ("GetBucketEncryption", "GET", "encryption"),
    ("GetBucketPolicy", "GET", "policy"),
    ("GetBucketTagging", "GET", "tagging"),
    ("PutBucketVersioning", "PUT", "versioning"),
];

/// The call on the bucket itself that a request is; none if it is another.
pub(super) fn operation(method: &str, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let call = CALLS.iter().find(|(_, wanted, query)| *wanted == method && has(query));
    match (call, method) {
        (Some((operation, ..)), _) => Some(operation),
        (None, "PUT") => Some("CreateBucket"),
        (None, "HEAD") => Some("HeadBucket"),
        _ => None,
    }
}

/// Whether that is a call on the bucket itself.
pub(super) fn is_call(operation: &str) -> bool {
    ["CreateBucket", "HeadBucket"].contains(&operation)
        || CALLS.iter().any(|(known, ..)| *known == operation)
}

/// The answer to a call on the bucket itself.
pub(super) fn answer(bucket: &Bucket, operation: &str, body: &[u8]) -> s3s::HttpResponse {
    let mut state = bucket.state();
    let place = &mut state.place;
    let ok = |text: &str| {
        let body = s3s::Body::from(text.to_owned());
        http::Response::builder().header("content-type", "application/xml").body(body).unwrap()
    };
    if operation == "CreateBucket" {
        let body = String::from_utf8_lossy(body);
        return match (place.exists, place.is_own) {
            // What us-east-1 alone does, which is the region of whoever names none.
            (true, true) if !body.contains("LocationConstraint") => ok(""),
            (true, true) => refusal(409, "BucketAlreadyOwnedByYou", false),
            (true, false) => refusal(409, "BucketAlreadyExists", false),
            _ => {
                place.exists = true;
                place.configured.insert("location".into(), body.into());
                ok("")
            }
        };
    }
    if !place.exists {
        return refusal(404, "NoSuchBucket", operation.starts_with("Head"));
    }
    if operation == "HeadBucket" {
        return if place.is_own { ok("") } else { refusal(403, "", true) };
    }
    let call = CALLS.iter().find(|(known, ..)| *known == operation);
    let (_, method, name) = call.expect("a call on the bucket");
    if *method == "PUT" {
        place.configured.insert((*name).into(), String::from_utf8_lossy(body).into());
        return ok("");
    }
    match place.configured.get(*name) {
        Some(text) => ok(text),
        None if *name == "versioning" => ok("<VersioningConfiguration/>"),
        None => refusal(404, "NoSuchConfiguration", false),
    }
}

impl Bucket {
    /// The same bucket, which is not there yet.
    pub fn missing(self) -> Self {
        self.state().place.exists = false;
        self
    }

    /// The same bucket, which another account made.
    pub fn of_another_account(self) -> Self {
        self.state().place.is_own = false;
        self
    }

    /// The same bucket, with something configured as that body says.
    pub fn configured(self, what: &str, body: &str) -> Self {
        self.state().place.configured.insert(what.into(), body.into());
        self
    }

    /// What was configured: bodies by the name of what they configure.
    pub fn configuration(&self) -> BTreeMap<String, String> {
        self.state().place.configured.clone()
    }
}
