//! Which copies there are, and in which order they were used.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, SystemTime},
};

use crate::store::{Key, Listed};

/// The most copies, so that this list of them stays small beside what it lists.
pub(super) const MOST: usize = 65_536;

/// The order of use: what was found at the start by the time it was written, then what was used
/// since. The last number tells two of the same time apart.
type Rank = (bool, Duration, u64);

/// What is on the disk, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<Key, Entry>,
    order: BTreeMap<Rank, Key>,
    count: u64,
    bytes: u64,
    /// How many count what is on the disk now.
    counters: usize,
    /// What went since the first of them began: a listing may have seen it before it went.
    gone: HashSet<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    size: u64,
    rank: Rank,
    /// Whether this process has seen its bytes to be right.
    checked: bool,
}

impl Index {
    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes a use of a copy that has `size` bytes. Whether it is known, and known to be right.
    pub(super) fn touch(&mut self, key: &Key, size: u64) -> bool {
        let Some(entry) = self.entries.get(key).copied() else { return false };
        let checked = entry.checked && entry.size == size;
        self.insert(key, entry.size, checked);
        checked
    }

    /// A copy of `size` bytes was seen to be right. Whether it is known at all.
    pub(super) fn check(&mut self, key: &Key, size: u64) -> bool {
        let entry = self.entries.get_mut(key);
        let is_known = entry.is_some();
        if let Some(entry) = entry.filter(|entry| entry.size == size) {
            entry.checked = true;
        }
        is_known
    }

    /// A copy is not known to be right any more.
    pub(super) fn doubt(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.checked = false;
        }
    }

    /// A copy that was just written or used.
    pub(super) fn insert(&mut self, key: &Key, size: u64, checked: bool) {
        self.count += 1;
        self.place(key, Entry { size, rank: (true, Duration::ZERO, self.count), checked });
    }

    /// What is found from now on may be gone when it is told of.
    pub(super) fn begin_count(&mut self) {
        self.counters += 1;
    }

    pub(super) fn end_count(&mut self) {
        self.counters -= 1;
        if self.counters == 0 {
            self.gone = HashSet::new();
        }
    }

    /// A copy that was found. What is known of it already is newer.
    pub(super) fn find(&mut self, listed: &Listed) {
        if self.entries.contains_key(&listed.key) || self.gone.contains(&listed.key) {
            return;
        }
        self.count += 1;
        let written = listed.stored.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let rank = (false, written, self.count);
        self.place(&listed.key, Entry { size: listed.size, rank, checked: false });
    }

    fn place(&mut self, key: &Key, entry: Entry) {
        self.take(key);
        self.bytes += entry.size;
        self.order.insert(entry.rank, key.clone());
        self.entries.insert(key.clone(), entry);
    }

    /// A copy goes.
    pub(super) fn remove(&mut self, key: &Key) {
        self.take(key);
        if self.counters > 0 {
            self.gone.insert(key.clone());
        }
    }

    fn take(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.rank);
            self.bytes -= entry.size;
        }
    }

    /// Forgets the least recently used until at most `limit` bytes are left, and hands them out.
    /// The `pinned` go only when nothing else is left.
    pub(super) fn shrink(&mut self, limit: u64, pinned: &HashSet<Key>) -> Vec<Key> {
        let mut gone = self.surplus();
        gone.iter().for_each(|key| self.remove(key));
        for spare in [true, false] {
            let mut left = self.bytes;
            let victims = self.order.values().take_while(|key| {
                let goes_on = left > limit;
                if goes_on && !(spare && pinned.contains(*key)) {
                    left -= self.entries.get(*key).map_or(0, |entry| entry.size);
                }
                goes_on
            });
            let victims: Vec<Key> =
                victims.filter(|key| !(spare && pinned.contains(*key))).cloned().collect();
            victims.iter().for_each(|key| self.remove(key));
            gone.extend(victims);
        }
        gone
    }

    /// Forgets the least recently used beyond [`MOST`], and hands them out. Whoever counts has come
    /// past them already.
    pub(super) fn surplus(&mut self) -> Vec<Key> {
        let surplus = self.entries.len().saturating_sub(MOST);
        let gone: Vec<Key> = self.order.values().take(surplus).cloned().collect();
        gone.iter().for_each(|key| self.take(key));
        gone
    }
}
