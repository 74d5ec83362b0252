//! What a file hashes to.

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::oci::{Algorithm, Digest, Hasher};

/// Bytes that are hashed at a time.
const STEP: usize = 1 << 20;

/// Hashes the first `length` bytes of a file.
pub(in crate::mirror) fn hash(
    file: &File,
    length: u64,
    algorithm: Algorithm,
) -> io::Result<Digest> {
    hash_with(file, length, algorithm, |_| {})
}

/// Hashes the first `length` bytes of a file, and tells how many it has read each time.
pub(in crate::mirror) fn hash_with(
    file: &File,
    length: u64,
    algorithm: Algorithm,
    tell: impl Fn(u64),
) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut bytes = vec![0; STEP];
    let mut at = 0;
    while at < length {
        let step = usize::try_from(length - at).map_or(STEP, |left| left.min(STEP));
        let Some(piece) = bytes.get_mut(..step) else { break };
        file.read_exact_at(piece, at)?;
        hasher.update(piece);
        at += step as u64;
        tell(at);
    }
    Ok(hasher.finish())
}
