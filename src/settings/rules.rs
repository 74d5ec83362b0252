//! What one setting demands of another.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Diagnostic, Place, Report},
    inventory::SourceKind,
};

use super::{
    check::Nodes,
    table::{self, PREFIX},
    units::KmsKey,
};

/// The settings so far: every rule looks only at what is right in itself.
pub(super) struct Settled<'a> {
    pub(super) values: &'a Map<String, Json>,
    pub(super) nodes: &'a Nodes,
    pub(super) wrong: &'a BTreeSet<String>,
}

impl Settled<'_> {
    fn value(&self, short: &str) -> Option<&Json> {
        let name = format!("{PREFIX}{short}");
        if self.wrong.contains(&name) { None } else { self.values.get(&name) }
    }

    /// The text of a setting that is right.
    pub(super) fn text(&self, short: &str) -> Option<&str> {
        self.value(short)?.as_str()
    }

    /// Where it was set; nothing for a shipped default.
    fn place(&self, short: &str) -> Option<Place> {
        let name = format!("{PREFIX}{short}");
        let node = self.nodes.get(&name)?;
        if node.origin.source().kind() == SourceKind::BuiltIn {
            return None;
        }
        Some(node.origin.place(table::shown(&name) && !node.rendered))
    }
}

/// Checks all rules.
pub(super) fn check(settled: &Settled<'_>, report: &mut Report) {
    both_or_neither(settled, report);
    tls_files(settled, report);
    two_ports(settled, report);
    bucket(settled, report);
    prefix(settled, report);
    key(settled, report);
    what_clients_are_told(settled, report);
    weak_secret(settled, report);
}

fn both_or_neither(settled: &Settled<'_>, report: &mut Report) {
    let (name, password) = ("docker_hub_username", "docker_hub_password");
    let (Some(has_name), Some(has_password)) = (settled.text(name), settled.text(password)) else {
        return;
    };
    let (set, unset) = match (has_name.is_empty(), has_password.is_empty()) {
        (false, true) => (name, password),
        (true, false) => (password, name),
        _ => return,
    };
    report.push(
        Diagnostic::error(
            "half-a-credential",
            format!("`{PREFIX}{set}` is set without `{PREFIX}{unset}`"),
        )
        .at(settled.place(set))
        .hint("set both, or neither")
        .variable(format!("{PREFIX}{unset}")),
    );
}

fn tls_files(settled: &Settled<'_>, report: &mut Report) {
    let Some(tls) = settled.text("tls") else { return };
    for short in ["tls_certificate", "tls_private_key"] {
        let Some(file) = settled.text(short) else { continue };
        let name = format!("{PREFIX}{short}");
        if tls == "files" && file.is_empty() {
            report.push(
                Diagnostic::error("missing-file", format!("`{PREFIX}tls: files` needs `{name}`"))
                    .at(settled.place("tls"))
                    .hint(format!("set `{name}` to a path, or to the PEM text itself"))
                    .variable(name),
            );
        } else if tls != "files" && !file.is_empty() {
            report.push(
                Diagnostic::warning(
                    "without-effect",
                    format!("`{name}` has no effect with `{PREFIX}tls: {tls}`"),
                )
                .at(settled.place(short))
                .hint(format!("set `{PREFIX}tls: files` to use it"))
                .variable(name),
            );
        }
    }
}

/// Two listeners cannot share a port, unless each has an address of its own.
fn two_ports(settled: &Settled<'_>, report: &mut Report) {
    let Some(admin) = settled.text("admin_address").and_then(|a| a.parse::<SocketAddr>().ok())
    else {
        return;
    };
    let Some(address) = settled.text("listen_address").and_then(|a| a.parse().ok()) else { return };
    let port = settled.value("listen_port").and_then(Json::as_u64);
    let clash = admin.ip() == address || admin.ip().is_unspecified() || {
        let address: std::net::IpAddr = address;
        address.is_unspecified()
    };
    if clash && port == Some(u64::from(admin.port())) {
        report.push(
            Diagnostic::error(
                "port-taken-twice",
                format!("`{PREFIX}admin_address` has the port of `{PREFIX}listen_port`"),
            )
            .at(settled.place("admin_address").or_else(|| settled.place("listen_port")))
            .hint("give each a port of its own")
            .variable(format!("{PREFIX}admin_address")),
        );
    }
}

/// A bucket store needs a bucket. That a default lacks what it is made of is reported elsewhere:
/// here the setting is there, and empty.
fn bucket(settled: &Settled<'_>, report: &mut Report) {
    if settled.text("store") != Some("s3") {
        return;
    }
    for short in ["bucket_name", "bucket_location"] {
        if settled.text(short) == Some("") {
            let name = format!("{PREFIX}{short}");
            report.push(
                Diagnostic::error("missing-variable", format!("`{name}` is empty"))
                    .at(settled.place(short))
                    .hint(format!("set it, or set `{PREFIX}store: filesystem` to do without"))
                    .variable(name),
            );
        }
    }
}

/// A prefix within the layout of a registry or of a mirror, which would take what lies there for its
/// own.
fn prefix(settled: &Settled<'_>, report: &mut Report) {
    let short = "bucket_prefix";
    let written = settled.text(short).unwrap_or_default().trim_matches('/');
    let is_within = |layout: &str| {
        let rest = written.strip_prefix(layout);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if !["docker/registry", "registry-mirror/v1"].into_iter().any(is_within) {
        return;
    }
    let name = format!("{PREFIX}{short}");
    let message = format!("`{name}` lies within what a registry or a mirror keeps in a bucket");
    report.push(
        Diagnostic::error("prefix-within-a-layout", message)
            .at(settled.place(short))
            .hint("choose one of its own, such as `mirrors/docker-hub`")
            .variable(name),
    );
}

/// A key that S3 cannot take. A store other than AWS has names of its own.
fn key(settled: &Settled<'_>, report: &mut Report) {
    let short = "bucket_encryption_key";
    let Some(key) = settled.text(short).filter(|key| !key.is_empty()).map(KmsKey::new) else {
        return;
    };
    if settled.text("store") != Some("s3") || settled.text("bucket_endpoint") != Some("") {
        return;
    }
    let name = format!("{PREFIX}{short}");
    let bucket = settled.text("bucket_location").unwrap_or_default();
    let (check, message, hint) = if !key.is_well_formed() {
        (
            "not-a-key",
            format!("`{name}` is not how KMS names a key"),
            "write the key's id or ARN, `alias/NAME`, or the ARN of an alias",
        )
    } else if key.region().is_some_and(|region| !bucket.is_empty() && region != bucket) {
        (
            "key-elsewhere",
            format!("`{name}` lies in another region than the bucket"),
            "S3 takes keys of the bucket's own region only; see `registry_mirror_bucket_location`",
        )
    } else {
        return;
    };
    report
        .push(Diagnostic::error(check, message).at(settled.place(short)).hint(hint).variable(name));
}

/// What clients are told and where the service listens, where a file sets both. A load balancer may
/// map one to the other, so that it is no error.
fn what_clients_are_told(settled: &Settled<'_>, report: &mut Report) {
    let (Some(url), Some(place)) = (settled.text("url"), settled.place("url")) else { return };
    let Ok(url) = url::Url::parse(url) else { return };
    let warn = |check, message: String, hint: &str| {
        let place = place.clone();
        Diagnostic::warning(check, message).at(place).hint(hint).variable(format!("{PREFIX}url"))
    };
    let domain = settled.text("domain").filter(|domain| !domain.is_empty());
    if let (Some(domain), Some(_)) = (domain, settled.place("domain"))
        && url.host_str().is_some_and(|host| !host.eq_ignore_ascii_case(domain))
    {
        report.push(warn(
            "url-and-domain",
            format!("`{PREFIX}url` has another host than `{PREFIX}domain`"),
            "leave one of them out: each is made from the other",
        ));
    }
    let port = settled.value("listen_port").and_then(Json::as_u64);
    if let (Some(port), Some(_), Some(told)) =
        (port, settled.place("listen_port"), url.port_or_known_default())
        && u64::from(told) != port
    {
        report.push(warn(
            "url-and-port",
            format!("clients are told port {told}, and the service listens on {port}"),
            "right only if a load balancer maps one to the other",
        ));
    }
}

/// Fewer characters than this are no secret, at any rate not for a key.
const SHORTEST_SECRET: usize = 32;

/// Fewer different characters than this were typed by holding a key.
const FEWEST_CHARACTERS: usize = 8;

fn weak_secret(settled: &Settled<'_>, report: &mut Report) {
    for short in ["shared_secret", "shared_secret_previous"] {
        let Some(secret) = settled.text(short).filter(|secret| !secret.is_empty()) else {
            continue;
        };
        let different: BTreeSet<char> = secret.chars().collect();
        let lower = secret.to_lowercase();
        let is_example = ["example", "changeme", "not-a-real", "my_secret", "your_"]
            .iter()
            .any(|word| lower.contains(word));
        let why = if is_example {
            "it looks like one from a documentation"
        } else if secret.chars().count() < SHORTEST_SECRET {
            "it has fewer than 32 characters"
        } else if different.len() < FEWEST_CHARACTERS {
            "it is made of very few characters"
        } else {
            continue;
        };
        let name = format!("{PREFIX}{short}");
        report.push(
            Diagnostic::warning("weak-secret", format!("`{name}` can be guessed"))
                .at(settled.place(short))
                .label(why)
                .hint(
                    "`openssl rand -base64 32` makes a good one; it must be the same on all nodes",
                )
                .variable(name),
        );
    }
}
