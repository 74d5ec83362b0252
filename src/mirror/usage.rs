//! Which content was served, and when last: what the clean-up goes by.

use std::{collections::HashMap, fmt, sync::Mutex, time::SystemTime};

use tokio::time::Instant;

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
    touched: Mutex<HashMap<Key, Touched>>,
}

/// The use of one content on this node. The time of day may be set while a use waits to be
/// reported; how long ago it was stays true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    at: Instant,
    repositories: Vec<Name>,
}

impl Touched {
    /// As it is written down when the store's clock stands at `there`.
    pub(super) fn told(&self, there: SystemTime) -> Used {
        // Rounded once, so that it is the same second however often it is told.
        let last = there.checked_sub(self.at.elapsed()).map_or(0, to_unix);
        Used { last, repositories: self.repositories.clone() }
    }

    fn merge(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        note::merge_names(&mut self.repositories, &other.repositories);
    }
}

impl Use {
    /// Content was served now.
    pub fn touch(&self, keys: impl IntoIterator<Item = Key>) {
        let used = Touched { at: Instant::now(), repositories: Vec::new() };
        let mut touched = lock(&self.touched);
        for key in keys {
            add(&mut touched, key, &used);
        }
    }

    /// A manifest was served now as one of `repository`.
    pub fn touch_manifest(&self, key: Key, repository: &Name) {
        let used = Touched { at: Instant::now(), repositories: vec![repository.clone()] };
        add(&mut lock(&self.touched), key, &used);
    }

    /// What was used since the last call.
    pub(super) fn collect(&self) -> HashMap<Key, Touched> {
        std::mem::take(&mut lock(&self.touched))
    }

    /// What was used since the last call of [`Self::collect`], as it is written down when the store's
    /// clock stands at `there`. It is collected all the same later.
    pub(super) fn told(&self, there: SystemTime) -> Vec<(Key, Used)> {
        let touched = lock(&self.touched);
        touched.iter().map(|(key, used)| (key.clone(), used.told(there))).collect()
    }

    /// Takes back what was collected and could not be reported.
    pub(super) fn give_back(&self, collected: HashMap<Key, Touched>) {
        let mut touched = lock(&self.touched);
        for (key, used) in &collected {
            add(&mut touched, key.clone(), used);
        }
    }
}

fn add(touched: &mut HashMap<Key, Touched>, key: Key, used: &Touched) {
    let room = touched.len() < LIMIT;
    match touched.get_mut(&key) {
        Some(known) => known.merge(used),
        None if room => drop(touched.insert(key, used.clone())),
        None => {}
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Use")
    }
}
