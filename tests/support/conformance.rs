//! What every kind of store must do, as one suite for [`Store`] and one for [`Records`].
//!
//! Each check takes a store that others may be using at the same time and that need not be empty:
//! what it writes is named by [`nonce`], so that a suite can run over a real bucket, again and
//! again. Bodies are at most 16 MiB.
//!
//! ```ignore
//! async fn store() -> (impl Sized, Arc<dyn Store>) { … }     // the first keeps the place alive
//! conformance::store_suite!(store);                           // one #[tokio::test] a check
//! conformance::store::all(store).await;                       // or all of them, one by one
//! ```

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use registry_mirror::{
    oci::{Algorithm, Digest},
    store::{Area, Body, Found, Key, Payload, StoreError},
};

pub mod records;
pub mod store;

/// Hands the names of all checks of [`store`] to a macro, behind what it is given.
macro_rules! store_checks {
    ($then:path, $($given:tt)*) => {
        $then! { $($given)* :
            put_then_get, nothing_is_there, ranges, empty_content, content_in_a_file,
            a_file_longer_than_its_content, sha512, media_type_is_kept, already_there,
            another_size_is_replaced, areas_are_apart, remove, an_open_body_outlives_its_key,
            one_key_many_writers, no_reader_sees_a_part, list_covers_each_shard, list_pages,
            private_content_is_listed_once, no_upload_is_left_behind, probe,
        }
    };
}

/// Hands the names of all checks of [`records`] to a macro, behind what it is given.
macro_rules! records_checks {
    ($then:path, $($given:tt)*) => {
        $then! { $($given)* :
            write_then_read, nothing_is_there, always_replaces, only_if_absent, only_if_it_is,
            a_removed_record_is_absent, one_of_many_creators_wins, one_of_many_changers_wins,
            no_increment_is_lost, no_reader_sees_a_mixture, sizes, list_below_a_prefix,
            list_pages, paths_outside_the_grammar,
        }
    };
}

/// Makes one test of each check; for [`store_suite`] and [`records_suite`].
macro_rules! tests {
    ($suite:ident, $make:path : $($check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let (_place, kept) = $make().await;
                $crate::support::conformance::$suite::$check(kept).await;
            }
        )*
    };
}

/// Runs one check after the other; for [`store::all`] and [`records::all`].
macro_rules! one_by_one {
    ($kept:ident : $($check:ident),* $(,)?) => {
        $($check(std::sync::Arc::clone(&$kept)).await;)*
    };
}

/// Makes one test of each check of [`store`]. Takes the path of an
/// `async fn() -> (impl Sized, Arc<dyn Store>)`; the first value is kept until the check is over.
macro_rules! store_suite {
    ($make:path) => {
        $crate::support::conformance::store_checks! {
            $crate::support::conformance::tests, store, $make
        }
    };
}

/// Makes one test of each check of [`records`]. Takes the path of an
/// `async fn() -> (impl Sized, Arc<dyn Records>)`.
macro_rules! records_suite {
    ($make:path) => {
        $crate::support::conformance::records_checks! {
            $crate::support::conformance::tests, records, $make
        }
    };
}

pub(crate) use {one_by_one, records_checks, records_suite, store_checks, store_suite, tests};

/// A word that no other check, run or process has used: lower-case letters, digits, `-`.
pub fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t{nanos:x}-{:x}-{count:x}", std::process::id())
}

/// `len` bytes that nobody stored before (from 64 bytes on), with no two equal pages.
pub fn content(len: usize) -> Bytes {
    let mut bytes = nonce().into_bytes();
    let mut state = bytes.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, &byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    while bytes.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// The public key of `bytes`.
pub fn key(bytes: &[u8]) -> Key {
    Key { area: Area::Public, digest: Digest::of(Algorithm::Sha256, bytes) }
}

/// `bytes` in a file without a name.
pub fn in_a_file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// A file's bytes as a payload.
pub fn file_payload(bytes: &[u8]) -> Payload {
    Payload::File { file: in_a_file(bytes), len: bytes.len() as u64 }
}

/// All bytes of a body.
pub async fn read(body: Body) -> Result<Bytes, StoreError> {
    match body {
        Body::File(file, range) => {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
            file.read_exact_at(&mut bytes, range.start).expect("the range lies in the file");
            Ok(bytes.into())
        }
        Body::Stream(chunks) => {
            let parts: Vec<Bytes> = chunks.try_collect().await?;
            Ok(parts.concat().into())
        }
    }
}

/// All bytes of content that must be there.
pub async fn read_found(found: Result<Option<Found>, StoreError>) -> Bytes {
    read(found.unwrap().expect("the content is there").body).await.unwrap()
}
