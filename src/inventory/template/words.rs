//! What went wrong in a template, in our words: minijinja's hold values.

use minijinja::{Error, ErrorKind};

use crate::diagnostic::{Diagnostic, Place, nearest};

use super::{
    Failure,
    convert::Unfit,
    engine::Engine,
    evaluate::{Job, Site},
    filters,
    segments::Uncut,
};

/// What begins the detail of an error that may be told as it is: words of ours, without a value.
pub(super) const SAID: &str = "said: ";

/// The expression that an error says is undefined, such as `a.b`; empty if it does not say.
pub(super) fn undefined_expression(error: &Error) -> String {
    let detail = error.detail().unwrap_or("");
    let before = detail.split("` is undefined").next().filter(|b| b.len() < detail.len());
    before.and_then(|before| before.split('`').next_back()).unwrap_or("").to_owned()
}

pub(super) fn uncut(engine: &Engine, site: Site<'_>, why: &Uncut) -> Failure {
    let site = match why {
        Uncut::Unclosed(offset) => Site { offset: *offset, ..site },
        Uncut::TooLong(offset) => {
            let open = site.text.get(*offset..*offset + 2).unwrap_or("");
            let diagnostic = Diagnostic::error("template-syntax", "the template is too long")
                .at(place(engine, site, *offset, open))
                .label("more than 300 operators in one expression, or 500 templates in one value")
                .hint("keep parts of it in variables of their own");
            return Failure::broken(site.item, diagnostic);
        }
    };
    let open = site.text.get(site.offset..site.offset + 2).unwrap_or("");
    let (label, hint) = match open {
        "<<" => (
            "this template is never closed",
            "close it with `>>`; where `<< ` is meant as text, tag the value with `!unsafe`",
        ),
        "{%" => ("this statement is never closed", "close it with `%}`"),
        "{#" => ("this comment is never closed", "close it with `#}`"),
        _ => ("this template is never closed", "close it with `}}`, outside of any quotes"),
    };
    let diagnostic = Diagnostic::error("template-syntax", "the template does not parse")
        .at(place(engine, site, site.offset, open))
        .label(label)
        .hint(hint);
    Failure::broken(site.item, diagnostic)
}

pub(super) fn unfit(engine: &Engine, site: Site<'_>, unfit: Unfit) -> Failure {
    let diagnostic = Diagnostic::error("template-result", "the template yields no usable value")
        .at(site.node.origin.place((engine.shared.shown)(&site.item.root)))
        .label(unfit.words());
    Failure::broken(site.item, diagnostic)
}

/// Something undefined that is no variable: an attribute or an element.
pub(super) fn undefined(engine: &Engine, site: Site<'_>, job: Job<'_>, culprit: &str) -> Failure {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let named = !culprit.is_empty() && culprit.len() < 200 && culprit.chars().all(is_path);
    let (message, place) = if named {
        let place = place_of_name(engine, site, job, culprit);
        (format!("`{culprit}` is not set"), place)
    } else {
        let place = site.node.origin.place((engine.shared.shown)(&site.item.root));
        ("a part of the template is undefined".to_owned(), place)
    };
    let diagnostic = Diagnostic::error("undefined-attribute", message)
        .at(place)
        .label(wish(job).unwrap_or("needed here"))
        .hint("set it, or give it a default: `{{ a.b | default('') }}`");
    Failure::broken(site.item, diagnostic)
}

pub(super) fn broken(engine: &Engine, site: Site<'_>, job: Job<'_>, error: &Error) -> Failure {
    let (Job::Expression(text) | Job::Statements(text)) = job;
    let unknown = |what: &str| {
        let name = error.detail().and_then(|detail| {
            // A name may be a value, as in `map(secret)`: only what stands in the template is told.
            let is_name = |word: &&str| {
                text.contains(word)
                    && !matches!(
                        *word,
                        "filter" | "test" | "function" | "lookup" | "is" | "unknown"
                    )
                    && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
            };
            detail.split_whitespace().find(is_name).map(str::to_owned)
        });
        match name {
            Some(name) => (format!("the {what} `{name}` is not known"), Some(name)),
            None => (format!("a {what} in the template is not known"), None),
        }
    };
    let said = error.detail().and_then(|detail| detail.strip_prefix(SAID));
    let (check, (message, name), label) = match error.kind() {
        _ if said.is_some() => {
            ("template-failed", ("the template fails".to_owned(), None), said.unwrap_or_default())
        }
        ErrorKind::UnknownFilter => ("unknown-filter", unknown("filter"), "no such filter"),
        ErrorKind::UnknownTest => ("unknown-test", unknown("test"), "no such test"),
        ErrorKind::UnknownFunction if error.detail().is_some_and(|d| d.starts_with("lookup ")) => {
            ("unknown-lookup", unknown("lookup"), "no such lookup")
        }
        ErrorKind::UnknownFunction => {
            ("unknown-function", unknown("function"), "no such function or lookup")
        }
        ErrorKind::UnknownMethod => (
            "template-failed",
            ("the template fails".to_owned(), None),
            "a method that is not known; use a filter: `x | upper` for `x.upper()`",
        ),
        ErrorKind::SyntaxError | ErrorKind::BadEscape => (
            "template-syntax",
            ("the template does not parse".to_owned(), None),
            "this is no expression of Jinja",
        ),
        ErrorKind::OutOfFuel => (
            "template-failed",
            ("the template does too much".to_owned(), None),
            "stopped after a million steps",
        ),
        ErrorKind::TooManyArguments | ErrorKind::MissingArgument => (
            "template-failed",
            ("the template fails".to_owned(), None),
            "too many or too few arguments",
        ),
        _ => (
            "template-failed",
            ("the template fails".to_owned(), None),
            "this cannot be done with these values",
        ),
    };
    let place = match &name {
        Some(name) => place_of_name(engine, site, job, name),
        None => {
            let (Job::Expression(text) | Job::Statements(text)) = job;
            place(engine, site, site.offset, text)
        }
    };
    let diagnostic = Diagnostic::error(check, message).at(place).label(label);
    Failure::broken(
        site.item,
        match check {
            "unknown-filter" | "unknown-test" | "unknown-function" | "unknown-lookup" => {
                diagnostic.hint(instead(check, &name.unwrap_or_default()))
            }
            _ => diagnostic,
        },
    )
}

/// Where a name stands in the expression.
pub(super) fn place_of_name(engine: &Engine, site: Site<'_>, job: Job<'_>, name: &str) -> Place {
    let (Job::Expression(text) | Job::Statements(text)) = job;
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let alone = text.match_indices(name).find(|(at, _)| {
        let before = text.get(..*at).and_then(|s| s.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|s| s.chars().next());
        !before.is_some_and(|c| part_of_name(c) || c == '.') && !after.is_some_and(part_of_name)
    });
    match alone {
        Some((at, _)) => place(engine, site, site.offset + at, name),
        None => site.node.origin.place((engine.shared.shown)(&site.item.root)),
    }
}

fn place(engine: &Engine, site: Site<'_>, at: usize, part: &str) -> Place {
    let before = site.text.get(..at).map_or(0, |before| before.chars().count());
    // Blanks around an expression are no part of it.
    let lead = part.chars().take_while(|c| c.is_whitespace()).count();
    let shown = (engine.shared.shown)(&site.item.root);
    site.node.origin.place_within(shown, before + lead, part.trim())
}

/// What the author says of a value that is missing: the text of `mandatory('…')` or `undef(hint='…')`
/// as it stands in the template.
pub(super) fn wish(job: Job<'_>) -> Option<&str> {
    let (Job::Expression(text) | Job::Statements(text)) = job;
    ["mandatory(", "undef("].iter().find_map(|call| {
        let (_, given) = text.split_once(call)?;
        let given = given.trim_start();
        let given =
            ["msg=", "hint="].iter().find_map(|name| given.strip_prefix(name)).unwrap_or(given);
        let quote = given.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (said, rest) = given.get(1..)?.split_once(quote)?;
        let alone = rest.trim_start().starts_with(')') && said.len() <= 200;
        (alone && !said.contains(['\\', '\n'])).then_some(said)
    })
}

/// What to use in the place of something that is not known.
fn instead(check: &str, name: &str) -> String {
    let bare = name.strip_prefix("ansible.builtin.").unwrap_or(name);
    let known = match (check, bare) {
        (_, name) if name.starts_with("ansible.utils.") || name.contains("ipaddr") => {
            "the collection ansible.utils is not here; write the address itself"
        }
        (_, "json_query" | "community.general.json_query") => "use `selectattr` and `map`",
        ("unknown-lookup", name) if name.contains("aws") || name.contains("secretsmanager") => {
            "AWS is not asked here; use `lookup('env', …)`, a vault value, or a credential of systemd"
        }
        ("unknown-lookup", name) if name.contains("vault") => {
            "use `lookup('env', …)`, a value sealed by ansible-vault, or a credential of systemd"
        }
        ("unknown-lookup", "pipe" | "lines" | "url" | "template" | "password" | "csvfile") => {
            "this program runs and fetches nothing for a value; use `lookup('env', …)` or a file"
        }
        ("unknown-lookup", _) => "known are `env`, `file`, `vars` and `dict`",
        ("unknown-filter", "to_yaml" | "to_nice_yaml") => "use `to_json`: JSON is YAML",
        ("unknown-filter", "md5") => "use `hash('sha256')`",
        (_, "password_hash" | "random" | "shuffle" | "now") => {
            "what it yields would change with every reading; compute it where the inventory is made"
        }
        ("unknown-test", "exists" | "file" | "directory" | "link" | "mount" | "same_file") => {
            "templates do not look at the file system here"
        }
        (
            "unknown-test",
            "failed" | "failure" | "succeeded" | "success" | "changed" | "change" | "skipped"
            | "skip" | "started" | "finished" | "reachable" | "unreachable",
        ) => "there are no tasks here whose results could be tested",
        (_, name) if name.matches('.').count() >= 2 => "collections of Ansible are not here",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    let near = match check {
        "unknown-filter" => nearest(bare, filters::KNOWN),
        "unknown-test" => nearest(bare, filters::TESTS),
        _ => None,
    };
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "docs/configuration.md lists what is known".into(),
    }
}
