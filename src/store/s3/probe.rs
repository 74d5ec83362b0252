//! Finding out what the bucket can do, by doing it.

use std::{collections::HashMap, time::SystemTime};

use bytes::Bytes;
use futures_util::future::join;

use super::{
    Inner,
    encryption::Encryption,
    read,
    write::{Answer, Condition, Outcome, TRIES, Write, nonce},
};
use crate::store::{Abilities, Payload, StoreError};

const PUT: &str = "PutObject";
const GET: &str = "GetObject";
const UPLOAD: &str = "CompleteMultipartUpload";
const BODY: &[u8] = b"registry-mirror\n";

impl Inner {
    /// Tries one object, writers who race for one key, and an upload in two parts, each as content
    /// is written, reads back, and removes it all. What was found before is tried afresh; until that
    /// has ended, all others write by what is known of the bucket's encryption. While what an
    /// earlier trial wrote cannot be removed, only its small object is written, over itself.
    pub(super) async fn probe(&self) -> Result<Abilities, StoreError> {
        let keys = ["object", "race", "parts"]
            .map(|what| self.keys.probe(&format!("{}-{what}", self.run)));
        self.learned.forget();
        let stuck = super::lock(&self.stuck).clone();
        let encryption = self.encryption.afresh(super::lock(&self.key_is).clone());
        let result = match stuck {
            Some(abilities) => self.write_over(&encryption, &keys[0], abilities).await,
            None => self.try_out(&encryption, &keys).await,
        };
        self.encryption.adopt(&encryption, result.is_ok());
        let removed = self.delete_all(&keys).await;
        let abilities = result?;
        // The store can be written to and read all the same.
        let cannot_remove = removed.err().filter(|why| !why.retryable());
        let abilities = Abilities { cannot_remove, ..abilities };
        *super::lock(&self.stuck) = abilities.cannot_remove.is_some().then(|| abilities.clone());
        Ok(abilities)
    }

    /// Removes what probes left behind that ended before `old`, and too soon.
    pub(super) async fn remove_probes(&self, old: SystemTime) -> Result<u64, StoreError> {
        let (mut removed, mut from) = (0, None);
        loop {
            let page = self.objects(self.keys.probe(""), from).await?;
            let left = page.entries.into_iter().filter(|object| object.stored < old);
            let left: Vec<String> = left.map(|object| object.key).collect();
            self.delete_all(&left).await?;
            removed += left.len() as u64;
            from = page.next;
            if from.is_none() {
                return Ok(removed);
            }
        }
    }

    /// Tries whether the store still takes writes, where an earlier trial found `abilities` and its
    /// objects could not be removed.
    async fn write_over(
        &self,
        encryption: &Encryption,
        object: &str,
        abilities: Abilities,
    ) -> Result<Abilities, StoreError> {
        let outcome = self.sealed_by(encryption, &small(object), Condition::Always).await?;
        Ok(Abilities { encryption: done(PUT, outcome)?.encryption, ..abilities })
    }

    /// Ends the upload that an earlier trial could not end; another is begun only then.
    async fn end_stuck_upload(&self) -> Result<(), StoreError> {
        let stuck = super::lock(&self.stuck_upload).clone();
        if let Some((key, upload)) = stuck {
            self.abort_upload(&key, &upload).await?;
            super::lock(&self.stuck_upload).take();
        }
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.delete(keys).await?.map_or(Ok(()), |refused| Err(refused.why))
    }

    async fn try_out(
        &self,
        encryption: &Encryption,
        [object, race, parts]: &[String; 3],
    ) -> Result<Abilities, StoreError> {
        let whole = small(object);
        let mut outcome = self.sealed_by(encryption, &whole, Condition::Absent).await?;
        // An earlier trial failed, and could not remove it.
        if matches!(outcome, Outcome::Unmet)
            && let Some(seen) = self.look(object).await?
        {
            outcome = self.sealed_by(encryption, &whole, Condition::Is(seen.etag)).await?;
        }
        let conditional = !matches!(outcome, Outcome::Unconditional);
        if !conditional {
            outcome = self.sealed_by(encryption, &whole, Condition::Always).await?;
        }
        let written = done(PUT, outcome)?;
        if !conditional {
            self.learned.found_unconditional();
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
        self.end_stuck_upload().await?;
        let joined = self.sealed_by(encryption, &in_parts, Condition::Always).await?;
        let joined = done(UPLOAD, joined)?;
        // Both kinds of write were held to the same rule; where they differ, the lesser is named.
        let encryption = written.encryption.and(joined.encryption);
        Ok(Abilities { conditional, encryption, cannot_remove: None })
    }

    /// Whether conditional writes do what they say: of two writers of a new key one wins, of two who
    /// replace the same writing again one, and none who comes after that. On the first rests that
    /// content is written once, on the second the lease.
    async fn one_winner(&self, encryption: &Encryption, key: &str) -> Result<bool, StoreError> {
        let Some(first) = self.race(encryption, key, &Condition::Absent).await? else {
            return Ok(false);
        };
        let replace = Condition::Is(first.clone());
        let second = self.race(encryption, key, &replace).await?;
        Ok(second.is_some_and(|second| second != first))
    }

    /// Has two write under one condition, and a third after them; none if more than one won. What
    /// is there then. An answer of the winner may be lost, and its second attempt be refused: then
    /// nobody seems to have won, though somebody did.
    async fn race(
        &self,
        encryption: &Encryption,
        key: &str,
        condition: &Condition,
    ) -> Result<Option<String>, StoreError> {
        let (one, other) =
            join(self.racer(encryption, key, condition), self.racer(encryption, key, condition))
                .await;
        let early = [one?, other?];
        let late = self.racer(encryption, key, condition).await?;
        let won = early.iter().filter(|end| matches!(end, Outcome::Done(_))).count();
        if won > 1 || !matches!(late, Outcome::Unmet) {
            return Ok(None);
        }
        Ok(self.look(key).await?.map(|seen| seen.etag))
    }

    /// One writer, whose bytes are nobody else's: an `ETag` may be a hash of them.
    async fn racer(
        &self,
        encryption: &Encryption,
        key: &str,
        condition: &Condition,
    ) -> Result<Outcome, StoreError> {
        let write = Write { payload: Payload::Bytes(nonce().into()), ..small(key) };
        for attempt in 0..TRIES {
            match self.sealed_by(encryption, &write, condition.clone()).await? {
                Outcome::Raced => self.pause(attempt).await,
                end => return Ok(end),
            }
        }
        Ok(Outcome::Raced)
    }
}

fn small(key: &str) -> Write {
    Write {
        metadata: HashMap::from([
            (read::VERIFIED.to_owned(), read::YES.to_owned()),
            (read::MEDIA_TYPE.to_owned(), "text/plain".to_owned()),
        ]),
        ..Write::small(key.to_owned(), Bytes::from_static(BODY))
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
