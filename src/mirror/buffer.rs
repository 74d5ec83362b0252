//! Buffers for reading files: kept per thread, so that they stay in its cache and are never
//! cleared twice.

use std::cell::RefCell;

use bytes::Bytes;

/// How much of a file is read at a time, in bytes: less pays per-chunk costs, more leaves the
/// second-level cache.
pub(super) const CHUNK: usize = 64 << 10;

/// How many idle buffers a thread keeps: 1 MiB.
const IDLE: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to the pool of the thread that drops it.
pub(super) struct Buffer {
    bytes: Option<Box<[u8]>>,
    filled: usize,
}

impl Buffer {
    /// An empty buffer of [`CHUNK`] bytes.
    pub(super) fn take() -> Self {
        let bytes =
            POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice());
        Self { bytes: Some(bytes), filled: 0 }
    }

    /// The first `length` bytes of it, to be written to.
    pub(super) fn space(&mut self, length: usize) -> &mut [u8] {
        match &mut self.bytes {
            Some(bytes) => &mut bytes[..length.min(CHUNK)],
            None => &mut [],
        }
    }

    /// The first `filled` bytes of it, without copying.
    pub(super) fn freeze(mut self, filled: usize) -> Bytes {
        self.filled = filled.min(CHUNK);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_deref().map_or(&[], |bytes| &bytes[..self.filled])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < IDLE {
                    pool.push(bytes);
                }
            });
        }
    }
}
