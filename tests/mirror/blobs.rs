//! Promises 1 to 4 and 6: one fetch, verified, resumed, owned by no client.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use registry_mirror::{
    mirror::{ByteRange, Refusal, Verdict, Want},
    oci::{Algorithm, Digest},
    upstream::UpstreamError,
};

use tokio::runtime::Handle;

use super::{APP, Bench, body, count, name, noise, read};
use crate::support::scripted::Transfer;

const LENGTH: usize = 1_000_000;

#[tokio::test(start_paused = true)]
async fn one_fetch_serves_everyone_at_once() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let readers = (0..64).map(|n| {
        let (bench, bytes) = (&bench, &bytes);
        async move {
            let start = LENGTH as u64 - 10 - n;
            let range = (n % 6 == 0).then_some(ByteRange::Between(start, start + 7));
            let got = body(bench.range(digest, range).await.unwrap()).await.unwrap();
            match range {
                None => assert_eq!(got, bytes, "reader {n} got other bytes"),
                Some(_) => assert_eq!(got, bytes[start as usize..start as usize + 8]),
            }
        }
    });
    join_all(readers).await;
    assert_eq!(count(&bench.script.asked.blobs), 1);
    bench.mirror.idle().await;
    assert!(bench.far.holds(&digest), "the blob was not uploaded");
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1, "a kept blob was fetched again");
    assert_eq!(count(&bench.far.gets), 1, "the miss is the only GET of the shared store");
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_reads_from_the_beginning() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let mut first = bench.blob(digest).await.unwrap().body.unwrap();
    let _ = first.next().await.unwrap().unwrap();
    let late = bench.blob(digest).await.unwrap();
    assert_eq!(late.verdict, Verdict::Joined);
    assert_eq!(body(late).await.unwrap(), bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_stops_nothing() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    let mut blob = bench.blob(digest).await.unwrap().body.unwrap();
    let _ = blob.next().await.unwrap().unwrap();
    drop(blob);
    bench.mirror.idle().await;
    assert!(bench.far.holds(&digest), "the fill ended with its first client");
    assert_eq!(count(&bench.script.asked.blobs), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_answer_stops_nothing() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    let asking = bench.blob(digest);
    assert!(tokio::time::timeout(Duration::from_micros(500), asking).await.is_err());
    bench.mirror.idle().await;
    let bytes = bench.bytes(digest).await;
    assert_eq!(Digest::sha256(&bytes), digest);
    assert!(count(&bench.script.asked.blobs) <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_slows_nobody() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let idle = bench.blob(digest).await.unwrap();
    assert_eq!(bench.bytes(digest).await, bytes);
    bench.mirror.idle().await;
    assert_eq!(body(idle).await.unwrap(), bytes, "the idle client lost its bytes");
}

#[tokio::test(start_paused = true)]
async fn no_client_completes_a_wrong_blob_and_nothing_is_kept() {
    for wrong_from in [0, LENGTH / 2, LENGTH - 1] {
        let bench = Bench::new();
        let bytes = noise(LENGTH);
        let digest = bench.script.blob(APP, bytes.clone());
        bench.script.next([Transfer::WrongFrom(wrong_from as u64)]);
        let readers = (0..8).map(|_| async { read(bench.blob(digest).await.unwrap()).await });
        for (got, end) in join_all(readers).await {
            assert!(end.is_err(), "a client was told that a wrong blob is whole");
            assert!(got.len() < LENGTH, "a client got all of a wrong blob");
        }
        bench.mirror.idle().await;
        assert!(!bench.far.holds(&digest), "a wrong blob is kept");
        assert!(bench.metrics().contains("mismatches_total 1"));
        assert_eq!(bench.bytes(digest).await, bytes, "the next client asks anew");
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_before_the_end_is_not_held_back() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.next([Transfer::SilentAt(500_000)]);
    let early = bench.range(digest, Some(ByteRange::Between(100_000, 399_999))).await.unwrap();
    let got = tokio::time::timeout(Duration::from_secs(1), body(early)).await;
    assert_eq!(got.expect("an early range waited for the end").unwrap(), bytes[100_000..400_000]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_transfer_is_resumed_where_it_broke() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let cuts = [LENGTH * 3 / 10, LENGTH * 6 / 10, LENGTH * 9 / 10].map(|at| at as u64);
    bench.script.next(cuts.map(Transfer::CutAt));
    let readers = (0..8).map(|_| bench.bytes(digest));
    for got in join_all(readers).await {
        assert_eq!(got, bytes);
    }
    assert_eq!(*bench.script.offsets.lock().unwrap(), [&[0][..], &cuts].concat());
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_left_and_resumed() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.next([Transfer::SilentAt(300_000)]);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(*bench.script.offsets.lock().unwrap(), [0, 300_000]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_transfer_has_no_deadline_as_a_whole() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.next([Transfer::Slow(Duration::from_secs(20))]);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1, "the transfer was given up");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_breaks_off_for_ever_is_given_up() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    bench.script.next(std::iter::repeat_n(Transfer::CutAt(50_000), 20));
    let (got, end) = read(bench.blob(digest).await.unwrap()).await;
    assert!(end.is_err() && got.len() <= 50_000);
    assert!(count(&bench.script.asked.blobs) <= 7);
}

#[tokio::test(start_paused = true)]
async fn a_body_longer_than_announced_is_refused() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    bench.script.next([Transfer::TooLong]);
    let (got, end) = read(bench.blob(digest).await.unwrap()).await;
    assert!(end.is_err() && got.len() < LENGTH);
    bench.mirror.idle().await;
    assert!(!bench.far.holds(&digest));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unsaid_length_is_served_once_it_is_known() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.next([Transfer::Unsaid]);
    let blob = bench.blob(digest).await.unwrap();
    assert_eq!(blob.size, LENGTH as u64);
    assert_eq!(body(blob).await.unwrap(), bytes);
}

#[tokio::test(start_paused = true)]
async fn small_empty_and_sha512_blobs_are_served() {
    let bench = Bench::new();
    for length in [0, 1, 65_535, 65_536, 65_537] {
        let bytes = noise(length);
        let digest = bench.script.blob(APP, bytes.clone());
        assert_eq!(bench.bytes(digest).await, bytes, "{length} bytes");
        bench.mirror.idle().await;
        assert_eq!(bench.bytes(digest).await, bytes, "{length} bytes, kept");
    }
    let bytes = noise(100_000);
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    bench.script.blob_under(APP, digest, bytes.clone());
    assert_eq!(bench.bytes(digest).await, bytes);
}

#[tokio::test(start_paused = true)]
async fn ranges_are_cut_from_kept_and_arriving_blobs() {
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    for kept in [false, true] {
        for (range, expected) in [
            (ByteRange::From(0), 0..LENGTH),
            (ByteRange::From(LENGTH as u64 - 1), LENGTH - 1..LENGTH),
            (ByteRange::Between(10, 10), 10..11),
            (ByteRange::Between(500_000, u64::MAX), 500_000..LENGTH),
            (ByteRange::Last(70_000), LENGTH - 70_000..LENGTH),
            (ByteRange::Last(u64::MAX), 0..LENGTH),
        ] {
            let blob = bench.range(digest, Some(range)).await.unwrap();
            assert_eq!(blob.range, expected.start as u64..expected.end as u64);
            assert_eq!(body(blob).await.unwrap(), bytes[expected], "{range:?}, kept: {kept}");
        }
        for range in [ByteRange::From(LENGTH as u64), ByteRange::Between(5, 4), ByteRange::Last(0)]
        {
            let refusal = bench.range(digest, Some(range)).await.unwrap_err();
            assert_eq!(refusal, Refusal::Range { size: LENGTH as u64 }, "{range:?}");
        }
        bench.mirror.idle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_byte_answers_everyone_once() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    bench.script.next(std::iter::repeat_n(Transfer::Error(UpstreamError::lasting("no")), 20));
    let askers = (0..32).map(|_| bench.blob(digest));
    for answer in join_all(askers).await {
        assert!(matches!(answer.unwrap_err(), Refusal::Upstream { .. }));
    }
    assert_eq!(count(&bench.script.asked.blobs), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_failed_for_one_repository_fails_for_no_other() {
    // Without a disk, whose threads might let the second board first.
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let bytes = noise(LENGTH);
    let digest = bench.script.blob("acme/has", bytes.clone());
    let without = name("acme/has-not");
    let with = name("acme/has");
    let (refused, served) = tokio::join!(
        bench.mirror.blob(&without, &digest, None, Want::Body),
        bench.mirror.blob(&with, &digest, None, Want::Body),
    );
    assert_eq!(refused.unwrap_err(), Refusal::NoBlob);
    assert_eq!(body(served.unwrap()).await.unwrap(), bytes);
}

#[tokio::test(start_paused = true)]
async fn head_of_a_blob_moves_no_body() {
    let bench = Bench::new();
    let digest = bench.script.blob(APP, noise(LENGTH));
    for _ in 0..3 {
        let blob = bench.mirror.blob(&name(APP), &digest, None, Want::Head).await.unwrap();
        assert_eq!(blob.size, LENGTH as u64);
        assert!(blob.body.is_none());
    }
    assert_eq!(count(&bench.script.asked.blob_sizes), 1);
    assert_eq!(count(&bench.script.asked.blobs), 0);
}

#[tokio::test(start_paused = true)]
async fn without_room_each_client_is_served_alone_and_verified() {
    let bench = Bench::with(|settings| settings.spool_size.0 = 1000);
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let blob = bench.blob(digest).await.unwrap();
    assert_eq!(blob.verdict, Verdict::Alone);
    assert_eq!(body(blob).await.unwrap(), bytes);
    let part = bench.range(digest, Some(ByteRange::Last(10))).await.unwrap();
    assert_eq!(body(part).await.unwrap(), bytes[LENGTH - 10..]);
    // The flight that finds that there is no room takes the first transfer.
    bench.script.next([Transfer::Whole, Transfer::WrongFrom(LENGTH as u64 - 1)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (got, end) = read(bench.blob(digest).await.unwrap()).await;
    assert!(end.is_err() && got.len() < LENGTH, "a wrong blob was completed");
    bench.script.next([Transfer::Whole, Transfer::WrongFrom(LENGTH as u64 - 1)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = bench.range(digest, Some(ByteRange::From(1000))).await.unwrap();
    assert!(read(rest).await.1.is_err(), "the rest of a wrong blob was completed");
    let outside = bench.range(digest, Some(ByteRange::From(LENGTH as u64))).await.unwrap_err();
    assert_eq!(outside, Refusal::Range { size: LENGTH as u64 });
    assert!(bench.metrics().contains("alone_total{why=\"NoRoom\"}"));
    assert!(!bench.far.holds(&digest));
}

#[tokio::test(start_paused = true)]
async fn what_one_client_is_sent_alone_is_resumed_where_it_broke() {
    let bench = Bench::with(|settings| settings.spool_size.0 = 1000);
    let bytes = noise(LENGTH);
    let digest = bench.script.blob(APP, bytes.clone());
    let (third, half) = (LENGTH as u64 / 3, LENGTH as u64 / 2);
    // The flight that finds that there is no room takes the first transfer.
    bench.script.next([
        Transfer::Whole,
        Transfer::CutAt(third),
        Transfer::Error(UpstreamError::passing("away")),
        Transfer::SilentAt(half),
        Transfer::Whole,
    ]);
    assert_eq!(bench.bytes(digest).await, bytes);
    let part = bench.range(digest, Some(ByteRange::From(1000))).await.unwrap();
    assert_eq!(body(part).await.unwrap(), bytes[1000..]);
    bench.script.next([Transfer::Whole, Transfer::CutAt(third), Transfer::WrongFrom(half)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (got, end) = read(bench.blob(digest).await.unwrap()).await;
    assert!(end.is_err() && got.len() < LENGTH, "a wrong blob was completed");
}

#[tokio::test(start_paused = true)]
async fn the_spools_room_is_given_back() {
    let bench = Bench::with(|settings| settings.spool_size.0 = LENGTH as u64 + 10);
    for n in 0..3 {
        let digest = bench.script.blob(APP, noise(LENGTH + n));
        assert_eq!(bench.blob(digest).await.unwrap().verdict, Verdict::Fetched, "blob {n}");
        bench.mirror.idle().await;
    }
    assert!(bench.metrics().contains("spool_bytes 0"), "{}", bench.metrics());
    let left = std::fs::read_dir(bench.directory.path().join("spool")).unwrap().count();
    assert_eq!(left, 0, "files are left in the spool");
}
