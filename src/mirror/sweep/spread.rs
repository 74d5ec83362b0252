//! How much was last used when, in little memory.

use std::collections::BTreeMap;

/// The most times that are told apart.
const TIMES: usize = 32_768;

/// Bytes by the time of their last use. Times come to be told apart less finely the more there
/// are; what is counted at one time was last used then or a little before.
#[derive(Debug)]
pub(super) struct Spread {
    bytes: BTreeMap<u64, u64>,
    /// Seconds that count as one time.
    step: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { bytes: BTreeMap::new(), step: 1 }
    }
}

impl Spread {
    /// Counts `size` bytes, last used at `last`.
    pub(super) fn add(&mut self, last: u64, size: u64) {
        *self.bytes.entry(up(last, self.step)).or_default() += size;
        while self.bytes.len() > TIMES {
            self.step *= 2;
            for (at, size) in std::mem::take(&mut self.bytes) {
                *self.bytes.entry(up(at, self.step)).or_default() += size;
            }
        }
    }

    /// How many bytes were last used at or before `time`, or a little later.
    pub(super) fn until(&self, time: u64) -> u64 {
        self.bytes.range(..=up(time, self.step)).map(|(_, size)| size).sum()
    }

    /// The time up to which the least recently used lie that make up `size` bytes together; 0 if
    /// none are wanted.
    pub(super) fn oldest(&self, size: u64) -> u64 {
        let mut left = size;
        for (at, size) in &self.bytes {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(*size);
            if left == 0 {
                return *at;
            }
        }
        if size == 0 { 0 } else { self.bytes.keys().next_back().copied().unwrap_or_default() }
    }
}

/// The next multiple of `step`.
fn up(time: u64, step: u64) -> u64 {
    time.checked_next_multiple_of(step).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_found_however_many_there_are() {
        let mut spread = Spread::default();
        assert_eq!(spread.oldest(10), 0);
        let count = 4 * TIMES as u64;
        for at in (1..=count).rev() {
            spread.add(at, 10);
        }
        assert!(spread.bytes.len() <= TIMES);
        assert_eq!(spread.until(u64::MAX), 10 * count);
        for wanted in [1, 10, 50_000, 10 * count] {
            let at = spread.oldest(wanted);
            assert!(10 * at >= wanted && spread.until(at) >= wanted, "{wanted}: {at}");
            assert!(10 * at <= wanted + 10 * spread.step, "{wanted}: {at} is too much");
        }
        assert_eq!(spread.oldest(0), 0);
        assert_eq!(spread.oldest(u64::MAX), count, "all of it");
    }
}
