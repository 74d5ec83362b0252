//! What could not be removed.

use super::{Key, StoreError};

/// Why not all of several keys were removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRemoved {
    /// The store failed: which of the keys are gone nobody can tell.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// These stayed, and all others are gone.
    #[error("{} stayed: {why}", keys.len())]
    Stayed {
        /// What stayed.
        keys: Vec<Key>,
        /// Why the first of them did.
        why: StoreError,
    },
}

impl From<NotRemoved> for StoreError {
    fn from(error: NotRemoved) -> Self {
        match error {
            NotRemoved::Failed(why) | NotRemoved::Stayed { why, .. } => why,
        }
    }
}
