//! How something that is kept is encrypted.

use std::fmt;

/// How something is encrypted, as the store that keeps it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `AES256`, `aws:kms`, …
    pub algorithm: String,
    /// The key, where the store names one.
    pub key: Option<String>,
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " by {key}"))
    }
}
