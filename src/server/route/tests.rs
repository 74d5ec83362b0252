use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse().unwrap())
}

fn empty() -> Digest {
    Digest::sha256(b"")
}

#[test]
fn every_endpoint_is_found() {
    for (path, route) in [
        ("/livez", Route::Livez),
        ("/v2", Route::Ping),
        ("/v2/", Route::Ping),
        ("/v2/acme/app/manifests/1.0", Route::Manifest(name("acme/app"), tag("1.0"))),
        ("/v2/acme/app/tags/list", Route::Tags(name("acme/app"))),
    ] {
        assert_eq!(Route::of(path), Ok(route), "{path}");
    }
    assert_eq!(
        Route::of(&format!("/v2/acme/app/blobs/{DIGEST}")),
        Ok(Route::Blob(name("acme/app"), empty()))
    );
    assert_eq!(
        Route::of(&format!("/v2/acme/app/manifests/{DIGEST}")),
        Ok(Route::Manifest(name("acme/app"), Reference::Digest(empty())))
    );
    assert_eq!(
        Route::of(&format!("/v2/acme/app/referrers/{DIGEST}")),
        Ok(Route::Referrers(name("acme/app"), empty()))
    );
}

#[test]
fn a_name_may_hold_the_words_of_the_endpoints() {
    for (path, expected) in [
        ("/v2/tags/list/manifests/x", "tags/list"),
        ("/v2/manifests/manifests/x", "library/manifests"),
        ("/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads"),
        ("/v2/manifests/blobs/manifests/manifests", "manifests/blobs"),
    ] {
        match Route::of(path) {
            Ok(Route::Manifest(found, _)) => assert_eq!(found.as_str(), expected, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(Route::of("/v2/a/manifests/tags/list"), Ok(Route::Tags(name("a/manifests"))));
}

#[test]
fn an_official_image_gets_its_first_segment() {
    assert_eq!(
        Route::of("/v2/alpine/manifests/3.20"),
        Ok(Route::Manifest(name("library/alpine"), tag("3.20")))
    );
}

#[test]
fn percent_encoding_is_undone_once() {
    assert_eq!(
        Route::of(&format!("/v2/acme%2Fapp/blobs/{}", DIGEST.replace(':', "%3A"))),
        Ok(Route::Blob(name("acme/app"), empty()))
    );
    assert_eq!(Route::of("/v2/a%252Fb/manifests/x"), Err(BadPath::Name));
    for bad in ["/v2/a%/manifests/x", "/v2/a%2/manifests/x", "/v2/a%zz", "/v2/%ff/manifests/x"] {
        assert_eq!(Route::of(bad), Err(BadPath::Encoding), "{bad}");
    }
}

#[test]
fn what_is_broken_is_named() {
    let long = format!("/v2/{}", "a".repeat(MAX_PATH));
    for (path, why) in [
        ("", BadPath::NoEndpoint),
        ("/", BadPath::NoEndpoint),
        ("/v1/search", BadPath::NoEndpoint),
        ("/v2/alpine", BadPath::NoEndpoint),
        ("/v2/alpine/tags", BadPath::NoEndpoint),
        ("/v2/alpine/tags/all", BadPath::NoEndpoint),
        ("/v2/_catalog", BadPath::Catalog),
        ("/v2/manifests/latest", BadPath::Name),
        ("/v2//manifests/latest", BadPath::Name),
        ("/v2/Alpine/manifests/latest", BadPath::Name),
        ("/v2/../etc/manifests/passwd", BadPath::Name),
        ("/v2/a%00b/manifests/latest", BadPath::Name),
        ("/v2/alpine/manifests/", BadPath::Tag),
        ("/v2/alpine/manifests/.hidden", BadPath::Tag),
        ("/v2/alpine/manifests/a%20b", BadPath::Tag),
        ("/v2/alpine/manifests/sha256:abc", BadPath::Digest(BadDigest)),
        ("/v2/alpine/blobs/", BadPath::Digest(BadDigest)),
        ("/v2/alpine/blobs/latest", BadPath::Digest(BadDigest)),
        ("/v2/alpine/referrers/md5:00", BadPath::Digest(BadDigest)),
        (&long, BadPath::TooLong),
    ] {
        assert_eq!(Route::of(path), Err(why), "{path}");
    }
}

#[test]
fn uploads_are_known_for_what_they_are() {
    for path in ["/v2/a/b/blobs/uploads", "/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads/id-1"] {
        assert_eq!(Route::of(path), Ok(Route::Upload), "{path}");
    }
    assert_eq!(Route::of("/v2/A/blobs/uploads/"), Err(BadPath::Name));
}

proptest::proptest! {
    #[test]
    fn no_path_panics(path in "(/v2/)?([a-z/%:.A-Z0-9ü-]|manifests|blobs|tags/list|uploads){0,40}") {
        let _ = Route::of(&path);
    }
}
