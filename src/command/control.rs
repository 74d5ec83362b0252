//! How a command asks a running service for something: one line of JSON each way, over a socket in
//! the runtime directory.

#![expect(clippy::disallowed_methods, reason = "the environment says where the socket is")]

use std::{env, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The longest request, in bytes.
pub(super) const LONGEST_REQUEST: u64 = 64 << 10;
/// The longest answer, in bytes: a report has an end, see [`crate::diagnostic::Report::human`].
pub(super) const LONGEST_ANSWER: u64 = 4 << 20;

/// What a service may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// To read its configuration again.
    Reload {
        /// Where the asker stands; what is below it is named relative to it.
        directory: PathBuf,
        /// Whether the report is to be coloured.
        color: bool,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// The configuration was read and is in use.
    Taken {
        /// What there is to say about it, for people.
        report: String,
        /// Names of the variables that changed and have taken effect.
        changed: Vec<String>,
    },
    /// The configuration is refused; nothing changed.
    Refused {
        /// Why, for people.
        report: String,
    },
    /// The service does not know what it was asked.
    Unknown,
}

/// Where the socket of a service is, for the service and for whoever asks it: in the directory that
/// systemd made (`RuntimeDirectory=`), else where systemd would make it for root, else in the
/// user's own. None if there is no such place.
pub(super) fn socket() -> Option<PathBuf> {
    Some(directory()?.join("control.sock"))
}

/// Where the token of the admin API is, on the same terms.
pub(super) fn token() -> Option<PathBuf> {
    Some(directory()?.join("token"))
}

fn directory() -> Option<PathBuf> {
    // systemd separates several by colons, systemd.exec(5).
    let given = env::var("RUNTIME_DIRECTORY").ok();
    let given = given.as_deref().and_then(|all| all.split(':').next()).filter(|d| !d.is_empty());
    Some(match given {
        Some(directory) => PathBuf::from(directory),
        None if rustix::process::geteuid().is_root() => "/run/registry-mirror".into(),
        None => {
            let own = env::var_os("XDG_RUNTIME_DIR").filter(|own| !own.is_empty())?;
            PathBuf::from(own).join("registry-mirror")
        }
    })
}
