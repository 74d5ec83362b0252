//! Events with spans, composed into nodes.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag as ParsedTag};
use serde::de::IgnoredAny;

use crate::diagnostic::{Diagnostic, Severity};

use super::{
    super::{Node, Origin, Source, Value},
    DEEPEST,
    merge::Entries,
    resolver::{self, Resolved},
    tag::{self, Tag},
    verdict,
};

/// How many nodes aliases may add. A billion laughs stop here.
const MOST_COPIED: usize = 100_000;

/// How many problems of one file are worth reading.
const MOST_FOUND: usize = 100;

/// The document and what there is to say about it; or why composing had to stop.
pub(super) fn compose(source: &Arc<Source>) -> Result<(Node, Vec<Diagnostic>), Box<Diagnostic>> {
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(
            source.text(),
            // As libyaml has it: a block that ends with the file has no line feed of its own.
            granit_parser::options! { block_scalar_eof_without_line_feed: true },
        ),
        source,
        // What is JSON is read as JSON, says Ansible's loader: `1e5` is a number there.
        is_json: source.text().trim_start().starts_with(['{', '['])
            && serde_json::from_str::<IgnoredAny>(source.text()).is_ok(),
        found: Vec::new(),
        anchors: HashMap::new(),
        made: 0,
        copied: 0,
    };
    loop {
        match composer.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (event, span) => {
                let root = composer.node(event, span, Context { depth: 0, template: true })?;
                return Ok((root, composer.found));
            }
        }
    }
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    is_json: bool,
    found: Vec<Diagnostic>,
    /// What each anchor stands for, and how many nodes that is.
    anchors: HashMap<usize, (Node, usize)>,
    made: usize,
    copied: usize,
}

#[derive(Clone, Copy)]
struct Context {
    depth: usize,
    template: bool,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Box<Diagnostic>> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let mark = error.marker();
                let place = Origin::at(self.source, number(mark.line()), number(mark.col() + 1), 1)
                    .place(false);
                use granit_parser::ErrorKind;
                if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
                    return Err(verdict::too_deep(place));
                }
                Err(Box::new(
                    Diagnostic::error("yaml-unsupported", "unsupported YAML construct")
                        .at(place)
                        .label("Ansible reads this, this program does not")
                        .hint("write it in a plainer form"),
                ))
            }
            None => Err(Box::new(
                Diagnostic::error("yaml-unsupported", "unsupported YAML construct")
                    .at(Origin::whole(self.source).place(false)),
            )),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, at: Context) -> Result<Node, Box<Diagnostic>> {
        let origin = self.origin(span);
        if at.depth > DEEPEST {
            return Err(verdict::too_deep(origin.place(false)));
        }
        let before = self.made;
        self.made += 1;
        let (node, anchor) = match event {
            Event::Alias(id) => return self.alias(id, origin, at),
            Event::Scalar(text, style, anchor, tag) => {
                let origin = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => origin.header(),
                    _ => origin,
                };
                (self.scalar(&text, style, tag.as_deref(), origin, at.template), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), &origin);
                self.refuse_tag(tag, Tag::Seq, &origin);
                let inside = Context {
                    depth: at.depth + 1,
                    template: at.template && tag != Some(Tag::Unsafe),
                };
                (self.sequence(origin, inside)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), &origin);
                self.refuse_tag(tag, Tag::Map, &origin);
                let inside = Context {
                    depth: at.depth + 1,
                    template: at.template && tag != Some(Tag::Unsafe),
                };
                (self.mapping(origin, inside)?, anchor)
            }
            _ => {
                return Err(Box::new(
                    Diagnostic::error("yaml-unsupported", "unsupported YAML construct")
                        .at(origin.place(false)),
                ));
            }
        };
        if anchor != 0 {
            let count = self.made - before;
            self.copy(count, &node.origin)?;
            self.anchors.insert(anchor, (node.clone(), count));
        }
        Ok(node)
    }

    fn sequence(&mut self, mut origin: Origin, inside: Context) -> Result<Node, Box<Diagnostic>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    origin.close(number(end.end.line()), number(end.end.col() + 1));
                    break;
                }
                (event, span) => items.push(self.node(event, span, inside)?),
            }
        }
        Ok(node(Value::List(items), origin, inside.template, false))
    }

    fn mapping(&mut self, mut origin: Origin, inside: Context) -> Result<Node, Box<Diagnostic>> {
        let mut entries = Entries::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, end) => {
                    origin.close(number(end.end.line()), number(end.end.col() + 1));
                    break;
                }
                (event, span) => {
                    let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, _, None));
                    let merge = plain && matches!(&event, Event::Scalar(text, ..) if text == "<<");
                    if merge {
                        self.made += 1;
                        None
                    } else {
                        Some(self.node(event, span, inside)?)
                    }
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, inside)?;
            let problem = match key {
                None => {
                    let count = self.made;
                    let problem = entries.merge(value);
                    self.copy(self.made - count, &origin)?;
                    problem
                }
                Some(key) => entries.insert(key, value),
            };
            if let Some(problem) = problem {
                self.find(problem);
            }
        }
        Ok(node(Value::Map(entries.finish()), origin, inside.template, false))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&ParsedTag>,
        origin: Origin,
        template: bool,
    ) -> Node {
        let plain = style == ScalarStyle::Plain;
        let had_tag = tag.is_some();
        let tag = self.tag(tag, &origin);
        let resolved = match tag {
            Some(tag) => tag::apply(tag, text, plain),
            None if plain && self.is_json && text.contains(['e', 'E']) => {
                match resolver::simple(text) {
                    Some(word) => Resolved::Value(word),
                    None => resolver::float(text),
                }
            }
            None if plain && !had_tag => resolver::resolve(text),
            None => Resolved::Value(Value::String(text.into())),
        };
        let template = template && tag != Some(Tag::Unsafe);
        let text = || Value::String(text.into());
        let value = match resolved {
            Resolved::Value(value) => value,
            Resolved::Huge => {
                self.find(
                    Diagnostic::warning("yaml-huge-integer", "the integer needs more than 64 bits")
                        .at(origin.place(false))
                        .label("read as text")
                        .hint("quote it"),
                );
                text()
            }
            Resolved::Merge | Resolved::Default | Resolved::Broken(_) => {
                let label = match resolved {
                    Resolved::Merge => "`<<` merges a mapping and is no value",
                    Resolved::Broken(label) => label,
                    _ => "`=` alone has a meaning of its own in YAML 1.1",
                };
                self.find(
                    Diagnostic::error("yaml-value", "the value cannot be read")
                        .at(origin.place(false))
                        .label(label)
                        .hint("if text is meant, quote it"),
                );
                text()
            }
        };
        node(value, origin, template, !plain)
    }

    /// What an alias stands for, as if written in its place: a message that points at the anchor
    /// would show another variable's line.
    fn alias(&mut self, id: usize, origin: Origin, at: Context) -> Result<Node, Box<Diagnostic>> {
        let Some((node, count)) = self.anchors.get(&id) else {
            return Err(Box::new(
                Diagnostic::error("yaml-alias", "an alias inside its own anchor")
                    .at(origin.place(false))
                    .label("this value would hold itself"),
            ));
        };
        let (mut node, count) = (node.clone(), *count);
        if at.depth + height(&node) > DEEPEST {
            return Err(verdict::too_deep(origin.place(false)));
        }
        self.made += count;
        self.copy(count, &origin)?;
        node.adopt(&origin, at.template);
        Ok(node)
    }

    fn copy(&mut self, count: usize, origin: &Origin) -> Result<(), Box<Diagnostic>> {
        self.copied += count;
        if self.copied <= MOST_COPIED {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::error("yaml-alias", "aliases make the file too large")
                .at(origin.place(false))
                .label(format!("more than {MOST_COPIED} values by way of aliases")),
        ))
    }

    fn tag(&mut self, tag: Option<&ParsedTag>, origin: &Origin) -> Option<Tag> {
        match tag::known(tag?) {
            Ok(known) => Some(known),
            Err(tag::Unknown) => {
                self.find(
                    Diagnostic::error("yaml-tag", "the tag is not known")
                        .at(origin.place(false))
                        .label("a tag that no inventory has a use for")
                        .hint("if text that starts with `!` is meant, quote it"),
                );
                None
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<Tag>, collection: Tag, origin: &Origin) {
        if tag.is_none_or(|tag| tag == collection || tag == Tag::Unsafe) {
            return;
        }
        self.find(
            Diagnostic::error("yaml-tag", "the tag does not fit")
                .at(origin.place(false))
                .label("a list or mapping cannot be what its tag says"),
        );
    }

    fn find(&mut self, problem: Diagnostic) {
        let errors = |d: &Diagnostic| d.severity == Severity::Error;
        // An error always finds room, so that a flood of warnings cannot hide it.
        if self.found.len() < MOST_FOUND || (errors(&problem) && !self.found.iter().any(errors)) {
            self.found.push(problem);
        }
    }

    fn origin(&self, span: Span) -> Origin {
        let line = number(span.start.line());
        let column = number(span.start.col() + 1);
        let mut origin = Origin::at(self.source, line, column, 1);
        origin.close(number(span.end.line()), number(span.end.col() + 1));
        origin
    }
}

fn node(value: Value, origin: Origin, template: bool, quoted: bool) -> Node {
    Node { value, origin, template, quoted, rendered: false }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|(_, value)| height(value)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
