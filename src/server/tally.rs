//! Counts of hits. Each worker has its own, so that workers never wait for each other; every ten
//! seconds the engine takes them away and writes one line for each repository, verdict and client.

use std::{
    collections::HashMap,
    fmt, mem,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    mirror::{Mirror, Verdict},
    oci::{Digest, Name},
    telemetry::Metrics,
};

/// The most keys that one worker holds between two flushes; beyond it, clients are not told
/// apart, and beyond twice that the hit is only counted.
const MAX_KEYS: usize = 4096;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: Name,
    verdict: Verdict,
    /// None for clients that are not told apart.
    client: Option<IpAddr>,
    /// What a worker served from its own memory, for the mirror's bookkeeping of use.
    memory: Option<Digest>,
}

impl Key {
    /// A hit that the mirror answered, and counted.
    pub(super) fn of_hit(name: &Name, verdict: Verdict, client: Option<IpAddr>) -> Self {
        Self { name: name.clone(), verdict, client, memory: None }
    }

    /// A hit of a worker's own memory, of which the mirror does not know yet.
    pub(super) fn of_memory(name: &Name, client: Option<IpAddr>, digest: Digest) -> Self {
        Self { name: name.clone(), verdict: Verdict::Memory, client, memory: Some(digest) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    hits: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.bytes += other.bytes;
    }
}

/// One worker's counts. Its lock is the worker's own; the engine holds it for the time of one
/// swap every ten seconds.
#[derive(Default)]
pub(super) struct Tally(Mutex<HashMap<Key, Count>>);

impl Tally {
    /// Counts one hit.
    pub(super) fn add(&self, mut key: Key, bytes: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_KEYS && !counts.contains_key(&key) {
            key.client = None;
            if counts.len() >= 2 * MAX_KEYS && !counts.contains_key(&key) {
                return;
            }
        }
        counts.entry(key).or_default().add(Count { hits: 1, bytes });
    }

    fn take(&self) -> HashMap<Key, Count> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

/// Every worker's counts.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Tallies {
    /// The counts of one more worker.
    pub(super) fn open(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tally.clone());
        tally
    }

    /// Takes what was counted, tells the mirror and the metrics, and writes the lines.
    pub(super) fn flush(&self, mirror: &Mirror, metrics: &Metrics) {
        let mut lines = HashMap::<(Name, Verdict, Option<IpAddr>), Count>::new();
        let mut served = HashMap::<Digest, Count>::new();
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, count) in tallies.iter().flat_map(|tally| tally.take()) {
            if let Some(digest) = key.memory {
                served.entry(digest).or_default().add(count);
            }
            lines.entry((key.name, key.verdict, key.client)).or_default().add(count);
        }
        for (digest, Count { hits, bytes }) in served {
            mirror.served_from_memory(&digest, hits);
            metrics.served(bytes);
        }
        for ((name, verdict, client), Count { hits, bytes }) in lines {
            let client = client.map_or_else(|| "others".to_owned(), |ip| ip.to_string());
            tracing::info!(%name, verdict = verdict.as_str(), hits, bytes, client, "hits");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_beyond_the_bound_are_counted_together() {
        let tally = Tally::default();
        let name: Name = "library/alpine".parse().unwrap();
        for n in 0..3 * MAX_KEYS {
            let client = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            tally.add(Key::of_hit(&name, Verdict::Disk, Some(client)), 2);
        }
        let counts = tally.take();
        assert_eq!(counts.len(), MAX_KEYS + 1);
        assert_eq!(counts.values().map(|count| count.hits).sum::<u64>(), 3 * MAX_KEYS as u64);
        assert_eq!(counts.values().map(|count| count.bytes).sum::<u64>(), 6 * MAX_KEYS as u64);
        assert!(tally.take().is_empty(), "what was taken is counted anew");
    }
}
