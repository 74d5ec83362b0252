//! Putting right what is damaged in the shared store.

use bytes::Bytes;

use super::Keeper;
use crate::store::{Body, Key, Meta, Payload, StoreError};

impl Keeper {
    /// Replaces content of the shared store that turned out to be wrong there by what this node has:
    /// the copy on its disk, if that hashes right, or what it `held` in memory. Otherwise, and if
    /// another program wrote it, it is taken away. Whether it was replaced.
    ///
    /// # Errors
    /// It could be neither removed nor replaced.
    pub(in crate::mirror) async fn mend(
        &self,
        key: &Key,
        meta: &Meta,
        held: Option<Bytes>,
    ) -> Result<bool, StoreError> {
        self.suspect(key);
        let copy = match &self.near {
            Some(near) => {
                near.doubt(key);
                near.get(key).await.map(|found| found.body)
            }
            None => None,
        };
        let payload = match copy {
            Some(Body::File(file, range)) => Some(Payload::File { file, len: range.end }),
            _ => held.map(Payload::Bytes),
        };
        if let Some(payload) = payload.filter(|_| meta.verified)
            && self.upload(key, payload, meta).await.is_ok()
        {
            return Ok(true);
        }
        self.remove_damaged(key).await?;
        Ok(false)
    }
}
