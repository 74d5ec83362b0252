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

/// The service's runtime directory, where systemd makes it.
const SYSTEM: &str = "/run/registry-mirror";
const SOCKET: &str = "control.sock";
const TOKEN: &str = "token";

/// Where a service is to have its socket: in the directory that systemd made (`RuntimeDirectory=`),
/// else where systemd would make it for root, else in the user's own. None if there is no such
/// place.
pub(super) fn socket() -> Option<PathBuf> {
    Some(Surroundings::read().own()?.join(SOCKET))
}

/// Where it is to leave the token of the admin API, on the same terms.
pub(super) fn token() -> Option<PathBuf> {
    Some(Surroundings::read().own()?.join(TOKEN))
}

/// Where an asker looks for the socket of a service, in this order: where a service of its own has
/// it, then where that of the system does. Of a place that is given, nowhere else.
pub(super) fn sockets() -> Vec<PathBuf> {
    Surroundings::read().all().into_iter().map(|place| place.join(SOCKET)).collect()
}

/// Where an asker looks for the token, on the same terms.
pub(super) fn tokens() -> Vec<PathBuf> {
    Surroundings::read().all().into_iter().map(|place| place.join(TOKEN)).collect()
}

/// What says where a service is.
struct Surroundings {
    given: Option<PathBuf>,
    is_root: bool,
    user: Option<PathBuf>,
}

impl Surroundings {
    fn read() -> Self {
        // systemd separates several by colons, systemd.exec(5).
        let given = env::var("RUNTIME_DIRECTORY").ok();
        let given =
            given.as_deref().and_then(|all| all.split(':').next()).filter(|d| !d.is_empty());
        let user = env::var_os("XDG_RUNTIME_DIR").filter(|own| !own.is_empty());
        Self {
            given: given.map(PathBuf::from),
            is_root: rustix::process::geteuid().is_root(),
            user: user.map(|own| PathBuf::from(own).join("registry-mirror")),
        }
    }

    /// Where a service of this user is.
    fn own(&self) -> Option<PathBuf> {
        match &self.given {
            Some(given) => Some(given.clone()),
            None if self.is_root => Some(SYSTEM.into()),
            None => self.user.clone(),
        }
    }

    /// Where there may be one that this user may ask.
    fn all(&self) -> Vec<PathBuf> {
        let mut places: Vec<PathBuf> = self.own().into_iter().collect();
        if self.given.is_none() && !self.is_root {
            places.push(SYSTEM.into());
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_looks_where_the_systems_service_is() {
        let places = |given: &str, is_root, user: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
            let around = Surroundings { given: some(given), is_root, user: some(user) };
            let all = around.all().into_iter().map(|place| place.display().to_string());
            (around.own().map(|place| place.display().to_string()), all.collect::<Vec<_>>())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(places("", true, "/u"), (some(SYSTEM), vec![SYSTEM.into()]));
        assert_eq!(places("", false, "/u"), (some("/u"), vec!["/u".into(), SYSTEM.into()]));
        assert_eq!(places("", false, ""), (None, vec![SYSTEM.into()]));
        assert_eq!(places("/g", false, "/u"), (some("/g"), vec!["/g".into()]));
    }
}
