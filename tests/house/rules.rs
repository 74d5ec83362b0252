//! The two tables: which room a foreign crate lives in, and which room may name which.

use super::names::Named;

/// Where a foreign crate may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In any room.
    Anywhere,
    /// In files whose path below `src` begins with one of these.
    In(&'static [&'static str]),
}

use Home::{Anywhere, In};

/// Foreign crates and their rooms. `cluster_*` stands for every crate of that family; the first row
/// that fits counts.
const CRATES: &[(&str, Home)] = &[
    ("aws_lc_rs", Anywhere),
    ("aws_*", In(&["store/s3"])),
    ("actix_*", In(&["server/"])),
    ("annotate_snippets", In(&["diagnostic"])),
    ("clap", In(&["cli", "command/completions", "command/man"])),
    ("clap_*", In(&["cli", "command/completions", "command/man"])),
    ("config", In(&["settings/"])),
    ("crc32fast", In(&["store/s3"])),
    ("fancy_regex", In(&["inventory/"])),
    ("granit_parser", In(&["inventory/"])),
    ("jsonschema", In(&["settings/"])),
    ("md5", In(&["store/s3"])),
    ("nix", In(&["command/"])),
    ("minijinja", In(&["inventory/"])),
    ("minijinja_*", In(&["inventory/"])),
    ("pbkdf2", In(&["inventory/"])),
    ("sha2", In(&["inventory/"])),
    ("prometheus_client", In(&["telemetry"])),
    ("quick_cache", In(&["mirror/"])),
    ("rcgen", In(&["server/tls"])),
    ("reqwest", In(&["upstream/"])),
    ("sd_notify", In(&["command/"])),
    ("serde_yaml", In(&["inventory/", "command/render"])),
    ("tracing_subscriber", In(&["telemetry"])),
    // What speaks HTTP: `mirror` names no network crate.
    ("http", In(&["command/cache", "server/", "store/s3", "upstream/"])),
    ("http_body", In(&["server/", "store/s3", "upstream/"])),
    ("http_body_util", In(&["command/cache"])),
    ("hyper", In(&["command/cache"])),
    ("hyper_*", In(&["command/cache"])),
    ("arc_swap", Anywhere),
    ("async_trait", Anywhere),
    ("bytes", Anywhere),
    ("futures_util", Anywhere),
    ("httpdate", Anywhere),
    ("rustix", Anywhere),
    ("rustls", Anywhere),
    ("serde", Anywhere),
    ("serde_json", Anywhere),
    ("thiserror", Anywhere),
    ("tokio", Anywhere),
    ("tokio_util", Anywhere),
    ("tracing", Anywhere),
    ("url", Anywhere),
    ("zeroize", Anywhere),
];

/// Our rooms, and which of the others each may name. Data flows downwards; only `command` knows
/// more than its neighbours.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["command"]),
    ("lib", &[]),
    ("cli", &[]),
    (
        "command",
        &[
            "cli",
            "clock",
            "diagnostic",
            "inventory",
            "mirror",
            "oci",
            "pool",
            "server",
            "settings",
            "store",
            "telemetry",
            "upstream",
        ],
    ),
    ("clock", &[]),
    ("diagnostic", &[]),
    ("inventory", &["diagnostic"]),
    ("settings", &["diagnostic", "inventory", "oci"]),
    ("oci", &[]),
    ("server", &["clock", "mirror", "oci", "settings", "telemetry"]),
    ("mirror", &["clock", "oci", "settings", "store", "telemetry", "upstream"]),
    ("pool", &["clock", "oci", "settings", "store", "telemetry", "upstream"]),
    ("store", &["clock", "oci", "settings", "telemetry"]),
    ("upstream", &["clock", "oci", "settings", "telemetry"]),
    ("telemetry", &["settings"]),
];

/// Macros that write to the terminal, which only `command` owns.
const TERMINAL: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// The room a file below `src` belongs to.
pub fn room_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Whether there is such a room.
pub fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

/// Where a crate may be named; none if it is no crate that the tables know.
pub fn home_of(name: &str) -> Option<Home> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(family) => name.starts_with(family),
        None => name == pattern,
    };
    CRATES.iter().find(|(pattern, _)| fits(pattern)).map(|(_, home)| *home)
}

/// The rules that one name breaks, each with what to do about it.
pub fn judge(file: &str, named: &Named) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    let room = room_of(file);
    let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["crate", "*", ..] => {
            broken.push(("rooms", "names every room at once; name the one that is meant".into()));
        }
        ["crate", other, ..] if is_room(other) && *other != room => {
            let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |row| row.1);
            if !allowed.contains(other) {
                let allowed = match allowed {
                    [] => "nothing of ours".to_owned(),
                    rooms => format!("only {}", rooms.join(", ")),
                };
                broken.push((
                    "rooms",
                    format!("`{room}` may not name `{other}`; it may name {allowed}"),
                ));
            }
        }
        ["std", "env", ..] if room != "command" => {
            broken.push((
                "environment",
                "the environment is read in `command/` and handed down as settings".into(),
            ));
        }
        ["std" | "tokio", "net", ..] if room == "mirror" && is_socket(&path) => {
            broken.push((
                "network",
                "`mirror` opens no connection; ask `upstream/` or `store/`".into(),
            ));
        }
        [foreign, ..] if !named.is_macro_call => match home_of(foreign) {
            Some(In(homes)) if !homes.iter().any(|home| lives_in(file, home)) => {
                broken.push((
                    "crates",
                    format!("`{foreign}` is named in {} only", homes.map_join(" and ")),
                ));
            }
            Some(_) if named.is_reexport => {
                broken.push((
                    "re-exports",
                    format!(
                        "`{foreign}` is a foreign crate; wrap what is needed in a type of ours"
                    ),
                ));
            }
            _ => {}
        },
        [name] if TERMINAL.contains(name) && room != "command" => {
            broken.push((
                "terminal",
                format!(
                    "`{name}!` belongs in `command/`; elsewhere use `tracing` or return a value"
                ),
            ));
        }
        _ => {}
    }
    broken
}

/// `store/s3` is `store/s3.rs` and whatever lies below `store/s3/`; `server/` is the whole room.
fn lives_in(file: &str, home: &str) -> bool {
    match file.strip_prefix(home) {
        Some(_) if home.ends_with('/') => true,
        Some(rest) => rest == ".rs" || rest.starts_with('/'),
        None => home.strip_suffix('/').is_some_and(|room| file == format!("{room}.rs")),
    }
}

/// Addresses are data; sockets are not.
fn is_socket(path: &[&str]) -> bool {
    path.last().is_some_and(|last| {
        ["Tcp", "Udp", "Unix"].iter().any(|kind| last.starts_with(kind)) || *last == "*"
    })
}

trait MapJoin {
    fn map_join(&self, with: &str) -> String;
}

impl MapJoin for [&str] {
    fn map_join(&self, with: &str) -> String {
        self.iter().map(|home| format!("`src/{home}`")).collect::<Vec<_>>().join(with)
    }
}
