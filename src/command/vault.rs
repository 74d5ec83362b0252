//! Where the passwords of the vault come from. Here the environment is read and password programs
//! are run, as ansible-core 2.19 does (`parsing/vault`, `cli/__init__.py`).

#![expect(clippy::disallowed_methods, reason = "this is a place that reads the environment")]

use std::{
    env, fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    cli::Options,
    diagnostic::{Diagnostic, Report},
    inventory::{Source, Vault},
};

/// How long a password program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Passwords above this size are none, in bytes.
const LARGEST: u64 = 64 << 10;

/// The id of a password without one.
const DEFAULT_ID: &str = "default";

/// The passwords that the options, the environment and the service manager's credentials name, in
/// the order in which Ansible tries them. What cannot be had goes to the report.
pub(super) fn read(options: &Options, report: &mut Report) -> Vault {
    let mut sources: Vec<(String, PathBuf)> = Vec::new();
    let listed = env::var("ANSIBLE_VAULT_IDENTITY_LIST").unwrap_or_default();
    let listed = listed.split(',').map(str::trim).filter(|id| !id.is_empty());
    for id in listed.chain(options.vault_ids.iter().map(String::as_str)) {
        let (id, file) = id.split_once('@').unwrap_or((DEFAULT_ID, id));
        if is_prompt(file) {
            report.push(
                Diagnostic::error("vault-password", "a vault password cannot be asked for")
                    .hint(format!("put it into a file: `--vault-id {id}@FILE`")),
            );
            continue;
        }
        sources.push((id.to_owned(), file.into()));
    }
    let named = env::var_os("ANSIBLE_VAULT_PASSWORD_FILE").filter(|file| !file.is_empty());
    let files = options.vault_password_files.iter().cloned().chain(named.map(PathBuf::from));
    sources.extend(files.map(|file| (DEFAULT_ID.to_owned(), file)));
    sources.extend(credentials());
    let strict = env::var("ANSIBLE_VAULT_ID_MATCH").is_ok_and(|word| is_true(&word));
    let mut vault = Vault::default().matching_only(strict);
    for (id, file) in sources {
        match password(&id, &file) {
            Ok(password) => vault.add(Some(&id), password),
            Err(problem) => report.push(*problem),
        }
    }
    vault
}

/// Whether Ansible would ask for the password where a file is named otherwise.
pub(super) fn is_prompt(file: &str) -> bool {
    matches!(file, "prompt" | "prompt_ask_vault_pass")
}

/// What systemd's `LoadCredential=vault-password:…` and `vault-password-ID:…` put there.
fn credentials() -> Vec<(String, PathBuf)> {
    let Some(directory) = env::var_os("CREDENTIALS_DIRECTORY") else { return Vec::new() };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.strip_prefix("vault-password")?;
            let id = if id.is_empty() { DEFAULT_ID } else { id.strip_prefix('-')? };
            Some((id.to_owned(), path.clone()))
        })
        .collect();
    found.sort();
    found
}

fn is_true(word: &str) -> bool {
    ["1", "true", "yes", "on", "y", "t"].contains(&word.to_ascii_lowercase().as_str())
}

fn password(id: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Box<Diagnostic>> {
    let refused = |check, why: &str, hint: &str| {
        let message = format!("the vault password cannot be read: {why}");
        let refused = Diagnostic::error(check, message).at(Source::whole_place(path)).hint(hint);
        Box::new(refused)
    };
    let path = home(path);
    let unreadable = |error: &std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file",
            std::io::ErrorKind::PermissionDenied => "permission denied",
            _ => "the system refuses it",
        };
        refused(
            "unreadable-file",
            why,
            "it is named by `--vault-password-file`, `--vault-id` or ANSIBLE_VAULT_PASSWORD_FILE",
        )
    };
    let data = fs::metadata(&path).map_err(|error| unreadable(&error))?;
    let text = if data.is_file() && data.permissions().mode() & 0o111 != 0 {
        ask(id, &path).map_err(|why| {
            refused("vault-password", &why, "a password file that can be executed is run; take the right away with `chmod -x` if it is none")
        })?
    } else {
        let mut text = Zeroizing::new(Vec::new());
        let file = fs::File::open(&path).map_err(|error| unreadable(&error))?;
        file.take(LARGEST).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        Zeroizing::new(text.trim_ascii().to_vec())
    };
    if text.is_empty() {
        return Err(refused("vault-password", "it is empty", "write the password into it"));
    }
    Ok(text)
}

/// `~/` is the home directory, as in Ansible's settings.
fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// What a password program prints. One whose name ends in `-client` is told which password.
fn ask(id: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut command = Command::new(absolute);
    if path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("-client"))
    {
        command.args(["--vault-id", id]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("the program cannot be started ({})", error.kind()))?;
    let printed = printed(&mut child);
    if printed.is_none() {
        // It may have ended by itself in the meantime.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("the program is lost ({})", error.kind()))?;
    let Some(printed) = printed else {
        return Err(format!("the program did not end within {} s", PATIENCE.as_secs()));
    };
    if !status.success() {
        return Err(format!("the program failed ({status})"));
    }
    let end = printed.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    let start = printed.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let password = end.and_then(|end| printed.get(start..=end)).unwrap_or_default();
    Ok(Zeroizing::new(password.to_vec()))
}

/// None if it does not close its output in time.
fn printed(child: &mut Child) -> Option<Zeroizing<Vec<u8>>> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let whole = stdout.take(LARGEST).read_to_end(&mut text);
        // Nobody listens any more if it took too long.
        let _ = sender.send(whole.is_ok().then_some(text));
    });
    receiver.recv_timeout(PATIENCE).ok().flatten()
}
