//! Doing something with the rights of another user: whether a file can be read depends on its mode,
//! on every directory above it and on what a security module says, so it is tried.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    thread,
};

use nix::unistd::{Group, User, getgrouplist};
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{
    cli::Options,
    diagnostic::{Diagnostic, Report, Severity},
    inventory::Source,
    settings::{Settings, Tls},
};

use super::{Loaded, vault};

/// What finds that a file cannot be read at all.
const UNREADABLE: &str = "unreadable-file";
/// What finds that a program does not tell the vault's password.
const PASSWORD: &str = "vault-password";
/// How the messages of both say that it is a question of rights.
const DENIED: &str = "permission denied";
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

/// Who is to read, and through which group rights are best given.
struct Reader {
    user: String,
    group: String,
}

/// The options with every path absolute: on the way to a relative one nobody looks at what is above
/// the working directory, and the service does not start there.
pub(super) fn absolute(options: &Options) -> Options {
    let all = |paths: &[PathBuf]| paths.iter().map(|path| absolute_path(path)).collect();
    let texts = |texts: &[String], change: fn(&str) -> Option<String>| {
        texts.iter().map(|text| change(text).unwrap_or_else(|| text.clone())).collect()
    };
    Options {
        inventories: all(&options.inventories),
        host: options.host.clone(),
        extra_vars: texts(&options.extra_vars, |text| {
            Some(format!("@{}", absolute_text(text.strip_prefix('@')?)?))
        }),
        vault_password_files: all(&options.vault_password_files),
        vault_ids: texts(&options.vault_ids, |text| match text.split_once('@') {
            Some((_, file)) if vault::is_prompt(file) => None,
            Some((id, file)) => Some(format!("{id}@{}", absolute_text(file)?)),
            None if vault::is_prompt(text) => None,
            None => absolute_text(text),
        }),
    }
}

fn absolute_text(path: &str) -> Option<String> {
    absolute_path(Path::new(path)).to_str().map(str::to_owned)
}

/// `~` is the home directory to whoever opens the file.
fn absolute_path(path: &Path) -> PathBuf {
    if path.starts_with("~") {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Loads a configuration as that user, and looks at the files that it names besides.
///
/// # Errors
/// See [`NotAsUser`].
pub(super) fn load(name: &str, load: impl FnOnce() -> Loaded + Send) -> Result<Loaded, NotAsUser> {
    run(name, |reader| {
        let mut loaded = load();
        let closed: Vec<_> = loaded.settings.iter().flat_map(named).filter(is_closed).collect();
        let mut report = Report::new();
        report.extend(loaded.report.sorted().into_iter().cloned().map(|d| about(d, reader)));
        report.extend(closed.iter().map(|(name, path)| unreadable(name, path, reader)));
        loaded.settings = loaded.settings.filter(|_| !report.has_errors());
        loaded.report = report;
        loaded
    })
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

fn unreadable(variable: &str, path: &str, reader: &Reader) -> Diagnostic {
    let variable = format!("registry_mirror_{variable}");
    // What is no file may be a key that was pasted without its first line.
    let path = Path::new(path);
    let place = path.symlink_metadata().is_ok().then(|| Source::whole_place(path));
    let message = format!("the file that `{variable}` names cannot be read: {DENIED}");
    about(Diagnostic::error(UNREADABLE, message).at(place).variable(variable), reader)
}

/// The same, seen as what was asked for. What is not there or cannot be read by anybody stays as it
/// is.
fn about(mut diagnostic: Diagnostic, reader: &Reader) -> Diagnostic {
    let of_rights = [UNREADABLE, PASSWORD].contains(&diagnostic.check)
        && diagnostic.severity == Severity::Error
        && diagnostic.message.contains(DENIED);
    if of_rights {
        let path = diagnostic.place.as_ref().map(|place| &*place.file);
        let command = path.and_then(|path| remedy(path, diagnostic.check == PASSWORD, reader));
        diagnostic.hint = Some(command.map_or_else(
            || {
                let user = &reader.user;
                format!(
                    "`{user}` needs `r` on the file and `x` on each directory above it; \
                     `namei -l` shows them"
                )
            },
            |command| format!("run `{command}`"),
        ));
        diagnostic.check = CLOSED;
    }
    diagnostic
}

/// What opens the first thing on the way to `path` that is closed to the user whose rights this
/// thread has; none where that cannot be told, or not as a command to copy.
fn remedy(path: &Path, is_program: bool, reader: &Reader) -> Option<String> {
    let is_denied = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
    let path = std::path::absolute(path).ok()?;
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let closed = way.iter().zip(way.iter().skip(1)).find_map(|(directory, below)| {
        below.symlink_metadata().is_err_and(is_denied).then_some(*directory)
    });
    let (at, mode) = match closed {
        Some(directory) => (directory, "g+x"),
        None => {
            (&*path, if fs::metadata(&path).ok()?.is_dir() || is_program { "g+rx" } else { "g+r" })
        }
    };
    let at =
        at.to_str().filter(|at| at.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c)))?;
    Some(format!("chgrp {} {at} && chmod {mode} {at}", reader.group))
}

/// Does it in a thread that has the user's rights; those of the process stay as they are.
fn run<T: Send>(name: &str, work: impl FnOnce(&Reader) -> T + Send) -> Result<T, NotAsUser> {
    let unknown = || NotAsUser::Unknown(name.to_owned());
    let user = User::from_name(name).ok().flatten().ok_or_else(unknown)?;
    let (uid, gid) = (Uid::from_raw(user.uid.as_raw()), Gid::from_raw(user.gid.as_raw()));
    let group = Group::from_gid(user.gid).ok().flatten().map(|group| group.name);
    let group = group.unwrap_or_else(|| user.gid.to_string());
    let reader = &Reader { user: name.to_owned(), group };
    if uid == geteuid() {
        return Ok(work(reader));
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
            rustix::io::Result::Ok(work(reader))
        });
        match thread.join() {
            Ok(done) => done.map_err(|_| NotAsUser::Refused(name.to_owned())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
