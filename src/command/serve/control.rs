//! The socket on which a running service is asked for something. Who may open it is a matter of
//! its mode: root, and the service's own user and group.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::UnixStream as Probe,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    runtime::Handle,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::reloading::{Outcome, Reloader};
use crate::command::control::{Answer, LONGEST_REQUEST, Request};

/// How many may ask at a time; who comes later waits in the backlog.
const ASKERS: usize = 8;
/// How long an asker may take to send its line, and to take ours.
const LINE: Duration = Duration::from_secs(10);
/// How long nobody is accepted after that failed, as it does where descriptors are short.
const REST: Duration = Duration::from_millis(100);

/// A socket that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    file: File,
}

/// The file that we made, to be told from one that somebody else puts there.
#[derive(Debug)]
struct File {
    path: PathBuf,
    inode: u64,
}

impl Drop for File {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Control {
    /// Listens at `path`, in place of a service that is gone. To be called on the engine.
    ///
    /// # Errors
    /// A service that lives is asked there (`AddrInUse`), or the directory cannot be used.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
        }
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                match Probe::connect(path).map_err(|error| error.kind()) {
                    Err(ErrorKind::ConnectionRefused) => fs::remove_file(path)?,
                    _ => return Err(error),
                }
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        fs::set_permissions(path, Permissions::from_mode(0o660))?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Self { listener, file: File { path: path.to_owned(), inode } })
    }

    /// Answers until it is dropped.
    pub(super) async fn answer(self, reloader: Arc<Reloader>, engine: Handle) {
        let Self { listener, file: _file } = self;
        let askers = Arc::new(Semaphore::new(ASKERS));
        loop {
            let Ok(turn) = askers.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(REST).await;
                continue;
            };
            let reloader = reloader.clone();
            engine.spawn(async move {
                // One that left, or stalls, has nobody to be told.
                let _ = talk(stream, reloader).await;
                drop(turn);
            });
        }
    }
}

async fn talk(mut stream: UnixStream, reloader: Arc<Reloader>) -> io::Result<()> {
    let mut line = Vec::new();
    let (read, _) = stream.split();
    let mut read = BufReader::new(read.take(LONGEST_REQUEST));
    timeout(LINE, read.read_until(b'\n', &mut line)).await??;
    let answer = match serde_json::from_slice(&line) {
        Ok(Request::Reload { directory, color }) => {
            let verdict = reloader.reload().await;
            let report = verdict.report.human(color, &directory);
            match verdict.outcome {
                Outcome::Taken { changed } => Answer::Taken { report, changed },
                Outcome::Refused => Answer::Refused { report },
            }
        }
        Err(_) => Answer::Unknown,
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    timeout(LINE, stream.write_all(&line)).await?
}
