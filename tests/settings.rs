//! The files made from the table of variables, and the inventories that users copy.

use std::fs;

use registry_mirror::settings::{arguments, document, schema, table};
use serde_json::{Value, json};

use crate::support::run::{Bench, repository};

const INVENTORIES: [&str; 3] = ["quickstart", "single-node", "cluster"];

/// Fails if the file is not `wanted`, or writes it if `UPDATE` is set.
fn compare(path: &str, wanted: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(&file, wanted).expect("a file that can be written");
    }
    assert!(
        fs::read_to_string(&file).is_ok_and(|text| text == wanted),
        "`{path}` is not what the table of variables says; `UPDATE=1 cargo test --test it settings::` writes it"
    );
}

fn pretty(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .build(schema)
        .expect("a schema of draft 07")
}

#[test]
fn the_schema_of_inventories_is_committed() {
    compare("schema/registry-mirror.schema.json", &pretty(&schema::inventory()));
}

#[test]
fn the_schema_of_settings_is_committed() {
    compare("schema/settings.schema.json", &pretty(&schema::settings()));
}

#[test]
fn the_table_of_the_documentation_is_committed() {
    let path = "docs/configuration.md";
    let page = fs::read_to_string(repository().join(path)).expect("the page");
    compare(path, &document::fill(&page).expect("the page marks where its table stands"));
}

#[test]
fn the_argument_specs_of_the_role_are_committed() {
    let path = "packaging/ansible/roles/registry_mirror/meta/argument_specs.yml";
    compare(path, &arguments::specs());
    let specs: Value = serde_yaml::from_str(&arguments::specs()).expect("YAML");
    let options = specs["argument_specs"]["main"]["options"].as_object().expect("options");
    for variable in table::settings() {
        let option = options.get(&variable.full_name()).expect("an option for each setting");
        assert_eq!(option.get("no_log").is_some(), variable.secret, "{}", variable.name);
    }
}

#[test]
fn both_schemas_are_schemas() {
    for schema in [schema::inventory(), schema::settings()] {
        assert!(jsonschema::draft7::meta::is_valid(&schema));
    }
}

#[test]
fn every_shipped_inventory_fits_the_schema_and_loads() {
    let schema = validator(&schema::inventory());
    for name in INVENTORIES {
        let directory = repository().join("inventory").join(name);
        for entry in fs::read_dir(&directory).expect("the inventory") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let is_ours = path.extension().is_some_and(|ending| ending == "yml");
            if !is_ours || text.starts_with("$ANSIBLE_VAULT") || text.contains("\nplugin:") {
                continue;
            }
            let value: Value = serde_yaml::from_str(&text).expect("YAML");
            let wrong: Vec<String> =
                schema.iter_errors(&value).map(|e| e.instance_path().to_string()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
        }
        let inventory = directory.to_str().expect("a path of text");
        let bench = Bench::new();
        bench.write("password", "example\n");
        let arguments = ["validate", "-i", inventory, "--vault-password-file", "password"];
        bench.run(arguments).ended(0).says(&[", 0 warnings"]);
        let page = fs::read_to_string(directory.join("README.md")).expect("a README");
        assert!(page.lines().count() <= 15, "the README of `{name}` is long");
    }
}

#[test]
fn the_quickstart_lands_below_target_and_needs_nothing() {
    let inventory = repository().join("inventory/quickstart");
    let bench = Bench::new();
    let ran = bench.run(["render", "--format=json", "-i", inventory.to_str().expect("text")]);
    let ran = ran.ended(0);
    let settings: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let target = repository().canonicalize().expect("the repository").join("target");
    let wanted = json!(target.join("quickstart").to_str());
    assert_eq!(settings["registry_mirror_data_path"], wanted);
    assert_eq!(settings["registry_mirror_tls"], "off");
    assert_eq!(settings["registry_mirror_store"], "filesystem");
    assert_eq!(settings["registry_mirror_url"], "http://127.0.0.1:5000");
}

#[test]
fn the_schema_takes_every_spelling_in_both_shapes() {
    let schema = validator(&schema::inventory());
    let spellings = [
        json!({ "registry_mirror_tls": false }),
        json!({ "registry_mirror_tls": "off" }),
        json!({ "registry_mirror_listen_port": "5000" }),
        json!({ "registry_mirror_listen_port": "{{ port }}" }),
        json!({ "registry_mirror_bucket_encrypt": "Yes" }),
        json!({ "registry_mirror_tag_ttl": 300 }),
        json!({ "registry_mirror_tag_ttl": "<< ttl >>" }),
        json!({ "registry_mirror_max_size": "" }),
        json!({ "registry_mirror_docker_hub_password": { "__ansible_vault": "$ANSIBLE_VAULT;1.1" } }),
        json!({ "registry_mirror_docker_hub_password": null }),
        json!({ "registry_mirror_tag_rules": [{ "match": "acme/*:latest", "ttl": "0s" }] }),
        json!({ "registry_mirror_node_count": 2, "gitlab_version": { "hosts": ["not a group"] } }),
    ];
    for variables in spellings {
        for document in [variables.clone(), json!({ "all": { "vars": variables } })] {
            assert!(schema.is_valid(&document), "{document}");
        }
    }
    let group = json!({ "registry_mirror_eu": { "hosts": { "a": null }, "vars": {} } });
    assert!(schema.is_valid(&group), "a group may be called like a variable");
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let schema = validator(&schema::inventory());
    let mistakes = [
        json!({ "registry_mirror_tsl": "off" }),
        json!({ "registry_mirror_tls": "none" }),
        json!({ "registry_mirror_tls": true }),
        json!({ "registry_mirror_listen_port": 0 }),
        json!({ "registry_mirror_tag_ttl": "5 minutes" }),
        json!({ "registry_mirror_docker_hub_username": 1234 }),
        json!({ "registry_mirror_tag_rules": [{ "match": "acme/*:latest" }] }),
    ];
    for variables in mistakes {
        let shapes = [
            variables.clone(),
            json!({ "all": { "vars": variables } }),
            json!({ "all": { "hosts": { "a": variables } } }),
            json!({ "mirrors": { "vars": variables } }),
        ];
        for document in shapes {
            assert!(!schema.is_valid(&document), "{document}");
        }
    }
}
