//! Values and files that `ansible-vault` sealed, as the commands meet them.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::run::{Bench, repository};

/// What is in the sealed file, and in the sealed value.
const SECRETS: [&str; 2] = ["s3aled-in-a-file", "xxxxxxxxxxxxxxxx"];

fn fixture(name: &str) -> String {
    fs::read_to_string(repository().join(format!("tests/fixtures/vault/{name}.vault")))
        .expect("a fixture")
}

/// A sealed value of this fixture under a name.
fn inline(name: &str, value: &str) -> String {
    let lines: String = fixture(value).lines().map(|line| format!("      {line}\n")).collect();
    format!("    {name}: !vault |\n{lines}")
}

/// A store on the disk, so that nothing else is needed, and these lines.
fn bench(lines: &str) -> Bench {
    let bench = Bench::new();
    bench.write(
        "inventory/vars.yml",
        format!("all:\n  vars:\n    registry_mirror_store: filesystem\n{lines}"),
    );
    bench.write("pw", "pw\n");
    bench.write("file-pw", "  example \n\n");
    bench
}

fn sealed_password() -> String {
    format!(
        "    registry_mirror_docker_hub_username: bot\n{}",
        inline("registry_mirror_docker_hub_password", "whole-block")
    )
}

const VALIDATE: [&str; 3] = ["validate", "-i", "inventory"];

#[test]
fn a_sealed_value_is_opened_with_a_password_from_anywhere() {
    let bench = bench(&sealed_password());
    let script =
        bench.write("ask-client.sh", "#!/bin/sh\n[ \"$1 $2\" = '--vault-id prod' ] && echo pw\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("ours");
    bench.write("credentials/vault-password", "pw");
    let directory = bench.path().join("credentials").display().to_string();
    for arguments in [
        vec!["--vault-password-file", "pw"],
        vec!["--vault-pass-file", "file-pw", "--vault-password-file", "pw"],
        vec!["--vault-id", "prod@pw"],
        vec!["--vault-id", "pw"],
        vec!["--vault-id", "prod@ask-client.sh"],
    ] {
        let ran = bench.run(VALIDATE.into_iter().chain(arguments)).ended(0);
        ran.says(&["ok: 1 host, 3 variables, 0 warnings"]).hides(&SECRETS);
    }
    for (name, value) in [
        ("ANSIBLE_VAULT_PASSWORD_FILE", "pw"),
        ("ANSIBLE_VAULT_IDENTITY_LIST", "x@file-pw, dev@pw"),
        ("CREDENTIALS_DIRECTORY", &directory),
    ] {
        bench.run_with(&[(name, value)], VALIDATE).ended(0).hides(&SECRETS);
    }
}

#[test]
fn without_a_password_that_fits_there_is_no_verdict() {
    let bench = bench(&sealed_password());
    bench.run(VALIDATE).ended(2).says(&[
        "inventory/vars.yml:5:49",
        "the vault value of `registry_mirror_docker_hub_password` cannot be opened: there is no vault password",
        "hint: give a password with `--vault-password-file`",
    ]);
    let wrong = VALIDATE.into_iter().chain(["--vault-password-file", "file-pw"]);
    bench.run(wrong).ended(2).says(&["no vault password fits"]).hides(&["example"]);
}

#[test]
fn a_password_that_cannot_be_had_is_no_verdict_either() {
    let bench = bench("");
    bench.write("empty", " \n");
    let failing = bench.write("failing", "#!/bin/sh\necho hunter2; exit 3\n");
    fs::set_permissions(failing, fs::Permissions::from_mode(0o755)).expect("ours");
    for (file, says) in [
        ("nowhere", "there is no such file"),
        ("empty", "it is empty"),
        ("failing", "the program failed (exit status: 3)"),
    ] {
        let arguments = VALIDATE.into_iter().chain(["--vault-password-file", file]);
        bench.run(arguments).ended(2).says(&[file, says, "hint: "]).hides(&["hunter2"]);
    }
    let arguments = VALIDATE.into_iter().chain(["--vault-id", "dev@prompt"]);
    bench.run(arguments).ended(2).says(&["hint: put it into a file: `--vault-id dev@FILE`"]);
}

#[test]
fn around_the_vault_everything_else_is_checked() {
    let bench = bench(&format!("    registry_mirror_listen_port: nope\n{}", sealed_password()));
    let around = || bench.run(VALIDATE.into_iter().chain(["--no-vault"]));
    around().ended(1).says(&["`registry_mirror_listen_port` must be a port", "refused: 1 error,"]);
    bench.write(
        "inventory/vars.yml",
        format!("all:\n  vars:\n    registry_mirror_store: filesystem\n{}", sealed_password()),
    );
    around().ended(0).says(&[
        "info: the vault value of `registry_mirror_docker_hub_password` is sealed and not looked into",
        "ok: 1 host",
    ]);
    // What a sealed file may set is not missing.
    bench.write("inventory/vars.yml", "all: {vars: {registry_mirror_tls: 'off'}}\n");
    bench.write("inventory/sensitive_vars.yml", fixture("file"));
    around().ended(0).says(&["info: the file is sealed and not looked into"]);
    bench.run(["render", "-i", "inventory", "--no-vault"]).ended(2);
}

#[test]
fn a_sealed_file_is_read_and_never_quoted() {
    let bench = bench("    registry_mirror_docker_hub_username: bot\n");
    bench.write("inventory/sensitive_vars.yml", fixture("file"));
    let with =
        |command: &'static str| [command, "-i", "inventory", "--vault-password-file", "file-pw"];
    bench.run(with("validate")).ended(0).hides(&SECRETS);
    bench
        .run(with("render"))
        .ended(0)
        .prints(&["registry_mirror_docker_hub_password: '********'"])
        .hides(&SECRETS);
    bench
        .run(VALIDATE)
        .ended(2)
        .says(&["inventory/sensitive_vars.yml", "the file cannot be opened"]);
    bench.write("inventory/vars.yml", "all:\n  vars:\n    registry_mirror_store: filesystem\n    registry_mirror_log_level: \"{{ registry_mirror_docker_hub_password }}\"\n");
    bench
        .run(with("validate"))
        .ended(1)
        .says(&["half-a-credential", "log_level"][1..])
        .hides(&SECRETS);
}

#[test]
fn what_is_broken_is_refused_at_its_place() {
    let bench = bench(
        "    registry_mirror_shared_secret: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6162\n",
    );
    let arguments = VALIDATE.into_iter().chain(["--vault-password-file", "pw"]);
    bench.run(arguments).ended(1).says(&[
        "the vault value of `registry_mirror_shared_secret` is no vault text",
        "inventory/vars.yml:4:",
    ]);
}

#[test]
fn what_was_sealed_is_never_a_template() {
    let bench =
        bench(&format!("{}    prefix: acme\n", inline("registry_mirror_log_level", "text")));
    bench.write("pw", "correct horse");
    let arguments = VALIDATE.into_iter().chain(["--vault-password-file", "pw"]);
    bench
        .run(arguments)
        .ended(1)
        .says(&["`registry_mirror_log_level` must be"])
        .hides(&["Grüße", "acme"]);
}
