//! Reaching the files of an inventory: through overlays and the vault.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use zeroize::Zeroizing;

use crate::diagnostic::{Diagnostic, Report};

use super::{
    Overlay, Source, Vault, overlay,
    vault::{self, Sealed},
    yaml,
};

/// The file system as an inventory sees it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Under the names by which the inventory reaches them.
    overlays: Vec<Overlay>,
    vault: Arc<Vault>,
    /// Whether a sealed file was passed over.
    passed_over: AtomicBool,
}

impl Disk {
    /// With `overlays`, whose destinations must be places that one of `inventories` is read from;
    /// what is wrong with them goes to the report.
    pub(super) fn new(
        inventories: &[PathBuf],
        overlays: &[Overlay],
        vault: Arc<Vault>,
        report: &mut Report,
    ) -> Self {
        let overlays = overlay::placed(inventories, overlays, report);
        Self { overlays, vault, ..Self::default() }
    }

    /// Whether a sealed file was passed over, as nothing is to be opened.
    pub(super) fn passed_over(&self) -> bool {
        self.passed_over.load(Ordering::Relaxed)
    }

    fn overlay(&self, path: &Path) -> Option<&Overlay> {
        self.overlays.iter().find(|overlay| overlay.destination == path)
    }

    /// Whether it is a directory, and an error if there is nothing.
    pub(super) fn is_directory(&self, path: &Path) -> io::Result<bool> {
        if self.overlay(path).is_some() {
            return Ok(false);
        }
        let above = |overlay: &Overlay| overlay.destination.starts_with(path);
        match fs::metadata(path) {
            Ok(data) => Ok(data.is_dir()),
            // The first overlay may come before the directory it goes to.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.overlays.iter().any(above) { Ok(true) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// What a directory holds, sorted bytewise.
    pub(super) fn names(&self, directory: &Path) -> io::Result<BTreeSet<OsString>> {
        let listed: io::Result<BTreeSet<_>> = fs::read_dir(directory)
            .and_then(|all| all.map(|entry| Ok(entry?.file_name())).collect());
        let laid_over: BTreeSet<OsString> = self
            .overlays
            .iter()
            .filter_map(|overlay| overlay.destination.strip_prefix(directory).ok())
            .filter_map(|rest| Some(rest.components().next()?.as_os_str().to_owned()))
            .collect();
        match listed {
            Ok(names) => Ok(&names | &laid_over),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !laid_over.is_empty() => {
                Ok(laid_over)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a file of the inventory. A byte order mark is dropped, and a file that
    /// `ansible-vault` sealed as a whole is opened.
    pub(super) fn read(&self, path: &Path, report: &mut Report) -> Option<Arc<Source>> {
        let contents = self.overlay(path).map_or(path, |overlay| &overlay.contents);
        let text = Self::text(contents, report)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if !text.starts_with(vault::MARK) {
            return Some(Source::file(path, text));
        }
        match self.vault.open(text) {
            Ok(opened) => Some(Source::vaulted(path, opened)),
            Err(sealed) => {
                self.passed_over.fetch_or(sealed == Sealed::Closed, Ordering::Relaxed);
                report.push(sealed.about("the file").at(Source::whole_place(path)));
                None
            }
        }
    }

    fn text(path: &Path, report: &mut Report) -> Option<Zeroizing<String>> {
        let refuse = |report: &mut Report, check, message: &str, hint: &str| {
            report.push(Diagnostic::error(check, message).at(Source::whole_place(path)).hint(hint));
            None
        };
        let data = match fs::metadata(path) {
            Ok(data) => data,
            Err(error) => {
                report.push(Self::unreadable(path, &error));
                return None;
            }
        };
        if !data.is_file() {
            let hint = "an inventory is made of plain files and directories";
            return refuse(report, "unreadable-file", "neither a file nor a directory", hint);
        }
        if usize::try_from(data.len()).map_or(true, |length| length > yaml::LARGEST) {
            let hint =
                "an inventory file is text of a few kilobytes; is this one of something else?";
            return refuse(report, "file-too-large", "the file is larger than 1 MiB", hint);
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.push(Self::unreadable(path, &error));
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(Zeroizing::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                refuse(report, "not-utf-8", "the file is not UTF-8 text", "save it as UTF-8")
            }
        }
    }

    /// A file that cannot be read is no verdict on the configuration: exit code 2 goes with this
    /// check.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file",
            io::ErrorKind::PermissionDenied => "permission denied",
            io::ErrorKind::NotADirectory => "a part of the path is no directory",
            _ => "the system refuses it",
        };
        Diagnostic::error("unreadable-file", format!("the file cannot be read: {reason}"))
            .at(Source::whole_place(path))
    }
}
