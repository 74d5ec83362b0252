//! The table of docs/configuration.md.

use super::{
    defaults,
    kind::Kind,
    table::{self, Reader, Variable},
};

/// The lines that the table stands between.
pub const START: &str = "<!-- generated from the table of variables: start -->\n";
/// See [`START`].
pub const END: &str = "<!-- generated from the table of variables: end -->\n";

/// The text between [`START`] and [`END`].
pub fn tables() -> String {
    let mut text = String::from("\n### The service\n\n");
    rows(&mut text, table::settings());
    text.push_str("\n### The Terraform module\n\n");
    rows(&mut text, table::all().filter(|v| v.readers.contains(&Reader::Terraform)));
    text.push('\n');
    text
}

fn rows(text: &mut String, variables: impl Iterator<Item = &'static Variable>) {
    text.push_str("| variable | default | kind | read by | meaning |\n|---|---|---|---|---|\n");
    for variable in variables {
        let readers: Vec<&str> = variable.readers.iter().map(|reader| reader.name()).collect();
        text.push_str(&format!(
            "| `{}` | `{}` | {} | {} | {}{}{} |\n",
            variable.full_name(),
            default(variable),
            kind(variable.kind),
            readers.join(", "),
            variable.about,
            if variable.secret { " *Secret.*" } else { "" },
            if variable.restart { " *Needs a restart.*" } else { "" },
        ));
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        kind => kind.name().into(),
    }
}

/// The default as an inventory would have it.
fn default(variable: &Variable) -> String {
    match defaults::of(variable) {
        Some(serde_json::Value::String(text)) if !text.is_empty() => text,
        Some(default) => default.to_string(),
        None => String::new(),
    }
}

/// `document` with the text between its marks replaced; none if it has no marks.
pub fn fill(document: &str) -> Option<String> {
    let (head, rest) = document.split_once(START)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{START}{}{END}{tail}", tables()))
}
