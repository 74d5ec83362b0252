//! `--as-user`: what the service's user could not read.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt,
};

use super::*;

fn mode(bench: &Bench, path: &str, mode: u32) {
    set_permissions(bench.path().join(path), Permissions::from_mode(mode)).unwrap();
}

const AS_NOBODY: [&str; 5] = ["validate", "-i", "inventory", "--as-user", "nobody"];

#[test]
fn every_file_that_the_user_cannot_read_is_named() {
    let bench = inventory(&[("group_vars/all.yml", "a: 1\n"), ("secrets/b.yml", "all:\n")]);
    let pem = |name: &str| bench.write(name, "").display().to_string();
    let (certificate, key) = (pem("cert.pem"), pem("key.pem"));
    bench.write(
        "inventory/vars.yml",
        with(&format!(
            "registry_mirror_tls: files\n    registry_mirror_tls_certificate: {certificate}\n    \
             registry_mirror_tls_private_key: {key}"
        )),
    );
    if !rustix::process::geteuid().is_root() {
        // Nobody else can become another user; that is what there is to see.
        bench.run(AS_NOBODY).ended(2).says(&["only root can check", "hint: "]);
        return;
    }
    mode(&bench, "", 0o700);
    bench.run(AS_NOBODY).ended(1).says(&["permission denied", "inventory"]);
    mode(&bench, "", 0o755);
    bench.run(AS_NOBODY).ended(0);

    mode(&bench, "key.pem", 0o600);
    bench.run(AS_NOBODY).ended(1).says(&[
        "`registry_mirror_tls_private_key` names cannot be read: permission denied",
        "key.pem",
        "hint: `nobody` needs `r` on the file",
        "refused: 1 error",
    ]);
    mode(&bench, "inventory/group_vars/all.yml", 0o600);
    mode(&bench, "inventory/secrets", 0o700);
    bench.run(AS_NOBODY).ended(1).says(&["inventory/group_vars/all.yml", "inventory/secrets"]);
    // Root itself reads everything.
    bench.run(["validate", "-i", "inventory"]).ended(0);
    bench.run(["validate", "-i", "inventory", "--as-user", "root"]).ended(0);
}

#[test]
fn a_user_that_is_none_is_no_verdict() {
    inventory(&[("vars.yml", VARS)])
        .run(["validate", "-i", "inventory", "--as-user", "no-such-user"])
        .ended(2)
        .says(&["there is no user `no-such-user`", "hint: "]);
}
