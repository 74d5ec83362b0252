//! Variables that are called like something of Ansible's own.

use crate::diagnostic::{Diagnostic, Report};

use super::layers::Winners;

/// Sorted: the keywords of plays, roles, blocks and tasks, and what every template of Ansible can
/// call (`get_reserved_names` of ansible-core 2.19.14, without `vars`, of which it does not warn).
const RESERVED: [&str; 74] = [
    "action",
    "always",
    "any_errors_fatal",
    "args",
    "async",
    "async_val",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "block",
    "changed_when",
    "check_mode",
    "collections",
    "connection",
    "cycler",
    "debugger",
    "delay",
    "delegate_facts",
    "delegate_to",
    "dict",
    "diff",
    "environment",
    "fact_path",
    "failed_when",
    "force_handlers",
    "gather_facts",
    "gather_timeout",
    "handlers",
    "hosts",
    "ignore_errors",
    "ignore_unreachable",
    "joiner",
    "lipsum",
    "local_action",
    "lookup",
    "loop",
    "loop_control",
    "loop_with",
    "max_fail_percentage",
    "module_defaults",
    "name",
    "namespace",
    "no_log",
    "notify",
    "now",
    "omit",
    "order",
    "poll",
    "port",
    "post_tasks",
    "pre_tasks",
    "q",
    "query",
    "range",
    "register",
    "remote_user",
    "rescue",
    "retries",
    "roles",
    "run_once",
    "serial",
    "strategy",
    "tags",
    "tasks",
    "throttle",
    "timeout",
    "undef",
    "until",
    "vars_files",
    "vars_prompt",
    "when",
    "with_",
];

/// Warns of every variable that counts for this host and has such a name, as Ansible does.
pub(super) fn check(winners: &Winners, report: &mut Report) {
    for (name, node) in winners {
        if RESERVED.binary_search(&&**name).is_ok() {
            report.push(
                Diagnostic::warning("reserved-name", format!("`{name}` is a reserved name"))
                    .at(node.origin.place(false))
                    .label("it means something else in a play or in every template of Ansible")
                    .hint("give the variable another name; Ansible warns of it, too")
                    .variable(&**name),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RESERVED;

    #[test]
    fn reserved_names_can_be_searched() {
        assert!(RESERVED.is_sorted(), "the search needs them in order");
    }
}
