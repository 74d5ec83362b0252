use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, sync::Arc};

use arc_swap::ArcSwap;
use registry_mirror::{
    command::serve::{Failure, open},
    mirror::Node,
    settings::{Secret, Settings, Tls},
    telemetry::Metrics,
};
use tokio::runtime::Runtime;

use super::node::{Away, settings};
use crate::support::scripted::Hand;

/// Why it does not start.
fn failure(change: impl FnOnce(&mut Settings)) -> Failure {
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(&data);
    change(&mut settings);
    let runtime = Runtime::new().unwrap();
    open(
        Arc::new(ArcSwap::from_pointee(settings)),
        Arc::new(Away),
        Node::new(vec!["node-1".into()]),
        Hand::new(),
        Metrics::new(),
        runtime.handle().clone(),
        None,
    )
    .expect_err("a service that does not start")
}

#[test]
fn an_address_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let found = failure(|settings| settings.listen_port = address.port());
    assert_eq!(found.message, format!("cannot listen on {address}: the address is in use"));
    assert!(found.hint.unwrap().contains("registry_mirror_listen_port"));
    assert_eq!(found.code, 3);
    let found = failure(|settings| settings.admin_address = address);
    assert!(found.hint.unwrap().contains("registry_mirror_admin_address"));
}

#[test]
fn a_data_path_that_cannot_be_used_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let found = failure(|settings| settings.data_path = path.clone());
        assert!(found.message.contains(path.to_str().unwrap()), "{found:?}");
        assert!(!found.message.contains('\n'), "{found:?}");
        assert!(found.hint.unwrap().contains("registry_mirror_data_path"));
        assert_eq!(found.code, 3);
    }
}

#[test]
fn a_data_path_in_use_is_one_clear_line() {
    let node = super::node::Node::alone(|_| {});
    let found = failure(|settings| settings.data_path = node.data.path().to_owned());
    assert!(found.message.contains("in use by another process"), "{found:?}");
    assert!(!found.message.contains('\n') && found.hint.is_some(), "{found:?}");
}

#[test]
fn a_key_that_cannot_be_used_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, "secret, but no key").unwrap();
    let with = |key: &std::path::Path| {
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        failure(|settings| {
            settings.tls = Tls::Files;
            settings.tls_certificate = certificate.into();
            settings.tls_private_key = Secret::new(key);
        })
    };
    let found = with(&key);
    assert!(found.message.starts_with("there is no private key in `"), "{found:?}");
    assert!(!found.message.contains("secret"), "{found:?}");
    assert_eq!(found.code, 3);

    let found = with(&dir.path().join("missing"));
    assert!(found.message.starts_with("cannot read the private key in the file"), "{found:?}");
    assert!(found.message.contains("`registry_mirror_tls_private_key`"), "{found:?}");
    let found = with(std::path::Path::new("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"));
    assert!(!found.message.contains("MIGH"), "a key without its first line is shown: {found:?}");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let found = with(&key);
    assert!(found.message.contains(key.to_str().unwrap()), "{found:?}");
}
