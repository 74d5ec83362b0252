//! Tenancy of the shared store: where a registry hosts images, it is not used for content.

use super::{super::lock, Keeper};
use crate::store::{StoreError, Tenancy};

impl Keeper {
    /// Looks whose content lies in the shared store, and says so in the log where that has changed.
    ///
    /// # Errors
    /// It cannot be told.
    pub(in crate::mirror) async fn look_at_tenancy(&self) -> Result<Tenancy, StoreError> {
        let found = self.far.tenancy().await;
        match &found {
            Ok(Tenancy::Registry { evidence }) => {
                self.note_hosted(Some(&StoreError::Hosted { evidence: evidence.clone() }));
            }
            Ok(Tenancy::Mirror | Tenancy::Unclaimed) => self.note_hosted(None),
            Err(error) => {
                let why = error.to_string();
                let mut said = lock(&self.shared.unexamined);
                if said.as_ref() != Some(&why) {
                    tracing::warn!(
                        why,
                        hint = error.hint(),
                        "bucket cannot be examined for the images of a registry, nothing is removed"
                    );
                    *said = Some(why);
                }
            }
        }
        if found.is_ok() {
            lock(&self.shared.unexamined).take();
        }
        found
    }

    /// The reason why the shared store is not used for content, if a registry hosts images there.
    pub(in crate::mirror) fn hosted(&self) -> Option<StoreError> {
        lock(&self.shared.hosted).clone()
    }

    /// Notes whether a registry hosts images in the shared store.
    pub(in crate::mirror) fn note_hosted(&self, error: Option<&StoreError>) {
        let before = std::mem::replace(&mut *lock(&self.shared.hosted), error.cloned());
        self.count_refusals();
        match (error, before) {
            (Some(error), None) => {
                let hint = error.hint();
                tracing::warn!(hint, "{error}; the node works from its disk and the upstream");
            }
            (None, Some(_)) => tracing::info!("bucket hosts no images of a registry any more"),
            _ => {}
        }
    }
}
