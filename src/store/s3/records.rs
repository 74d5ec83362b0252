//! Records: one small object each, its `ETag` the version.
//!
//! An `ETag` may be a hash of the bytes, and then a value that is written again has the version it
//! had before: of two writers who both saw it, both would win. So each writing ends in a mark of
//! its own, a line of blanks, which a reader takes off again and which whoever looks at the JSON
//! with other tools does not notice.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Inner, S3,
    write::{Condition, Outcome, TRIES, Write, nonce},
};
use crate::store::{Entry, MAX_RECORD, Page, Payload, Records, StoreError, Version, When, Written};

const GET: &str = "GetObject";
const PUT: &str = "PutObject";
const LIST: &str = "ListObjectsV2";
const DELETE: &str = "DeleteObject";
/// The name of the metadata that tells one writing from all others.
const WRITE: &str = "write";
/// The length of the mark in bytes: a line end, and a blank for each bit of a [`nonce`].
const MARK: usize = 129;

#[async_trait]
impl Records for S3 {
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        let key = self.inner.keys.record(GET, path)?;
        self.read(GET, |inner| async move {
            let Some(found) = inner.small(&key, (MAX_RECORD + MARK) as u64).await? else {
                return Ok(None);
            };
            let value = unmarked(found.bytes, found.metadata.get(WRITE));
            Ok(Some((value, version(GET, found.etag)?)))
        })
        .await
    }

    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError> {
        let key = self.inner.keys.record(PUT, path)?;
        if value.len() > MAX_RECORD {
            return Err(StoreError::Denied { operation: PUT, code: "a record too long".into() });
        }
        let writing = nonce();
        let payload = Payload::Bytes([&value[..], mark(&writing).as_bytes()].concat().into());
        let metadata = HashMap::from([(WRITE.to_owned(), writing)]);
        let write = Write { key, payload, sha256: None, metadata, parts: None };
        self.write(PUT, |inner| async move { inner.record(&write, when).await }).await
    }

    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError> {
        let prefix = self.inner.keys.records(LIST, prefix)?;
        self.read(LIST, |inner| async move {
            let page = inner.objects(prefix, from).await?;
            let entries = page.entries.iter().filter_map(|object| {
                let path = inner.keys.record_path(&object.key)?.to_owned();
                Some(Entry { path, written: object.stored })
            });
            Ok(Page { entries: entries.collect(), next: page.next })
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        let key = self.inner.keys.record(DELETE, path)?;
        self.write(DELETE, |inner: Arc<Inner>| async move { inner.delete_one(&key).await }).await
    }
}

impl Inner {
    async fn record(&self, write: &Write, when: When) -> Result<Written, StoreError> {
        let mut conditional = self.learned.is_conditional();
        for attempt in 0..TRIES {
            let mut condition = match &when {
                When::Always => Condition::Always,
                When::Absent => Condition::Absent,
                When::Is(Version(etag)) => Condition::Is(etag.clone()),
            };
            if !conditional {
                // All that such a store allows; the probe tells whoever must know.
                if !self.holds(&write.key, &condition).await? {
                    return Ok(Written::Conflict);
                }
                condition = Condition::Always;
            }
            match self.sealed(write, condition).await? {
                Outcome::Done(answer) => {
                    if !conditional {
                        self.learned.found_unconditional();
                    }
                    return Ok(Written::Done(version(PUT, answer.etag)?));
                }
                Outcome::Unmet => return self.unmet(write).await,
                Outcome::Raced => self.pause(attempt).await,
                Outcome::Unconditional => conditional = false,
                Outcome::Lost => {}
            }
        }
        Err(StoreError::Unavailable { operation: PUT, code: "ConditionalRequestConflict".into() })
    }

    /// A condition that did not hold may have been broken by an earlier attempt of the very same
    /// call, whose answer was lost: then what is there bears its mark.
    async fn unmet(&self, write: &Write) -> Result<Written, StoreError> {
        let Some(seen) = self.look(&write.key).await? else { return Ok(Written::Conflict) };
        if seen.metadata.get(WRITE) != write.metadata.get(WRITE) {
            return Ok(Written::Conflict);
        }
        if self.encryption.accepts(seen.info.encryption.as_ref()) {
            return Ok(Written::Done(version(PUT, seen.etag)?));
        }
        match self.sealed(write, Condition::Is(seen.etag)).await? {
            Outcome::Done(answer) => Ok(Written::Done(version(PUT, answer.etag)?)),
            _ => Ok(Written::Conflict),
        }
    }

    async fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        Ok(match condition {
            Condition::Always => true,
            Condition::Absent => self.look(key).await?.is_none(),
            Condition::Is(etag) => self.look(key).await?.is_some_and(|seen| seen.etag == *etag),
        })
    }
}

/// The mark of a writing: its bits as spaces and tabs.
fn mark(writing: &str) -> String {
    let number = u128::from_str_radix(writing, 16).unwrap_or_default();
    let bits = (0..u128::BITS).map(|bit| if number >> bit & 1 == 0 { ' ' } else { '\t' });
    std::iter::once('\n').chain(bits).collect()
}

/// The value without the mark of its writing. What another program wrote has none.
fn unmarked(bytes: Bytes, writing: Option<&String>) -> Bytes {
    let end = writing.and_then(|writing| {
        let end = bytes.len().checked_sub(MARK)?;
        bytes.ends_with(mark(writing).as_bytes()).then_some(end)
    });
    bytes.slice(..end.unwrap_or(bytes.len()))
}

fn version(operation: &'static str, etag: String) -> Result<Version, StoreError> {
    if etag.is_empty() {
        return Err(StoreError::Broken { operation, what: "no `ETag`".into() });
    }
    Ok(Version(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_blank_and_comes_off_again() {
        let writing = nonce();
        let marked = format!("{{}}{}", mark(&writing));
        assert_eq!(marked.len(), 2 + MARK);
        assert!(serde_json::from_str::<serde_json::Value>(&marked).is_ok(), "it is still JSON");
        let marked = Bytes::from(marked);
        assert_eq!(unmarked(marked.clone(), Some(&writing)), "{}");
        assert_eq!(unmarked(marked.clone(), Some(&nonce())), marked, "not the mark of another");
        assert_eq!(unmarked(marked.clone(), None), marked);
        assert_eq!(unmarked("{}".into(), Some(&writing)), "{}");
    }
}
