//! Inventories on disk, as an operator has them: the golden cases, with the results of real
//! ansible-core where it has one.

use std::{fs, path::Path, path::PathBuf, time::Instant};

use proptest::prelude::*;
use registry_mirror::{
    diagnostic::{Report, Severity},
    inventory::{Host, Inventory, LayerKind, Request, Value},
};

use crate::support::EXAMPLE;

const SECRET: &str = "dckr_pat_TestTokenPlsIgnore-AbCd1234";

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        fs::write(path, text).expect("a file");
    }
    root
}

fn request(inventories: &[&Path], host: Option<&str>) -> Request {
    Request {
        inventories: inventories.iter().map(|path| PathBuf::from(*path)).collect(),
        host: host.map(str::to_owned),
        own_names: vec!["node-1".into()],
        ..Request::default()
    }
}

/// What an inventory says of this host, if there is nothing wrong with it.
fn load(request: &Request, report: &mut Report) -> Option<Host> {
    let host = Inventory::read(request, report).this_host(report);
    host.filter(|_| !report.has_errors())
}

fn read(root: &Path, host: Option<&str>) -> (Option<Host>, Report) {
    let mut report = Report::new();
    let inventory = load(&request(&[root], host), &mut report);
    (inventory, report)
}

fn loaded(root: &Path, host: Option<&str>) -> Host {
    let (inventory, report) = read(root, host);
    inventory.unwrap_or_else(|| panic!("{}", report.human(false, root)))
}

/// The value that wins, as text.
fn winner(inventory: &Host, name: &str) -> Option<String> {
    let entries = inventory.layers.iter().flat_map(|layer| &layer.entries);
    let last = entries.rev().find(|entry| &*entry.name == name)?;
    Some(match &last.node.value {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        _ => last.node.kind().to_owned(),
    })
}

#[test]
fn the_documentations_example_is_refused_at_the_stray_brace() {
    let root = directory(&[("sensitive_vars.yml", EXAMPLE)]);
    let (inventory, report) = read(root.path(), None);
    assert!(inventory.is_none() && report.counts().errors == 1);
    let said = report.human(false, root.path());
    assert!(said.contains("sensitive_vars.yml:10:1\n"), "{said}");
    assert!(said.contains("\n10 | }\n   | ^ a stray `}`"), "{said}");
    assert!(said.contains("\nhint: remove the stray `}`"), "{said}");
    assert!(!said.contains(SECRET) && !said.contains("not-a-real-secret"), "{said}");
    assert!(!said.contains("\n 9 |") && !said.contains("\n9 |"), "one line only: {said}");
}

#[test]
fn without_the_brace_it_holds_three_variables_for_an_unlisted_member() {
    let root = directory(&[("sensitive_vars.yml", &EXAMPLE.replace("}\n", ""))]);
    let (inventory, report) = read(root.path(), None);
    let inventory = inventory.expect("valid");
    assert!(inventory.unlisted);
    assert_eq!((&*inventory.name, inventory.groups.len()), ("node-1", 1));
    assert_eq!(inventory.layers.len(), 1);
    assert_eq!(inventory.layers[0].entries.len(), 3);
    assert_eq!(winner(&inventory, "registry_mirror_docker_hub_password").as_deref(), Some(SECRET));
    assert_eq!(report.sorted()[0].severity, Severity::Info);
}

#[test]
fn every_file_that_does_not_parse_is_reported_in_one_run() {
    let root = directory(&[
        ("a.yml", "all: [\n"),
        ("b.yml", EXAMPLE),
        ("c.ini", "[g\n"),
        ("group_vars/all.yml", "x: 'y\n"),
        ("good.yml", "all:\n  hosts:\n    node-1:\n"),
    ]);
    let (_, report) = read(root.path(), None);
    assert_eq!(report.counts().errors, 4, "{}", report.human(false, root.path()));
}

#[test]
fn layers_count_in_ansibles_order() {
    let root = directory(&[
        (
            "hosts.yml",
            "all:\n  vars: {v: all}\nregistry_mirror:\n  vars: {v: group}\n  hosts:\n    node-1: {v: host}\n",
        ),
        ("group_vars/all.yml", "v: group_vars_all\n"),
        ("group_vars/registry_mirror.yml", "v: group_vars_group\n"),
        ("host_vars/node-1.yml", "v: host_vars\n"),
    ]);
    let mut request = request(&[root.path()], None);
    request.extra = vec!["v=extra".into(), "w='{{ v }} x'".into()];
    let mut report = Report::new();
    let inventory = load(&request, &mut report).expect("valid");
    let kinds: Vec<_> = inventory.layers.iter().map(|layer| layer.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            LayerKind::InventoryAll,
            LayerKind::InventoryGroup("registry_mirror".into()),
            LayerKind::GroupVarsAll,
            LayerKind::GroupVars("registry_mirror".into()),
            LayerKind::InventoryHost,
            LayerKind::HostVars,
            LayerKind::Extra,
            LayerKind::Extra,
        ]
    );
    assert_eq!(winner(&inventory, "v").as_deref(), Some("extra"));
    assert!(!inventory.unlisted);
}

#[test]
fn the_deeper_group_wins_then_priority_then_name() {
    let text = "
prod:
  vars: {v1: prod}
  children:
    registry_mirror:
      vars: {v1: rm, v2: rm, v3: rm, v4: rm}
      hosts: {node-1: }
aaa:
  vars: {v2: aaa, v4: aaa, ansible_group_priority: 10}
  hosts: {node-1: }
deep1:
  vars: {v5: deep1}
  children:
    deep2:
      vars: {v5: deep2}
      hosts: {node-1: }
bbb: {vars: {v3: bbb, v6: bbb}, hosts: {node-1: }}
ccc: {vars: {v6: ccc}, hosts: {node-1: }}
bbp: {vars: {v7: bbp, ansible_group_priority: 5}, hosts: {node-1: }}
ccp: {vars: {v7: ccp}, hosts: {node-1: }}
";
    let root = directory(&[("hosts.yml", text)]);
    let inventory = loaded(root.path(), None);
    for (name, expected) in [
        ("v1", "rm"),
        ("v2", "rm"),
        ("v3", "rm"),
        ("v4", "rm"),
        ("v5", "deep2"),
        ("v6", "ccc"),
        ("v7", "bbp"),
    ] {
        assert_eq!(winner(&inventory, name).as_deref(), Some(expected), "of {name}");
    }
}

#[test]
fn files_count_by_name_and_group_vars_by_the_first_hit() {
    let root = directory(&[
        ("sensitive_vars.yml", "all: {vars: {v: sensitive}}\n"),
        ("vars.yml", "all: {vars: {v: vars}}\n"),
        ("Z.yml", "all: {vars: {v: upper}}\n"),
        (".hidden.yml", "all: {vars: {v: hidden}}\n"),
        ("zz.yml~", "all: {vars: {v: backup}}\n"),
        ("group_vars/all.yml", "w: file\n"),
        ("group_vars/all/b.yml", "w: b\n"),
        ("group_vars/all/a.yml", "w: a\n"),
        ("group_vars/all/z.txt", "w: text\n"),
        ("10k.aws_ec2.yml", "plugin: aws_ec2\nregions: [x]\n"),
    ]);
    let (inventory, report) = read(root.path(), None);
    let inventory = inventory.expect("valid");
    assert_eq!(winner(&inventory, "v").as_deref(), Some("vars"));
    assert_eq!(winner(&inventory, "w").as_deref(), Some("b"));
    let skipped = report.sorted().into_iter().find(|found| found.check == "inventory-plugin");
    assert_eq!(skipped.map(|found| found.severity), Some(Severity::Info), "the plugin is named");
}

#[test]
fn a_file_of_plain_variables_is_an_error_with_a_hint() {
    let root = directory(&[("vars.yml", "prefix: acme\naws_region: x\n")]);
    let (inventory, report) = read(root.path(), None);
    assert!(inventory.is_none());
    let said = report.human(false, root.path());
    assert!(said.contains("vars.yml:1:1") && said.contains("all: vars:"), "{said}");
}

#[test]
fn the_host_must_be_in_an_inventory_that_names_hosts() {
    let root =
        directory(&[("hosts.yml", "registry_mirror:\n  hosts:\n    node-2:\n    rm[1:2]:\n")]);
    let (inventory, report) = read(root.path(), None);
    assert!(inventory.is_none());
    let said = report.human(false, root.path());
    assert!(said.contains("`node-2`, `rm1`, `rm2`") && said.contains("--host node-2"), "{said}");
    assert_eq!(loaded(root.path(), Some("rm2")).groups, ["registry_mirror"]);
}

#[test]
fn what_is_missing_or_of_another_kind_is_said() {
    let root =
        directory(&[("a.json", "[]"), ("c.toml", "x = 1"), ("d.j2", "x: y"), ("e", "h1\nh2 x\n")]);
    let (_, report) = read(root.path(), None);
    assert_eq!(report.counts().errors, 4, "{}", report.human(false, root.path()));
    let (_, report) = read(&root.path().join("nowhere"), None);
    assert_eq!(report.sorted()[0].check, "unreadable-file");
}

#[test]
fn a_circle_of_groups_is_refused() {
    let root = directory(&[("a.yml", "a: {children: {b: }}\nb: {children: {a: }}\n")]);
    let (inventory, report) = read(root.path(), None);
    assert!(inventory.is_none());
    assert_eq!(report.sorted()[0].check, "group-cycle");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A broken inventory is a diagnostic, never a panic, and shows nothing that is secret.
    #[test]
    fn mutated_inventories_never_panic(
        edits in prop::collection::vec((0usize..400, "[\\[\\]{}:,'\"|>&*!%@#\\-\t \n\u{e4}a<]{0,2}"), 1..6)
    ) {
        let mut text = EXAMPLE.replace("}\n", "    a: &x [1, {b: \"{{ c }}\"}]\n    d: *x\n    <<: {e: !unsafe f}\n");
        for (at, piece) in edits {
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + 1..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(at);
            text.replace_range(at..end, &piece);
        }
        let root = directory(&[("vars.yml", &text)]);
        let started = Instant::now();
        let (_, report) = read(root.path(), None);
        let said = report.human(false, root.path());
        prop_assert!(!said.contains("TestTokenPls") && !said.contains("real-secret"), "{}", said);
        prop_assert!(started.elapsed().as_secs() < 5);
    }
}
