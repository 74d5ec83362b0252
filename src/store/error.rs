//! Why a store could not do it.

const CREDENTIALS: &str =
    "look at the credentials of the node: its role, or the AWS variables of the service";
const REGION: &str = "set registry_mirror_bucket_location to the region that the bucket lies in";

/// Why a store could not do it, by meaning. Never carries a foreign error's own text beyond its
/// code: a signed URL or a credential could be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store does not let us.
    #[error("the store denied `{operation}` ({code})")]
    Denied {
        /// What was tried, in the store's own word (`PutObject`, `open`).
        operation: &'static str,
        /// The store's code (`AccessDenied`, `EACCES`).
        code: String,
    },
    /// The store does not do what it was asked for: the same call fails in the same way again.
    #[error("the store refused `{operation}` ({code})")]
    Refused {
        /// Call that was refused.
        operation: &'static str,
        /// The store's code.
        code: String,
    },
    /// The store did not answer, or not in time, or says that it cannot now: worth another try.
    #[error("the store is not available for `{operation}` ({code})")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The store's code, or what kind of failure it was (`timeout`, `connect`).
        code: String,
    },
    /// There is no room.
    #[error("the store has no room for `{operation}`")]
    Full {
        /// What was tried.
        operation: &'static str,
    },
    /// The range lies outside the content.
    #[error("the range lies outside the content's {size} bytes")]
    OutOfRange {
        /// The content's length in bytes.
        size: u64,
    },
    /// The store answered something that makes no sense.
    #[error("the store answered wrongly to `{operation}`: {what}")]
    Broken {
        /// What was tried.
        operation: &'static str,
        /// What was wrong with the answer.
        what: String,
    },
    /// The place that is configured is none, or not ours.
    #[error("{what}")]
    Misconfigured {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A registry hosts images here, which are not ours to touch.
    #[error("the bucket hosts a registry's images ({evidence}), so it is not used for content")]
    Hosted {
        /// Evidence that it does.
        evidence: String,
    },
    /// The store was found not to encrypt and is not written to.
    #[error("the store does not encrypt, so it is not written to")]
    NotEncrypted,
    /// The store was found to encrypt otherwise than by the key that is named, and is not written to.
    #[error("the store does not encrypt by the key that is named, so it is not written to")]
    OtherKey,
}

impl StoreError {
    /// What to do about it, where somebody has to.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Misconfigured { hint, .. } => Some(hint),
            // As S3 passes on what KMS answered (API reference, "KMS error codes").
            Self::Denied { code, .. } | Self::Unavailable { code, .. }
                if code.starts_with("KMS.") =>
            {
                Some(
                    "see that the key which registry_mirror_bucket_encryption_key names, or the \
                     bucket's default, is there, enabled, and ours to use",
                )
            }
            Self::NotEncrypted => Some(
                "give the bucket a default encryption, and a store of your own the KMS that it \
                 takes; or set registry_mirror_bucket_encrypt to false, if it is meant to be so",
            ),
            Self::Hosted { .. } => Some(
                "give the mirror a bucket of its own, or a prefix in this one \
                 (registry_mirror_bucket_prefix); if all of it is a mirror's, say so by \
                 `registry-mirror cache adopt`",
            ),
            Self::OtherKey => Some(
                "see which key registry_mirror_bucket_encryption_key names, and what it is now",
            ),
            Self::Denied { operation, code } => match code.as_str() {
                // A HEAD is refused without a code.
                "AccessDenied" | "AllAccessDisabled" | "Forbidden" | "403" => grant(operation),
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired" => Some(CREDENTIALS),
                "PermanentRedirect" | "AuthorizationHeaderMalformed" | "301" | "307" => {
                    Some(REGION)
                }
                _ => None,
            },
            Self::Full { .. } => Some(
                "make room where it is kept, raise the quota, or set registry_mirror_max_size below \
                 what fits",
            ),
            Self::Refused { .. } => Some(
                "see that the store offers this call of S3; docs/operations.md lists what is needed",
            ),
            Self::Unavailable { code, .. } if code == "no credentials" => Some(CREDENTIALS),
            Self::Unavailable { code, .. } if code == "no region" => Some(REGION),
            _ => None,
        }
    }

    /// Whether it is about this content alone, and says nothing of the store: the key that it is
    /// encrypted by is of no use, or it lies in an archive.
    pub fn is_of_content(&self) -> bool {
        matches!(self, Self::Denied { code, .. }
            if code.starts_with("KMS.") || code == "InvalidObjectState")
    }

    /// Whether the same call may well succeed later.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. } | Self::Broken { .. })
    }
}

/// What the role of the node must be granted for a call of S3 (Service Authorization Reference,
/// "Actions, resources, and condition keys for Amazon S3"); none for what is no call of S3.
fn grant(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "GetObject" | "HeadObject" => {
            "grant the role of the node `s3:GetObject`, `s3:ListBucket` (else what is missing is \
             refused, too), and `kms:Decrypt` where a KMS key is used"
        }
        "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => {
            "grant the role of the node `s3:PutObject`, and `kms:GenerateDataKey` and \
             `kms:Decrypt` where a KMS key is used; if that is granted, a policy may deny writes \
             that name no encryption (`s3:x-amz-server-side-encryption`): then name the key by \
             registry_mirror_bucket_encryption_key, or make AES256 the bucket's default"
        }
        "DeleteObject" | "DeleteObjects" => "grant the role of the node `s3:DeleteObject`",
        "AbortMultipartUpload" => "grant the role of the node `s3:AbortMultipartUpload`",
        "ListObjectsV2" | "HeadBucket" => "grant the role of the node `s3:ListBucket`",
        "ListMultipartUploads" => "grant the role of the node `s3:ListBucketMultipartUploads`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(operation: &'static str, code: &str) -> Option<String> {
        let error = StoreError::Denied { operation, code: code.to_owned() };
        error.hint().map(str::to_owned)
    }

    #[test]
    fn what_is_denied_names_the_action_that_is_not_granted() {
        for (operation, action) in [
            ("GetObject", "`s3:GetObject`"),
            ("PutObject", "`s3:PutObject`"),
            ("UploadPart", "`s3:PutObject`"),
            ("DeleteObjects", "`s3:DeleteObject`"),
            ("AbortMultipartUpload", "`s3:AbortMultipartUpload`"),
            ("ListObjectsV2", "`s3:ListBucket`"),
            ("ListMultipartUploads", "`s3:ListBucketMultipartUploads`"),
        ] {
            let hint = hint(operation, "AccessDenied").unwrap();
            assert!(hint.contains(action), "{operation}: {hint}");
        }
        assert!(hint("HeadObject", "403").unwrap().contains("`s3:ListBucket`"));
        assert!(hint("PutObject", "ExpiredToken").unwrap().contains("credentials"));
        assert!(hint("PutObject", "KMS.DisabledException").unwrap().contains("enabled"));
        assert_eq!(hint("open", "EACCES"), None);
    }

    #[test]
    fn a_store_that_is_full_says_what_to_do() {
        let hint = StoreError::Full { operation: "write" }.hint().unwrap().to_owned();
        assert!(hint.contains("registry_mirror_max_size"), "{hint}");
    }
}
