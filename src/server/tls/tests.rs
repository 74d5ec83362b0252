use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn names() -> Vec<String> {
    ["node-1", "localhost", "127.0.0.1"].map(str::to_owned).to_vec()
}

fn leaf(identity: &Identity) -> Vec<u8> {
    identity.current.load().cert[0].to_vec()
}

/// A certificate and its key, in PEM.
fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(names()).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_generated_certificate_is_kept_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    let first = leaf(&Identity::generated(&tls, &names()).unwrap());
    assert_eq!(leaf(&Identity::generated(&tls, &names()).unwrap()), first);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&tls), 0o700);
    assert_eq!(mode(&tls.join("generated.pem")), 0o600);
    assert_eq!(fs::read_dir(&tls).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_generated_certificate_that_is_no_use_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("generated.pem");
    let first = leaf(&Identity::generated(dir.path(), &names()).unwrap());

    let other = leaf(&Identity::generated(dir.path(), &["elsewhere".to_owned()]).unwrap());
    assert_ne!(first, other, "it is for other names");

    let half = fs::read(&file).unwrap()[..200].to_vec();
    fs::write(&file, half).unwrap();
    let second = leaf(&Identity::generated(dir.path(), &names()).unwrap());
    assert_ne!(first, second);
    assert_eq!(leaf(&Identity::generated(dir.path(), &names()).unwrap()), second);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Identity::generated(&file, &names()).unwrap_err();
    assert!(matches!(&error, TlsError::Keep { path, .. } if *path == file), "{error:?}");
}

#[test]
fn files_are_read_again_when_they_change_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let write = |pair: &(String, String)| {
        fs::write(&certificate, &pair.0).unwrap();
        fs::write(&key, &pair.1).unwrap();
    };
    write(&pem());
    let paths = [&certificate, &key].map(|path| path.to_str().unwrap().to_owned());
    let identity = Identity::of_files(&paths[0], &Secret::new(paths[1].clone())).unwrap();
    let first = leaf(&identity);
    identity.reload_if_changed();
    assert_eq!(leaf(&identity), first);

    fs::write(&certificate, pem().0).unwrap();
    let error = identity.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error:?}");
    assert_eq!(leaf(&identity), first, "a certificate without its key came into use");

    write(&pem());
    identity.reload_if_changed();
    assert_ne!(leaf(&identity), first);
}

#[test]
fn what_is_wrong_is_said_without_what_is_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = pem();
    let inline = Identity::of_files(&certificate, &Secret::new(key.clone())).unwrap();
    assert_eq!(inline.current.load().cert.len(), 1);
    inline.reload().unwrap();

    let missing = dir.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    let broken_key = key.replace('A', "!");
    for (certificate, key, expected) in [
        (missing, key.as_str(), "cannot read the certificate"),
        (certificate.as_str(), missing, "cannot read the private key"),
        (key.as_str(), key.as_str(), "there is no certificate in the settings"),
        (certificate.as_str(), certificate.as_str(), "there is no private key in the settings"),
        (certificate.as_str(), broken_key.as_str(), "there is no private key in the settings"),
        (certificate.as_str(), pem().1.as_str(), "does not belong to the certificate"),
    ] {
        let error = Identity::of_files(certificate, &Secret::new(key)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{text}");
        let secret = key.lines().nth(1).unwrap_or("no secret");
        assert!(!text.contains(secret), "{text}");
    }
}
