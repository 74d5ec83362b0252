//! `explain`: who sets a variable, which of them counts, and what it is made of.

use crate::support::run::{Bench, Ran};

fn bench() -> Bench {
    let bench = Bench::new();
    for (name, text) in [
        (
            "vars.yml",
            "all:\n  vars:\n    prefix: acme\n    aws_region: eu-west-1\n    registry_mirror_tag_ttl: 10m\n",
        ),
        (
            "sensitive_vars.yml",
            "all:\n  vars:\n    hub: s3cret-hub\n    registry_mirror_docker_hub_username: bot\n    registry_mirror_docker_hub_password: \"{{ hub }}\"\n",
        ),
        ("group_vars/all.yml", "registry_mirror_tag_ttl: 1h\n"),
    ] {
        bench.write(&format!("inventory/{name}"), text);
    }
    bench
}

fn explain(bench: &Bench, arguments: &[&str]) -> Ran {
    let ran = bench.run(["explain", "-i", "inventory"].iter().chain(arguments));
    ran.hides(&["s3cret"])
}

#[test]
fn every_layer_is_there_and_the_one_that_counts_is_marked() {
    let bench = bench();
    let text = explain(&bench, &["tag_ttl", "-e", "registry_mirror_tag_ttl=2h"]).ended(0).stdout;
    let expected = "registry_mirror_tag_ttl = \"2h\"
  * -e  `-e`: \"2h\"
    inventory/group_vars/all.yml:1:26  group_vars/all: \"1h\"
    inventory/vars.yml:5:30  `all: vars:` of an inventory file: \"10m\"
    defaults.yml (built in)  built-in default: \"5m\"
";
    assert_eq!(text, expected);
    let text = explain(&bench, &["registry_mirror_tag_ttl"]).ended(0).stdout;
    assert!(text.contains("  * inventory/group_vars/all.yml:1:26"), "{text}");
}

#[test]
fn what_a_default_is_made_of_is_followed_to_the_leaves() {
    let text = explain(&bench(), &["bucket_name"]).ended(0).stdout;
    let order = [
        "registry_mirror_bucket_name = \"acme-registry-mirror\"",
        "    gitlab_object_storage_prefix = \"acme\"",
        "        prefix = \"acme\"",
        "          * inventory/vars.yml:3:13",
    ];
    let mut rest = text.as_str();
    for line in order {
        let at = rest
            .find(line)
            .unwrap_or_else(|| panic!("`{line}` is not where it should be:\n{text}"));
        rest = rest.get(at + line.len()..).unwrap_or_default();
    }
}

#[test]
fn secrets_and_what_they_are_made_of_are_masked() {
    let bench = bench();
    let text = explain(&bench, &["docker_hub_password"]).ended(0).stdout;
    assert!(text.contains("registry_mirror_docker_hub_password = \"********\""), "{text}");
    assert!(text.contains("    hub = \"********\""), "{text}");
    explain(&bench, &["hub", "--format", "json"]).ended(0).prints(&["\"variable\": \"hub\""]);
}

#[test]
fn what_cannot_be_filled_in_says_why_and_mistakes_elsewhere_are_told() {
    let bench = bench();
    bench.write(
        "inventory/host_vars/localhost.yml",
        "a: \"{{ b }}\"\nb: \"{{ a }}\"\nc: \"{{ nobody }}\"\nregistry_mirror_log_level: loud\n",
    );
    let host = ["--host", "localhost"];
    bench.write("inventory/hosts.yml", "all: {hosts: {localhost: }}\n");
    let explain = |name: &str| explain(&bench, &[&[name][..], &host].concat());
    explain("a").ended(1).prints(&["a = ? ", "a -> b -> a"]);
    explain("c").ended(1).prints(&["c = ? `nobody` is not set"]);
    explain("log_level").ended(0).prints(&["registry_mirror_log_level = \"loud\""]);
    explain("tag_tll").ended(1).says(&["nothing sets `tag_tll`", "did you mean `tag_ttl`?"]);
}
