//! Variables that Terraform reads may stand in an inventory, and are held to their kinds.

use super::*;

#[test]
fn a_value_that_terraform_could_not_use_is_refused_where_it_stands() {
    for (line, says) in [
        ("node_count: many", "`registry_mirror_node_count` must be a whole number"),
        ("node_count: -1", "`registry_mirror_node_count` must be a whole number"),
        ("disk_size: 0644", "hint: write a decimal number without a leading zero"),
        ("disk_size: 50GiB", "`registry_mirror_disk_size` must be a whole number"),
        ("disk_size: \"{{ [prefix] }}\"", "the template comes out as a list"),
        ("disk_encrypt: maybe", "`registry_mirror_disk_encrypt` must be `true` or `false`"),
        ("disk_type: [gp3]", "`registry_mirror_disk_type` must be text"),
        ("instance_type: 3.10", "hint: quote it"),
        ("iam_instance_policy_arns: {a: b}", "must be a list of texts"),
        ("iam_instance_policy_arns: [[a]]", "an item has the wrong type"),
        ("disk_size: \"{{ 'x' | nofilter }}\"", "nofilter"),
    ] {
        let line = with(&format!("registry_mirror_{line}"));
        let ran = inventory(&[("vars.yml", &line)]).run(VALIDATE).ended(1);
        ran.says(&[says, "inventory/vars.yml:5:", "refused: 1 error, 0 warnings"]);
    }
}

#[test]
fn what_terraform_understands_changes_no_setting() {
    let plain = inventory(&[("vars.yml", VARS)]).run(["render", "-i", "inventory"]).ended(0);
    for line in [
        "node_count: \"3\"",
        "node_count: \"{{ nodes }}\"\n    nodes: 3",
        "disk_encrypt: yes",
        "disk_kms_key_arn: null",
        "iam_instance_policy_arns: [\"arn:aws:iam::012345670123:policy/a\"]",
        "iam_instance_policy_arns: a,b",
        "disk_kms_key_arn: \"{{ made_by_another_play }}\"",
        "disk_size: \"{{ omit }}\"",
    ] {
        let line = with(&format!("registry_mirror_{line}"));
        let bench = inventory(&[("vars.yml", &line)]);
        bench.run(VALIDATE).ended(0).says(&["ok: ", ", 0 warnings"]);
        let rendered = bench.run(["render", "-i", "inventory"]).ended(0);
        assert_eq!(rendered.stdout, plain.stdout, "with {line}");
    }
}
