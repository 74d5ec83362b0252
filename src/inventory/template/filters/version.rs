//! The test `version`.

use std::cmp::Ordering;

use minijinja::{Error, Value};

use super::{super::python, arguments::Arguments, text::said};

/// A piece of a version: Python's `LooseVersion` compares numbers with numbers and words with words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Number(u64),
    Word(String),
}

/// Whether the version stands in this relation to the other one.
pub(super) fn compare(value: &Value, given: &Arguments) -> Result<bool, Error> {
    let (own, other) = (python::text(value)?, given.needed(0, "version")?);
    let relation = given.text(1, "operator")?.unwrap_or_else(|| "eq".into());
    let order = pieces(&own).cmp(&pieces(&other));
    Ok(match relation.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        _ => {
            return Err(said(
                "the operator of a comparison of versions is `>=`, `<`, `eq` and the like",
            ));
        }
    })
}

fn pieces(version: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let kind = |c: char| (c.is_ascii_digit(), c.is_ascii_lowercase());
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (piece, next) = rest.split_at(end);
        rest = next;
        match (piece.parse(), piece.trim_matches('.')) {
            (Ok(number), _) => pieces.push(Piece::Number(number)),
            (Err(_), "") => {}
            (Err(_), word) => pieces.push(Piece::Word(word.to_owned())),
        }
    }
    pieces
}
