//! The error codes of the distribution spec and the body that carries them.

/// A code of the distribution spec 1.1, "Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The blob is unknown to the upstream.
    BlobUnknown,
    /// The digest in the path is not one.
    DigestInvalid,
    /// The manifest is unknown to the upstream.
    ManifestUnknown,
    /// The tag in the path is outside the grammar.
    ManifestInvalid,
    /// The repository's name is outside the grammar.
    NameInvalid,
    /// The repository is unknown, or not this mirror's to serve.
    NameUnknown,
    /// The client may not have this.
    Denied,
    /// The operation is not one of a mirror.
    Unsupported,
    /// A limit of the upstream is reached.
    TooManyRequests,
    /// The upstream or the store failed; not in the spec's table, which lets registries add codes.
    Unavailable,
    /// The range asked for lies outside the content; from the older Docker registry API.
    RangeInvalid,
    /// The request is malformed in a way that no other code names.
    Unknown,
}

impl Code {
    /// The code's spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The JSON body of an error: one entry, `message` for people.
pub fn error_body(code: Code, message: &str) -> String {
    serde_json::json!({ "errors": [{ "code": code.as_str(), "message": message }] }).to_string()
}
