//! An inventory as `ansible-inventory` of ansible-core 2.19 prints it (profile `inventory_legacy`).

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::Report;

use super::{Entry, Host, Inventory, Layer, LayerKind, Node, Origin, Source, Value, groups::ALL};

/// Names that mean this machine where no host is called so.
const LOCALHOST: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What stands for a value that must not be seen.
pub const MASK: &str = "********";

impl Inventory {
    /// The groups with their hosts and children, under their names; empty ones are left out, as
    /// Ansible does.
    pub fn groups(&self) -> Map<String, Json> {
        let mut listed = Map::new();
        for group in self.tree().groups_in_order() {
            let mut shown = Map::new();
            let (hosts, children) = (self.tree().own_hosts(&group), self.tree().children(&group));
            if *group != *ALL && !hosts.is_empty() {
                shown.insert("hosts".into(), names(&hosts));
            }
            if !children.is_empty() {
                shown.insert("children".into(), names(&children));
            }
            if !shown.is_empty() || *group == *ALL {
                listed.insert(group.to_string(), shown.into());
            }
        }
        listed
    }

    /// What it says of `localhost` where it names no such host: it is in `all` and in no other
    /// group. None for any other name.
    pub fn implicit_host(&self, name: &str, report: &mut Report) -> Option<Host> {
        if !LOCALHOST.contains(&name) {
            return None;
        }
        let mut host = self.outside(name, report);
        let origin = Origin::whole(&Source::built_in("implicit localhost", ""));
        let node = Node { template: true, ..Node::plain("local", origin) }.into();
        let entries = vec![Entry { name: "ansible_connection".into(), node }];
        let at = host.layers.iter().position(|layer| layer.kind == LayerKind::Extra);
        let at = at.unwrap_or(host.layers.len());
        host.layers.insert(at, Layer { kind: LayerKind::InventoryHost, entries });
        Some(host)
    }
}

fn names(names: &[Arc<str>]) -> Json {
    names.iter().map(|name| Json::from(&**name)).collect()
}

/// A value as JSON. What `hides` says of the name of a variable or of a key below it, and of its
/// text, is masked. Text that is no template is marked, as Ansible marks it, unless `rendered`.
pub fn to_json(
    name: &str,
    node: &Node,
    rendered: bool,
    hides: &dyn Fn(&str, Option<&str>) -> bool,
) -> Json {
    if hides(name, node.as_str()) && !matches!(node.value, Value::Sealed(_)) {
        return match node.as_str() {
            Some("") => "".into(),
            _ => MASK.into(),
        };
    }
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::String(text) if !node.template && !rendered => {
            json!({ "__ansible_unsafe": &**text })
        }
        Value::String(text) => json!(&**text),
        Value::Timestamp(text) => json!(iso(text)),
        Value::Sealed(text) => json!({ "__ansible_vault": &**text }),
        Value::List(items) => {
            items.iter().map(|item| to_json(name, item, rendered, hides)).collect()
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let key = key_text(key);
                let value = to_json(&key, value, rendered, hides);
                (key, value)
            });
            Json::Object(entries.collect())
        }
    }
}

/// A key as Python's JSON has it.
fn key_text(key: &Node) -> String {
    match &key.value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => json!(value).to_string(),
        Value::Timestamp(text) => iso(text),
        _ => key.as_str().unwrap_or_default().to_owned(),
    }
}

/// A date or time of YAML 1.1 as Python's `isoformat` writes it.
fn iso(written: &str) -> String {
    let Some(at) = written.find(['T', 't', ' ', '\t']) else { return written.to_owned() };
    let (date, rest) = written.split_at(at);
    let rest = rest.trim_start_matches(['T', 't', ' ', '\t']);
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')));
    let (time, zone) = rest.split_at(end.unwrap_or(rest.len()));
    let two = |text: &str| format!("{text:0>2}");
    let date: Vec<String> = date.split('-').map(two).collect();
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let time: Vec<String> = time.split(':').map(two).collect();
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let fraction = if micros == "000000" { String::new() } else { format!(".{micros}") };
    let zone = zone.trim();
    let zone = match zone.chars().next() {
        None => String::new(),
        Some('Z') => "+00:00".into(),
        Some(sign) => {
            let (hours, minutes) = zone
                .get(1..)
                .unwrap_or("")
                .split_once(':')
                .unwrap_or((zone.get(1..).unwrap_or(""), "00"));
            let sign = if two(hours) == "00" && minutes == "00" { '+' } else { sign };
            format!("{sign}{}:{minutes}", two(hours))
        }
    };
    format!("{}T{}{fraction}{zone}", date.join("-"), time.join(":"))
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn times_are_written_as_python_writes_them() {
        for (written, expected) in [
            ("2024-01-01", "2024-01-01"),
            ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00+00:00"),
            ("2024-1-1 9:05:07.5", "2024-01-01T09:05:07.500000"),
            ("2024-01-01 10:00:00 -5:30", "2024-01-01T10:00:00-05:30"),
            ("2024-01-01t10:00:00.000+2", "2024-01-01T10:00:00+02:00"),
        ] {
            assert_eq!(iso(written), expected, "of `{written}`");
        }
    }
}
