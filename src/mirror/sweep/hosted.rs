//! Clean-up beside a registry that hosts images in the bucket: its content is not seen, and what comes
//! to be the mirror's has its full time from then on.

use super::{HeldBack, State, SweepError, walk};
use crate::mirror::Inner;

/// Attempts at a change of the state that others come before.
const MAX_STATE_CONFLICTS: u32 = 5;

impl Inner {
    /// That the bucket hosts the images of a registry, if that is so.
    pub(super) async fn hosted(&self) -> Result<Option<HeldBack>, SweepError> {
        self.keeper.look_at_tenancy().await?;
        Ok(self.keeper.hosted().map(HeldBack::Hosted))
    }

    /// Notes that until now public content was none of the mirror's: it has its full `expire_after`
    /// from now on.
    ///
    /// # Errors
    /// The store failed, or others write the state all the time.
    pub(in crate::mirror) async fn note_hosting(&self) -> Result<(), SweepError> {
        let mut noted = Err(SweepError::Lost);
        for _ in 0..MAX_STATE_CONFLICTS {
            let now = walk::now(self).await?;
            let mut state = State::read(&*self.parts.records).await?;
            state.hosted = now;
            noted = state.write(&*self.parts.records).await;
            if noted != Err(SweepError::Lost) {
                break;
            }
        }
        noted
    }
}
