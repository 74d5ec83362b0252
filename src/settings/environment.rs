//! The layer of `REGISTRY_MIRROR_*`.

use std::{ffi::OsString, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{Entry, Layer, LayerKind, Node, Origin},
};

use super::{names, table};

/// What the names of environment variables of ours start with.
const PREFIX: &str = "REGISTRY_MIRROR_";

/// With `merge` in it Ansible merges mappings of several layers, where one replaces the other
/// otherwise.
const HASH_BEHAVIOUR: &str = "ANSIBLE_HASH_BEHAVIOUR";

/// Takes what is ours from the environment. The values are plain text, never templates. A name that
/// is not in the table is a warning and no error: container engines and Kubernetes set names that
/// look like ours for a service that is called like us (`REGISTRY_MIRROR_PORT`).
pub(super) fn layer(variables: &[(OsString, OsString)], report: &mut Report) -> Layer {
    let mut entries = Vec::new();
    for (key, value) in variables {
        if key == HASH_BEHAVIOUR && value == "merge" {
            report.push(
                Diagnostic::warning(
                    "hash-behaviour",
                    format!("`{HASH_BEHAVIOUR}` is `merge`, and mappings are not merged here"),
                )
                .label("the mapping of the strongest layer replaces the others, as by default")
                .hint("merge where it is meant, with the filter `combine`"),
            );
        }
        let Some(key) = key.to_str().filter(|key| key.starts_with(PREFIX)) else { continue };
        let name = key.to_ascii_lowercase();
        let is_upper = key.chars().all(|c| !c.is_ascii_lowercase());
        if !is_upper || table::find(&name).is_none() {
            let mut unknown = Diagnostic::warning(
                "unknown-environment-variable",
                format!("environment variable `{key}` is unknown"),
            );
            if let Some(near) = names::nearest(&name) {
                unknown = unknown.hint(format!("did you mean `{}`?", near.to_ascii_uppercase()));
            }
            report.push(unknown);
            continue;
        }
        let origin = Origin::environment(key);
        match value.to_str() {
            Some(text) => {
                let node = Arc::new(Node::plain(text, origin));
                entries.push(Entry { name: name.into(), node });
            }
            None => report.push(
                Diagnostic::error(
                    "not-text",
                    format!("environment variable `{key}` is not valid UTF-8"),
                )
                .at(origin.place(false))
                .variable(name),
            ),
        }
    }
    Layer { kind: LayerKind::Environment, entries }
}
