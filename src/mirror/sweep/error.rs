//! Why there was no clean-up, and what to do about it.

use std::{borrow::Cow, time::SystemTime};

use crate::{clock::rfc3339, store::StoreError};

/// Why there was no clean-up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Another node is at it.
    #[error("another node is cleaning up")]
    Busy {
        /// When its lease ends, unless it renews it.
        until: SystemTime,
    },
    /// Another node took the lease.
    #[error("another node took over the clean-up")]
    Lost,
    /// The store cannot tell two writers apart, and this node is not the one that is to clean up.
    #[error("the store's conditional writes cannot be trusted, and this node is not `sweeper`")]
    NotSweeper,
    /// A record is of a form that this version does not know.
    #[error("the record `{path}` is of a form that this version does not know")]
    Unreadable {
        /// Where it lies among our records.
        path: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SweepError {
    /// What to do about it, where somebody has to.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Busy { until } => {
                let until = rfc3339(*until);
                format!("wait for it; if that node is gone, another can begin at {until}").into()
            }
            Self::Lost => return None,
            Self::NotSweeper => {
                "set registry_mirror_sweeper to the name of the one node that cleans up".into()
            }
            Self::Unreadable { .. } => {
                "a newer version wrote it: upgrade this node; or remove it if it is damaged".into()
            }
            Self::Store(StoreError::Full { .. }) => {
                "give it more room; or take images away with `registry-mirror cache purge`, which \
                 writes nothing"
                    .into()
            }
            Self::Store(error) => error.hint()?.into(),
        })
    }
}

/// Whether there is no room to write.
pub(super) const fn is_full(error: &SweepError) -> bool {
    matches!(error, SweepError::Store(StoreError::Full { .. }))
}
