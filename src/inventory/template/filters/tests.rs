//! The tests that Ansible adds to Jinja's, or that minijinja has otherwise.

use minijinja::{
    Environment, Error, Value,
    value::{Rest, ValueKind, ValueOrKwargs},
};

use super::{
    arguments::{Arguments, NAMESPACES},
    data,
    regex::{self, Anchor},
    version,
};

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, &["match"], |value, given| regex::matches(value, given, Anchor::Start));
    add(environment, &["search"], |value, given| regex::matches(value, given, Anchor::None));
    add(environment, &["regex"], regex::is_regex);
    add(environment, &["truthy"], truth);
    add(environment, &["falsy"], |value, given| Ok(!truth(value, given)?));
    add(environment, &["contains"], |value, given| data::contains(value, &other(given)?));
    add(environment, &["subset", "issubset"], |value, given| {
        data::is_within(value, &other(given)?)
    });
    add(environment, &["superset", "issuperset"], |value, given| {
        data::is_within(&other(given)?, value)
    });
    add(environment, &["all"], |value, _| Ok(!data::any_is(value, false)?));
    add(environment, &["any"], |value, _| data::any_is(value, true));
    add(environment, &["version", "version_compare"], version::compare);
    add(environment, &["nan"], |value, _| Ok(f64::try_from(value.clone()).is_ok_and(f64::is_nan)));
    add(environment, &["abs"], |value, _| {
        Ok(value.as_str().is_some_and(|path| path.starts_with('/')))
    });
    // Text and mappings have a length and elements, too.
    add(environment, &["sequence"], |value, _| {
        Ok(matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map))
    });
}

fn add(
    environment: &mut Environment<'static>,
    names: &[&str],
    test: fn(&Value, &Arguments) -> Result<bool, Error>,
) {
    for namespace in NAMESPACES {
        for name in names {
            environment.add_test(
                format!("{namespace}{name}"),
                move |value: Value, given: Rest<ValueOrKwargs>| {
                    let given = Arguments::new(given)?;
                    let holds = test(&value, &given)?;
                    given.nothing_left()?;
                    Ok::<_, Error>(holds)
                },
            );
        }
    }
}

fn other(given: &Arguments) -> Result<Value, Error> {
    given.get(0, "b")?.ok_or_else(|| minijinja::ErrorKind::MissingArgument.into())
}

/// Python's truth; with `convert_bool` words for yes and no are what they say.
fn truth(value: &Value, given: &Arguments) -> Result<bool, Error> {
    if !given.flag(0, "convert_bool")? {
        return Ok(value.is_true());
    }
    let text = value.as_str().map(str::to_lowercase);
    match text.as_deref() {
        Some("no" | "off" | "false" | "0" | "f" | "n") => Ok(false),
        _ => Ok(value.is_true()),
    }
}
