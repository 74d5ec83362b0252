//! What is accepted and probably not meant.

use super::*;

#[test]
fn a_file_that_beats_another_unexpectedly_is_named_with_it() {
    let sensitive = "all: {vars: {registry_mirror_tag_ttl: 1m}}\n";
    let bench = inventory(&[
        ("vars.yml", &with("registry_mirror_tag_ttl: 5m")),
        ("sensitive_vars.yml", sensitive),
    ]);
    bench.run(VALIDATE).ended(0).says(&[
        "`registry_mirror_tag_ttl` has another value than `inventory/sensitive_vars.yml:1:39` says",
        "inventory/vars.yml:5:30",
        "hint: of the files of a directory the last one by name wins",
        "1 warning",
    ]);
    let bench = inventory(&[("vars.yml", VARS), ("group_vars/all.yml", "prefix: other\n")]);
    bench.run(VALIDATE).ended(0).says(&[
        "`prefix` has another value than `inventory/vars.yml:3:13` says",
        "`group_vars/all` beats",
    ]);
    // The same value twice, or a stronger layer that everybody knows, is nothing to speak of.
    let bench = inventory(&[
        ("vars.yml", VARS),
        ("group_vars/all.yml", "prefix: acme\n"),
        ("group_vars/registry_mirror.yml", "aws_region: us-east-1\n"),
    ]);
    bench.run(VALIDATE).ended(0).says(&[", 0 warnings"]);
}

#[test]
fn what_the_environment_changes_is_told() {
    let bench = inventory(&[(
        "vars.yml",
        &with("registry_mirror_shared_secret: aVery-l0ng/secret+of~the.nodes=1234"),
    )]);
    let environment = [("REGISTRY_MIRROR_SHARED_SECRET", "another-One/of+thirty~two.characters=9")];
    bench
        .run_with(&environment, VALIDATE)
        .ended(0)
        .says(&[
            "info: the environment changes `registry_mirror_shared_secret`",
            "inventory/vars.yml:5:36",
            ", 0 warnings",
        ])
        .hides(&["aVery", "another-One"]);
}

#[test]
fn what_clients_are_told_must_fit_where_a_file_says_both() {
    for (lines, says) in [
        (
            "registry_mirror_url: https://a.example\n    registry_mirror_domain: b.example",
            "another host than",
        ),
        (
            "registry_mirror_url: https://a.example\n    registry_mirror_listen_port: 5001",
            "clients are told port 443, and the service listens on 5001",
        ),
    ] {
        inventory(&[("vars.yml", &with(lines))]).run(VALIDATE).ended(0).says(&[says, "1 warning"]);
    }
    for lines in [
        "registry_mirror_url: https://a.example",
        "registry_mirror_listen_port: 5001",
        "registry_mirror_url: https://a.example:5001\n    registry_mirror_listen_port: 5001\n    registry_mirror_domain: A.example",
        "registry_mirror_domain: a.example",
    ] {
        inventory(&[("vars.yml", &with(lines))]).run(VALIDATE).ended(0).says(&[", 0 warnings"]);
    }
}

#[test]
fn a_secret_that_can_be_guessed_is_told_without_showing_it() {
    for (secret, why) in [
        ("hunter2", "it has fewer than 32 characters"),
        ("abababababababababababababababababab", "it is made of very few characters"),
        ("this-is-not-a-real-secret-but-long-enough", "it looks like one from a documentation"),
    ] {
        let bench =
            inventory(&[("vars.yml", &with(&format!("registry_mirror_shared_secret: {secret}")))]);
        let ran = bench.run(VALIDATE).ended(0);
        ran.says(&["`registry_mirror_shared_secret` can be guessed", why, "1 warning"])
            .hides(&[secret]);
    }
}

#[test]
fn a_number_that_yaml_reads_otherwise_is_said_where_it_matters() {
    let trap = |line: &str| inventory(&[("vars.yml", &with(line))]).run(VALIDATE);
    // Through a template, or as an account's id anywhere.
    let reaches = "registry_mirror_docker_image: 'mirror/{{ stage }}'\n    stage: ";
    for (value, base) in [("0644", "base 8"), ("12:30", "base 60"), ("2.10", "prints otherwise")] {
        trap(&format!("{reaches}{value}")).says(&[
            "warning: a value in `stage` is read as a number",
            base,
            "inventory/vars.yml:6:12",
            "hint: write it in quotes",
        ]);
        trap(&format!("{reaches}'{value}'")).ended(0).says(&[", 0 warnings"]);
    }
    trap("trusted_accounts: [111122223333, 011122223333, 012345670123]")
        .ended(0)
        .says(&["a value in `trusted_accounts` is read as a number of base 8", ", 2 warnings"])
        .hides(&["011122223333", "012345670123"]);
    // In the YAML of an argument, too; `name=value` is text there.
    let bench = inventory(&[("vars.yml", &with(&format!("{reaches}x")))]);
    let argued = |text: &str| bench.run(VALIDATE.iter().chain(&["-e", text])).ended(0);
    argued("{stage: 0644}").says(&["a value in `stage` is read as a number of base 8"]);
    argued("stage=0644").says(&[", 0 warnings"]);
    // What others make of theirs is their affair.
    trap("file_mode: 0644\n    at: 12:30\n    version: 2.10").ended(0).says(&[", 0 warnings"]);
    // Of our own it is an error, once.
    let ran = trap("registry_mirror_tag_ttl: 12:30").ended(1);
    assert_eq!(ran.stderr.matches("tag_ttl").count(), 2, "message and line:\n{}", ran.stderr);
}

#[test]
fn a_host_and_a_group_of_one_name_are_told() {
    let group = "all:\n  children:\n    web:\n      hosts:\n        web:\n        other:\n";
    let ini = "[web]\nweb\nother\n";
    for (file, text, line) in [("hosts.yml", group, 5), ("hosts.ini", ini, 2)] {
        let bench = inventory(&[("vars.yml", VARS), (file, text)]);
        for arguments in [&["--host", "other"][..], &["--all-hosts"]] {
            bench.run(VALIDATE.iter().chain(arguments)).ended(0).says(&[
                "warning: `web` is a host and a group",
                &format!("inventory/{file}:{line}:"),
                "hint: rename one of them",
                ", 1 warning",
            ]);
        }
    }
    let text = "all:\n  hosts:\n    ungrouped:\n";
    inventory(&[("vars.yml", VARS), ("hosts.yml", text)])
        .run(VALIDATE.iter().chain(&["--host", "ungrouped"]))
        .ended(0)
        .says(&["`ungrouped` is a host and a group", ", 1 warning"]);
}

#[test]
fn a_variable_with_a_reserved_name_is_told_where_it_counts() {
    let bench = inventory(&[
        ("hosts.yml", "all:\n  hosts:\n    a: {port: 1}\n    b:\n  vars: {lookup: 2}\n"),
        ("vars.yml", &with("vars: 3\n    gather_subset: 4\n    with_items: 5\n    ports: 6")),
        ("group_vars/all.yml", "lookup: 2\nenvironment: hunter2\n"),
    ]);
    let said = |arguments: &[&str]| bench.run(VALIDATE.iter().chain(arguments)).ended(0);
    said(&["--host", "b"]).hides(&["hunter2"]).says(&[
        "warning: `lookup` is a reserved name",
        "inventory/group_vars/all.yml:1:9",
        "warning: `environment` is a reserved name",
        "hint: give the variable another name",
        ", 2 warnings",
    ]);
    said(&["--host", "a"]).says(&["`port` is a reserved name", "hosts.yml:3:15", ", 3 warnings"]);
    said(&["--host", "b", "-e", "name=x"]).says(&["`name` is a reserved name", ", 3 warnings"]);
    said(&["--all-hosts"]).says(&["`port` is a reserved name, for `a`", ", 3 warnings"]);
}

#[test]
fn that_mappings_are_not_merged_is_told_to_who_asks_ansible_for_it() {
    let bench = inventory(&[("vars.yml", VARS)]);
    let merge = [("ANSIBLE_HASH_BEHAVIOUR", "merge")];
    bench.run_with(&merge, VALIDATE).ended(0).says(&[
        "warning: `ANSIBLE_HASH_BEHAVIOUR` is `merge`, and mappings are not merged here",
        "hint: merge where it is meant",
        ", 1 warning\n",
    ]);
    let replace = [("ANSIBLE_HASH_BEHAVIOUR", "replace")];
    bench.run_with(&replace, VALIDATE).ended(0).says(&[", 0 warnings"]);
}
