//! `--as-user`: what the service's user could not read.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use super::*;
use crate::support::run::finish;

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
        &format!("hint: run `chgrp {} ", group()),
        "/key.pem && chmod g+r ",
        "refused: 1 error",
    ]);
    mode(&bench, "inventory/group_vars/all.yml", 0o600);
    mode(&bench, "inventory/secrets", 0o700);
    bench.run(AS_NOBODY).ended(1).says(&["inventory/group_vars/all.yml", "inventory/secrets"]);
    // Root itself reads everything.
    bench.run(["validate", "-i", "inventory"]).ended(0);
    bench.run(["validate", "-i", "inventory", "--as-user", "root"]).ended(0);
}

/// What the group of `nobody` is called differs between distributions.
fn group() -> String {
    let output = Command::new("id").args(["-gn", "nobody"]).output().expect("coreutils are there");
    String::from_utf8(output.stdout).expect("a name is text").trim().to_owned()
}

/// Whether the tests may become another user; else there is nothing to see here.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can become another user");
    }
    is_root
}

#[test]
fn a_closed_directory_above_the_working_directory_is_found_by_a_relative_path() {
    let bench = inventory(&[]);
    let above = bench.path().display().to_string();
    bench.write("closed/open/inventory/vars.yml", VARS);
    bench.write("closed/open/extra.yml", "a: 1\n");
    if !is_root() {
        return;
    }
    mode(&bench, "", 0o755);
    let validate = |arguments: &[&str]| {
        let mut command = bench.command(AS_NOBODY.iter().chain(arguments));
        command.current_dir(bench.path().join("closed/open"));
        finish(command.spawn().expect("the program starts"))
    };
    validate(&["-e", "@extra.yml"]).ended(0);
    mode(&bench, "closed", 0o700);
    let group = group();
    let remedy = format!("hint: run `chgrp {group} {above}/closed && chmod g+x {above}/closed`");
    validate(&[]).ended(1).says(&["--> inventory", "permission denied", &remedy]);
    let closed = ["-i", "/etc/hosts", "-e", "@extra.yml"];
    validate(&closed).ended(1).says(&["--> extra.yml", "permission denied", &remedy]);
}

#[test]
fn a_vault_password_that_the_user_cannot_have_is_a_no() {
    let bench = inventory(&[("vars.yml", VARS)]);
    bench.write("password", "pw\n");
    bench.write("program", "#!/bin/sh\necho pw\n");
    if !is_root() {
        return;
    }
    mode(&bench, "", 0o755);
    let with = |option: &str, file: &str| bench.run(AS_NOBODY.iter().chain(&[option, file]));
    for (file, before, after, remedy) in
        [("password", 0o600, 0o644, "chmod g+r "), ("program", 0o700, 0o755, "chmod g+rx ")]
    {
        mode(&bench, file, before);
        for (option, named) in
            [("--vault-password-file", file.to_owned()), ("--vault-id", format!("a@{file}"))]
        {
            let ran = with(option, &named).ended(1);
            ran.says(&["the vault password cannot be read: ", "permission denied", remedy, file]);
        }
        mode(&bench, file, after);
        with("--vault-password-file", file).ended(0);
    }
}

#[test]
fn what_is_not_there_is_no_question_of_rights() {
    let bench = inventory(&[("vars.yml", VARS)]);
    if !is_root() {
        return;
    }
    mode(&bench, "", 0o755);
    let missing = bench.run(AS_NOBODY.iter().chain(&["-e", "@nowhere.yml"]));
    missing.ended(2).says(&["there is no such file"]).hides(&["chmod", "chgrp"]);
}

#[test]
fn a_user_that_is_none_is_no_verdict() {
    inventory(&[("vars.yml", VARS)])
        .run(["validate", "-i", "inventory", "--as-user", "no-such-user"])
        .ended(2)
        .says(&["there is no user `no-such-user`", "hint: "]);
}
