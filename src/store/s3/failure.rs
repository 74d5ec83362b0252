//! The one table from the SDK's errors to ours. Only codes pass: a message may hold a signed
//! address, a credential, or whatever the server cared to write.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::store::StoreError;

const UNREADABLE: &str = "unreadable answer";

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    operation: &'static str,
    /// The HTTP status; 0 if there was no answer.
    status: u16,
    code: String,
    /// The length the server named beside an unsatisfiable range.
    size: Option<u64>,
}

impl Failure {
    /// What `error` means.
    pub(super) fn new<E: ProvideErrorMetadata + Error + 'static>(
        operation: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let code = match error {
            SdkError::ServiceError(answer) => answer.err().code().unwrap_or_default(),
            _ if lacks_credentials(error) => "no credentials",
            SdkError::TimeoutError(_) => "timeout",
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "timeout",
            SdkError::DispatchFailure(failure) if failure.is_io() => "connect",
            SdkError::DispatchFailure(_) => "not sent",
            SdkError::ConstructionFailure(_) => "not built",
            SdkError::ResponseError(_) => UNREADABLE,
            _ => "",
        };
        let size = error.raw_response().and_then(whole_size);
        Self { operation, status, code: sanitized(code, status), size }
    }

    /// No region is known, so nothing was asked.
    pub(super) fn no_region(operation: &'static str) -> Self {
        Self { operation, status: 0, code: "no region".into(), size: None }
    }

    /// The answer lacks what it must hold.
    pub(super) fn unreadable(operation: &'static str) -> Self {
        Self { operation, status: 200, code: UNREADABLE.into(), size: None }
    }

    /// Failure to read what is to be sent.
    pub(super) fn unread(operation: &'static str) -> Self {
        Self { operation, status: 0, code: "not read".into(), size: None }
    }

    /// One key of a call on many could not be done, for the reason `code`. A batch that is answered
    /// at all is a status 200, so only the code speaks.
    pub(super) fn coded(operation: &'static str, code: &str) -> Self {
        let status = if code == "AccessDenied" { 403 } else { 200 };
        Self { operation, status, code: sanitized(code, status), size: None }
    }

    /// The code, fit to be printed.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The HTTP status; 0 if there was no answer.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the caller may not do it.
    pub(super) fn is_denied(&self) -> bool {
        // KMS says so with a status 400.
        self.status == 403 || self.code == "AccessDeniedException"
    }

    /// Whether there is nothing under the key. A bucket that is missing is another matter: its
    /// content may be back when it is. So is a 403, by which S3 also answers for what is not there
    /// if `s3:ListBucket` is not granted: it stays [`StoreError::Denied`], since taking it for a
    /// miss would hide a policy that denies everything.
    pub(super) fn is_absent(&self) -> bool {
        self.status == 404 && self.code != "NoSuchBucket"
    }

    /// Whether a condition did not hold.
    pub(super) fn is_condition(&self) -> bool {
        self.status == 412 || self.code == "PreconditionFailed"
    }

    /// Whether another conditional write was under way: worth another try, unlike a condition that
    /// did not hold.
    pub(super) fn is_race(&self) -> bool {
        self.status == 409
    }

    /// Whether the upload is gone.
    pub(super) fn is_lost_upload(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    /// Whether the store does not know what it was asked for.
    pub(super) fn is_unknown_feature(&self) -> bool {
        self.status == 501 || self.code == "NotImplemented"
    }

    /// Whether the store may have refused to encrypt: MinIO without a KMS says 501 now and formerly
    /// said `InvalidArgument`, and others know no `AES256`.
    pub(super) fn may_be_of_encryption(&self) -> bool {
        self.is_unknown_feature()
            || matches!(
                self.code.as_str(),
                "InvalidArgument" | "InvalidRequest" | "InvalidEncryptionAlgorithmError"
            )
    }

    /// Returns true if the store may have refused a way of asking rather than what was asked for: a header
    /// that it does not know, or one that a policy demands.
    pub(super) fn may_be_of_the_way(&self) -> bool {
        // When parts are put together the store has taken all of them.
        self.operation != "CompleteMultipartUpload"
            && matches!(self.status, 400 | 403 | 405 | 411 | 501)
            && !self.code.starts_with("KMS.")
            && !matches!(
                self.code.as_str(),
                "ExpiredToken"
                    | "InvalidToken"
                    | "TokenRefreshRequired"
                    | "InvalidAccessKeyId"
                    | "RequestTimeTooSkewed"
                    | "RequestTimeout"
                    | "AuthorizationHeaderMalformed"
                    | "BadDigest"
                    | "IncompleteBody"
                    | "XAmzContentSHA256Mismatch"
                    | "EntityTooLarge"
                    | "QuotaExceeded"
                    | "XMinioStorageFull"
            )
    }

    /// Whether the range lies outside the content.
    pub(super) fn is_outlying(&self) -> bool {
        self.status == 416
    }

    /// The content's length, if it was named beside a range outside it.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let Failure { operation, status, code, .. } = failure;
        match (status, code.as_str()) {
            (
                _,
                "InternalError"
                | "SlowDown"
                | "ServiceUnavailable"
                | "RequestTimeout"
                | "RequestTimeTooSkewed"
                | "OperationAborted"
                | "NoSuchBucket"
                | "ConditionalRequestConflict",
            ) => Self::Unavailable { operation, code },
            (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull") => Self::Full { operation },
            (301 | 307 | 401 | 403, _)
            | (
                _,
                "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "AuthorizationHeaderMalformed",
            ) => Self::Denied { operation, code },
            // S3 passes on what KMS says: throttling goes by, a key that is disabled or gone stays.
            (_, "KMS.ThrottlingException" | "KMS.InternalException") => {
                Self::Unavailable { operation, code }
            }
            (_, kms) if kms.starts_with("KMS.") => Self::Denied { operation, code },
            (_, UNREADABLE) => Self::Broken { operation, what: code },
            // The bytes changed on their way.
            (_, "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch") => {
                Self::Broken { operation, what: code }
            }
            (400 | 405 | 411 | 501, _) => Self::Refused { operation, code },
            (0 | 408 | 409 | 429 | 500..=599, _) => Self::Unavailable { operation, code },
            _ => Self::Broken { operation, what: format!("status {status}, `{code}`") },
        }
    }
}

/// Whether the SDK's chain found no credentials, which is our side's fault and not the bucket's.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A code as it may be printed: what a code is made of, and not more than a line of it.
fn sanitized(code: &str, status: u16) -> String {
    let code: String = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' '))
        .take(64)
        .collect();
    if code.is_empty() { status.to_string() } else { code }
}

/// The length after the slash of `Content-Range: bytes */1234` (RFC 9110, section 14.4).
fn whole_size(response: &HttpResponse) -> Option<u64> {
    response.headers().get("content-range")?.rsplit_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> StoreError {
        Failure { operation: "GetObject", status, code: code.into(), size: None }.into()
    }

    #[test]
    fn codes_are_sorted_by_meaning() {
        let operation = "GetObject";
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (200, "InternalError"),
            (404, "NoSuchBucket"),
            (400, "RequestTimeout"),
            (0, "connect"),
            (0, "timeout"),
            (400, "KMS.ThrottlingException"),
        ] {
            let code = code.to_owned();
            assert_eq!(of(status, &code), StoreError::Unavailable { operation, code });
        }
        for (status, code) in
            [(403, "AccessDenied"), (400, "KMS.DisabledException"), (400, "ExpiredToken")]
        {
            let code = code.to_owned();
            assert_eq!(of(status, &code), StoreError::Denied { operation, code });
        }
        assert_eq!(of(507, "x"), StoreError::Full { operation });
        for (status, code) in
            [(400, "InvalidRequest"), (400, "MissingContentMD5"), (501, "NotImplemented")]
        {
            let code = code.to_owned();
            assert_eq!(of(status, &code), StoreError::Refused { operation, code });
        }
        assert!(matches!(of(400, "BadDigest"), StoreError::Broken { .. }));
    }

    #[test]
    fn missing_credentials_are_named_as_such() {
        use aws_sdk_s3::operation::get_object::GetObjectError;
        let cause = CredentialsError::not_loaded("a provider's own words");
        let error = SdkError::<GetObjectError, _>::construction_failure(cause);
        let error = StoreError::from(Failure::new("GetObject", &error));
        let code = "no credentials".to_owned();
        assert_eq!(error, StoreError::Unavailable { operation: "GetObject", code });
    }

    #[test]
    fn a_code_is_never_a_message() {
        let code = sanitized("https://b/?X-Amz-Signature=abc&x=\n\u{1b}[31m", 400);
        assert!(!code.contains(['/', '?', '=', '&', '\n', '\u{1b}']), "{code}");
        assert_eq!(sanitized("", 404), "404");
    }
}
