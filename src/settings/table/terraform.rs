//! What the Terraform module reads. Its table is in the documentation of the system this replaces;
//! names and defaults are unchanged.

use super::{
    Kind::{Count, Flag, Text, Texts},
    Reader, Variable,
};

const fn variable(
    name: &'static str,
    kind: super::Kind,
    default: &'static str,
    about: &'static str,
) -> Variable {
    let mut variable = Variable::new(name, kind, about).read_by(&[Reader::Terraform]);
    variable.default = Some(default);
    variable
}

pub(super) const VARIABLES: &[Variable] = &[
    variable("node_count", Count, "0", "How many nodes to create."),
    variable("instance_type", Text, "\"\"", "The instance type of the nodes."),
    variable("disk_type", Text, "\"gp3\"", "The type of a node's disk."),
    variable("disk_size", Count, "50", "The size of a node's disk in GiB."),
    variable("disk_encrypt", Flag, "true", "Whether a node's disk is encrypted."),
    variable(
        "disk_delete_on_termination",
        Flag,
        "true",
        "Whether a node's disk is deleted with the node.",
    ),
    variable("disk_kms_key_arn", Text, "null", "The KMS key of a node's disk."),
    variable(
        "iam_instance_policy_arns",
        Texts,
        "[]",
        "IAM policies that are attached to the nodes besides the one they need.",
    ),
];
