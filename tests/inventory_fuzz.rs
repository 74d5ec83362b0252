//! Inventories that nobody means well with: no panic, no endless work, no memory without end.

use std::process::Command;

use proptest::prelude::*;
use registry_mirror::{
    diagnostic::Report,
    inventory::{Inventory, Request},
};

use crate::support::run::{Bench, Ran, finish};

const INI: &str = "free ansible_port=22 q='two words'\n[web]\nweb[01:02].example:2200 weight=5\n[web:vars]\na=True\nb=[1, 'x']\nc=5 # d\n[site:children]\nweb\n[site:vars]\nd={{ a }}\n";
const JSON: &str = "{\"all\": {\"hosts\": {\"x\": {\"k\": 1e5, \"s\": \"{{ k }}\"}}, \"children\": {\"g\": {\"hosts\": {\"y[1:3]\": {}}}}}}";

/// All that the program may take on such a file, in KiB: 256 MiB of private memory that can be written,
/// its stacks included. What is mapped from the program's file is no memory that an inventory takes.
const MEMORY: u64 = 256 << 10;

fn read(name: &str, text: &str) {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join(name), text).expect("a file");
    let inventories = vec![root.path().to_owned()];
    let mut report = Report::new();
    let request = Request { inventories, ..Request::default() };
    let inventory = Inventory::read(&request, &mut report);
    let names: Vec<String> = inventory.hosts().map(str::to_owned).collect();
    for name in names.iter().take(20) {
        inventory.host(name, &mut report);
    }
    inventory.groups();
    report.human(false, root.path());
}

fn mutated(text: &str, edits: &[(usize, String)]) -> String {
    let mut text = text.to_owned();
    for (at, piece) in edits {
        let boundary = |at: &usize| text.is_char_boundary(*at);
        let start = (0..=(*at).min(text.len())).rev().find(boundary).unwrap_or(0);
        let end = (start + 1..=text.len()).find(boundary).unwrap_or(start);
        text.replace_range(start..end, piece);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_ini_and_json_never_panic(
        edits in prop::collection::vec((0usize..220, "[\\[\\]{}:,='\"#;\\\\ \n0-9a-z\u{e4}]{0,3}"), 1..8)
    ) {
        read("hosts", &mutated(INI, &edits));
        read("hosts.ini", &mutated(INI, &edits));
        read("hosts.json", &mutated(JSON, &edits));
    }
}

/// A file of about 1 MiB that grows when it is read, or whose reading never ends.
fn bombs() -> Vec<(&'static str, &'static str, String)> {
    let most = (1 << 20) - 100;
    let laughs: String = (1..10)
        .map(|level| {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            format!("  a{level}: &a{level} [{below}]\n")
        })
        .collect();
    let fill = |unit: &str| unit.repeat(most / unit.len());
    vec![
        ("billion laughs", "x.yml", format!("all:\n vars:\n  a0: &a0 [lol]\n{laughs}")),
        ("brackets", "x.yml", fill("[")),
        ("braces", "x.yml", fill("{a: ")),
        ("dashes", "x.yml", fill("- ")),
        ("anchors", "x.yml", fill("&a ")),
        ("one line", "x.yml", format!("all: {{vars: {{a: \"{}\"}}}}", fill("\\x41"))),
        ("templates", "x.yml", format!("all: {{vars: {{registry_mirror_url: '{}'}}}}", fill("{{ 'a' * 9 }}"))),
        ("a growing template", "x.yml", "all: {vars: {registry_mirror_url: \"{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}\"}}".into()),
        ("a pattern that goes back", "x.yml", format!("all: {{vars: {{registry_mirror_url: \"{{{{ '{}' | regex_search('^(a|aa)+$') }}}}\"}}}}", "a".repeat(60) + "b")),
        ("hosts", "x.ini", fill("h[1:9999]\n")),
        ("ranges of ranges", "x.ini", "h[1:99999][1:99999][1:99999]\n".into()),
        ("nested literals", "x.ini", format!("h a={}\n", fill("["))),
        ("groups", "x.ini", (0..20_000).map(|at| format!("[g{at}:children]\ng{}\n", at + 1)).collect::<String>() + "[g20000]\nh\n"),
        ("a list of numbers", "x.yml", format!("all: {{vars: {{a: [{}1]}}}}", fill("1,"))),
        ("a list of mappings", "x.yml", format!("all: {{vars: {{a: [{}1]}}}}", fill("{},"))),
        ("a list of lists", "x.json", format!("{{\"all\": {{\"vars\": {{\"a\": [{}1]}}}}}}", fill("[],"))),
        ("hosts one by one", "x.yml", format!("all:\n hosts:\n{}", (0..90_000).map(|at| format!("  h{at}:\n")).collect::<String>())),
        ("a vault of zeros", "x.yml", format!("$ANSIBLE_VAULT;1.1;AES256\n{}", fill("30"))),
    ]
}

/// `validate` of one file with no more than this much memory, in KiB.
fn validate_within(memory: u64, name: &str, text: &str) -> Ran {
    let bench = Bench::new();
    bench.write(&format!("inventory/{name}"), text);
    bench.write("password", "pw");
    // 20 s of processor time are a hang, on whatever machine.
    let script = format!("ulimit -d {memory} && ulimit -t 20 && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    let program = bench.command([] as [&str; 0]);
    command
        .args(["-c", &script])
        .arg(program.get_program())
        .args(["validate", "-i", "inventory", "--vault-password-file", "password"])
        .current_dir(bench.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    finish(command.spawn().expect("a shell"))
}

#[test]
fn no_file_takes_all_memory_or_all_time() {
    for (what, name, text) in bombs() {
        let ran = validate_within(MEMORY, name, &text);
        let end: String =
            ran.stderr.chars().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect();
        assert!(matches!(ran.code, Some(0..=2)), "{what}: {:?}\n{end}", ran.code);
        assert!(!ran.stderr.contains("panicked"), "{what}:\n{end}");
    }
}

#[test]
fn the_bound_of_memory_is_one() {
    let text = format!("all: {{vars: {{a: [{}1]}}}}", "1,".repeat((1 << 19) - 99));
    let ran = validate_within(MEMORY / 8, "x.yml", &text);
    assert!(
        !matches!(ran.code, Some(0..=2)),
        "a list of half a million fits into 32 MiB, so that nothing was bounded: {:?}",
        ran.code
    );
}
