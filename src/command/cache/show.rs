//! What a job tells, for people or for programs.

use std::{
    io::{self, IsTerminal, Write},
    sync::Mutex,
};

use crate::{
    cli::CacheAction,
    clock::{from_unix, rfc3339},
    mirror::{Job, Line},
};

/// The longest line of progress: what fits the narrowest terminal in use, less the cursor.
const COLUMNS: usize = 79;

/// Where lines go: what was asked for to stdout, all else to stderr.
pub(super) struct Screen {
    json: bool,
    state: Mutex<State>,
}

struct State {
    /// Whether stderr shows a bar that must be wiped before anything else is printed.
    bar: bool,
    terminal: bool,
    /// What was last said of the progress where there is no terminal, in tenths.
    tenths: u64,
    verdict: Option<bool>,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let state = State { bar: false, terminal, tenths: 0, verdict: None };
        Self { json, state: Mutex::new(state) }
    }

    /// Whether all was as it should be; none if the job came to no end.
    pub(super) fn verdict(&self) -> Option<bool> {
        self.lock().verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Shows one line.
    pub(super) fn show(&self, line: Line) {
        let mut state = self.lock();
        if let Line::Progress { done, of, what } = &line {
            state.progress(*done, *of, what);
            return;
        }
        state.wipe();
        if let Line::Done { fine, .. } = line {
            state.verdict = Some(fine);
        }
        if self.json {
            out(&serde_json::to_string(&line).unwrap_or_default());
            return;
        }
        match line {
            Line::Image { .. } | Line::Repository { .. } | Line::Gone { .. } => out(&row(&line)),
            Line::Fault { what } => eprintln!("warning: {what}"),
            Line::Done { summary, .. } => eprintln!("{summary}"),
            Line::Failed { why, hint } => {
                eprintln!("error: {why}");
                if let Some(hint) = hint {
                    eprintln!("hint: {hint}");
                }
            }
            Line::Progress { .. } => {}
        }
    }
}

impl State {
    /// A bar on a terminal; elsewhere a line for each tenth.
    fn progress(&mut self, done: u64, of: u64, what: &str) {
        if self.terminal {
            eprint!("\r\x1b[K{}", bar(done, of, what));
            let _ = io::stderr().flush();
            self.bar = true;
        } else if of > 1 && done * 10 / of > self.tenths {
            self.tenths = done * 10 / of;
            eprintln!("{done} of {of}: {what}");
        }
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.bar) {
            eprint!("\r\x1b[K");
        }
    }
}

/// How far a job is. A line that were wrapped could not be wiped.
fn bar(done: u64, of: u64, what: &str) -> String {
    let filled = usize::try_from(done.saturating_mul(30) / of.max(1)).unwrap_or(30).min(30);
    let bar = "#".repeat(filled);
    let line = format!("[{bar:-<30}] {done}/{of} {what}");
    if line.chars().count() <= COLUMNS {
        return line;
    }
    line.chars().take(COLUMNS - 1).chain(['…']).collect()
}

/// One line of a table.
fn row(line: &Line) -> String {
    match line {
        Line::Image { repository, tag, digest, size, used, checked, kept } => {
            let name = match tag {
                Some(tag) => format!("{repository}:{tag}"),
                None => repository.clone(),
            };
            let when = |at: &Option<u64>| at.map_or("-".into(), |at| rfc3339(from_unix(at)));
            let size = if *kept { rounded(*size) } else { "not kept".into() };
            let (used, checked) = (when(used), when(checked));
            format!("{name:<48} {digest} {size:>10}  used {used:<20}  checked {checked}")
        }
        Line::Repository { repository, images, size } => {
            format!("{repository:<48} {images:>6} images {:>10}", rounded(*size))
        }
        Line::Gone { digest, size, why } => {
            let size = size.map_or("-".into(), rounded);
            format!("{digest} {size:>10}  {why}")
        }
        _ => String::new(),
    }
}

/// Bytes as people read them.
fn rounded(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// Whoever reads only the first lines has seen what they wanted.
fn out(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Returns true if an action that cannot be taken back is confirmed: by `--yes`, or by an answer at
/// the terminal. A purge is also done where nobody sits at one.
pub(super) fn is_sure(job: &Job, action: &CacheAction) -> bool {
    let (question, if_nobody) = match job {
        Job::Purge { images, dry_run: false } => {
            let names: Vec<String> = images.iter().map(ToString::to_string).collect();
            (format!("purge {}?", names.join(", ")), true)
        }
        Job::Adopt => {
            let question = "take all content of the bucket for a mirror's, which is removed when \
                            nobody uses it?";
            (question.into(), false)
        }
        _ => return true,
    };
    if matches!(action, CacheAction::Purge { yes: true, .. } | CacheAction::Adopt { yes: true, .. })
    {
        return true;
    }
    if !io::stdin().is_terminal() {
        return if_nobody;
    }
    eprint!("{question} [yes/no] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fits_a_line() {
        assert_eq!(bar(1, 2, "x"), format!("[{}{}] 1/2 x", "#".repeat(15), "-".repeat(15)));
        for what in ["", "x", &format!("sha256:{}", "ab".repeat(32)), &"ä".repeat(500)] {
            for (done, of) in [(0, 0), (3, 2), (u64::MAX, u64::MAX), (1, 1000)] {
                let line = bar(done, of, what);
                assert!(line.chars().count() <= 79, "{line}");
            }
        }
    }
}
