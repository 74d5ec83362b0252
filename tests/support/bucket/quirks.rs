//! Ways in which a store differs from AWS's, one at a time: what it refuses by the headers of a call.

use http::HeaderMap;

use super::Bucket;

/// One way in which a store differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// It answers whatever names an `x-amz-checksum-*` so, as B2 (400) and R2 (501) do.
    RefusesSums(u16, &'static str),
    /// It takes nothing without a checksum, as a bucket with Object Lock does: 400 `InvalidRequest`.
    DemandsSums,
    /// The same of a store that knows `Content-MD5` alone.
    DemandsMd5,
    /// A policy of the bucket demands a checksum: 403.
    PolicyDemandsSums,
    /// DeleteObjects needs `Content-MD5`: 400 `MissingContentMD5`.
    RemovesByMd5,
    /// DeleteObjects is refused so, whatever comes with it.
    RemovesOneByOne(u16, &'static str),
    /// Whatever removes something is refused so.
    RemovesNothing(u16, &'static str),
    /// A policy of the bucket denies what does not name an encryption: 403.
    PolicyDemandsEncryption,
}

const WRITES: [&str; 3] = ["PutObject", "UploadPart", "CreateMultipartUpload"];

impl Quirk {
    /// The status and code by which it refuses a call, if it does.
    fn refuses(self, operation: &str, headers: &HeaderMap) -> Option<(u16, &'static str)> {
        let has = |name: &str| headers.contains_key(name);
        let has_sum = headers.keys().any(|name| name.as_str().starts_with("x-amz-checksum-"));
        let is_write = WRITES.contains(&operation);
        let is_body = ["PutObject", "UploadPart"].contains(&operation);
        let refusal = match self {
            Self::RefusesSums(status, code) if is_write && has_sum => (status, code),
            Self::DemandsSums if is_body && !has_sum && !has("content-md5") => {
                (400, "InvalidRequest")
            }
            Self::DemandsMd5 if is_body && !has("content-md5") => (400, "InvalidRequest"),
            Self::PolicyDemandsSums if is_body && !has_sum => (403, "AccessDenied"),
            Self::RemovesByMd5 if operation == "DeleteObjects" && !has("content-md5") => {
                (400, "MissingContentMD5")
            }
            Self::RemovesOneByOne(status, code) if operation == "DeleteObjects" => (status, code),
            Self::RemovesNothing(status, code)
                if ["DeleteObjects", "DeleteObject"].contains(&operation) =>
            {
                (status, code)
            }
            Self::PolicyDemandsEncryption
                if ["PutObject", "CreateMultipartUpload"].contains(&operation)
                    && !has("x-amz-server-side-encryption") =>
            {
                (403, "AccessDenied")
            }
            _ => return None,
        };
        Some(refusal)
    }
}

/// The status and code by which the bucket refuses a call for one of its quirks, if it does.
pub(super) fn refusal(
    quirks: &[Quirk],
    operation: &str,
    headers: &HeaderMap,
) -> Option<(u16, &'static str)> {
    quirks.iter().find_map(|quirk| quirk.refuses(operation, headers))
}

impl Bucket {
    /// The same bucket, which differs from AWS's in this, too.
    pub fn with(self, quirk: Quirk) -> Self {
        self.turn(quirk);
        self
    }

    /// From now on the bucket differs in this, too.
    pub fn turn(&self, quirk: Quirk) {
        self.state().quirks.push(quirk);
    }

    /// The bucket is as AWS's again.
    pub fn turn_back(&self) {
        self.state().quirks.clear();
    }
}
