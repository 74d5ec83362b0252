//! Finding out what the bucket can do, by doing it.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::join;

use super::{
    Inner, keys,
    write::{Answer, Condition, Outcome, Write, nonce},
};
use crate::store::{Abilities, Payload, StoreError};

const PUT: &str = "PutObject";
const GET: &str = "GetObject";
const UPLOAD: &str = "CompleteMultipartUpload";
const BODY: &[u8] = b"registry-mirror\n";

impl Inner {
    /// Tries one object, two writers of one key, and an upload in two parts, reads back, and
    /// removes it all. A bucket that was found not to encrypt is tried afresh.
    pub(super) async fn probe(&self) -> Result<Abilities, StoreError> {
        self.encryption.forget();
        let name = nonce();
        let keys = ["object", "race", "parts"].map(|what| keys::probe(&format!("{name}-{what}")));
        let result = self.try_out(&keys).await;
        let removed = self.delete(&keys).await;
        let abilities = result?;
        removed?;
        Ok(abilities)
    }

    async fn try_out(&self, [object, race, parts]: &[String; 3]) -> Result<Abilities, StoreError> {
        let whole = small(object);
        let mut outcome = self.sealed(&whole, Condition::Absent).await?;
        if matches!(outcome, Outcome::Unconditional) {
            outcome = self.sealed(&whole, Condition::Always).await?;
        }
        let written = done(PUT, outcome)?;
        let read = self.small(object, BODY.len() as u64).await?;
        if read.is_none_or(|read| read.bytes != BODY) {
            let what = "other bytes than were just written".into();
            return Err(StoreError::Broken { operation: GET, what });
        }
        let conditional = self.is_conditional() && self.one_winner(race).await?;
        let length = self.tuning.probe_part.max(1);
        let filler = Bytes::from(vec![0; usize::try_from(length).unwrap_or(1).saturating_add(1)]);
        let in_parts =
            Write { payload: Payload::Bytes(filler), parts: Some(length), ..small(parts) };
        let joined = done(UPLOAD, self.sealed(&in_parts, Condition::Always).await?)?;
        // Both kinds of write were held to the same rule; where they differ, the lesser is named.
        Ok(Abilities { conditional, encryption: written.encryption.and(joined.encryption) })
    }

    /// Whether exactly one of two writers of one key wins.
    async fn one_winner(&self, key: &str) -> Result<bool, StoreError> {
        let write = small(key);
        let (one, other) =
            join(self.sealed(&write, Condition::Absent), self.sealed(&write, Condition::Absent))
                .await;
        let won = [one?, other?].iter().filter(|end| matches!(end, Outcome::Done(_))).count();
        let late = self.sealed(&write, Condition::Absent).await?;
        Ok(won == 1 && !matches!(late, Outcome::Done(_)))
    }
}

fn small(key: &str) -> Write {
    Write {
        key: key.to_owned(),
        payload: Payload::Bytes(Bytes::from_static(BODY)),
        sha256: None,
        metadata: HashMap::new(),
        parts: None,
    }
}

fn done(operation: &'static str, outcome: Outcome) -> Result<Answer, StoreError> {
    match outcome {
        Outcome::Done(answer) => Ok(answer),
        Outcome::Unmet | Outcome::Raced | Outcome::Unconditional | Outcome::Lost => {
            let what = "a write of a new key did not go through".into();
            Err(StoreError::Broken { operation, what })
        }
    }
}
