//! Groups and hosts: who belongs to whom, and in which order their variables count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::diagnostic::{Diagnostic, Report};

use super::{Entry, Origin};

/// The group that every host is in.
pub(super) const ALL: &str = "all";
/// The group of hosts that are in no other.
pub(super) const UNGROUPED: &str = "ungrouped";

/// Every group and host that the files of an inventory name.
#[derive(Debug, Default)]
pub(super) struct Tree {
    groups: BTreeMap<Arc<str>, Group>,
    hosts: BTreeMap<Arc<str>, Vec<Vec<Entry>>>,
}

#[derive(Debug, Default)]
struct Group {
    /// What each file says, the last one strongest.
    variables: Vec<Vec<Entry>>,
    children: BTreeMap<Arc<str>, Origin>,
    hosts: BTreeSet<Arc<str>>,
    /// `ansible_group_priority`; of equally deep groups the higher one wins.
    priority: i64,
}

impl Tree {
    pub(super) fn group(&mut self, name: &str) {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.into(), Group::default());
        }
    }

    pub(super) fn set_group(&mut self, name: &str, entries: Vec<Entry>) {
        self.groups.entry(name.into()).or_default().variables.push(entries);
    }

    pub(super) fn set_priority(&mut self, name: &str, priority: i64) {
        self.groups.entry(name.into()).or_default().priority = priority;
    }

    pub(super) fn add_child(&mut self, parent: &str, child: &str, written: Origin) {
        self.group(child);
        if parent != ALL {
            let children = &mut self.groups.entry(parent.into()).or_default().children;
            children.entry(child.into()).or_insert(written);
        }
    }

    pub(super) fn add_host(&mut self, group: &str, host: &str, entries: Vec<Entry>) {
        let host: Arc<str> = host.into();
        self.groups.entry(group.into()).or_default().hosts.insert(host.clone());
        let said = self.hosts.entry(host).or_default();
        if !entries.is_empty() {
            said.push(entries);
        }
    }

    pub(super) fn hosts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.hosts.keys().map(AsRef::as_ref)
    }

    pub(super) fn has_host(&self, name: &str) -> bool {
        self.hosts.contains_key(name)
    }

    /// What the files say of a group, in their order.
    pub(super) fn group_variables(&self, name: &str) -> &[Vec<Entry>] {
        self.groups.get(name).map_or(&[], |group| &group.variables)
    }

    /// What the files say of a host, in their order.
    pub(super) fn host_variables(&self, name: &str) -> &[Vec<Entry>] {
        self.hosts.get(name).map_or(&[], |said| said)
    }

    /// The groups a host is in besides `all`, the weakest first: by depth, then
    /// `ansible_group_priority`, then name (`sort_groups` of ansible-core). A host that is not
    /// listed is a member of `unlisted_in`.
    pub(super) fn groups_of(&self, host: &str, unlisted_in: Option<&str>) -> Vec<Arc<str>> {
        let depths = self.depths();
        let mut parents: BTreeMap<&str, Vec<&Arc<str>>> = BTreeMap::new();
        for (name, group) in &self.groups {
            for child in group.children.keys() {
                parents.entry(child).or_default().push(name);
            }
        }
        let mut member: BTreeSet<Arc<str>> = unlisted_in.map(Arc::from).into_iter().collect();
        let direct = self.groups.iter().filter(|(_, group)| group.hosts.contains(host));
        member.extend(direct.map(|(name, _)| name.clone()).filter(|name| &**name != ALL));
        let mut open: Vec<Arc<str>> = member.iter().cloned().collect();
        while let Some(name) = open.pop() {
            for parent in parents.get(&*name).into_iter().flatten() {
                if member.insert((*parent).clone()) {
                    open.push((*parent).clone());
                }
            }
        }
        if member.is_empty() {
            member.insert(UNGROUPED.into());
        } else if member.len() > 1 {
            member.remove(UNGROUPED);
        }
        let mut sorted: Vec<Arc<str>> = member.into_iter().collect();
        sorted.sort_by_cached_key(|name| {
            let depth = depths.get(&**name).copied().unwrap_or(1);
            let priority = self.groups.get(&**name).map_or(1, |group| group.priority);
            (depth, priority, name.clone())
        });
        sorted
    }

    /// Reports groups that are their own descendants.
    pub(super) fn check(&self, report: &mut Report) {
        let depths = self.depths();
        for group in self.groups.values() {
            for (child, written) in &group.children {
                if !depths.contains_key(&**child) {
                    report.push(
                        Diagnostic::error(
                            "group-cycle",
                            format!("the group `{child}` is below itself"),
                        )
                        .at(written.place(false))
                        .label("part of a circle of `children:`"),
                    );
                }
            }
        }
    }

    /// How far each group is below `all` by the longest way; groups on or below a circle have no
    /// depth.
    fn depths(&self) -> BTreeMap<&str, usize> {
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for child in self.groups.values().flat_map(|group| group.children.keys()) {
            *waiting.entry(child).or_default() += 1;
        }
        let roots = self.groups.keys().map(AsRef::as_ref);
        let mut open: Vec<&str> = roots.filter(|name| !waiting.contains_key(name)).collect();
        let mut depths: BTreeMap<&str, usize> = open.iter().map(|name| (*name, 1)).collect();
        while let Some(name) = open.pop() {
            let below = depths.get(name).copied().unwrap_or(1) + 1;
            for child in self.groups.get(name).into_iter().flat_map(|g| g.children.keys()) {
                let deepest = depths.entry(child).or_default();
                *deepest = below.max(*deepest);
                if let Some(left) = waiting.get_mut(&**child) {
                    *left -= 1;
                    if *left == 0 {
                        open.push(child);
                    }
                }
            }
        }
        depths.retain(|name, _| waiting.get(name).is_none_or(|left| *left == 0));
        depths
    }
}
