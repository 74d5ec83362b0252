//! The suites over a real server: `REGISTRY_MIRROR_TEST_S3=endpoint,bucket cargo test --test it
//! store_s3::real -- --ignored`, the credentials being `test` and `test`. The bucket is made if it
//! is not there, and may hold anything.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

use super::*;

const VARIABLE: &str = "REGISTRY_MIRROR_TEST_S3";

/// The real thing, with parts as small as S3 allows.
async fn open_real() -> Arc<S3> {
    let place = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set"));
    let (endpoint, name) = place.split_once(',').expect("`endpoint,bucket`");
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::new("test", "test", None, None, "fixed"))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .http_client(http.clone())
        .build();
    // Another run may have made it; if it could not be made, the checks say so.
    let _ = aws_sdk_s3::Client::from_conf(config).create_bucket().bucket(name).send().await;
    let settings = s3::Bucket {
        name: name.into(),
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint.into()),
        encrypt: true,
        ..s3::Bucket::default()
    };
    let tuning = Tuning { single: 5 << 20, part: 5 << 20, ..Tuning::default() };
    Arc::new(S3::with_http_client(settings, Handle::current(), Metrics::new(), tuning, http))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real S3 server; see the module"]
async fn a_real_server_keeps_content_and_records() {
    let s3 = open_real().await;
    let abilities = s3.probe().await.unwrap();
    assert!(abilities.conditional && abilities.encryption.is_some(), "{abilities:?}");
    conformance::store::all(s3.clone()).await;
    // Every check of records but the order of a listing: SeaweedFS 4.48 lists a directory after the
    // other, so that `a/b` comes before `a-b`.
    macro_rules! hold {
        ($($check:ident),* $(,)?) => { $(conformance::records::$check(s3.clone()).await;)* };
    }
    hold!(
        write_then_read,
        nothing_is_there,
        always_replaces,
        only_if_absent,
        only_if_it_is,
        a_removed_record_is_absent,
        one_of_many_creators_wins,
        one_of_many_changers_wins,
        no_increment_is_lost,
        no_reader_sees_a_mixture,
        sizes,
        list_pages,
        paths_outside_the_grammar,
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real S3 server; see the module"]
async fn a_real_server_takes_parts() {
    let s3 = open_real().await;
    let bytes = content((16 << 20) + 5);
    let put = Store::put(&*s3, &key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(put, Ok(Put::Stored));
    assert!(read_found(Store::get(&*s3, &key(&bytes), None).await).await == bytes);
    let again = Store::put(&*s3, &key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(again, Ok(Put::AlreadyThere));
}
