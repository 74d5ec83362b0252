//! Putting right what is damaged in the shared store.

use bytes::Bytes;

use super::Keeper;
use crate::store::{Body, Key, Meta, Payload, StoreError};

impl Keeper {
    /// Takes content away from the shared store that turned out to be wrong there, and puts what
    /// this node has in its place: the copy on its disk, if that hashes right, or what it `held` in
    /// memory. What another program wrote is only taken away. Whether it was replaced.
    ///
    /// # Errors
    /// It could be neither removed nor replaced.
    pub(in crate::mirror) async fn mend(
        &self,
        key: &Key,
        meta: &Meta,
        held: Option<Bytes>,
    ) -> Result<bool, StoreError> {
        let removed = self.far.remove(std::slice::from_ref(key)).await;
        if removed.is_err() {
            self.shared.spoilt.damaged(key);
        }
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
        let mended = match payload.filter(|_| meta.verified) {
            Some(payload) => self.upload(key, payload, meta).await.is_ok(),
            None => false,
        };
        if !mended {
            removed?;
        }
        Ok(mended)
    }
}
