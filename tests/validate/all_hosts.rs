//! `validate --all-hosts`.

use super::*;

const HOSTS: &str = "registry_mirror:
  hosts: {a: , b: , c: , d: , e: {registry_mirror_listen_port: 5003}}
other:
  hosts:
    web: {registry_mirror_listen_port: not ours}
";

fn judged(files: &[(&str, &str)]) -> Ran {
    let bench = inventory(&[&[("hosts.yml", HOSTS), ("vars.yml", VARS)], files].concat());
    bench.run(VALIDATE.into_iter().chain(["--all-hosts"]))
}

#[test]
fn every_node_is_judged_and_nobody_else() {
    judged(&[]).ended(0).says(&["ok: 5 hosts, 3 variables, 0 warnings"]);
}

#[test]
fn what_some_have_is_told_with_their_names_and_what_all_have_without() {
    let wrong = "registry_mirror_tag_ttl: never\n";
    let ran = judged(&[("group_vars/registry_mirror.yml", wrong)]).ended(1);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    let ran = ran.says(&["refused: 1 error, 0 warnings"]);
    assert!(!ran.stderr.contains(", for `"), "{}", ran.stderr);
    judged(&[("host_vars/b.yml", wrong)])
        .ended(1)
        .says(&["such as `30s`, `5m`, `1h30m` or `7d`, for `b`"]);
    let files: Vec<(String, String)> = ["a", "b", "c", "d"]
        .iter()
        .map(|host| (format!("host_vars/{host}.yml"), "registry_mirror_x: 1\n".into()))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    judged(&files).ended(1).says(&[
        "refused: 4 errors",
        "host_vars/a.yml:1:20",
        "host_vars/d.yml:1:20",
        "for `d`",
    ]);
}

#[test]
fn without_hosts_it_is_this_one() {
    let bench = inventory(&[("vars.yml", VARS)]);
    bench.run(VALIDATE.into_iter().chain(["--all-hosts"])).ended(0).says(&["ok: 1 host"]);
    bench.run(VALIDATE.into_iter().chain(["--all-hosts", "--host", "a"])).ended(2);
}
