//! The engine owns the flights: a runtime that asked for one may go away.

use futures_util::StreamExt;
use registry_mirror::{mirror::Want, oci::Digest};
use tokio::runtime::Builder;

use super::{APP, Bench, name, noise};

#[test]
fn a_flight_outlives_the_runtime_that_began_it() {
    let engine = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = Bench::on(engine.handle(), true, |_| {});
    let bytes = noise(2_000_000);
    let digest = bench.script.blob(APP, bytes.clone());
    let worker = || Builder::new_current_thread().enable_all().build().unwrap();

    let first = worker();
    let (begun, mut stream) = first.block_on(async {
        let blob = bench.mirror.blob(&name(APP), &digest, None, Want::Body).await.unwrap();
        let mut stream = blob.body.unwrap();
        (stream.next().await.unwrap().unwrap(), stream)
    });
    drop(first);

    let rest = worker().block_on(async {
        let mut rest = Vec::new();
        while let Some(chunk) = stream.next().await {
            rest.extend_from_slice(&chunk.expect("the flight died with the runtime that began it"));
        }
        rest
    });
    assert_eq!(Digest::sha256(&[&begun[..], &rest].concat()), digest);
    engine.block_on(bench.mirror.idle());
    assert!(bench.far.holds(&digest));
}
