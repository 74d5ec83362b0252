use std::{collections::BTreeSet, ffi::OsString, path::Path, sync::Arc, time::Duration};

use serde_json::Value as Json;

use crate::{
    diagnostic::Report,
    inventory::{self, Host, Inventory, Layer, LayerKind, Request, Source},
};

use super::{
    Given, LogLevel, Period, Secret, Settings, Size, StoreKind, TagRule, Tls, defaults, read,
    table::{self, PREFIX},
    to_json, to_yaml,
};

/// What is needed with the shipped store.
const REGION: &str = "prefix: acme\naws_region: eu-west-1\n";

fn layer(kind: LayerKind, name: &str, text: &str) -> Layer {
    let mut report = Report::new();
    let node = inventory::parse(&Source::file(name, text), &mut report).expect("YAML");
    let entries = inventory::variables(node, &mut report);
    assert!(report.is_empty(), "{report:?}");
    Layer { kind, entries }
}

fn read_all(layers: Vec<Layer>, environment: &[(&str, &str)]) -> (Option<Settings>, Report) {
    let mut report = Report::new();
    let request = Request { shown: table::shown, ..Request::default() };
    let inventory = Arc::new(Inventory::read(&request, &mut Report::new()));
    let host = Host { layers, name: "localhost".into(), groups: Vec::new(), unlisted: true };
    let environment: Vec<(OsString, OsString)> =
        environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let given = Given {
        inventory: &inventory,
        host: &host,
        environment: &environment,
        directory: Path::new("/nowhere"),
        advice: "in `vars.yml`",
    };
    let (settings, _) = read(&given, &mut report);
    (settings, report)
}

fn read_text(text: &str) -> (Option<Settings>, Report) {
    read_all(vec![layer(LayerKind::InventoryAll, "/etc/mirror/vars.yml", text)], &[])
}

/// The settings of an inventory that is right.
#[track_caller]
fn accepted(text: &str) -> Settings {
    let (settings, report) = read_text(&format!("{REGION}{text}"));
    settings.unwrap_or_else(|| panic!("{}", messages(&report).join("\n")))
}

fn messages(report: &Report) -> Vec<String> {
    let said = report.sorted().into_iter().map(|d| {
        let place = d.place.as_ref().map(|p| format!("{}:{}: ", p.line, p.column));
        let hint = d.hint.as_ref().map(|hint| format!("; hint: {hint}"));
        format!("{}{}{}", place.unwrap_or_default(), d.message, hint.unwrap_or_default())
    });
    said.collect()
}

/// What is said about an inventory that is wrong.
#[track_caller]
fn refused(text: &str) -> Vec<String> {
    let (settings, report) = read_text(&format!("{REGION}{text}"));
    assert!(settings.is_none(), "accepted: {text}");
    messages(&report)
}

#[track_caller]
fn refused_with(text: &str, wanted: &str) {
    let said = refused(text);
    assert!(said.iter().any(|line| line.contains(wanted)), "`{wanted}` is not in {said:#?}");
}

#[test]
fn settings_and_table_and_defaults_have_the_same_names() {
    let Json::Object(written) = to_json(&Settings::default()) else { panic!("an object") };
    let fields: BTreeSet<String> = written.keys().cloned().collect();
    let table: BTreeSet<String> = table::settings().map(|v| v.full_name()).collect();
    assert_eq!(fields, table);
    for variable in table::all() {
        assert!(defaults::of(variable).is_some(), "`{}` has no default", variable.name);
    }
    let names: Vec<&str> = table::all().map(|v| v.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name is there twice");
}

#[test]
fn the_default_settings_are_the_shipped_defaults() {
    let wanted = Settings {
        bucket_name: Some("acme-registry-mirror".into()),
        bucket_location: Some("eu-west-1".into()),
        domain: Some("registry-mirror.acme.glhc.nl".into()),
        url: Some("https://registry-mirror.acme.glhc.nl".into()),
        ..Settings::default()
    };
    assert_eq!(accepted(""), wanted);
}

#[test]
fn a_filesystem_store_needs_nothing() {
    let (settings, report) = read_text("registry_mirror_store: filesystem\n");
    let wanted = Settings { store: StoreKind::Filesystem, ..Settings::default() };
    assert_eq!(settings, Some(wanted), "{:?}", messages(&report));
    assert!(report.is_empty());
}

#[test]
fn a_bucket_store_says_exactly_what_is_missing_and_what_needs_it() {
    let (settings, report) =
        read_text("registry_mirror_shared_secret: \"Kq7/zP2+vX9.mB4-tR8_wL3~hN6=cF1!\"\n");
    assert_eq!(settings, None);
    let wanted = [
        "`aws_region` is not set, and the default of `registry_mirror_bucket_location` needs it; \
         hint: set `aws_region` in `vars.yml`",
        "`prefix` is not set, and the default of `registry_mirror_bucket_name` (through \
         `gitlab_object_storage_prefix`) needs it; hint: set `prefix` in `vars.yml`",
    ];
    assert_eq!(messages(&report), wanted);

    let (_, empty) = read_text("prefix: \"\"\naws_region:\n");
    assert_eq!(messages(&empty), wanted, "empty counts as unset");
    let (named, _) = read_text(
        "registry_mirror_bucket_name: acme-images\nregistry_mirror_bucket_location: eu-west-1\n",
    );
    assert!(named.is_some(), "whoever names the bucket needs no prefix");
}

#[test]
fn null_leaves_the_default() {
    let settings = accepted("registry_mirror_tag_ttl:\nregistry_mirror_bucket_name: \"\"\n");
    assert_eq!(settings.tag_ttl, Settings::default().tag_ttl);
    assert_eq!(settings.bucket_name.as_deref(), Some("acme-registry-mirror"));
}

#[test]
fn a_later_layer_wins_and_the_environment_beats_the_inventory() {
    let inventory = |text: &str| layer(LayerKind::InventoryAll, "vars.yml", text);
    let extra = |text: &str| layer(LayerKind::Extra, "extra.yml", text);
    let base = format!("{REGION}registry_mirror_log_level: warn\n");
    let environment = [("REGISTRY_MIRROR_LOG_LEVEL", "debug"), ("HOME", "/root")];
    let level = |layers: Vec<Layer>, environment: &[(&str, &str)]| {
        read_all(layers, environment).0.expect("accepted").log_level
    };
    assert_eq!(level(vec![inventory(&base)], &[]), LogLevel::Warn);
    let second = || inventory("registry_mirror_log_level: error\n");
    assert_eq!(level(vec![inventory(&base), second()], &[]), LogLevel::Error);
    assert_eq!(level(vec![inventory(&base), second()], &environment), LogLevel::Debug);
    let strongest = extra("registry_mirror_log_level: trace\n");
    assert_eq!(level(vec![inventory(&base), strongest], &environment), LogLevel::Trace);
}

#[test]
fn the_environment_is_plain_text_and_its_strangers_are_warned_of() {
    let base = || vec![layer(LayerKind::InventoryAll, "vars.yml", REGION)];
    let (settings, report) = read_all(
        base(),
        &[
            ("REGISTRY_MIRROR_SHARED_SECRET", "{{ prefix }}<< prefix >>-Kq7/zP2+vX9.mB4"),
            ("REGISTRY_MIRROR_LISTEN_PORT", "5001"),
            ("REGISTRY_MIRROR_BLOB_REDIRECT", "yes"),
            ("REGISTRY_MIRROR_UPSTREAM_REDIRECT_HOSTS", "a.example, *.b.example"),
            ("REGISTRY_MIRROR_DATA_PATH", "data"),
            ("REGISTRY_MIRROR_TAG_RULES", r#"[{"match": "a:*", "ttl": "1m"}]"#),
            ("REGISTRY_MIRROR_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_MIRROR_TAG_TLL", "1m"),
            ("REGISTRY_MIRROR_NODE_COUNT", "2"),
        ],
    );
    let settings = settings.expect("accepted");
    assert_eq!(settings.shared_secret, Secret::new("{{ prefix }}<< prefix >>-Kq7/zP2+vX9.mB4"));
    assert_eq!(settings.listen_port, 5001);
    assert!(settings.blob_redirect);
    assert_eq!(settings.upstream_redirect_hosts, ["a.example", "*.b.example"]);
    assert_eq!(settings.data_path, Path::new("/nowhere/data"));
    let ttl = Period(Duration::from_secs(60));
    assert_eq!(settings.tag_rules, [TagRule { pattern: "a:*".into(), ttl }]);
    assert_eq!(
        messages(&report),
        [
            "environment variable `REGISTRY_MIRROR_PORT` is unknown",
            "environment variable `REGISTRY_MIRROR_TAG_TLL` is unknown; hint: did you mean \
             `REGISTRY_MIRROR_TAG_TTL`?",
        ]
    );
}

#[test]
fn values_are_converted_as_argument_specs_convert() {
    let settings = accepted(
        "registry_mirror_tls: off\n\
         registry_mirror_listen_port: \"5000\"\n\
         registry_mirror_bucket_encrypt: \"yes\"\n\
         registry_mirror_bucket_create: n\n\
         registry_mirror_blob_redirect: 1\n\
         registry_mirror_tag_ttl: 90\n\
         registry_mirror_max_size: 500GiB\n\
         registry_mirror_spool_size: 1048576\n\
         registry_mirror_bucket_owner: 123456789012\n\
         registry_mirror_peers: \"a:5000, [::1]:5000\"\n\
         registry_mirror_docker_image: \"2.10\"\n",
    );
    assert_eq!(settings.tls, Tls::Off);
    assert_eq!(settings.listen_port, 5000);
    assert!(settings.bucket_encrypt && !settings.bucket_create && settings.blob_redirect);
    assert_eq!(settings.tag_ttl, Period(Duration::from_secs(90)));
    assert_eq!(settings.max_size, Some(Size(500 << 30)));
    assert_eq!(settings.spool_size, Size(1 << 20));
    assert_eq!(settings.bucket_owner, "123456789012");
    assert_eq!(settings.peers, ["a:5000", "[::1]:5000"]);
    assert_eq!(settings.docker_image, "2.10");
    assert_eq!(accepted("registry_mirror_listen_port: 5000.0\n").listen_port, 5000);
}

#[test]
fn paths_start_in_the_directory_of_the_file_that_sets_them() {
    let settings = accepted(
        "registry_mirror_data_path: data\n\
         registry_mirror_tls: files\n\
         registry_mirror_tls_certificate: tls/cert.pem\n\
         registry_mirror_tls_private_key: |\n  -----BEGIN PRIVATE KEY-----\n\
         registry_mirror_upstream_ca: /etc/ca.pem\n",
    );
    assert_eq!(settings.data_path, Path::new("/etc/mirror/data"));
    assert_eq!(settings.tls_certificate, "/etc/mirror/tls/cert.pem");
    assert_eq!(settings.tls_private_key.expose(), "-----BEGIN PRIVATE KEY-----\n");
    assert_eq!(settings.upstream_ca, "/etc/ca.pem");
}

#[test]
fn every_value_is_checked_and_every_problem_said_at_once() {
    let said = refused(
        "registry_mirror_listen_port: 70000\n\
         registry_mirror_tag_ttl: 5 minutes\n\
         registry_mirror_tls: none\n\
         registry_mirror_tsl: off\n\
         registry_mirror_admin_address: localhost:5002\n\
         registry_mirror_docker_hub_username: someone\n",
    );
    let wanted = [
        "3:30: `registry_mirror_listen_port` must be a port",
        "4:26: `registry_mirror_tag_ttl` must be a period",
        "5:22: `registry_mirror_tls` must be `generated`, `files` or `off`",
        "6:22: unknown variable `registry_mirror_tsl`; hint: did you mean `registry_mirror_tls`?",
        "7:32: `registry_mirror_admin_address` must be an IP address and a port",
        "8:38: `registry_mirror_docker_hub_username` is set without",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "`{said}` should start with `{wanted}`");
    }
}

#[test]
fn wrong_values_are_refused() {
    let mistakes = [
        ("docker_hub_username: 0123", "must be text in quotes; hint: quote it"),
        ("shared_secret: 2024-01-01", "must be text in quotes; hint: quote it"),
        ("shared_secret: yes", "hint: quote it"),
        ("docker_image: 2.10", "hint: quote it"),
        ("bucket_location: 010", "hint: quote it"),
        ("bucket_name: 0100000", "hint: quote it"),
        ("group: 2024-01-01", "hint: quote it"),
        ("not_found_ttl: 12:30", "with its units"),
        ("tag_rules: [{match: \"a:b\", ttl: 12:30}]", "the `ttl` of a rule must be a period"),
        ("listen_port: 05000", "without a leading zero"),
        ("bucket_owner: 012345670123", "twelve digits"),
        ("bucket_name: Acme_Images", "must be a bucket name"),
        ("bucket_prefix: a//b", "must be a prefix of keys"),
        ("bucket_prefix: ../b", "must be a prefix of keys"),
        ("bucket_prefix: a b", "must be a prefix of keys"),
        ("bucket_prefix: /docker/registry/v2/", "lies within what a registry"),
        ("bucket_prefix: registry-mirror/v1/x", "lies within what a registry"),
        ("tls: on", "must be `generated`, `files` or `off`"),
        ("tls: file", "did you mean `files`?"),
        ("bucket_encrypt: maybe", "must be `true` or `false`"),
        ("listen_port: 5000.5", "must be a port"),
        ("listen_port: 0", "must be a port"),
        ("listen_address: example.com", "must be an IP address"),
        ("spool_size: 10 gigs", "must be a size"),
        ("spool_size: -1", "must be a size"),
        ("expire_after: 0s", "at least a second"),
        ("drain_timeout: 2d", "at most a day"),
        ("tag_max_stale: 101w52000d", "must be a period"),
        ("upstream_url: registry-1.docker.io", "put `https://` in front"),
        ("upstream_url: ftp://example.com", "must be the address of a registry"),
        ("upstream_url: https://example.com/v2/", "leave out `/v2`"),
        ("upstream_proxy: socks5://example.com", "must be the address of a proxy"),
        ("bucket_endpoint: https://user:word@example.com", "leave the account out"),
        ("upstream_redirect_hosts: [\"https://cdn.example\"]", "a host must be a name"),
        ("peers: [node-1]", "a peer must be `host:port`"),
        ("domain: a_b.example", "must be a host name"),
        ("tag_rules: [{match: \"acme/*\", ttl: 5m}]", "the `match` of a rule"),
        ("tag_rules: [{match: \"acme/*:latest\"}]", "has no `ttl`"),
        ("tag_rules: [{match: \"a:b\", ttl: 1m, tls: 1}]", "a key besides"),
        ("tag_rules: acme", "must be a list of `{match"),
        ("tag_rules: [{match: \"a:b\", ttl: soon}]", "3:49: the `ttl` of a rule must be a period"),
        ("tag_rules: 5", "must be a list of `{match"),
        ("data_path: [a]", "must be a path"),
        ("group: \"\"", "must be text that is not empty"),
        ("tls: files", "needs `registry_mirror_tls_certificate`"),
        ("tls: files", "needs `registry_mirror_tls_private_key`"),
        ("docker_hub_password: \"x\"", "set both, or neither"),
        (
            "docker_hub_username: bot\nregistry_mirror_docker_hub_password: \"\"",
            "set both, or neither",
        ),
        ("admin_address: 0.0.0.0:5000", "has the port of"),
    ];
    for (text, wanted) in mistakes {
        refused_with(&format!("{PREFIX}{text}\n"), wanted);
    }
}

#[test]
fn the_label_says_what_became_of_a_value() {
    let label = |text: &str| {
        let (_, report) = read_text(&format!("{REGION}{text}"));
        report.sorted().first().and_then(|d| d.label.clone())
    };
    let secret = |value: &str| label(&format!("registry_mirror_shared_secret: {value}\n"));
    assert_eq!(secret("0123").as_deref(), Some("YAML reads this as an integer"));
    assert_eq!(secret("[a]").as_deref(), Some("YAML reads this as a list"));
    assert_eq!(secret("\"{{ 5 }}\"").as_deref(), Some("the template comes out as an integer"));
    assert_eq!(label("registry_mirror_listen_port: 0\n"), None);
}

#[test]
fn settings_written_out_read_back_the_same() {
    let settings = accepted(
        "registry_mirror_tls: off\n\
         registry_mirror_group: \"yes\"\n\
         registry_mirror_docker_image: \"12:30\"\n\
         registry_mirror_bucket_owner: \"012345670123\"\n\
         registry_mirror_upstream_redirect_hosts: [\"on\", \"2024-01-01\"]\n\
         registry_mirror_tag_rules: [{match: \"*:1.10\", ttl: 1h30m}]\n\
         registry_mirror_max_size: 1TiB\n",
    );
    let plain = |json: &Json| {
        let Json::Object(map) = json else { return None };
        let text = |value: &Json| value.as_str().map(str::to_owned);
        map.iter().map(|(k, v)| Some(format!("{k}: {}\n", text(v)?))).collect()
    };
    let origins = [("registry_mirror_tls".to_owned(), "a\nb: c.yml:1:2".to_owned())].into();
    for text in [to_yaml(&settings, &origins, |_| None), to_yaml(&settings, &origins, plain)] {
        let (again, report) = read_text(&text);
        assert_eq!(again.as_ref(), Some(&settings), "{:?}\n{text}", messages(&report));
    }
    assert!(to_yaml(&settings, &origins, plain).contains("registry_mirror_group: \"yes\"\n"));
    assert!(to_yaml(&settings, &origins, plain).contains("registry_mirror_max_size: 1TiB\n"));
}

#[test]
fn settings_written_out_mask_their_secrets() {
    let settings = accepted(
        "registry_mirror_shared_secret: \"hunter2\"\n\
         registry_mirror_upstream_proxy: http://user:hunter2@proxy.example:3128\n",
    );
    assert!(!to_json(&settings).to_string().contains("hunter2"));
    assert!(!to_yaml(&settings, &Default::default(), |_| None).contains("hunter2"));
    assert!(!format!("{settings:?}").contains("hunter2"));
}
