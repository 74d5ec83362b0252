//! Groups and hosts: who belongs to whom, and in which order their variables count.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use crate::diagnostic::{Diagnostic, Report};

use super::{Entry, Node, Origin, Value};

/// The group that every host is in.
pub(super) const ALL: &str = "all";
/// The group of hosts that are in no other.
pub(super) const UNGROUPED: &str = "ungrouped";

/// How often hosts may be named in all, the members of ranges counted one by one.
const MOST_NAMED: usize = 200_000;

/// Whether hosts may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// From now on there is none; to be told once.
    JustFull,
    None,
}

/// Every group and host that the files of an inventory name.
#[derive(Debug, Default)]
pub(super) struct Tree {
    groups: BTreeMap<Arc<str>, Group>,
    hosts: BTreeMap<Arc<str>, Known>,
    /// The groups that are written below `all: children:`, in their order.
    top: Vec<Arc<str>>,
    /// How often hosts were named.
    named: usize,
}

#[derive(Debug, Default)]
struct Group {
    /// How many groups were named before it.
    order: usize,
    /// What each file says, the last one strongest.
    variables: Vec<Vec<Entry>>,
    children: Vec<(Arc<str>, Origin)>,
    /// In the order in which they were added, and once more to find them.
    hosts: Vec<Arc<str>>,
    members: BTreeSet<Arc<str>>,
    /// `ansible_group_priority`; of equally deep groups the higher one wins.
    priority: i64,
}

/// A host that a file names.
#[derive(Debug)]
struct Known {
    order: usize,
    /// Where it is named first.
    origin: Origin,
    /// What each mention says, the last one strongest.
    said: Vec<Vec<Entry>>,
}

impl Tree {
    pub(super) fn group(&mut self, name: &str) {
        let order = self.groups.len();
        if !self.groups.contains_key(name) {
            // Ansible's priority where nothing sets one.
            self.groups.insert(name.into(), Group { order, priority: 1, ..Group::default() });
        }
    }

    fn group_mut(&mut self, name: &str) -> &mut Group {
        self.group(name);
        self.groups.entry(name.into()).or_default()
    }

    pub(super) fn has_group(&self, name: &str) -> bool {
        matches!(name, ALL | UNGROUPED) || self.groups.contains_key(name)
    }

    pub(super) fn set_group(&mut self, name: &str, entries: Vec<Entry>) {
        self.group_mut(name).variables.push(entries);
    }

    pub(super) fn set_priority(&mut self, name: &str, priority: i64) {
        self.group_mut(name).priority = priority;
    }

    pub(super) fn add_child(&mut self, parent: &str, child: &str, written: Origin) {
        self.group(child);
        let child: Arc<str> = child.into();
        if parent == ALL {
            if !self.top.contains(&child) {
                self.top.push(child);
            }
            return;
        }
        let children = &mut self.group_mut(parent).children;
        if children.iter().all(|(known, _)| *known != child) {
            children.push((child, written));
        }
    }

    /// Asks for room for so many hosts.
    pub(super) fn room(&mut self, hosts: usize) -> Room {
        let before = self.named;
        self.named = before.saturating_add(hosts);
        match (before > MOST_NAMED, self.named > MOST_NAMED) {
            (true, _) => Room::None,
            (false, true) => Room::JustFull,
            (false, false) => Room::Enough,
        }
    }

    /// Adds a host to a group. Its port counts only where it is named for the first time.
    pub(super) fn add_host(
        &mut self,
        group: &str,
        host: &str,
        (port, origin): (Option<u16>, &Origin),
        entries: Vec<Entry>,
    ) {
        let host: Arc<str> = host.into();
        let group = self.group_mut(group);
        if group.members.insert(host.clone()) {
            group.hosts.push(host.clone());
        }
        let order = self.hosts.len();
        let known = self.hosts.entry(host).or_insert_with(|| {
            let port = port.map(|port| {
                let mut node = Node::plain("", origin.clone());
                node.value = Value::Int(port.into());
                vec![Entry { name: "ansible_port".into(), node: node.into() }]
            });
            Known { order, origin: origin.clone(), said: port.into_iter().collect() }
        });
        if !entries.is_empty() {
            known.said.push(entries);
        }
    }

    /// The file that names the host first.
    pub(super) fn file_of(&self, host: &str) -> Option<&Arc<Path>> {
        self.hosts.get(host).map(|known| known.origin.source().name())
    }

    /// All hosts in the order in which they are named.
    fn hosts_in_order(&self) -> Vec<&Arc<str>> {
        let mut hosts: Vec<(usize, &Arc<str>)> =
            self.hosts.iter().map(|(name, known)| (known.order, name)).collect();
        hosts.sort_unstable();
        hosts.into_iter().map(|(_, name)| name).collect()
    }

    /// All groups in the order in which Ansible holds them.
    pub(super) fn groups_in_order(&self) -> Vec<Arc<str>> {
        let mut named: Vec<(usize, &Arc<str>)> =
            self.groups.iter().map(|(name, group)| (group.order, name)).collect();
        named.sort_unstable();
        let named = named.into_iter().map(|(_, name)| name.clone());
        let mut all = vec![ALL.into(), UNGROUPED.into()];
        all.extend(named.filter(|name| !matches!(&**name, ALL | UNGROUPED)));
        all
    }

    /// The groups right below a group.
    pub(super) fn children(&self, group: &str) -> Vec<Arc<str>> {
        if group != ALL {
            let group = self.groups.get(group);
            return group.into_iter().flat_map(|g| &g.children).map(|(c, _)| c.clone()).collect();
        }
        let below: BTreeSet<&Arc<str>> = self
            .groups
            .values()
            .flat_map(|group| &group.children)
            .map(|(child, _)| child)
            .collect();
        let mut children: Vec<Arc<str>> = vec![UNGROUPED.into()];
        let orphans = self.groups_in_order().into_iter().skip(2);
        let orphans = orphans.filter(|name| !below.contains(name));
        for child in self.top.iter().cloned().chain(orphans) {
            if !children.contains(&child) {
                children.push(child);
            }
        }
        children
    }

    /// The hosts of a group itself, not of the groups below it.
    pub(super) fn own_hosts(&self, group: &str) -> Vec<Arc<str>> {
        let own = self.groups.get(group).map_or(&[][..], |group| &group.hosts).iter().cloned();
        if group != UNGROUPED {
            return own.collect();
        }
        let mut grouped: BTreeSet<&Arc<str>> = BTreeSet::new();
        for (name, group) in &self.groups {
            if !matches!(&**name, ALL | UNGROUPED) {
                grouped.extend(&group.members);
            }
        }
        let mut hosts: Vec<Arc<str>> = own.filter(|host| !grouped.contains(host)).collect();
        let seen: BTreeSet<Arc<str>> = hosts.iter().cloned().collect();
        let free = self.hosts_in_order().into_iter();
        hosts.extend(free.filter(|h| !grouped.contains(h) && !seen.contains(*h)).cloned());
        hosts
    }

    /// The hosts of a group and of all below it.
    pub(super) fn all_hosts(&self, group: &str) -> Vec<Arc<str>> {
        let (mut groups, mut hosts): (Vec<Arc<str>>, Vec<Arc<str>>) = (vec![group.into()], vec![]);
        let mut seen: BTreeSet<Arc<str>> = groups.iter().cloned().collect();
        let mut have = BTreeSet::new();
        let mut at = 0;
        while let Some(name) = groups.get(at).cloned() {
            for child in self.children(&name) {
                if seen.insert(child.clone()) {
                    groups.push(child);
                }
            }
            for host in self.own_hosts(&name) {
                if have.insert(host.clone()) {
                    hosts.push(host);
                }
            }
            at += 1;
        }
        hosts
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
        self.hosts.get(name).map_or(&[], |known| &known.said)
    }

    /// The groups a host is in besides `all`, the weakest first: by depth, then
    /// `ansible_group_priority`, then name (`sort_groups` of ansible-core). A host that is not
    /// listed is a member of `unlisted_in`.
    pub(super) fn groups_of(&self, host: &str, unlisted_in: Option<&str>) -> Vec<Arc<str>> {
        let depths = self.depths();
        let mut parents: BTreeMap<&str, Vec<&Arc<str>>> = BTreeMap::new();
        for (name, group) in &self.groups {
            for (child, _) in &group.children {
                parents.entry(child).or_default().push(name);
            }
        }
        let mut member: BTreeSet<Arc<str>> = unlisted_in.map(Arc::from).into_iter().collect();
        let direct = self.groups.iter().filter(|(_, group)| group.members.contains(host));
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

    /// Reports groups that are their own descendants, and hosts that are called like a group.
    pub(super) fn check(&self, report: &mut Report) {
        for (name, known) in self.hosts.iter().filter(|(name, _)| self.has_group(name)) {
            report.push(
                Diagnostic::warning("same-name", format!("`{name}` is a host and a group"))
                    .at(known.origin.place(false))
                    .label("the host")
                    .hint("rename one of them; Ansible may give the host's variables to the group"),
            );
        }
        let depths = self.depths();
        for group in self.groups.values() {
            for (child, written) in &group.children {
                if &**child == ALL || !depths.contains_key(&**child) {
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
        for child in
            self.groups.values().flat_map(|group| group.children.iter().map(|(child, _)| child))
        {
            *waiting.entry(child).or_default() += 1;
        }
        let roots = self.groups.keys().map(AsRef::as_ref);
        let mut open: Vec<&str> = roots.filter(|name| !waiting.contains_key(name)).collect();
        let mut depths: BTreeMap<&str, usize> = open.iter().map(|name| (*name, 1)).collect();
        while let Some(name) = open.pop() {
            let below = depths.get(name).copied().unwrap_or(1) + 1;
            for child in
                self.groups.get(name).into_iter().flat_map(|g| &g.children).map(|(child, _)| child)
            {
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
