//! `inventory`, beside what ansible-inventory of ansible-core 2.19.14 printed for the same files.

use serde_json::{Value, json};

use crate::support::run::Bench;

fn bench(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::new();
    for (name, text) in files {
        bench.write(&format!("inventory/{name}"), text);
    }
    bench
}

fn printed(bench: &Bench, arguments: &[&str]) -> Value {
    let ran = bench.run(["inventory", "-i", "inventory"].iter().chain(arguments)).ended(0);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

const INI: &str = "; a comment
free ansible_port=22 quoted='two words' list=\"[1, 'a']\" # another
[web]
web[01:02].example:2200 weight=5
[web:vars]
truth=True
text=true
padded=0644
octal=0o644
float=1e3
nothing=None
empty=
kept=a # comment
dropped=5 # comment
pair=(1, 2)
[site:children]
web
[site:vars]
ansible_group_priority=7
template={{ text }}-x
";

#[test]
fn an_ini_inventory_is_what_ansible_makes_of_it() {
    let bench = bench(&[("hosts", INI)]);
    let common = json!({ "truth": true, "text": "true", "padded": "0644", "octal": 420,
        "float": 1000.0, "nothing": null, "empty": "", "kept": "a # comment", "dropped": 5,
        "pair": [1, 2], "template": "{{ text }}-x", "ansible_port": 2200, "weight": 5 });
    let free = json!({ "ansible_port": 22, "quoted": "two words", "list": [1, "a"] });
    assert_eq!(
        printed(&bench, &["--list"]),
        json!({
            "_meta": {
                "hostvars": { "free": free, "web01.example": common, "web02.example": common },
                "profile": "inventory_legacy",
            },
            "all": { "children": ["ungrouped", "site"] },
            "ungrouped": { "hosts": ["free"] },
            "site": { "children": ["web"] },
            "web": { "hosts": ["web01.example", "web02.example"] },
        })
    );
    assert_eq!(printed(&bench, &["--host", "web02.example", "--render"])["template"], "true-x");
}

#[test]
fn what_is_wrong_with_an_ini_inventory_is_said_at_its_place() {
    for (text, place, says) in [
        ("[web]\nhost a b=1\n", "2:1", "is no `name=value`"),
        ("[web]\nhost a='b\n", "2:1", "a quote on this line is never closed"),
        ("[web:vars]\ncolon: value\n", "2:1", "expected `name=value`"),
        ("[web:vars]\na=1\n", "1:1", "the group `web` is declared nowhere"),
        ("[site:children]\nweb\n", "2:1", "the group `web` is declared nowhere"),
        ("[web:colour]\n", "1:1", "the section is of an unknown type"),
        ("[web x]\n", "1:1", "the header of a section cannot be read"),
        ("web[3:1]\n", "1:1", "the range ends before it starts"),
        ("web[1:3\n", "1:1", "a range is `[first:last]`"),
        ("all:\n", "1:1", "a host's name ends in `:`"),
        ("h a=123456789012345678901\n", "1:5", "the value cannot be used"),
    ] {
        let bench = bench(&[("hosts.ini", text)]);
        let ran = bench.run(["inventory", "-i", "inventory", "--list"]).ended(1);
        ran.says(&[&format!("inventory/hosts.ini:{place}"), says]);
    }
}

#[test]
fn json_numbers_are_those_of_json() {
    let text = "{\"all\": {\"hosts\": {\"x\": {\"k\": 1e5,\t\"i\": -1.5e-3, \"m\": \"yes\", \"s\": \"1e5\"}}}}";
    let bench = bench(&[("hosts.json", text)]);
    let expected = json!({ "k": 100_000.0, "i": -0.0015, "m": "yes", "s": "1e5" });
    assert_eq!(printed(&bench, &["--host", "x"]), expected);
}

#[test]
fn an_implicit_localhost_is_in_all_and_nowhere_else() {
    let bench = bench(&[
        ("vars.yml", "all: {vars: {a: 1}}\nregistry_mirror: {vars: {b: 2}}\n"),
        ("group_vars/all.yml", "c: 3\n"),
        ("host_vars/localhost.yml", "d: 4\n"),
    ]);
    let expected = json!({ "a": 1, "c": 3, "d": 4, "ansible_connection": "local" });
    assert_eq!(printed(&bench, &["--host", "localhost"]), expected);
    bench.run(["inventory", "-i", "inventory", "--host", "elsewhere"]).ended(1).says(&["no host"]);
}

#[test]
fn values_keep_the_marks_of_ansible_and_secrets_are_masked() {
    let bench = bench(&[(
        "hosts.yml",
        "all:
  hosts:
    x:
      raw: !unsafe '{{ a }}'
      day: 2024-01-01
      gitlab_root_password: s3cret-root
      registry_mirror_docker_hub_password: \"{{ hub }}\"
      hub: s3cret-hub
      proxy: http://user:s3cret-proxy@host:3128
      derived: \"x-{{ hub }}\"
      nested: {deep: [{api_token: s3cret-token, plain: 1}]}
      broken: \"{{ nobody }}\"
",
    )]);
    let written = printed(&bench, &["--host", "x"]);
    assert_eq!(written["raw"], json!({ "__ansible_unsafe": "{{ a }}" }));
    assert_eq!(written["day"], "2024-01-01");
    assert_eq!(written["derived"], "x-{{ hub }}");
    let rendered = printed(&bench, &["--host", "x", "--render"]);
    assert_eq!(rendered["raw"], "{{ a }}");
    assert_eq!(rendered["derived"], "********");
    assert_eq!(rendered["broken"], json!({ "__error__": "undefined-variable" }));
    for shown in [written, rendered] {
        assert_eq!(shown["nested"]["deep"][0], json!({ "api_token": "********", "plain": 1 }));
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
    }
}
