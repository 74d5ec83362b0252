//! Promise 14: whatever is wrong with a configuration, no command prints a secret of it, be it on the
//! line of the mistake, above it or below.

use std::fmt::Write as _;

use crate::{
    serve::reload::Node,
    support::run::{Bench, Ran},
};

/// What must never be seen. Any eight characters in a row of one of these in an output fail.
const PASSWORD: &str = "dckr_pat_Kx93mQwZ7vLt";
const SHARED: &str = "shared-Wd72hPqNcYb4Ru8s-of-all-nodes";
const ROOT: &str = "root-Gt5sVnXe9zBk-of-gitlab";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
const PROXY: &str = "pr0xy-Jm4fHrTa6yCl";
const EXTRA: &str = "extra-Bv8kDsUo3wEi";
const LOOKED_UP: &str = "env-Qn6gZxPj5tAf";
const SECRETS: [&str; 7] = [PASSWORD, SHARED, ROOT, KEY, PROXY, EXTRA, LOOKED_UP];

/// How a secret may stand in a file.
const STYLES: [fn(&str, &str) -> String; 9] = [
    |name, secret| format!("    {name}: {secret}\n"),
    |name, secret| format!("    {name}: \"{secret}\"\n"),
    |name, secret| format!("    {name}: '{secret}' # {secret}\n"),
    |name, secret| format!("    {name}: |\n      {secret}\n"),
    |name, secret| format!("    {name}: >-\n      x\n      {secret}\n"),
    |name, secret| format!("    {name}:\n      {secret}\n"),
    |name, secret| format!("    {name}: \"{{{{ '{secret}' }}}}\"\n"),
    |name, secret| format!("    {name}: !unsafe {secret}\n"),
    |name, secret| format!("    {name}: [{secret}, {{{name}: {secret}}}]\n"),
];

/// Lines of `all: vars:` that are wrong, or that look so.
const MISTAKES: [&str; 52] = [
    "    registry_mirror_listen_port: nope",
    "    registry_mirror_listen_port: 70000",
    "    registry_mirror_listen_port: [1, 2",
    "    registry_mirror_listen_prot: 5000",
    "    registry_mirror_store: S3",
    "    registry_mirror_tls: files",
    "    registry_mirror_tls: {a: b}",
    "    registry_mirror_bucket_name: Not A Bucket",
    "    registry_mirror_expire_after: 7 fortnights",
    "    registry_mirror_tag_rules: [{match: 3}]",
    "    registry_mirror_peers: 5",
    "    registry_mirror_upstream_url: ftp://user:Kx93mQwZ7vLt@host/",
    "    registry_mirror_upstream_proxy: \"nonsense://pr0xy-Jm4fHrTa6yCl@\"",
    "    registry_mirror_upstream_proxy: http://user:pr0xy-Jm4fHrTa6yCl@proxy:99999",
    "    registry_mirror_domain: \"{{ registry_mirror_docker_hub_password }}\"",
    "    registry_mirror_url: \"https://u:{{ registry_mirror_shared_secret }}@h\"",
    "    registry_mirror_log_level: << registry_mirror_shared_secret >>",
    "    registry_mirror_log_level: \"{{ gitlab_root_password | upper }}\"",
    "    registry_mirror_listen_port: \"{{ lookup('env', 'HUB_TOKEN') }}\"",
    "    registry_mirror_listen_port: \"{{ lookup('env', 'HUB_TOKEN') | nofilter }}\"",
    "    registry_mirror_data_path: \"{{ nobody }}\"",
    "    registry_mirror_data_path: \"{{ registry_mirror_data_path }}\"",
    "    registry_mirror_data_path: \"{{ gitlab_root_password | nofilter }}\"",
    "    registry_mirror_data_path: \"{{ 'never closed\"",
    "    registry_mirror_data_path: \"{{ gitlab_root_password[3] }}\"",
    "    registry_mirror_data_path: \"{{ gitlab_root_password.x.y }}\"",
    "    registry_mirror_data_path: \"{% if %}\"",
    "    registry_mirror_data_path: \"<< x\"",
    "    registry_mirror_spool_size: \"{{ gitlab_root_password | int + 'a' }}\"",
    "    registry_mirror_spool_size: \"{{ gitlab_root_password | regex_replace('(', 'x') }}\"",
    "    registry_mirror_spool_size: \"{{ gitlab_root_password | from_json }}\"",
    "    registry_mirror_spool_size: \"{{ gitlab_root_password | b64decode }}\"",
    "    registry_mirror_spool_size: \"{{ gitlab_root_password | mandatory('say') | combine({}) }}\"",
    "    registry_mirror_docker_hub_password: 123456789012",
    "    registry_mirror_docker_hub_password: yes",
    "    registry_mirror_tls_private_key: \"-----BEGIN PRIVATE KEY-----\\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\"",
    "    registry_mirror_tls_private_key: !vault nonsense",
    "    registry_mirror_shared_secret: !custom shared-Wd72hPqNcYb4Ru8s-of-all-nodes",
    "    registry_mirror_shared_secret: *shared",
    "    registry_mirror_shared_secret: &a [*a]",
    "    registry_mirror_shared_secret: @dckr_pat_Kx93mQwZ7vLt",
    "    registry_mirror_shared_secret: `dckr_pat_Kx93mQwZ7vLt",
    "    registry_mirror_shared_secret: %dckr_pat_Kx93mQwZ7vLt",
    "    registry_mirror_shared_secret: \"dckr_pat_Kx93mQwZ7vLt\" x",
    "    registry_mirror_shared_secret: dckr_pat_Kx93mQwZ7vLt: x",
    "    registry_mirror_shared_secret: {{ gitlab_root_password }}",
    "\tregistry_mirror_listen_port: 5000",
    "  stray: here",
    "}",
    "    - a list",
    "    <<: 5",
    "    ? [a, b]",
];

/// An inventory with a mistake between secrets, each written in this style.
fn around(mistake: &str, style: fn(&str, &str) -> String) -> String {
    let mut text = String::from("all:\n  vars:\n    prefix: acme\n    aws_region: eu-west-1\n");
    text.push_str("    registry_mirror_docker_hub_username: \"bot\"\n");
    text.push_str(&style("registry_mirror_docker_hub_password", PASSWORD));
    writeln!(text, "{mistake}").expect("a string takes everything");
    text.push_str(&style("registry_mirror_shared_secret", SHARED));
    text.push_str(&style("gitlab_root_password", ROOT));
    text
}

/// Fails if a part of a secret is in what was printed.
fn hides_all(ran: &Ran, what: &dyn std::fmt::Display) {
    for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        for secret in SECRETS {
            let letters: Vec<char> = secret.chars().collect();
            for part in letters.windows(8) {
                let part: String = part.iter().collect();
                // Parts that a name of ours has, too, prove nothing.
                if part.starts_with("-of-") || part.contains("gitlab") || part.contains("nodes") {
                    continue;
                }
                assert!(!text.contains(&part), "{what}: {stream} shows `{part}`:\n{text}");
            }
        }
    }
}

/// Every command that reads a configuration, up to `-i`.
const COMMANDS: [&[&str]; 13] = [
    &["validate"],
    &["validate", "--format", "json"],
    &["validate", "--format", "gitlab"],
    &["validate", "--format", "sarif"],
    &["render"],
    &["render", "--format", "json"],
    &["inventory", "--list", "--render"],
    &["inventory", "--host", "localhost"],
    &["client-config", "docker"],
    &["explain", "docker_hub_password"],
    &["explain", "url", "--format", "json"],
    &["explain", "log_level"],
    // No machine has the address, so that it ends where the mistake is none to it.
    &[
        "serve",
        "-e",
        "registry_mirror_data_path=data registry_mirror_listen_address=192.0.2.1",
        "-e",
        "registry_mirror_admin_address=192.0.2.1:5002",
    ],
];

/// Writes the inventory and runs the command on it, with a secret in `-e` and one in the environment.
fn run(bench: &Bench, command: &[&str]) -> Ran {
    let extra = format!("gitlab_extra_password='{EXTRA}'");
    let arguments = command.iter().copied().chain(["-i", "inventory", "-e", &extra]);
    let environment = [("HUB_TOKEN", LOOKED_UP), ("REGISTRY_MIRROR_DOCKER_HUB_TOKEN", LOOKED_UP)];
    bench.run_with(&environment, arguments)
}

#[test]
fn no_command_shows_a_secret_beside_a_mistake() {
    let bench = Bench::new();
    for (at, mistake) in MISTAKES.iter().enumerate() {
        for (number, style) in STYLES.iter().enumerate() {
            bench.write("inventory/vars.yml", around(mistake, *style));
            // Every style with `validate`; the others take the styles in turn.
            let commands = COMMANDS.iter().enumerate();
            for (_, command) in
                commands.filter(|(i, _)| *i == 0 || (at + i) % STYLES.len() == number)
            {
                let ran = run(&bench, command);
                hides_all(&ran, &format_args!("{command:?} on `{mistake}`, style {number}"));
            }
        }
    }
}

#[test]
fn no_reload_shows_a_secret_to_the_asker_or_the_log() {
    let environment = [("HUB_TOKEN", LOOKED_UP), ("REGISTRY_MIRROR_DOCKER_HUB_TOKEN", LOOKED_UP)];
    let node = Node::with(Bench::new(), "http://127.0.0.1:9", "", &environment);
    let (mut taken, mut refused) = (0, 0);
    for (at, mistake) in MISTAKES.iter().enumerate() {
        for (number, style) in STYLES.iter().enumerate().filter(|(number, _)| at % 3 == number % 3)
        {
            node.put(&around(mistake, *style));
            let ran = node.reload();
            *(if ran.code == Some(0) { &mut taken } else { &mut refused }) += 1;
            hides_all(&ran, &format_args!("`reload` on `{mistake}`, style {number}"));
        }
    }
    assert!(taken > 3 && refused > 99, "{taken} were taken and {refused} refused");
    let log = Ran { code: None, stdout: node.log(), stderr: String::new() };
    hides_all(&log, &"the log");
}

/// How a value may go on in a later line. `V` is the variable; the `@` that tells a password from
/// other text is not in the first line.
const OVER_TWO_LINES: [&str; 15] = [
    "    V: u:Kx93mQwZ7v\n      Lt@host",
    "    V: u:Kx93mQwZ7v\n\n      Lt@host",
    "    V: u:Kx93mQwZ7v,\n      Lt@host",
    "    V: u:Kx93mQwZ7v\r      Lt@host",
    "    V:\n        u:Kx93mQwZ7v\n        Lt@host",
    "    V:\n        u:Kx93mQwZ7v\n      Lt@host",
    "    V: !unsafe\n      u:Kx93mQwZ7v\n      Lt@host",
    "    V: &anchor\n      u:Kx93mQwZ7v\n      Lt@host",
    "    V: 'u:Kx93mQwZ7v\n      Lt@host'",
    "    V: \"u:Kx93mQwZ7v\\\n      Lt@host\"",
    "    V: [u:Kx93mQwZ7v\n      Lt@host]",
    "    V: [a,\n    u:Kx93mQwZ7v\n    Lt@host]",
    "    V:\n    - u:Kx93mQwZ7v\n      Lt@host",
    "    V: {a: u:Kx93mQwZ7v\n      Lt@host}",
    "    ? V\n    : u:Kx93mQwZ7v\n      Lt@host",
];

#[test]
fn no_message_shows_the_first_line_of_a_value_that_goes_on_below() {
    let bench = Bench::new();
    let variables = ["log_level", "listen_port", "upstream_url", "peers", "tag_rules"];
    for (variable, shape) in variables.iter().flat_map(|v| OVER_TWO_LINES.map(|shape| (v, shape))) {
        let lines = shape.replace('V', &format!("registry_mirror_{variable}"));
        bench.write("inventory/vars.yml", around(&lines, STYLES[0]));
        for command in [&["validate"][..], &["validate", "--format", "json"], &["render"]] {
            let ran = run(&bench, command).ended(1);
            hides_all(&ran, &format_args!("{command:?} on `{lines}`"));
        }
    }
}

#[test]
fn a_value_on_one_line_is_still_shown_in_its_message() {
    let bench = Bench::new();
    let wrong = "    registry_mirror_log_level: loud\n    other: \"x\"";
    bench.write("inventory/vars.yml", around(wrong, STYLES[0]));
    run(&bench, &["validate"]).ended(1).says(&["registry_mirror_log_level: loud"]);
}
