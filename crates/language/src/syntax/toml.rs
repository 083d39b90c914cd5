//! TOML to [`Tree`]: settings files. The library reads on after mistakes; its own words say what is wrong.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Kind, Node, Problem, ProblemKind, Spelling, Tree};
use crate::source::{Source, Span};

/// Reads a TOML document, whatever it is.
pub fn parse(source: Arc<Source>) -> Tree {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mut problems = Vec::new();
    let mut messages = Vec::new();
    for error in errors {
        let span = error.span().map_or(Span::empty(0), |span| Span::new(span.start, span.end));
        problems.push(Problem { kind: ProblemKind::TomlSyntax(messages.len() as u32), span, related: None });
        messages.push(error.message().into());
    }
    let mut writer = Writer { text: source.text(), nodes: Vec::new(), texts: HashMap::new() };
    writer.table(table.get_ref(), Span::new(0, source.text().len()));
    let Writer { nodes, texts, .. } = writer;
    Tree { source, nodes, texts, problems, comments: Vec::new(), messages, wide: OnceLock::new() }
}

struct Writer<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    texts: HashMap<u32, Arc<str>>,
}

impl Writer<'_> {
    fn push(&mut self, kind: Kind, span: Span) -> usize {
        let id = self.nodes.len();
        let (start, end) = (span.start, span.end);
        self.nodes.push(Node {
            kind,
            spelling: Spelling::Plain,
            open: true,
            braces: false,
            start,
            end,
            next: id as u32 + 1,
        });
        id
    }

    /// A scalar whose text is this, however it is written.
    fn scalar(&mut self, kind: Kind, span: Span, text: &str) {
        let id = self.push(kind, span);
        if self.text.get(span.range()) != Some(text) {
            self.nodes[id].spelling = Spelling::Kept;
            self.texts.insert(id as u32, text.into());
        }
        self.nodes[id].braces = kind == Kind::String && text.contains(['{', '}']);
    }

    fn table(&mut self, table: &DeTable<'_>, span: Span) {
        let id = self.push(Kind::Object, span);
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in members {
            self.scalar(Kind::String, place(key.span()), key.get_ref());
            self.value(value);
        }
        self.nodes[id].next = self.nodes.len() as u32;
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        let span = place(value.span());
        match value.get_ref() {
            DeValue::String(text) => self.scalar(Kind::String, span, text),
            DeValue::Integer(integer) => {
                let decimal =
                    i128::from_str_radix(integer.as_str(), integer.radix()).map(|integer| integer.to_string());
                self.scalar(Kind::Number, span, decimal.as_deref().unwrap_or(integer.as_str()));
            }
            DeValue::Float(float) => {
                let text = match float.as_str().trim_start_matches('+') {
                    "inf" => "Infinity",
                    "-inf" => "-Infinity",
                    "nan" | "-nan" => "NaN",
                    other => other,
                };
                self.scalar(Kind::Number, span, text);
            }
            DeValue::Boolean(value) => self.scalar(Kind::Bool, span, if *value { "true" } else { "false" }),
            DeValue::Datetime(time) => self.scalar(Kind::String, span, &time.to_string()),
            DeValue::Array(items) => {
                let id = self.push(Kind::Array, span);
                items.iter().for_each(|item| self.value(item));
                self.nodes[id].next = self.nodes.len() as u32;
            }
            DeValue::Table(table) => self.table(table, span),
        }
    }
}

fn place(span: std::ops::Range<usize>) -> Span {
    Span::new(span.start, span.end)
}
