//! Finding out what the bucket can do, by doing it.

use std::{collections::HashMap, sync::atomic::Ordering};

use bytes::Bytes;
use futures_util::future::join;

use super::{
    Inner,
    encryption::Encryption,
    keys,
    write::{Answer, Condition, Outcome, Write, nonce},
};
use crate::store::{Abilities, Payload, StoreError};

const PUT: &str = "PutObject";
const GET: &str = "GetObject";
const UPLOAD: &str = "CompleteMultipartUpload";
const BODY: &[u8] = b"registry-mirror\n";

impl Inner {
    /// Tries one object, two writers of one key, and an upload in two parts, reads back, and
    /// removes it all. What was found before is tried afresh; until that has ended, all others
    /// write by what is known of the bucket's encryption.
    pub(super) async fn probe(&self) -> Result<Abilities, StoreError> {
        self.conditional.store(true, Ordering::Relaxed);
        let encryption = self.encryption.afresh(super::lock(&self.key_is).clone());
        let name = nonce();
        let keys = ["object", "race", "parts"].map(|what| keys::probe(&format!("{name}-{what}")));
        let result = self.try_out(&encryption, &keys).await;
        self.encryption.adopt(&encryption, result.is_ok());
        let removed = self.delete(&keys).await;
        let abilities = result?;
        removed?;
        Ok(abilities)
    }

    async fn try_out(
        &self,
        encryption: &Encryption,
        [object, race, parts]: &[String; 3],
    ) -> Result<Abilities, StoreError> {
        let whole = small(object);
        let mut outcome = self.sealed_by(encryption, &whole, Condition::Absent).await?;
        let conditional = !matches!(outcome, Outcome::Unconditional);
        if !conditional {
            outcome = self.sealed_by(encryption, &whole, Condition::Always).await?;
        }
        let written = done(PUT, outcome)?;
        if !conditional {
            self.found_unconditional();
        }
        let read = self.small(object, BODY.len() as u64).await?;
        if read.is_none_or(|read| read.bytes != BODY) {
            let what = "other bytes than were just written".into();
            return Err(StoreError::Broken { operation: GET, what });
        }
        let conditional = conditional && self.one_winner(encryption, race).await?;
        let length = self.tuning.probe_part.max(1);
        let filler = Bytes::from(vec![0; usize::try_from(length).unwrap_or(1).saturating_add(1)]);
        let in_parts =
            Write { payload: Payload::Bytes(filler), parts: Some(length), ..small(parts) };
        let joined = self.sealed_by(encryption, &in_parts, Condition::Always).await?;
        let joined = done(UPLOAD, joined)?;
        // Both kinds of write were held to the same rule; where they differ, the lesser is named.
        Ok(Abilities { conditional, encryption: written.encryption.and(joined.encryption) })
    }

    /// Whether exactly one of two writers of one key wins.
    async fn one_winner(&self, encryption: &Encryption, key: &str) -> Result<bool, StoreError> {
        let write = small(key);
        let create = || self.sealed_by(encryption, &write, Condition::Absent);
        let (one, other) = join(create(), create()).await;
        let won = [one?, other?].iter().filter(|end| matches!(end, Outcome::Done(_))).count();
        let late = create().await?;
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
