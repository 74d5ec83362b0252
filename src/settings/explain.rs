//! Where a variable comes from: every layer that sets it, the one that wins, and what its template is
//! made of.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value as Json, json};

use crate::{
    diagnostic::{Diagnostic, Report, nearest},
    inventory::{self, Layer, LayerKind, Node, Scope, Value},
};

use super::{
    layers::{Winners, join},
    read::{self, Given},
    secrets::{self, Concealed},
    table::{self, PREFIX},
};

/// A variable, and what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Its whole name.
    pub name: String,
    /// Who sets it, the strongest first.
    pub said: Vec<Said>,
    /// What it means with its templates filled in, secrets masked; or why it cannot be filled in.
    pub value: Result<Json, Vec<String>>,
    /// The variables in the template that wins, each explained once in the whole tree: further up,
    /// where it stands in a circle or was explained before.
    pub made_of: Vec<Explanation>,
}

/// What one layer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which level of precedence, in words.
    pub layer: String,
    /// `FILE:LINE:COLUMN`, or what stands for a file.
    pub place: String,
    /// As it was written, secrets masked.
    pub written: Json,
    /// Whether this is the one that counts.
    pub wins: bool,
}

/// Explains the variable of this name, with or without the prefix. None if nothing knows it; that
/// has been reported.
pub fn explain(given: &Given<'_>, name: &str, report: &mut Report) -> Option<Explanation> {
    let layers = read::layers(given, report);
    let mut winners = join(&layers);
    let is_known = |name: &str| winners.contains_key(name) || table::find(name).is_some();
    let prefixed = format!("{PREFIX}{name}");
    let Some(name) = [name, &prefixed].into_iter().find(|name| is_known(name)) else {
        let short = table::all().map(|variable| variable.name);
        let near = nearest(name, winners.keys().map(|known| &**known).chain(short));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "docs/configuration.md lists all that this program reads".into(),
        };
        report.push(
            Diagnostic::error("unknown-variable", format!("nothing sets `{name}`")).hint(hint),
        );
        return None;
    };
    let concealed = Concealed::of(&winners);
    read::unset(&mut winners);
    let scope = read::scope(given, &winners);
    let explainer = Explainer { layers: &layers, winners: &winners, scope, concealed };
    Some(explainer.variable(name, &mut BTreeSet::new()))
}

struct Explainer<'a> {
    layers: &'a [Layer],
    winners: &'a Winners,
    scope: Scope,
    concealed: Concealed,
}

impl Explainer<'_> {
    fn variable(&self, name: &str, seen: &mut BTreeSet<Arc<str>>) -> Explanation {
        seen.insert(name.into());
        let winner = self.winners.get(name);
        let mut said = Vec::new();
        for layer in self.layers.iter().rev() {
            for entry in layer.entries.iter().filter(|entry| &*entry.name == name) {
                said.push(Said {
                    layer: level(&layer.kind),
                    place: entry.node.origin.to_string(),
                    written: self.written(name, &entry.node),
                    wins: winner.is_some_and(|winner| Arc::ptr_eq(winner, &entry.node)),
                });
            }
        }
        let value = match self.scope.render(name) {
            Ok(node) => Ok(inventory::to_json(name, &node, true, &|name, text| {
                self.concealed.hides_rendered(name, text)
            })),
            Err(failures) => {
                Err(failures.into_iter().map(|failure| failure.diagnostic.message).collect())
            }
        };
        let words = winner.map(|node| secrets::words(node)).unwrap_or_default();
        let mut made_of = Vec::new();
        for word in words {
            if self.winners.contains_key(&word) && !seen.contains(&word) {
                made_of.push(self.variable(&word, seen));
            }
        }
        Explanation { name: name.to_owned(), said, value, made_of }
    }

    fn written(&self, name: &str, node: &Node) -> Json {
        if matches!(node.value, Value::Sealed(_)) {
            return "(vault)".into();
        }
        inventory::to_json(name, node, true, &|name, text| self.concealed.hides(name, text))
    }
}

fn level(kind: &LayerKind) -> String {
    match kind {
        LayerKind::Defaults => "built-in default".into(),
        LayerKind::InventoryAll => "`all: vars:` of an inventory file".into(),
        LayerKind::InventoryGroup(group) => format!("`{group}: vars:` of an inventory file"),
        LayerKind::GroupVarsAll => "group_vars/all".into(),
        LayerKind::GroupVars(group) => format!("group_vars/{group}"),
        LayerKind::InventoryHost => "the host in an inventory file".into(),
        LayerKind::HostVars => "host_vars".into(),
        LayerKind::Environment => "environment".into(),
        LayerKind::Extra => "`-e`".into(),
    }
}

impl Explanation {
    /// For people: each variable with its value, below it who sets it, `*` before the one that
    /// counts, and further in what it is made of.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(0, &mut text);
        text
    }

    fn write(&self, depth: usize, text: &mut String) {
        let indent = "    ".repeat(depth);
        match &self.value {
            Ok(value) => text.push_str(&format!("{indent}{} = {value}\n", self.name)),
            Err(why) => text.push_str(&format!("{indent}{} = ? {}\n", self.name, why.join("; "))),
        }
        for said in &self.said {
            let mark = if said.wins { '*' } else { ' ' };
            let Said { layer, place, written, .. } = said;
            text.push_str(&format!("{indent}  {mark} {place}  {layer}: {written}\n"));
        }
        for part in &self.made_of {
            part.write(depth + 1, text);
        }
    }

    /// The same as one JSON object.
    pub fn json(&self) -> Json {
        let said = self.said.iter().map(|said| {
            let Said { layer, place, written, wins } = said;
            json!({ "layer": layer, "place": place, "written": written, "wins": wins })
        });
        json!({
            "variable": self.name,
            "value": self.value.as_ref().ok(),
            "problems": self.value.as_ref().err(),
            "layers": said.collect::<Vec<_>>(),
            "made_of": self.made_of.iter().map(Self::json).collect::<Vec<_>>(),
        })
    }
}
