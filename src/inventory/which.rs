//! Which host of the inventory this is.

use crate::diagnostic::{Diagnostic, Report, nearest};

use super::{Request, groups::Tree};

/// The group that a host is taken to be in which the inventory does not name.
pub const ROLE: &str = "registry_mirror";

/// At most so many hosts are listed in a message.
const MOST_LISTED: usize = 10;

pub(super) struct Which {
    pub(super) host: String,
    pub(super) unlisted: bool,
}

/// `--host`, else the first of our own names that the inventory has, else `localhost`. If it has
/// none of them, but no hosts either or hosts that we cannot know, we are an unlisted member of
/// the role's group.
pub(super) fn choose(
    request: &Request,
    tree: &Tree,
    hosts_unknown: bool,
    report: &mut Report,
) -> Option<Which> {
    let mut candidates: Vec<&str> = match &request.host {
        Some(host) => vec![host],
        None => request.own_names.iter().map(String::as_str).chain(["localhost"]).collect(),
    };
    candidates.retain(|name| !name.is_empty());
    if let Some(host) = candidates.iter().find(|name| tree.has_host(name)) {
        return Some(Which { host: (*host).to_owned(), unlisted: false });
    }
    let first = candidates.first().copied().unwrap_or("localhost");
    if tree.hosts().len() == 0 || hosts_unknown {
        let why = if hosts_unknown {
            "a dynamic inventory was skipped"
        } else {
            "the inventory names no hosts"
        };
        report.push(Diagnostic::info(
            "unlisted-host",
            format!("`{first}` is taken for a member of the group `{ROLE}`, as {why}"),
        ));
        return Some(Which { host: first.to_owned(), unlisted: true });
    }
    report.push(unknown(request, &candidates, tree));
    None
}

fn unknown(request: &Request, candidates: &[&str], tree: &Tree) -> Diagnostic {
    let quoted = |names: &[&str]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let mut listed: Vec<&str> = tree.hosts().take(MOST_LISTED).collect();
    listed.sort_unstable();
    let more = match tree.hosts().len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let near = candidates.iter().find_map(|name| nearest(name, tree.hosts()));
    let hint = match near {
        Some(near) => format!("did you mean `--host {near}`?"),
        None => "name this host with `--host`".into(),
    };
    let message = match &request.host {
        Some(host) => format!("the inventory has no host `{host}`"),
        None => format!("the inventory has none of {}", quoted(candidates)),
    };
    Diagnostic::error("unknown-host", format!("{message}; its hosts are {}{more}", quoted(&listed)))
        .hint(hint)
}
