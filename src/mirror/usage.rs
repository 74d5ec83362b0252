//! Which content was served, and when last: what the clean-up goes by.

use std::{collections::HashMap, fmt, sync::Mutex, time::SystemTime};

pub(super) mod note;

use super::lock;
use crate::{clock::to_unix, oci::Name, store::Key};

pub use note::Used;

/// How many digests are remembered between two reports; what comes on top counts as not used, and
/// is used again soon if it is in use at all.
const LIMIT: usize = 100_000;

/// The use of content since it was last collected.
#[derive(Default)]
pub struct Use {
    touched: Mutex<HashMap<Key, Used>>,
}

impl Use {
    /// Content was served at `now`.
    pub fn touch(&self, keys: impl IntoIterator<Item = Key>, now: SystemTime) {
        let used = Used { last: to_unix(now), repositories: Vec::new() };
        let mut touched = lock(&self.touched);
        for key in keys {
            add(&mut touched, key, &used);
        }
    }

    /// A manifest was served at `now` as one of `repository`.
    pub fn touch_manifest(&self, key: Key, repository: &Name, now: SystemTime) {
        let used = Used { last: to_unix(now), repositories: vec![repository.clone()] };
        add(&mut lock(&self.touched), key, &used);
    }

    /// What was used since the last call.
    pub fn collect(&self) -> HashMap<Key, Used> {
        std::mem::take(&mut lock(&self.touched))
    }

    /// Takes back what was collected and could not be reported.
    pub(super) fn give_back(&self, collected: HashMap<Key, Used>) {
        let mut touched = lock(&self.touched);
        for (key, used) in &collected {
            add(&mut touched, key.clone(), used);
        }
    }
}

fn add(touched: &mut HashMap<Key, Used>, key: Key, used: &Used) {
    if touched.len() < LIMIT || touched.contains_key(&key) {
        touched.entry(key).or_default().merge(used);
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Use")
    }
}
