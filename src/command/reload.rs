//! `reload`: asks the running service to read its configuration again, and says what it answers.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{
    NO_VERDICT, REFUSED,
    control::{self, Answer, LONGEST_ANSWER, Request},
    load::{has_color, working_directory},
};
use crate::cli::Options;

/// How long a service may take. It reads files, and runs programs that print vault passwords.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks for a reload. `options` are those before the command, of which it knows none.
pub(super) fn run(options: &Options) -> ExitCode {
    if *options != Options::default() {
        eprintln!("error: `reload` takes no options of an inventory");
        eprintln!("hint: the service reads again what it was started with");
        return ExitCode::from(NO_VERDICT);
    }
    let (socket, answer) = ask_first();
    match answer {
        Ok(Answer::Taken { report, changed }) => {
            eprint!("{report}");
            eprintln!("ok: reloaded, {}", said(&changed));
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused { report }) => {
            eprint!("{report}");
            eprintln!("failed: the configuration is refused, and the service goes on as before");
            ExitCode::from(REFUSED)
        }
        Ok(Answer::Unknown) => {
            eprintln!("error: the service at `{}` does not know `reload`", socket.display());
            eprintln!("hint: it is of another version than this program; restart it");
            ExitCode::from(NO_VERDICT)
        }
        Err(error) => {
            let (why, hint) = explained(&error);
            eprintln!("error: no service could be asked at `{}`: {why}", socket.display());
            eprintln!("hint: {hint}");
            ExitCode::from(NO_VERDICT)
        }
    }
}

fn said(changed: &[String]) -> String {
    match changed {
        [] => "no setting changed".into(),
        changed => format!("changed: `{}`", changed.join("`, `")),
    }
}

/// The answer of the first service that there is, and where it is asked; where there is none, where
/// one was looked for last.
fn ask_first() -> (PathBuf, io::Result<Answer>) {
    let mut last = (PathBuf::new(), Err(ErrorKind::NotFound.into()));
    for socket in control::sockets() {
        let answer = ask(&socket);
        let none = matches!(&answer, Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused));
        last = (socket, answer);
        if !none {
            break;
        }
    }
    last
}

fn ask(socket: &Path) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = Request::Reload { directory: working_directory(), color: has_color() };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    // Never the parser's words, which may quote what it read.
    serde_json::from_slice(&answer).map_err(|_| ErrorKind::InvalidData.into())
}

fn explained(error: &io::Error) -> (&'static str, &'static str) {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => (
            "none answers there",
            "`systemctl status registry-mirror` shows whether it runs; RUNTIME_DIRECTORY must be \
             as the service has it",
        ),
        ErrorKind::PermissionDenied => {
            ("it may not be asked by this user", "be root, or the service's own user or group")
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => (
            "it gave no answer within two minutes",
            "look at its log; the reload may still come to an end",
        ),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            ("it broke off", "look at its log; it may be stopping")
        }
        ErrorKind::InvalidData => (
            "what answers there is no registry-mirror of this version",
            "look at what listens there with `ss -xlp`",
        ),
        _ => (
            "it could not be talked to",
            "look at the socket and its directory, and at the service's log",
        ),
    }
}
