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

impl Sealed {
    /// Whether both are encrypted alike, as far as they name their keys.
    pub fn is_like(&self, other: &Self) -> bool {
        let (key, others) = (self.key.as_ref(), other.key.as_ref());
        self.algorithm == other.algorithm && key.zip(others).is_none_or(|(key, other)| key == other)
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " by {key}"))
    }
}
