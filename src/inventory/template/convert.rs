//! Between nodes and the values that expressions work on.

use minijinja::value::{Value as Evaluated, ValueKind};

use super::{
    super::{Node, Origin, Value},
    objects::is_omitted,
};

/// What a value costs besides its text, in bytes: about what it takes to hold.
pub(super) const COST: usize = 64;

/// How deep a result may nest.
const DEEPEST: usize = 128;

/// Why a result is no value for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Undefined,
    TooLarge,
    TooDeep,
    NotFinite,
    HugeInteger,
    Kind,
}

impl Unfit {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Undefined => "the result is undefined",
            Self::TooLarge => "the result is too large",
            Self::TooDeep => "the result nests too deep",
            Self::NotFinite => "the result is not a finite number",
            Self::HugeInteger => "the result needs more than 64 bits",
            Self::Kind => "the result is neither text, a number, a list nor a mapping",
        }
    }
}

/// A scalar for an expression. None for collections and sealed values, which need more.
pub(super) fn scalar(value: &Value) -> Option<Evaluated> {
    Some(match value {
        Value::Null => Evaluated::from(()),
        Value::Bool(b) => Evaluated::from(*b),
        Value::Int(i) => Evaluated::from(*i),
        Value::Float(f) => Evaluated::from(*f),
        Value::String(s) | Value::Timestamp(s) => Evaluated::from(s.clone()),
        Value::Sealed(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

/// A result as a node at `origin`. `spend` pays for each value; `stored` turns a part of a
/// variable, if it is one, into its rendered node.
pub(super) fn node<E: From<Unfit>>(
    value: &Evaluated,
    origin: &Origin,
    depth: usize,
    spend: &mut dyn FnMut(usize) -> bool,
    stored: &mut dyn FnMut(&Evaluated) -> Option<Result<Node, E>>,
) -> Result<Node, E> {
    if depth > DEEPEST {
        return Err(Unfit::TooDeep.into());
    }
    if is_omitted(value) {
        return Ok(rendered(Value::Null, origin));
    }
    if let Some(node) = stored(value) {
        return node;
    }
    let text = value.as_str();
    if !spend(COST + text.map_or(0, str::len)) {
        return Err(Unfit::TooLarge.into());
    }
    let made = match value.kind() {
        ValueKind::Undefined => return Err(Unfit::Undefined.into()),
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            Value::Int(i64::try_from(value.clone()).map_err(|_| Unfit::HugeInteger)?)
        }
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(float) if float.is_finite() => Value::Float(float),
            _ => return Err(Unfit::NotFinite.into()),
        },
        ValueKind::String => Value::String(text.unwrap_or("").into()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            let all = value.try_iter().map_err(|_| Unfit::Kind)?;
            for item in all.filter(|item| !is_omitted(item)) {
                items.push(node(&item, origin, depth + 1, spend, stored)?);
            }
            Value::List(items)
        }
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter().map_err(|_| Unfit::Kind)? {
                let item = value.get_item(&key).map_err(|_| Unfit::Kind)?;
                if is_omitted(&item) {
                    continue;
                }
                let key = node(&key, origin, depth + 1, spend, stored)?;
                entries.push((key, node(&item, origin, depth + 1, spend, stored)?));
            }
            Value::Map(entries)
        }
        _ => return Err(Unfit::Kind.into()),
    };
    Ok(rendered(made, origin))
}

/// A node that came out of a template.
pub(super) fn rendered(value: Value, origin: &Origin) -> Node {
    let quoted = matches!(value, Value::String(_));
    Node { value, origin: origin.clone(), template: false, quoted, rendered: true }
}
