//! The variables that Ansible itself sets, as far as they exist without a play.

use std::{collections::BTreeMap, sync::Arc};

use minijinja::value::Value as Evaluated;

use super::{super::Inventory, Surroundings, objects, objects::mapping, shared::Shared};

/// Those of a host, which no other variable can override; `hostvars` is looked up by the engine.
pub(super) fn of(around: &Surroundings, shared: &Shared) -> BTreeMap<&'static str, Evaluated> {
    let Surroundings { inventory, host, groups, .. } = around;
    let short = host.split('.').next().unwrap_or(host);
    let mut magic = BTreeMap::from([
        ("inventory_hostname", Evaluated::from(host.clone())),
        ("inventory_hostname_short", Evaluated::from(short)),
        ("group_names", groups.iter().map(Evaluated::from).collect::<Vec<_>>().into()),
        ("groups", shared.groups()),
        ("ansible_inventory_sources", inventory.sources().into()),
        ("omit", objects::omit()),
    ]);
    if let Some(file) = inventory.tree().file_of(host) {
        let file = std::path::absolute(&**file).unwrap_or_else(|_| file.to_path_buf());
        let directory = file.parent().unwrap_or(&file).display().to_string();
        magic.insert("inventory_file", file.display().to_string().into());
        magic.insert("inventory_dir", directory.into());
    }
    magic
}

/// `groups`: every group with all of its hosts.
pub(super) fn groups(inventory: &Arc<Inventory>) -> Evaluated {
    let tree = inventory.tree();
    let hosts = |group: &str| -> Evaluated {
        tree.all_hosts(group).into_iter().map(Evaluated::from).collect::<Vec<_>>().into()
    };
    let all = tree.groups_in_order().into_iter();
    mapping(all.map(|group| (group.clone().into(), hosts(&group))).collect())
}
