//! Who this node is among others that share a store.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// A node: one run of the program.
#[derive(Debug)]
pub struct Node {
    id: String,
    names: Vec<String>,
    reports: AtomicU64,
}

impl Node {
    /// A node that is called by these names; the first of them is the one by which others see it.
    pub fn new(names: Vec<String>) -> Self {
        let name = names.first().map_or("node", String::as_str);
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
        let name: String = name.chars().take(64).map(safe).collect();
        // Nobody must be unable to guess it; it only tells one run from all others.
        let run = RandomState::new().build_hasher().finish();
        Self { id: format!("{name}.{run:016x}"), names, reports: AtomicU64::new(0) }
    }

    /// What tells this run from all others: letters, digits, `-` and `.`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is called so.
    pub fn is_called(&self, name: &str) -> bool {
        !name.is_empty() && self.names.iter().any(|own| own == name)
    }

    /// A name for its next report of use.
    pub(super) fn next_report(&self) -> String {
        format!("{}.{}", self.id, self.reports.fetch_add(1, Ordering::Relaxed))
    }
}
