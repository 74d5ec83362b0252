//! Which content was served, and when last: what the clean-up goes by.

use std::{collections::HashMap, fmt, sync::Mutex, time::SystemTime};

use super::lock;
use crate::{clock::to_unix, store::Key};

/// How many digests are remembered between two collections; what comes on top counts as not used,
/// and is used again soon if it is in use at all.
const LIMIT: usize = 100_000;

/// The use of content since it was last collected.
#[derive(Default)]
pub struct Use {
    touched: Mutex<HashMap<Key, u64>>,
}

impl Use {
    /// Content was served at `now`.
    pub fn touch(&self, keys: impl IntoIterator<Item = Key>, now: SystemTime) {
        let seconds = to_unix(now);
        let mut touched = lock(&self.touched);
        for key in keys {
            if touched.len() < LIMIT || touched.contains_key(&key) {
                touched.insert(key, seconds);
            }
        }
    }

    /// What was used since the last call, with the second since 1970 of its last use.
    pub fn collect(&self) -> HashMap<Key, u64> {
        std::mem::take(&mut lock(&self.touched))
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Use")
    }
}
