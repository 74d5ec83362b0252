//! `groups`, `hostvars` and the names that nothing overrides, with a real inventory.

use super::*;
use crate::inventory::Host;

const INVENTORY: &str = r#"
all:
  vars: {prefix: acme, inventory_hostname: mine, groups: mine}
  children:
    web:
      hosts:
        a.example: {who: me, needs_b: "{{ hostvars.b.from_a }}", broken: "{{ hostvars['b'].broken }}"}
        b: {who: "{{ 'you' }}", from_a: "{{ hostvars['a.example'].needs_b }}", broken: "{{ nope }}",
            greeting: "hi {{ who }} of {{ inventory_hostname }}"}
    db:
      hosts: {c: {far: "{{ hostvars.b.greeting }}"}}
"#;

/// The winners of a host's layers.
fn joined(host: &Host) -> BTreeMap<Arc<str>, Arc<Node>> {
    let entries = host.layers.iter().flat_map(|layer| &layer.entries);
    entries.map(|entry| (entry.name.clone(), entry.node.clone())).collect()
}

fn at(directory: &std::path::Path, host: &str, expression: &str) -> Scope {
    std::fs::write(directory.join("hosts.yml"), INVENTORY).expect("a file");
    let extra = vec![serde_json::json!({ "result": expression }).to_string()];
    let request =
        Request { inventories: vec![directory.to_owned()], extra, shown, ..Request::default() };
    let mut report = Report::new();
    let inventory = Arc::new(Inventory::read(&request, &mut report));
    let host = inventory.host(host, &mut report).expect("the host is there");
    assert!(!report.has_errors(), "{report:?}");
    Scope::new(joined(&host), Surroundings::new(&inventory, &host, Arc::new(joined)))
}

fn result(host: &str, expression: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    rendered(&at(directory.path(), host, expression), "result")
}

/// As ansible-core 2.19.14 has it.
#[test]
fn each_hosts_variables_are_filled_in_among_themselves() {
    for (expression, expected) in [
        ("{{ hostvars['b'].who }}", "\"you\""),
        ("{{ hostvars.b.greeting }}", "\"hi you of b\""),
        ("{{ hostvars.c.far }}", "\"hi you of b\""),
        ("{{ hostvars[inventory_hostname].who }}", "\"me\""),
        ("{{ groups.web | map('extract', hostvars, 'who') | join('+') }}", "\"me+you\""),
        (
            "{{ groups.web | map('extract', hostvars) | map(attribute='prefix') | list }}",
            "[\"acme\", \"acme\"]",
        ),
        ("{{ hostvars | list | sort }}", "[\"a.example\", \"b\", \"c\"]"),
        ("{{ hostvars.b.nope | default('none') }}", "\"none\""),
        ("{{ hostvars.nobody.x | default('none') }}", "\"none\""),
        ("{{ 'b' in hostvars }}", "true"),
        ("{{ hostvars.b.group_names }}", "[\"web\"]"),
        ("{{ hostvars.b.inventory_hostname }}", "\"b\""),
        (
            "{{ groups }}",
            "{\"all\": [\"a.example\", \"b\", \"c\"], \"ungrouped\": [], \"web\": [\"a.example\", \"b\"], \"db\": [\"c\"]}",
        ),
        ("{{ inventory_hostname }}", "\"a.example\""),
        ("{{ inventory_hostname_short }}", "\"a\""),
    ] {
        assert_eq!(result("a.example", expression), expected, "of `{expression}`");
    }
}

#[test]
fn what_fails_at_another_host_is_told_with_the_whole_way_there() {
    for (expression, expected) in [
        ("{{ needs_b }}", "! `needs_b` needs itself: needs_b -> hostvars['b'].from_a -> needs_b"),
        (
            "{{ hostvars.b.broken }}",
            "! `hostvars['b'].nope` is not set, needed by `hostvars['b'].broken`, needed by `result`",
        ),
        (
            "{{ broken }}",
            "! `hostvars['b'].nope` is not set, needed by `hostvars['b'].broken`, needed by `broken`, needed by `result`",
        ),
        ("{{ hostvars.b.nope }}", "! `hostvars['b'].nope` is not set, needed by `result`"),
    ] {
        assert_eq!(result("a.example", expression), expected, "of `{expression}`");
    }
}

#[test]
fn a_thousand_hosts_are_looked_at_in_one_expression() {
    let directory = tempfile::tempdir().expect("a directory");
    let hosts: Vec<String> = (0..1000).map(|n| format!("    h{n}: {{n: {n}}}\n")).collect();
    let text =
        format!("all:\n  vars: {{twice: \"{{{{ n * 2 }}}}\"}}\n  hosts:\n{}", hosts.concat());
    std::fs::write(directory.path().join("hosts.yml"), text).expect("a file");
    let sum = "{{ groups.all | map('extract', hostvars, 'twice') | sum }}";
    let request = Request {
        inventories: vec![directory.path().to_owned()],
        extra: vec![serde_json::json!({ "result": sum }).to_string()],
        ..Request::default()
    };
    let mut report = Report::new();
    let inventory = Arc::new(Inventory::read(&request, &mut report));
    let host = inventory.host("h7", &mut report).expect("the host is there");
    let scope = Scope::new(joined(&host), Surroundings::new(&inventory, &host, Arc::new(joined)));
    assert_eq!(rendered(&scope, "result"), "999000");
}
