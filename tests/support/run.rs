//! Runs the real program.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A directory of its own with the program in it: no inventory, no environment but `PATH`.
pub struct Bench {
    directory: TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    /// The exit status; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// An empty directory.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        Self { directory }
    }

    /// The directory, which is the working directory of every run.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, and the directories it lies in.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the directory")).expect("directories");
        fs::write(&path, text).expect("a file");
        path
    }

    /// The program with these arguments, ready to be changed before it runs.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-mirror"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            // So that a service answers commands here, and in nobody else's way.
            .env("RUNTIME_DIRECTORY", self.path().join("runtime"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// Runs the program to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        finish(self.command(arguments).spawn().expect("the program starts"))
    }

    /// Runs the program to its end with these variables in its environment.
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        environment: &[(&str, &str)],
        arguments: impl IntoIterator<Item = A>,
    ) -> Ran {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        finish(command.spawn().expect("the program starts"))
    }
}

/// Waits for the program's end.
pub fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().expect("the program ends");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is text"),
        stderr: String::from_utf8(output.stderr).expect("stderr is text"),
    }
}

impl Ran {
    /// The run, if it ended with this status; the test fails with all it printed otherwise.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }

    /// Fails unless stderr holds every one of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not said:\n{}", self.stderr);
        }
        self
    }

    /// Fails unless stdout holds every one of these.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "`{text}` is not printed:\n{}", self.stdout);
        }
        self
    }

    /// Fails if stderr or stdout holds any of these.
    #[track_caller]
    pub fn hides(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(!self.stderr.contains(text), "`{text}` is on stderr:\n{}", self.stderr);
            assert!(!self.stdout.contains(text), "`{text}` is on stdout:\n{}", self.stdout);
        }
        self
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
