//! Doing something with the rights of another user: whether a file can be read depends on its mode,
//! on every directory above it and on what a security module says, so it is tried.

use std::{fs::File, io::ErrorKind, path::Path, thread};

use nix::unistd::{User, getgrouplist};
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{
    diagnostic::{Diagnostic, Report, Severity},
    inventory::Source,
    settings::{Settings, Tls},
};

use super::Loaded;

/// What finds that a file cannot be read at all.
const UNREADABLE: &str = "unreadable-file";
/// What finds that this user cannot: that is the verdict, and not the lack of one.
const CLOSED: &str = "unreadable-for-user";

/// Why something cannot be done as that user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAsUser {
    #[error("there is no user `{0}`\nhint: `getent passwd {0}` must find it")]
    Unknown(String),
    #[error("only root can check what `{0}` can read\nhint: run it with sudo, or as `{0}` itself")]
    NotRoot(String),
    #[error(
        "the rights of `{0}` cannot be taken on\nhint: root without CAP_SETUID and CAP_SETGID cannot"
    )]
    Refused(String),
}

/// Loads a configuration as that user, and looks at the files that it names besides.
///
/// # Errors
/// See [`NotAsUser`].
pub(super) fn load(name: &str, load: impl FnOnce() -> Loaded + Send) -> Result<Loaded, NotAsUser> {
    let (mut loaded, closed) = run(name, || {
        let loaded = load();
        let closed: Vec<_> = loaded.settings.iter().flat_map(named).filter(is_closed).collect();
        (loaded, closed)
    })?;
    let mut report = Report::new();
    report.extend(loaded.report.sorted().into_iter().cloned().map(|d| about(d, name)));
    report.extend(closed.into_iter().map(|(variable, path)| unreadable(variable, &path, name)));
    loaded.settings = loaded.settings.filter(|_| !report.has_errors());
    loaded.report = report;
    Ok(loaded)
}

/// Files that the settings name, with the variable that does.
fn named(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut named = vec![("upstream_ca", settings.upstream_ca.clone())];
    if settings.tls == Tls::Files {
        named.push(("tls_certificate", settings.tls_certificate.clone()));
        named.push(("tls_private_key", settings.tls_private_key.expose().to_owned()));
    }
    named.retain(|(_, text)| !text.is_empty() && !text.contains("-----BEGIN"));
    named
}

fn is_closed((_, path): &(&'static str, String)) -> bool {
    File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn unreadable(variable: &str, path: &str, user: &str) -> Diagnostic {
    let variable = format!("registry_mirror_{variable}");
    // What is no file may be a key that was pasted without its first line.
    let path = Path::new(path);
    let place = path.symlink_metadata().is_ok().then(|| Source::whole_place(path));
    let message = format!("the file that `{variable}` names cannot be read: permission denied");
    about(Diagnostic::error(UNREADABLE, message).at(place).variable(variable), user)
}

/// The same, seen as what was asked for.
fn about(mut diagnostic: Diagnostic, user: &str) -> Diagnostic {
    if diagnostic.check == UNREADABLE && diagnostic.severity == Severity::Error {
        diagnostic.check = CLOSED;
        diagnostic.hint.get_or_insert_with(|| {
            format!(
                "`{user}` needs `r` on the file and `x` on each directory above it; \
                 `namei -l` shows them"
            )
        });
    }
    diagnostic
}

/// Does it in a thread that has the user's rights; those of the process stay as they are.
fn run<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, NotAsUser> {
    let unknown = || NotAsUser::Unknown(name.to_owned());
    let user = User::from_name(name).ok().flatten().ok_or_else(unknown)?;
    let (uid, gid) = (Uid::from_raw(user.uid.as_raw()), Gid::from_raw(user.gid.as_raw()));
    if uid == geteuid() {
        return Ok(work());
    }
    if !geteuid().is_root() {
        return Err(NotAsUser::NotRoot(name.to_owned()));
    }
    let name_of_groups = std::ffi::CString::new(name).map_err(|_| unknown())?;
    let groups = getgrouplist(&name_of_groups, user.gid).map_err(|_| unknown())?;
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(group.as_raw())).collect();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // Groups first: who is no longer root may not change them.
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
            rustix::io::Result::Ok(work())
        });
        match thread.join() {
            Ok(done) => done.map_err(|_| NotAsUser::Refused(name.to_owned())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
