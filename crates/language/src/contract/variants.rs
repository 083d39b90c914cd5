//! What a service takes and sends in addition, by the value of a parameter: one queue for many commands.

use indexmap::IndexMap;

use super::{Channel, Contract, Evidence, Part};
use crate::diagnostic::Level;
use crate::schema::{Schema, SchemaValue, Segment};
use crate::syntax::{Kind, NodeRef};

/// What a service takes and sends in addition, by the value of a parameter.
#[derive(Debug)]
pub struct Variants {
    /// The parameter.
    pub by: String,
    /// Parameters that hold such a mapping, or a list of them, with the same choice inside.
    pub also_in: Vec<String>,
    /// The value that is used if there is none.
    pub default: Option<String>,
    /// The level of a value without a case; none where nothing is to be said.
    pub others: Option<Level>,
    /// What is taken and sent for each value.
    pub cases: IndexMap<String, Case>,
}

/// What a service takes and sends for one value.
#[derive(Debug)]
pub struct Case {
    /// What it does.
    pub description: Option<String>,
    /// Where it is known from.
    pub evidence: Evidence,
    /// What it takes beside what all take.
    pub parameters: Option<Schema>,
    /// Additional output channels of this case.
    pub channels: Vec<Channel>,
}

/// A mapping in a step that is a command to the service: the part of the step itself, or one inside of it.
#[derive(Debug)]
pub struct Command<'c, 't> {
    /// Where the choice is described.
    pub variants: &'c Variants,
    /// The mapping.
    pub node: NodeRef<'t>,
    /// Where it is in the part of the step.
    pub path: Vec<Segment>,
    /// What it chooses.
    pub choice: Choice<'c, 't>,
}

/// What a command chooses.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'c, 't> {
    /// A case: the value that names it.
    Case(&'c str, &'c Case),
    /// A value without a case.
    Other(NodeRef<'t>),
    /// It is not known yet, or not in the recipe.
    Open,
}

impl Variants {
    fn choice<'c, 't>(&'c self, node: NodeRef<'t>, nested: &[NodeRef<'t>]) -> Choice<'c, 't> {
        let value = nested.iter().find_map(|inner| inner.get(&self.by)).or_else(|| node.get(&self.by));
        let Some(value) = value else {
            let default = self.default.as_ref().and_then(|name| self.cases.get_key_value(name));
            return default.map_or(Choice::Open, |(name, case)| Choice::Case(name, case));
        };
        if value.has_braces() || matches!(value.kind(), Kind::Missing | Kind::Null) {
            return Choice::Open;
        }
        let text = value.text();
        let name = if value.kind() == Kind::String { &*text } else { value.as_json() };
        // A value that the environment replaces.
        if name.contains('$') {
            return Choice::Open;
        }
        self.cases.get_key_value(name).map_or(Choice::Other(value), |(name, case)| Choice::Case(name, case))
    }

    fn collect<'c, 't>(
        &'c self,
        node: NodeRef<'t>,
        nested: &[NodeRef<'t>],
        path: &mut Vec<Segment>,
        found: &mut Vec<Command<'c, 't>>,
    ) {
        let choice = self.choice(node, nested);
        found.push(Command { variants: self, node, path: path.clone(), choice });
        for key in &self.also_in {
            let Some(inner) = node.get(key) else { continue };
            path.push(Segment::Key(key.clone()));
            match inner.kind() {
                Kind::Object => self.collect(inner, &[], path, found),
                Kind::Array => {
                    let items = inner.items().enumerate().filter(|(_, item)| item.kind() == Kind::Object);
                    for (index, item) in items {
                        path.push(Segment::Index(index));
                        self.collect(item, &[], path, found);
                        path.pop();
                    }
                }
                _ => {}
            }
            path.pop();
        }
    }
}

impl Contract {
    /// The commands in a part of a step, the part itself first.
    pub fn commands<'t>(&self, part: Part, node: NodeRef<'t>) -> Vec<Command<'_, 't>> {
        let mut found = Vec::new();
        let nested: Vec<_> = self.nested_in(part, node).collect();
        for variants in &self.variants {
            variants.collect(node, &nested, &mut Vec::new(), &mut found);
        }
        found
    }

    /// The mappings inside a part of a step that the service reads like the part itself.
    pub fn nested_in<'t>(&self, part: Part, node: NodeRef<'t>) -> impl Iterator<Item = NodeRef<'t>> {
        let inner = move |keys: &[String]| keys.iter().try_fold(node, |node, key| node.get(key));
        self.nested(part).filter_map(inner).filter(|inner| inner.kind() == Kind::Object)
    }

    /// The schemas that say something of a mapping of a step, and the path within it: that of the contract, and those of
    /// the commands that the mapping is or lies in.
    pub fn schemas_at<'c, 'p>(
        &'c self,
        part: Part,
        node: NodeRef<'_>,
        path: &'p [Segment],
    ) -> Vec<(&'c Schema, &'p [Segment])> {
        let nested = self.nested(part).find(|keys| {
            path.len() > keys.len() && keys.iter().zip(path).all(|(key, at)| *at == Segment::Key(key.clone()))
        });
        let path = nested.map_or(path, |keys| &path[keys.len()..]);
        let mut found: Vec<_> = self.schema(part).map(|schema| (schema, path)).into_iter().collect();
        let mut commands = self.commands(part, node);
        commands.retain(|command| path.starts_with(&command.path));
        // The innermost counts.
        let innermost = commands.iter().map(|command| command.path.len()).max().unwrap_or_default();
        for command in commands.iter().filter(|command| command.path.len() == innermost) {
            if let Choice::Case(_, Case { parameters: Some(schema), .. }) = command.choice {
                found.push((schema, &path[innermost..]));
            }
            if innermost > 0 {
                found.extend(self.schema(part).map(|schema| (schema, &path[innermost..])));
            }
        }
        found
    }

    /// What a property of a part of a step is, by the contract or by the cases that are chosen.
    pub fn property<'c>(&'c self, part: Part, node: Option<NodeRef<'_>>, name: &str) -> Option<&'c SchemaValue> {
        let of =
            |schema: &'c Schema| schema.properties().find(|(known, _)| *known == name).map(|(_, property)| property);
        self.schema(part).and_then(of).or_else(|| {
            let commands = node.map(|node| self.commands(part, node)).unwrap_or_default();
            commands.iter().find_map(|command| match command.choice {
                Choice::Case(_, case) => case.parameters.as_ref().and_then(of),
                _ => None,
            })
        })
    }
}
