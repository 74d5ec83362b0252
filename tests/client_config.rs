//! `client-config`: what each client takes for an address, which for most is not what its neighbour
//! takes.

use crate::support::run::Bench;

/// Something else is wrong with it and a part is sealed: neither matters here.
const INVENTORY: &str = "all:
  vars:
    registry_mirror_url: https://mirror.example.com:5000/
    registry_mirror_listen_port: \"{{ nobody }}\"
    registry_mirror_docker_hub_password: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      61
";

/// What is printed for `client` with this address.
fn printed(client: &str, url: &str) -> String {
    let bench = Bench::new();
    bench.write("inventory/vars.yml", INVENTORY);
    let extra = format!("registry_mirror_url={url}");
    bench.run(["client-config", client, "-i", "inventory", "-e", &extra]).ended(0).stdout
}

#[test]
fn clients_that_want_a_scheme_get_it_and_the_others_do_not() {
    for (client, with, without) in [
        ("docker", "\"https://m.example:5000\"", "insecure"),
        ("dind", "\"--registry-mirror\", \"https://m.example:5000\"]", "insecure"),
        ("containerd", "[host.\"https://m.example:5000\"]", "\n[host.\"m.example"),
        ("buildkit", "mirrors = [\"m.example:5000\"]", "https"),
        ("podman", "location = \"m.example:5000\"", "https"),
        ("kaniko", "KANIKO_REGISTRY_MIRROR=m.example:5000\n", "https"),
        (
            "gitlab-runner",
            "\"DOCKER_REGISTRY_MIRROR=https://m.example:5000\"",
            "MIRROR=https://m.example:5000/",
        ),
        ("gitlab-runner", "\"KANIKO_MIRROR_ARGS=--registry-mirror m.example:5000\"", "insecure"),
        ("dotenv", "KANIKO_MIRROR_ARGS=--registry-mirror m.example:5000\n", "insecure"),
    ] {
        let text = printed(client, "https://m.example:5000/");
        assert!(text.contains(with), "`{with}` is missing for {client}:\n{text}");
        assert!(!text.contains(without), "`{without}` is there for {client}:\n{text}");
    }
}

#[test]
fn clients_are_told_that_a_mirror_does_not_encrypt() {
    for (client, with) in [
        ("docker", "\"insecure-registries\": [\n    \"[::1]:5000\""),
        ("dind", "\"--insecure-registry\", \"[::1]:5000\"]"),
        ("containerd", "[host.\"http://[::1]:5000\"]"),
        ("buildkit", "[registry.\"[::1]:5000\"]\n  http = true"),
        ("podman", "insecure = true"),
        ("kaniko", "--insecure-registry [::1]:5000"),
        ("gitlab-runner", "\"--insecure-registry\", \"[::1]:5000\"]"),
        ("dotenv", "DOCKER_REGISTRY_MIRROR=http://[::1]:5000\n"),
    ] {
        let text = printed(client, "http://[::1]:5000");
        assert!(text.contains(with), "`{with}` is missing for {client}:\n{text}");
    }
}

#[test]
fn what_is_a_document_parses_as_one() {
    let docker: serde_json::Value =
        serde_json::from_str(&printed("docker", "https://m.example:5000")).expect("JSON");
    assert_eq!(docker["registry-mirrors"][0], "https://m.example:5000");
    let dind: serde_json::Value =
        serde_yaml::from_str(&printed("dind", "http://m.example:5000")).expect("YAML");
    assert_eq!(dind["services"][0]["command"][3], "m.example:5000");
}

#[test]
fn only_the_address_needs_to_be_right() {
    let bench = Bench::new();
    let run = || bench.run(["client-config", "dotenv", "-i", "inventory"]);
    bench.write("inventory/vars.yml", INVENTORY);
    run().ended(0).prints(&["DOCKER_REGISTRY_MIRROR=https://mirror.example.com:5000\n"]);
    bench.write("inventory/vars.yml", "all: {vars: {aws_region: eu-west-1}}\n");
    run()
        .ended(1)
        .says(&["`prefix` is not set", "hint: set `registry_mirror_url` under `all: vars:`"]);
    for (url, says) in [
        ("https://m.example/path", "`registry_mirror_url` has a path"),
        ("ftp://m.example", "`registry_mirror_url` must be"),
        ("''", "`registry_mirror_url` is empty"),
    ] {
        bench.write(
            "inventory/vars.yml",
            format!("all: {{vars: {{registry_mirror_url: {url}}}}}\n"),
        );
        run().ended(1).says(&[says]);
    }
    bench.write("inventory/vars.yml", "all: {vars: {registry_mirror_domain: m.example}}\n");
    run().ended(0).prints(&["KANIKO_REGISTRY_MIRROR=m.example\n"]);
    bench.run(["client-config", "cri-o", "-i", "inventory"]).ended(2).says(&["`podman`"]);
}
