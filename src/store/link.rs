//! Addresses from which clients read content themselves.

use std::{fmt, time::Duration};

/// How long a [`Link`] is good for. Nothing may be removed sooner than this after its last use.
pub const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// An address from which whoever has it may read content, for [`LINK_LIFETIME`]. As good as a
/// password for that long, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// Takes an address into keeping.
    pub fn new(address: impl Into<String>) -> Self {
        Self(address.into())
    }

    /// The address, for the one client that may have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}
