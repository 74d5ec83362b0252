//! `validate` and `render`, as users run them.

use crate::support::{
    EXAMPLE,
    run::{Bench, Ran},
};

mod all_hosts;
mod as_user;
mod formats;
mod key;
mod overlay;
mod terraform;
mod warnings;

/// What it needs beside it.
const VARS: &str = "all:\n  vars:\n    prefix: acme\n    aws_region: eu-west-1\n";

/// Secrets of the example.
const SECRETS: [&str; 2] = ["not-a-real-secret", "dckr_pat_"];

/// The example without its last line.
fn mended() -> &'static str {
    EXAMPLE.strip_suffix("}\n").expect("the example ends in a stray brace")
}

/// A directory `inventory` with these files in it.
fn inventory(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path().join("inventory")).expect("a directory");
    for (name, text) in files {
        bench.write(&format!("inventory/{name}"), text);
    }
    bench
}

const VALIDATE: [&str; 3] = ["validate", "-i", "inventory"];

/// A line for `vars.yml`.
fn with(line: &str) -> String {
    format!("{VARS}    {line}\n")
}

#[test]
fn the_example_pasted_as_it_stands_is_refused_at_its_brace() {
    inventory(&[("sensitive_vars.yml", EXAMPLE), ("vars.yml", VARS)])
        .run(VALIDATE)
        .ended(1)
        .says(&["inventory/sensitive_vars.yml:10:1", "hint: ", "}"])
        .hides(&SECRETS)
        .hides(&["my_username"]);
}

#[test]
fn the_example_mended_and_beside_its_variables_is_accepted() {
    inventory(&[("sensitive_vars.yml", mended()), ("vars.yml", VARS)])
        .run(VALIDATE)
        .ended(0)
        .says(&["ok: 1 host, 5 variables, 1 warning", "it looks like one from a documentation"])
        .hides(&SECRETS);
}

#[test]
fn the_example_alone_names_what_is_missing_and_where_to_put_it() {
    let ran = inventory(&[("sensitive_vars.yml", mended())]).run(VALIDATE).ended(1);
    let ran = ran.hides(&SECRETS).says(&[
        "`aws_region` is not set, and the default of `registry_mirror_bucket_location` needs it",
        "`prefix` is not set, and the default of `registry_mirror_bucket_name`",
        "in `inventory/vars.yml`",
        "refused: 2 errors, 1 warning",
    ]);
    assert_eq!(ran.stderr.matches("is not set").count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn problems_of_all_kinds_are_said_in_one_run() {
    let vars = with(
        "registry_mirror_listen_port: many\n    registry_mirror_tag_ttl: 5 minutes\n    \
         registry_mirror_tsl: files",
    );
    inventory(&[("broken.yml", EXAMPLE), ("vars.yml", &vars)])
        .run(VALIDATE)
        .ended(1)
        .says(&[
            "inventory/broken.yml:10:1",
            "inventory/vars.yml:5:34",
            "`registry_mirror_listen_port` must be a port",
            "inventory/vars.yml:6:30",
            "`registry_mirror_tag_ttl` must be a period",
            "unknown variable `registry_mirror_tsl`",
            "did you mean `registry_mirror_tls`?",
            "refused: 4 errors",
        ])
        .hides(&SECRETS);
}

#[test]
fn the_environment_and_extra_variables_are_layers() {
    let bench = inventory(&[("vars.yml", &with("registry_mirror_log_level: warn"))]);
    let level = |environment: &[(&str, &str)], more: &[&str]| {
        let arguments = ["render", "--format", "json", "-i", "inventory"].iter().chain(more);
        let ran = bench.run_with(environment, arguments).ended(0);
        let settings: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        settings["registry_mirror_log_level"].as_str().expect("a word").to_owned()
    };
    let environment = [("REGISTRY_MIRROR_LOG_LEVEL", "debug")];
    assert_eq!(level(&[], &[]), "warn");
    assert_eq!(level(&environment, &[]), "debug");
    let extra = ["-e", "registry_mirror_log_level=error"];
    assert_eq!(level(&environment, &extra), "error");
    bench.write("extra.yml", "registry_mirror_log_level: trace\n");
    assert_eq!(level(&environment, &[extra[0], extra[1], "-e", "@extra.yml"]), "trace");
}

#[test]
fn a_wrong_value_of_the_environment_is_named_without_a_file() {
    let bench = inventory(&[("vars.yml", VARS)]);
    bench
        .run_with(
            &[("REGISTRY_MIRROR_TAG_TTL", "soon"), ("REGISTRY_MIRROR_COLOUR", "blue")],
            VALIDATE,
        )
        .ended(1)
        .says(&[
            "environment REGISTRY_MIRROR_TAG_TTL",
            "must be a period",
            "environment variable `REGISTRY_MIRROR_COLOUR` is unknown",
        ]);
    bench
        .run_with(&[("REGISTRY_MIRROR_COLOUR", "blue")], VALIDATE)
        .ended(0)
        .says(&["ok: 1 host, 2 variables, 1 warning"]);
}

#[test]
fn options_before_and_after_the_command_add_up_in_order() {
    let bench = inventory(&[("vars.yml", VARS)]);
    bench.write("more/vars.yml", "all:\n  vars:\n    aws_region: eu-central-1\n");
    let ran = bench
        .run([
            "-i",
            "inventory",
            "-e",
            "prefix=first",
            "-e",
            "registry_mirror_tag_ttl=1m",
            "render",
            "-i",
            "more",
            "-e",
            "prefix=second",
        ])
        .ended(0);
    assert!(ran.stdout.contains("registry_mirror_bucket_name: second-"), "{}", ran.stdout);
    assert!(ran.stdout.contains("registry_mirror_bucket_location: eu-central-1"));
    assert!(ran.stdout.contains("registry_mirror_tag_ttl: 1m"));
}

#[test]
fn spellings_of_ansible_are_understood() {
    let vars = with(
        "registry_mirror_tls: off\n    registry_mirror_listen_port: \"5000\"\n    \
         registry_mirror_bucket_encrypt: \"yes\"\n    registry_mirror_blob_redirect: yes",
    );
    let bench = inventory(&[("vars.yml", &vars)]);
    let ran = bench.run(["render", "-i", "inventory"]).ended(0);
    for line in [
        "registry_mirror_tls: \"off\"\n",
        "registry_mirror_listen_port: 5000\n",
        "registry_mirror_bucket_encrypt: true\n",
        "registry_mirror_blob_redirect: true\n",
    ] {
        assert!(ran.stdout.contains(line), "`{line}` is not in\n{}", ran.stdout);
    }
}

/// What `render` printed, without where it comes from.
fn values(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn render_says_where_each_value_comes_from() {
    let bench = inventory(&[("vars.yml", &with("registry_mirror_tag_ttl: 1m"))]);
    let environment = [("REGISTRY_MIRROR_LOG_LEVEL", "warn")];
    let arguments = ["render", "-i", "inventory", "-e", "registry_mirror_listen_port=5001"];
    bench.run_with(&environment, arguments).ended(0).prints(&[
        "# inventory/vars.yml:5:30\nregistry_mirror_tag_ttl: 1m\n",
        "# environment REGISTRY_MIRROR_LOG_LEVEL\nregistry_mirror_log_level: warn\n",
        "# -e\nregistry_mirror_listen_port: 5001\n",
        "# defaults.yml (built in)\nregistry_mirror_drain_delay: 30s\n",
    ]);
}

#[test]
fn what_render_prints_is_an_inventory_that_renders_the_same() {
    let vars = with("registry_mirror_tag_rules: [{match: \"acme/*:1.10\", ttl: 90s}]");
    let bench = inventory(&[("vars.yml", &vars)]);
    let first = bench.run(["render", "-i", "inventory"]).ended(0);
    bench.write("second.yml", &first.stdout);
    let second = bench.run(["render", "-i", "inventory", "-e", "@second.yml"]).ended(0);
    assert_eq!(values(&first), values(&second));
}

#[test]
fn a_file_that_cannot_be_read_is_no_verdict() {
    Bench::new().run(VALIDATE).ended(2).says(&["inventory"]);
    inventory(&[("vars.yml", VARS)])
        .run(["validate", "-i", "inventory", "-e", "@nowhere.yml"])
        .ended(2)
        .says(&["nowhere.yml"]);
}

#[test]
fn wrong_use_is_no_verdict() {
    let bench = Bench::new();
    bench.run(["validate", "--format", "poem"]).ended(2);
    bench.run(["sing"]).ended(2);
    bench.run::<&str>([]).ended(2);
    let help = bench.run(["--help"]).ended(0);
    assert!(help.stdout.contains("/etc/registry-mirror/inventory"), "{}", help.stdout);
}

#[test]
fn a_configuration_that_is_refused_starts_nothing() {
    inventory(&[("vars.yml", &with("registry_mirror_tls: none"))])
        .run(["serve", "-i", "inventory"])
        .ended(1)
        .says(&["`registry_mirror_tls` must be"]);
}

#[test]
fn no_error_shows_a_secret() {
    const SECRET: &str = "s3cr3t-marker";
    let lines = [
        "registry_mirror_docker_hub_password: [s3cr3t-marker]",
        "registry_mirror_docker_hub_password: s3cr3t-marker",
        "registry_mirror_shared_secret: {a: s3cr3t-marker}",
        "registry_mirror_shared_secret: !vault s3cr3t-marker",
        "registry_mirror_shared_secret: \"s3cr3t-marker {{ nope }}\"",
        "registry_mirror_shared_secret: \"{{ 's3cr3t-marker' | nope }}\"",
        "registry_mirror_shared_secret: \"s3cr3t-marker {{\"",
        "registry_mirror_shared_secret: {{ s3cr3t-marker }}",
        "registry_mirror_shared_secret: s3cr3t-marker: x",
        "registry_mirror_shared_secret: \"s3cr3t-marker",
        "registry_mirror_shared_secrets: s3cr3t-marker",
        "registry_mirror_upstream_proxy: socks5://u:s3cr3t-marker@proxy",
        "registry_mirror_upstream_url: https://u:s3cr3t-marker@example.com",
        "registry_mirror_bucket_endpoint: https://u:s3cr3t-marker@example.com",
        "registry_mirror_url: https://u:s3cr3t-marker@example.com",
        "registry_mirror_tls_private_key: s3cr3t-marker\n    registry_mirror_tls: 7",
        "secret: s3cr3t-marker\n    registry_mirror_tag_ttl: \"{{ secret }}\"",
        "secret: s3cr3t-marker\n    registry_mirror_tls: \"<< secret >>\"",
        "secret: s3cr3t-marker\n    registry_mirror_peers: [\"{{ secret }}\"]",
        "registry_mirror_docker_hub_password: s3cr3t-marker\n    registry_mirror_listen_port: x",
        "registry_mirror_listen_port: x\n    registry_mirror_docker_hub_password: s3cr3t-marker",
    ];
    for line in lines {
        let bench = inventory(&[("vars.yml", &with(line))]);
        for command in ["validate", "render", "serve"] {
            bench.run([command, "-i", "inventory"]).ended(1).hides(&[SECRET]);
        }
    }
    let bench = inventory(&[("vars.yml", &with("registry_mirror_tls: none"))]);
    for name in ["DOCKER_HUB_PASSWORD", "UPSTREAM_PROXY", "UPSTREAM_URL", "NONSENSE"] {
        let name = format!("REGISTRY_MIRROR_{name}");
        let value = format!("ftp://u:{SECRET}@example.com");
        bench.run_with(&[(&name, &value)], VALIDATE).ended(1).hides(&[SECRET]);
        let extra = format!("{}={value}", name.to_lowercase());
        bench.run(["validate", "-i", "inventory", "-e", &extra]).ended(1).hides(&[SECRET]);
    }
    let extra = format!("{{registry_mirror_shared_secret: {SECRET}");
    bench.run(["validate", "-i", "inventory", "-e", &extra]).ended(1).hides(&[SECRET]);
}

#[test]
fn render_masks_every_secret() {
    const SECRET: &str = "s3cr3t-marker";
    let vars = with(
        "registry_mirror_shared_secret: s3cr3t-marker\n    \
         registry_mirror_shared_secret_previous: s3cr3t-marker\n    \
         registry_mirror_docker_hub_username: someone\n    \
         registry_mirror_docker_hub_password: s3cr3t-marker\n    \
         registry_mirror_tls: files\n    registry_mirror_tls_certificate: cert.pem\n    \
         registry_mirror_tls_private_key: \"-----BEGIN s3cr3t-marker\"\n    \
         registry_mirror_upstream_proxy: http://u:s3cr3t-marker@proxy.example:3128",
    );
    let bench = inventory(&[("vars.yml", &vars)]);
    for format in ["yaml", "json"] {
        let ran = bench.run(["render", "-i", "inventory", "--format", format]).ended(0);
        let ran = ran.hides(&[SECRET]);
        assert_eq!(ran.stdout.matches("********").count(), 5, "{}", ran.stdout);
    }
}

#[test]
fn failures_that_double_with_every_level_are_told_once() {
    let mut vars =
        with("registry_mirror_store: filesystem\n    registry_mirror_group: \"{{ v0 }}\"");
    for level in 0..20 {
        let next = level + 1;
        vars.push_str(&format!("    v{level}: \"{{{{ v{next} }}}}{{{{ v{next} }}}}\"\n"));
    }
    vars.push_str("    v20: \"{{ 1/0 }}\"\n");
    inventory(&[("vars.yml", &vars)]).run(VALIDATE).ended(1).says(&["refused: 1 error,"]);
}

#[test]
fn passwords_in_settings_that_are_no_secrets_are_hidden() {
    let lines = [
        "registry_mirror_upstream_url: [https://u:hunter2@hub]",
        "registry_mirror_url: {a: \"https://u:hunter2@hub\"}",
        "registry_mirror_url: \"https://u:hunter2@{{ nope }}\"",
        "registry_mirror_bucket_endpoint: \"u:hunter2@minio:9000\"",
        "registry_mirror_domain: \"u:hunter2@hub\"",
        "registry_mirror_peers: [\"u:hunter2@x:1\"]",
        "registry_mirror_tls_certificate: [ \"-----BEGIN PRIVATE KEY----- hunter2\" ]",
        "registry_mirror_url: \"https://u:hunter2@{{ nope\"",
        "registry_mirror_url: \"https://u:hunter2\n      @{{ nope }}\"",
        "registry_mirror_upstream_url: u:hunter2\n      @hub",
        "registry_mirror_peers: [u:hunter2\n      @x:1]",
        "registry_mirror_peers: [{a: u:hunter2\n      @x:1}]",
    ];
    for line in lines {
        inventory(&[("vars.yml", &with(line))]).run(VALIDATE).ended(1).hides(&["hunter2"]);
    }
}

#[test]
fn wrong_use_does_not_repeat_what_may_be_a_secret() {
    let bench = inventory(&[("vars.yml", VARS)]);
    let secret = "registry_mirror_shared_secret=hunter2";
    for arguments in [
        &["validate", "-i", "inventory", secret][..],
        &[secret, "validate"],
        &["validate", "-extra-vars", "x=hunter2"],
        &["validate", "-e", "registry_mirror_shared_secret:", "hunter2"],
        &["validate", "--extra=hunter2"],
        &["validate", "--format", "hunter2"],
        &["validate", "--format=hunter2"],
        &["--version=hunter2"],
    ] {
        bench.run(arguments).ended(2).hides(&["hunter2"]).says(&["error: ", "Usage"]);
    }
    bench.run(["validate", "-i", "inventory", "-e", "--x: hunter2"]).ended(1).hides(&["hunter2"]);
    bench.run([secret, "validate"]).says(&["`registry_mirror_shared_secret`"]);
}

#[test]
fn the_mask_of_render_is_no_secret() {
    for name in ["shared_secret", "upstream_proxy", "tls_private_key"] {
        let vars = with(&format!("registry_mirror_{name}: \"********\""));
        inventory(&[("vars.yml", &vars)])
            .run(VALIDATE)
            .ended(1)
            .says(&["this is the mask that `render` prints", "hint: put the secret itself here"]);
    }
}

#[test]
fn what_render_prints_keeps_text_that_looks_like_a_template() {
    let vars = with("registry_mirror_docker_image: !unsafe \"a {{ b }} << c >>\"");
    let bench = inventory(&[("vars.yml", &vars)]);
    let first = bench.run(["render", "-i", "inventory"]).ended(0);
    bench.write("second.yml", &first.stdout);
    let second = bench.run(["render", "-i", "inventory", "-e", "@second.yml"]).ended(0);
    assert!(first.stdout.contains("!unsafe \"a {{ b }} << c >>\""), "{}", first.stdout);
    assert_eq!(values(&first), values(&second));
}

#[test]
fn an_inventory_that_is_not_there_is_one_error() {
    let bench = Bench::new();
    bench.write("group_vars/all.yml", "{");
    bench.run(["validate", "-i", "nowhere"]).ended(2).says(&[
        "there is no such file",
        "hint: name an inventory with `-i PATH`",
        "refused: 1 error,",
    ]);
}

#[test]
fn hints_name_what_was_meant() {
    let said = |text: &str, wanted: &[&str]| {
        inventory(&[("vars.yml", text)]).run(VALIDATE).ended(1).says(wanted);
    };
    said("all: 5\n", &["`all` must be a mapping", "an integer"]);
    said(
        "all:\n  vars:\n    prefix:acme\n    aws_region: eu\n",
        &["vars.yml:3:11", "no blank after the colon", "hint: write `key: value`"],
    );
    said(
        &with("acme_domain: x\n    registry_mirror_domain: \"{{ acme_domian }}\""),
        &["did you mean `acme_domain`?"],
    );
    said(
        &with("a: \"{{ b }}\"\n    b: \"{{ a }}\"\n    registry_mirror_group: \"{{ a }}\""),
        &["needed by `registry_mirror_group`"],
    );
}

#[test]
fn of_many_errors_the_first_hundred_are_printed() {
    let mut vars = VARS.to_owned();
    for number in 0..150 {
        vars.push_str(&format!("    registry_mirror_x{number}: 1\n"));
    }
    let ran = inventory(&[("vars.yml", &vars)]).run(VALIDATE).ended(1);
    let ran = ran.says(&["and 50 more errors\n", "refused: 150 errors"]);
    assert_eq!(ran.stderr.matches("error: ").count(), 100);
}
