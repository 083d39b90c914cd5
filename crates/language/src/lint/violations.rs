//! What of the parameters of steps their services do not take.
//!
//! Parameters are checked against the schema of the contract and against those of the cases that a step chooses. A
//! service may read several mappings as one: a key that one of them lacks is missing only where it is certain that it
//! is in none.

use std::collections::HashSet;

use super::Context;
use crate::contract::{Choice, Command, Contract, Evidence, Part, evidence_of, is_read_from, meant_for};
use crate::diagnostic::{Level, nearest};
use crate::flow::Presence;
use crate::recipe::Step;
use crate::schema::{Problem, Schema, SchemaValue, Segment, Unfit, View, Violation, path_text, resolve_reference};
use crate::syntax::{Kind, NodeId, NodeRef};

/// Maximum number of unknown keys of an object for which parts of names are compared.
const MAX_MEANT: usize = 100;

/// Something about the parameters of a step that its service does not take.
#[derive(Debug)]
pub struct StepViolation<'a> {
    /// The step's place in [`crate::recipe::Recipe::steps`].
    pub step: usize,
    /// The part of the step that is the root of its path.
    pub part: Part,
    /// The contract that says so.
    pub contract: &'a Contract,
    /// Its level.
    pub level: Level,
    /// What it is.
    pub violation: Violation,
    /// What the contract says of the parameter.
    pub description: Option<String>,
    /// Where that is known from.
    pub evidence: Evidence,
    /// Whether a payload could have brought what is missing.
    pub by_payload: bool,
}

/// Finds them, in the order of the steps.
pub(super) fn find<'a>(cx: &Context<'a>) -> Vec<StepViolation<'a>> {
    let mut found = Vec::new();
    for (index, step) in cx.recipe.steps().iter().enumerate() {
        let under = cx.under(step);
        for part in Part::ALL {
            let Some(contract) = under.of(part) else { continue };
            let checked = Checked { cx, index, part, contract, value: part_of(cx, step, part) };
            if contract.schema(part).is_some() || part == own_part(contract) && !contract.variants.is_empty() {
                let mut of_part = Vec::new();
                checked.run(&mut of_part);
                found.append(&mut of_part);
            }
        }
    }
    found
}

fn part_of<'a>(cx: &Context<'a>, step: &Step, part: Part) -> Option<NodeRef<'a>> {
    let value = match part {
        Part::Parameters => step.parameters,
        Part::JobParameters => step.job_parameters,
    };
    value.map(|value| cx.node(value))
}

fn own_part(contract: &Contract) -> Part {
    if contract.wrapper { Part::JobParameters } else { Part::Parameters }
}

/// A part of a step and the contract that it is checked against.
struct Checked<'x, 'a> {
    cx: &'x Context<'a>,
    index: usize,
    part: Part,
    contract: &'a Contract,
    value: Option<NodeRef<'a>>,
}

impl StepViolation<'_> {
    /// What the contract says of the parameter, and where that is known from, for the help of a finding.
    pub fn explanation(&self, name: &str) -> Option<String> {
        let seen = seen_in(&self.evidence);
        match (&self.description, seen.is_empty()) {
            (Some(description), true) => Some(format!("`{name}`: {description}")),
            (Some(description), false) => Some(format!("`{name}`: {description} (it is{seen})")),
            (None, false) => Some(format!("`{name}` is{seen}")),
            (None, true) => None,
        }
    }
}

/// Where something is known from, as the end of a sentence: ` read in images.py:87`.
pub fn seen_in(evidence: &[String]) -> String {
    match evidence {
        [] => String::new(),
        [first, ..] => format!(" read in {first}"),
    }
}

impl<'a> Checked<'_, 'a> {
    fn run(&self, found: &mut Vec<StepViolation<'a>>) {
        let own = self.contract.schema(self.part);
        let commands = match self.value {
            Some(value) if self.part == own_part(self.contract) => self.contract.commands(self.part, value),
            _ => Vec::new(),
        };
        let Some(value) = self.value else {
            if !self.cx.is_broken() {
                let key = self.cx.recipe.steps()[self.index].key;
                let missing = |name: &str| Violation {
                    node: key,
                    path: String::new(),
                    top: None,
                    problem: Problem::Missing(name.to_owned()),
                };
                let all = own.into_iter().flat_map(|schema| schema.required().map(move |name| (schema, missing(name))));
                found.extend(all.filter_map(|(schema, violation)| self.judge(violation, schema, &[], None)));
            }
            return;
        };
        let roots: Vec<&Command<'a, 'a>> = commands.iter().filter(|command| command.path.is_empty()).collect();
        let cases = roots.iter().filter_map(|command| case_schema(command.choice));
        let schemas: Vec<&'a Schema> = own.into_iter().chain(cases).collect();
        // What a command inside lacks may be around it.
        let known =
            Known::of(self, &schemas, &roots).with(commands.iter().filter_map(|command| case_schema(command.choice)));
        for schema in &schemas {
            self.check(value, schema, &known, &[], found);
        }
        self.unlisted(value, &schemas, &known, &[], found);
        for inner in self.contract.nested_in(self.part, value) {
            let path = path_of(value, inner);
            schemas.iter().for_each(|schema| self.check(inner, schema, &known, &path, found));
            self.unlisted(inner, &schemas, &known, &path, found);
        }
        for command in &commands {
            self.command(command, value, own, found);
        }
    }

    /// What is known of a mapping beside its text: what a name of the environment stands for is not.
    fn view(&self, node: NodeRef<'_>) -> View {
        let mut view = self.cx.view(node);
        if self.contract.environment.replaces {
            let texts = node.descendants().filter(|inner| inner.kind() == Kind::String);
            let open = texts.filter(|inner| !self.contract.environment.variables(&inner.text()).is_empty());
            view.open.extend(open.map(NodeRef::id));
        }
        view
    }

    /// A mapping against a schema.
    fn check(
        &self,
        node: NodeRef<'a>,
        schema: &'a Schema,
        known: &Known<'a>,
        path: &[Segment],
        found: &mut Vec<StepViolation<'a>>,
    ) {
        let violations = self.contract.check(schema, node, &mut self.view(node));
        found.extend(violations.into_iter().filter_map(|violation| self.judge(violation, schema, path, Some(known))));
    }

    /// A violation with its place in the part and its level, if it is one after all.
    fn judge(
        &self,
        violation: Violation,
        schema: &'a Schema,
        path: &[Segment],
        known: Option<&Known<'a>>,
    ) -> Option<StepViolation<'a>> {
        let at_root = violation.path.is_empty();
        let merges = self.contract.merges(self.part);
        let mut level = Level::Error;
        match &violation.problem {
            Problem::Missing(name) if at_root && !self.is_missing(name, schema, path) => return None,
            Problem::Unfit { .. }
                if at_root && merges && self.value.is_some_and(|value| value.kind() == Kind::Object) =>
            {
                return None;
            }
            Problem::Unknown { name, .. } => {
                if at_root && known.is_some_and(|known| known.has(name)) {
                    return None;
                }
                level = self.contract.level_of_unknown(true)?;
            }
            _ => {}
        }
        Some(self.found(violation, Some(schema), path, level))
    }

    fn found(
        &self,
        mut violation: Violation,
        schema: Option<&'a Schema>,
        path: &[Segment],
        mut level: Level,
    ) -> StepViolation<'a> {
        if self.cx.contracts.is_advice(self.contract) {
            let is_unknown = matches!(violation.problem, Problem::Unknown { meant: None, .. });
            level = if is_unknown { Level::Note } else { level.min(Level::Warning) };
        }
        let key = match &violation.problem {
            Problem::Missing(name) if violation.path.is_empty() => Some(name.clone()),
            _ => violation.top.clone(),
        };
        let property = key.zip(schema).and_then(|(key, schema)| {
            let property = schema.property(&key)?;
            let description = schema.description(&key).map(str::to_owned);
            Some((description, evidence_of(property), is_read_from(Some(property), "payload")))
        });
        let (description, evidence, from_payload) = property.unwrap_or((None, Evidence::new(), true));
        let by_payload = self.contract.takes_payload_as(self.part) && from_payload;
        if !path.is_empty() {
            let (outer, inner) = (path_text(path), std::mem::take(&mut violation.path));
            violation.path = match inner.as_str() {
                "" => outer,
                inner if inner.starts_with('[') => outer + inner,
                inner => format!("{outer}.{inner}"),
            };
        }
        StepViolation {
            step: self.index,
            part: self.part,
            contract: self.contract,
            level,
            violation,
            description,
            evidence,
            by_payload,
        }
    }

    /// Whether a key that a mapping lacks is in no other that the service reads as well.
    fn is_missing(&self, name: &str, schema: &Schema, path: &[Segment]) -> bool {
        // What is nested is never asked to hold all: the mapping around it may.
        if !path.is_empty() {
            return false;
        }
        let property = schema.property(name);
        if !is_read_from(property, self.part.key()) && !is_read_from(property, "payload") {
            return false;
        }
        let in_nested = || {
            let value = self.value?;
            self.contract
                .nested_in(self.part, value)
                .find(|inner| inner.get(name).is_some() || inner.members().any(|member| member.key.has_braces()))
        };
        if in_nested().is_some() {
            return false;
        }
        if let Some(value) = self.value
            && self.contract.nested(self.part).any(|keys| {
                let inner = keys.iter().try_fold(value, |node, key| node.get(key));
                inner.is_some_and(NodeRef::has_braces)
            })
        {
            return false;
        }
        let by_payload = self.contract.takes_payload_as(self.part) && is_read_from(property, "payload");
        !by_payload || self.cx.flow().presence(self.index, name) == Presence::Never
    }

    /// Keys of a mapping that no schema lists, where the contract says that the service does not read them.
    fn unlisted(
        &self,
        node: NodeRef<'a>,
        schemas: &[&'a Schema],
        known: &Known<'a>,
        path: &[Segment],
        found: &mut Vec<StepViolation<'a>>,
    ) {
        // Where the service may read other keys, too, only those that look like a listed one are reported.
        let certain = self.contract.unknown.and_then(|_| self.contract.level_of_unknown(true));
        let certain = certain.filter(|_| !known.is_open);
        if schemas.is_empty() || node.kind() != Kind::Object {
            return;
        }
        // Where a schema rules other keys out it has been said.
        let said = found.iter().filter_map(|found| match found.violation.problem {
            Problem::Unknown { key, .. } => key,
            _ => None,
        });
        let said: HashSet<NodeId> = said.collect();
        let keys = node.members().map(|member| member.key).filter(|key| !key.has_braces());
        let is_unknown = |key: &NodeRef<'_>| {
            let name = key.text();
            !known.has(&name) && !self.contract.is_deprecated(&name)
        };
        let mut unknown = keys
            .filter(|key| is_unknown(key) && !said.contains(&key.id()) && !self.cx.recipe.is_dropped(*key))
            .peekable();
        if unknown.peek().is_none() {
            return;
        }
        let absent: Vec<&str> = known.names.iter().copied().filter(|known| node.get(known).is_none()).collect();
        for (count, key) in unknown.enumerate() {
            let name = key.text();
            let absent = absent.iter().copied();
            // Of many, the first are shown.
            let meant = match certain {
                Some(_) if count < MAX_MEANT => meant_for(&name, absent),
                _ => nearest(&name, absent),
            };
            let Some(level) = certain.or(meant.map(|_| Level::Warning)) else { continue };
            let meant = meant.map(str::to_owned);
            let problem = Problem::Unknown { name: name.clone().into_owned(), key: Some(key.id()), meant };
            let violation = Violation { node: node.id(), path: String::new(), top: Some(name.into_owned()), problem };
            found.push(self.found(violation, None, path, level));
        }
    }

    /// A command against the case that it chooses; the one that is the part itself has been checked.
    fn command(
        &self,
        command: &Command<'a, 'a>,
        around: NodeRef<'a>,
        own: Option<&'a Schema>,
        found: &mut Vec<StepViolation<'a>>,
    ) {
        let is_inner = !command.path.is_empty();
        match command.choice {
            Choice::Other(value) => {
                let Some(level) = command.variants.others else { return };
                let cases: Vec<&str> = command.variants.cases.keys().map(String::as_str).collect();
                let text = value.text();
                let meant = nearest(&text, cases.iter().copied());
                let shown: Vec<String> = cases.iter().take(8).map(|case| format!("`{case}`")).collect();
                let more = if cases.len() > shown.len() {
                    format!(" and {} more", cases.len() - shown.len())
                } else {
                    String::new()
                };
                let predicate = format!("is `{text}`, not one of {}{more}", shown.join(", "));
                let replacement = meant.map(|meant| {
                    let mut quoted = String::new();
                    crate::value::write_string(&mut quoted, meant);
                    (quoted, false)
                });
                let problem =
                    Problem::Unfit { why: Unfit::Other, predicate, meant: meant.map(str::to_owned), replacement };
                let by = &command.variants.by;
                let violation = Violation { node: value.id(), path: by.clone(), top: Some(by.clone()), problem };
                found.push(self.found(violation, own, &command.path, level));
            }
            Choice::Open if is_inner && command.node.get(&command.variants.by).is_none() => {
                let problem = Problem::Missing(command.variants.by.clone());
                let violation = Violation { node: command.node.id(), path: String::new(), top: None, problem };
                found.push(self.found(violation, own, &command.path, Level::Error));
            }
            _ => {}
        }
        if !is_inner {
            return;
        }
        let schemas: Vec<&'a Schema> = own.into_iter().chain(case_schema(command.choice)).collect();
        let known = Known::of(self, &schemas, &[command]);
        for schema in &schemas {
            let violations = self.contract.check(schema, command.node, &mut self.view(command.node));
            for violation in violations {
                let at_root = violation.path.is_empty();
                let mut level = Level::Error;
                match &violation.problem {
                    // The common part of a command is not asked of each: it may be around it.
                    Problem::Missing(_) if at_root && own.is_some_and(|own| std::ptr::eq(own, *schema)) => continue,
                    Problem::Missing(name) if at_root => {
                        let is_around =
                            around.get(name).is_some() || around.members().any(|member| member.key.has_braces());
                        let by_payload = self.contract.takes_payload_as(self.part);
                        if is_around || by_payload && self.cx.flow().presence(self.index, name) != Presence::Never {
                            continue;
                        }
                    }
                    Problem::Unfit { .. } if at_root => continue,
                    Problem::Unknown { name, .. } => {
                        if at_root && known.has(name) {
                            continue;
                        }
                        let Some(of_unknown) = self.contract.level_of_unknown(true) else { continue };
                        level = of_unknown;
                    }
                    _ => {}
                }
                found.push(self.found(violation, Some(schema), &command.path, level));
            }
        }
        self.unlisted(command.node, &schemas, &known, &command.path, found);
    }
}

fn case_schema<'a>(choice: Choice<'a, '_>) -> Option<&'a Schema> {
    match choice {
        Choice::Case(_, case) => case.parameters.as_ref(),
        _ => None,
    }
}

/// Where a mapping is in another.
fn path_of(outer: NodeRef<'_>, inner: NodeRef<'_>) -> Vec<Segment> {
    let mut path = Vec::new();
    let mut at = outer;
    while at.id() != inner.id() {
        let Some(member) = at.member_around(inner.id()).filter(|member| member.key.id() != inner.id()) else { break };
        path.push(Segment::Key(member.key.text().into_owned()));
        at = member.value;
    }
    path
}

/// The keys that the schemas of a mapping list.
struct Known<'a> {
    names: Vec<&'a str>,
    all: HashSet<&'a str>,
    /// Whether there are others.
    is_open: bool,
}

impl<'a> Known<'a> {
    fn of(checked: &Checked<'_, 'a>, schemas: &[&'a Schema], commands: &[&Command<'a, 'a>]) -> Self {
        let contract = checked.contract;
        let mut names: Vec<&'a str> = Vec::new();
        let mut is_open = false;
        let mut add = |schema: &'a Schema| {
            names.extend(schema.properties().map(|(name, _)| name));
            names.extend(schema.required());
            is_open |= is_open_schema(schema);
        };
        schemas.iter().for_each(|schema| add(schema));
        // Where the choice is not known, any of the cases may be it.
        for command in commands.iter().filter(|command| !matches!(command.choice, Choice::Case(..))) {
            command.variants.cases.values().filter_map(|case| case.parameters.as_ref()).for_each(&mut add);
        }
        for variants in &contract.variants {
            names.push(&variants.by);
            names.extend(variants.also_in.iter().map(String::as_str));
        }
        names.extend(contract.environment.stored_by.iter().map(String::as_str));
        names.extend(contract.nested(checked.part).filter_map(|keys| keys.first()).map(String::as_str));
        Self { all: names.iter().copied().collect(), names, is_open }
    }

    /// These and the keys that further schemas list.
    fn with(mut self, schemas: impl Iterator<Item = &'a Schema>) -> Self {
        for (name, _) in schemas.flat_map(Schema::properties) {
            if self.all.insert(name) {
                self.names.push(name);
            }
        }
        self
    }

    fn has(&self, name: &str) -> bool {
        self.all.contains(name)
    }
}

/// Whether a schema lets other keys through on purpose.
fn is_open_schema(schema: &Schema) -> bool {
    const ALTERNATIVES: [&str; 6] = ["patternProperties", "anyOf", "oneOf", "allOf", "if", "not"];
    let Some(root) = resolve_reference(schema.root(), schema.root()).as_object() else { return true };
    root.get("additionalProperties").is_some_and(|more| *more != SchemaValue::Bool(false))
        || ALTERNATIVES.iter().any(|keyword| root.contains_key(*keyword))
}
