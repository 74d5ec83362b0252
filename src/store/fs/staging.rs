//! What is being written: files without a name, or with one in `staging/`, until they are whole
//! and flushed and get their final name.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustix::{fs::copy_file_range, io::Errno};

use super::{
    PAGE, disk,
    failure::{During as _, code},
};
use crate::store::{Page, Payload, StoreError, StrayUpload};

/// Bytes that are copied at a time.
const COPY_STEP: usize = 1 << 20;

/// The directory `staging/`.
#[derive(Debug)]
pub(super) struct Staging {
    directory: PathBuf,
    /// Whether this file system has files without a name and lets us give them one.
    nameless: bool,
}

/// A whole, flushed file that has not got its final name yet; dropped, it is gone.
#[derive(Debug)]
pub(super) enum Staged {
    /// It has no name.
    Nameless(File),
    /// It has one in `staging/`.
    Named(Named),
}

/// A name in `staging/` that goes when this does.
#[derive(Debug)]
pub(super) struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        // After a rename there is nothing left; what cannot be removed is swept at the next start.
        let _ = disk::remove_if_there(&self.0);
    }
}

impl Staging {
    /// Opens the directory, sweeps what another process left in it, and finds out what the file
    /// system can do.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        let mut staging = Self::open_without_nameless(directory)?;
        staging.nameless = staging.can_name_the_nameless();
        Ok(staging)
    }

    /// The same where every file must have a name.
    pub(super) fn open_without_nameless(directory: PathBuf) -> io::Result<Self> {
        for name in disk::names(&directory)? {
            if let Err(error) = disk::remove_if_there(&directory.join(&name)) {
                let code = code(&error);
                tracing::warn!(name, code, "a leftover in the staging directory cannot be removed");
            }
        }
        Ok(Self { directory, nameless: false })
    }

    /// Needs `O_TMPFILE`, and `/proc`, which a container may lack.
    fn can_name_the_nameless(&self) -> bool {
        let tried = disk::nameless(&self.directory).and_then(|file| {
            let name = Named(self.directory.join(disk::random_name()?));
            Ok(disk::link(&file, &name.0)?)
        });
        tried.is_ok()
    }

    /// Stages small bytes under a name, for what is going to replace something.
    pub(super) fn small(&self, parts: &[&[u8]]) -> Result<Named, StoreError> {
        let (mut file, path) = disk::named(&self.directory).during("open")?;
        let named = Named(path);
        for part in parts {
            file.write_all(part).during("write")?;
        }
        file.sync_data().during("fdatasync")?;
        Ok(named)
    }

    /// Stages content: by taking over the file it is in, or else by writing it anew.
    pub(super) fn content(&self, payload: &Payload) -> Result<Staged, StoreError> {
        match payload {
            Payload::Bytes(bytes) => self.written(|file| file.write_all_at(bytes, 0)),
            Payload::File { file, len } => match self.taken_over(file, *len)? {
                Some(named) => Ok(Staged::Named(named)),
                None => self.written(|copy| copy_all(file, copy, *len)),
            },
        }
    }

    fn written(&self, write: impl FnOnce(&File) -> io::Result<()>) -> Result<Staged, StoreError> {
        let (file, named) = if self.nameless {
            (disk::nameless(&self.directory).during("open")?, None)
        } else {
            let (file, path) = disk::named(&self.directory).during("open")?;
            (file, Some(Named(path)))
        };
        write(&file).during("write")?;
        file.sync_data().during("fdatasync")?;
        Ok(named.map_or(Staged::Nameless(file), Staged::Named))
    }

    /// Gives an open file of exactly `len` bytes another name here; none where that cannot be:
    /// it lies on another file system (`EXDEV`), had a name and lost it (`ENOENT`), is not ours
    /// (`EPERM`, fs.protected_hardlinks), or has too many names (`EMLINK`).
    fn taken_over(&self, file: &File, len: u64) -> Result<Option<Named>, StoreError> {
        let about = file.metadata().during("fstat")?;
        // The time counts as the time of storing; only an owner can set it.
        if about.len() != len || file.set_modified(SystemTime::now()).is_err() {
            return Ok(None);
        }
        let path = self.directory.join(disk::random_name().during("link")?);
        match disk::link(file, &path) {
            Ok(()) => {
                let named = Named(path);
                file.sync_data().during("fdatasync")?;
                Ok(Some(named))
            }
            Err(Errno::XDEV | Errno::NOENT | Errno::PERM | Errno::ACCESS | Errno::MLINK) => {
                Ok(None)
            }
            Err(errno) => Err(errno).during("link"),
        }
    }

    /// Gives what is staged its final name. `replacing` says that the name is taken: by something
    /// that is to go, in one step for whoever looks.
    pub(super) fn publish(
        &self,
        staged: Staged,
        name: &Path,
        replacing: bool,
    ) -> Result<(), StoreError> {
        match staged {
            Staged::Nameless(file) if !replacing => disk::link(&file, name).during("link"),
            Staged::Nameless(file) => {
                let path = self.directory.join(disk::random_name().during("link")?);
                disk::link(&file, &path).during("link")?;
                Named(path).publish(name)
            }
            Staged::Named(named) => named.publish(name),
        }
    }

    /// One page of what is staged under a name: left by a crash of an earlier process that could
    /// not be swept, or in progress.
    pub(super) fn strays(&self, from: Option<&str>) -> Result<Page<StrayUpload>, StoreError> {
        let mut entries: Vec<StrayUpload> = Vec::new();
        for id in disk::names(&self.directory).during("list")? {
            if from.is_some_and(|from| id.as_str() <= from) {
                continue;
            }
            if entries.len() == PAGE {
                let next = entries.last().map(|last| last.id.clone());
                return Ok(Page { entries, next });
            }
            match std::fs::symlink_metadata(self.directory.join(&id)).and_then(|it| it.modified()) {
                Ok(begun) => entries.push(StrayUpload { id, begun }),
                Err(error) if disk::is_missing(&error) => {}
                Err(error) => return Err(error).during("stat"),
            }
        }
        Ok(Page { entries, next: None })
    }

    /// Removes what is staged under a name.
    pub(super) fn abort(&self, id: &str) -> Result<(), StoreError> {
        if id.is_empty() || id == "." || id == ".." || id.contains(['/', '\0']) {
            return Err(StoreError::Denied { operation: "abort", code: "EINVAL".into() });
        }
        disk::remove_if_there(&self.directory.join(id)).during("unlink")?;
        Ok(())
    }

    /// Lets two writers give one name to their files, and looks what became of it. Whether exactly
    /// one of them succeeded, and the file is its.
    pub(super) fn probe(&self) -> Result<bool, StoreError> {
        let goal = Named(self.directory.join(disk::random_name().during("open")?));
        let write = |text: &'static [u8]| {
            let staged = self.written(|file| file.write_all_at(text, 0))?;
            match &staged {
                Staged::Nameless(file) => Ok(disk::link(file, &goal.0)),
                Staged::Named(named) => Ok(rustix::fs::link(&named.0, &goal.0)),
            }
        };
        let texts: [&[u8]; 2] = [b"first", b"second"];
        let [first, second] = std::thread::scope(|scope| {
            texts.map(|text| scope.spawn(move || write(text))).map(|writer| {
                writer.join().unwrap_or_else(|_| {
                    Err(StoreError::Unavailable { operation: "probe", code: "panic".into() })
                })
            })
        });
        let kept = match (first?, second?) {
            (Ok(()), Err(Errno::EXIST)) => texts[0],
            (Err(Errno::EXIST), Ok(())) => texts[1],
            (Ok(()), Ok(())) => return Ok(false),
            (Err(errno), _) | (_, Err(errno)) => return Err(errno).during("link"),
        };
        let read = std::fs::read(&goal.0).during("read")?;
        if read != kept {
            let what = "a file does not hold what was written to it".into();
            return Err(StoreError::Broken { operation: "probe", what });
        }
        disk::remove_if_there(&goal.0).during("unlink")?;
        Ok(true)
    }
}

impl Named {
    /// Renames it to its final name, over whatever has that.
    pub(super) fn publish(self, name: &Path) -> Result<(), StoreError> {
        std::fs::rename(&self.0, name).during("rename")
    }
}

/// Copies the first `len` bytes of one file into another, empty one, without moving the offset of
/// either: readers share the descriptor. The kernel copies where it can, perhaps by sharing blocks.
fn copy_all(from: &Arc<File>, to: &File, len: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (0, 0);
    while read_at < len {
        let step = usize::try_from(len - read_at).map_or(COPY_STEP, |left| left.min(COPY_STEP));
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), step) {
            Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut buffer = vec![0; if read_at < len { COPY_STEP } else { 0 }];
    while read_at < len {
        let step = usize::try_from(len - read_at).map_or(COPY_STEP, |left| left.min(COPY_STEP));
        let Some(part) = buffer.get_mut(..step) else { break };
        from.read_exact_at(part, read_at)?;
        to.write_all_at(part, read_at)?;
        read_at += step as u64;
    }
    Ok(())
}
