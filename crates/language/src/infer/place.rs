//! Where a placeholder stands, and what that place asks of it.

use std::cell::RefCell;
use std::sync::Arc;

use super::types::{
    ALL, ARRAY, BOOL, FRACTION, INTEGER, Kinds, MOST_DEPTH, OBJECT, Reading, SCALAR, TEXT, Type, of_schema,
};
use super::{LATER, Need, Never, Use};
use crate::contract::{Contracts, Part, Under};
use crate::recipe::Recipe;
use crate::schema::{Schema, SchemaValue, Segment, resolve_reference};
use crate::syntax::{Kind, NodeId, NodeRef};
use crate::template::python::{self, parse_spec};
use crate::template::{Field, Piece, Template};

/// What a schema says of a place in a document.
#[derive(Debug)]
struct Said {
    /// The type that it gives to it.
    plain: Type,
    /// The same, text counting as what it reads as.
    coerced: Type,
}

impl Said {
    fn new(plain: Type) -> Arc<Self> {
        Arc::new(Self { coerced: plain.clone().coerced(), plain })
    }

    /// What a schema says of a place. Many recipes ask for the same ones.
    fn at_place(schema: &Schema, path: &[Segment]) -> Arc<Self> {
        schema.derived.remember(path, || Self::new(place(schema.root(), schema.root(), path, 0)))
    }
}

fn place(root: &SchemaValue, schema: &SchemaValue, path: &[Segment], depth: usize) -> Type {
    let Some((first, rest)) = path.split_first() else {
        return of_schema(root, schema, depth);
    };
    let Some(object) = schema.as_object().filter(|_| depth < MOST_DEPTH) else { return Type::any() };
    let mut found = Type::any();
    if object.contains_key("$ref") {
        let target = resolve_reference(root, schema);
        if !std::ptr::eq(target, schema) {
            found = place(root, target, path, depth + 1);
        }
    }
    let inner = match first {
        Segment::Key(key) => {
            let named = object.get("properties").and_then(|properties| properties.get(key));
            let other = object.get("additionalProperties").filter(|_| !object.contains_key("patternProperties"));
            // Of a key that may not be there the value does not matter.
            named.or(other.filter(|other| other.is_object()))
        }
        Segment::Index(index) => {
            let own = object.get("prefixItems").and_then(|items| items.get(index));
            own.or_else(|| object.get("items").filter(|items| !items.is_array()))
        }
    };
    if let Some(inner) = inner {
        found = found.meet(&place(root, inner, rest, depth + 1));
    }
    let wanted = if matches!(first, Segment::Key(_)) { OBJECT } else { ARRAY };
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = object.get(keyword).and_then(SchemaValue::as_array) {
            let fitting = branches.iter().filter(|branch| of_schema(root, branch, depth + 1).kinds & wanted != 0);
            let fitting = fitting.map(|branch| place(root, branch, path, depth + 1));
            if let Some(joined) = fitting.reduce(|a, b| a.join(&b)) {
                found = found.meet(&joined);
            }
        }
    }
    for branch in object.get("allOf").and_then(SchemaValue::as_array).into_iter().flatten() {
        found = found.meet(&place(root, branch, path, depth + 1));
    }
    found
}

/// The contracts that steps are under, each looked up when it is first asked for.
pub(super) struct Asked<'r> {
    contracts: &'r Contracts,
    found: RefCell<Vec<Option<Under<'r>>>>,
}

impl<'r> Asked<'r> {
    pub(super) fn new(contracts: &'r Contracts, recipe: &Recipe) -> Self {
        Self { contracts, found: RefCell::new(vec![None; recipe.steps().len()]) }
    }

    /// The contracts of a step by its place.
    pub(super) fn under(&self, recipe: &Recipe, step: usize) -> Under<'r> {
        *self.found.borrow_mut()[step].get_or_insert_with(|| self.contracts.under(recipe, &recipe.steps()[step]))
    }
}

/// Where a string stands.
pub(super) struct Place<'r> {
    step: Option<usize>,
    /// Whether the contract is only advice.
    by_advice: bool,
    /// The key of the step it is in, for a message.
    part: &'static str,
    destination: bool,
    delay: bool,
    is_key: bool,
    schema: Option<&'r Schema>,
    path: Vec<Segment>,
    said: Option<Arc<Said>>,
    /// Whether text counts as what it reads as: the contract says so.
    coerced: bool,
}

impl<'r> Place<'r> {
    pub(super) fn find(recipe: &'r Recipe, asked: &Asked<'r>, node: NodeRef<'_>) -> Self {
        let mut place = Place {
            step: None,
            by_advice: false,
            part: "",
            destination: false,
            delay: false,
            is_key: false,
            schema: None,
            path: Vec::new(),
            said: None,
            coerced: false,
        };
        let steps = recipe.steps();
        let holds = |outer: NodeId| recipe.node(outer).holds(node.id());
        let after = steps.partition_point(|step| step.value <= node.id());
        let Some(index) = after.checked_sub(1).filter(|&index| holds(steps[index].value)) else {
            return place;
        };
        let step = &steps[index];
        place.step = Some(index);
        let id = Some(node.id());
        place.destination = step.queue == id || step.topic == id || step.exchange == id;
        if step.delay == id {
            (place.delay, place.part) = (true, "transport-delay");
            place.said = Some(Said::new(Type::delay()));
        }
        for (part, value) in [(Part::Parameters, step.parameters), (Part::JobParameters, step.job_parameters)] {
            let Some(value) = value.filter(|&value| holds(value)) else { continue };
            place.part = part.key();
            place.is_key = !follow(recipe.node(value), node, &mut place.path);
            if place.is_key {
                continue;
            }
            let Some(contract) = asked.under(recipe, index).of(part) else { continue };
            place.by_advice = asked.contracts.is_advice(contract);
            // What a name of the environment stands for is not known.
            if contract.environment.replaces && !contract.environment.variables(&node.text()).is_empty() {
                continue;
            }
            place.coerced = contract.coerced;
            if contract.variants.is_empty() && contract.input.is_empty() {
                place.schema = contract.schema(part);
                place.said = place.schema.map(|schema| Said::at_place(schema, &place.path));
                continue;
            }
            let schemas = contract.schemas_at(part, recipe.node(value), &place.path);
            for (schema, path) in &schemas {
                let said = Said::at_place(schema, path);
                place.said = Some(match place.said.take() {
                    Some(other) => Said::new(other.plain.meet(&said.plain)),
                    None => said,
                });
            }
            let names = |schema: &Schema| matches!(place.path.last(), Some(Segment::Key(key)) if schema.properties().any(|(name, _)| name == key));
            place.schema = schemas.iter().map(|(schema, _)| *schema).find(|schema| names(schema));
        }
        place
    }

    /// What the schema says.
    fn plain(&self) -> &Type {
        static ANY: Type = Type::of(ALL);
        self.said.as_ref().map_or(&ANY, |said| &said.plain)
    }

    /// The same, text counting as what it reads as where the contract says so.
    fn takes(&self) -> &Type {
        self.said.as_ref().filter(|_| self.coerced).map_or(self.plain(), |said| &said.coerced)
    }

    pub(super) fn description(&self) -> Option<String> {
        if self.delay {
            return Some("seconds by which messages to a step are delayed".to_owned());
        }
        match self.path.as_slice() {
            [.., Segment::Key(key)] if self.path.len() == 1 || self.schema.is_some() => {
                self.schema?.description(key).map(str::to_owned)
            }
            _ => None,
        }
    }

    /// What the contract says about this place, for a message.
    fn in_words(&self, recipe: &Recipe) -> String {
        let step = self.step.map(|step| recipe.name(&recipe.steps()[step]).into_owned()).unwrap_or_default();
        match self.path.is_empty() {
            true => format!("the {} of step `{step}`", self.part),
            false => format!("`{}` of step `{step}`", crate::schema::path_text(&self.path)),
        }
    }

    pub(super) fn use_of(
        &self,
        recipe: &Recipe,
        node: NodeRef<'_>,
        text: &str,
        template: &Template,
        field: &Field,
        in_spec: bool,
    ) -> Use {
        let shell = text[..field.span.start.min(text.len())].ends_with('$') && !template.replace;
        let name_like = field.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let whole = template.whole().is_some_and(|only| only == field);
        let mut certain = false;
        let mut need =
            if shell || !name_like || LATER.contains(&field.name.as_str()) { Need::Optional } else { Need::Expected };
        let mut reason = "it is filled in as text here".to_owned();
        let has_schema = !self.takes().is_any();
        // What the value that the placeholder leads to must be.
        let mut expects = if in_spec && (template.replace || !field.path.is_empty()) {
            // With a subscript it is certain that there is something, and any piece of a format may be.
            need = if template.replace { need } else { Need::Required };
            Type::any()
        } else if in_spec {
            need = Need::Required;
            reason = "it is a width or precision here".to_owned();
            Type { range: (1, 1000), ..Type::of(INTEGER) }
        } else if field.conversion.is_none() && (template.replace || (self.delay && whole && field.spec.is_empty())) {
            // As text a delay is wrong, and what it is to be is known all the same.
            reason = "its value is substituted here".to_owned();
            if has_schema && whole {
                certain = true;
                reason = format!("{} must be {:#}", self.in_words(recipe), self.plain());
                if !self.takes().takes_null() {
                    need = Need::Required;
                }
                self.takes().clone()
            } else {
                Type::any()
            }
        } else if template.replace {
            Type::any()
        } else if field.conversion.is_some() {
            spec_takes(field, true).map_or_else(Type::any, |takes| if takes == 0 { Type::of(0) } else { Type::any() })
        } else {
            let formatted = if field.spec.is_empty() { None } else { spec_takes(field, false) };
            match formatted {
                Some(kinds) => {
                    certain = !field.spec.iter().any(|piece| matches!(piece, Piece::Field(_)));
                    reason = format!("it is formatted by `{field}` here");
                    formatted_type(field, kinds)
                }
                None if has_schema && whole && field.spec.is_empty() => {
                    let takes = self.takes().of_text();
                    // That no text at all can stand here is said where it stands.
                    certain =
                        !takes.is_empty() && (self.takes().reading != Reading::Any || self.takes().values.is_some());
                    if certain {
                        reason = format!("{} must be {:#}", self.in_words(recipe), self.plain());
                        need = Need::Required;
                    }
                    if takes.is_empty() { Type::of(SCALAR) } else { takes }
                }
                None => Type::of(SCALAR),
            }
        };
        if self.is_key && template.replace && whole {
            expects = expects.meet(&Type::of(SCALAR));
        }
        if self.destination {
            need = Need::Required;
            expects = expects.meet(&Type::of(SCALAR));
            reason = "it names a destination here".to_owned();
        }
        for access in field.path.iter().rev() {
            let inner = std::mem::replace(&mut expects, Type::of(0));
            expects = Type::holding(access, inner);
        }
        if !field.path.is_empty() {
            // Whatever the item is, without it the request is rejected.
            if !certain {
                reason = format!("`{field}` takes something out of it here");
            }
            certain = true;
        }
        if field.needs_definition() && !template.replace {
            need = Need::Required;
        }
        if field.name == "guid" {
            need = Need::Optional;
        }
        let never = if !has_schema || self.delay || template.replace || self.takes().is_empty() {
            None
        } else if !self.takes().takes_text() {
            Some(Never::Text as fn(String) -> Never)
        } else {
            (!self.takes().may_come_of(template)).then_some(Never::Beside as fn(String) -> Never)
        };
        let never = never.map(|why| why(format!("{} must be {:#}", self.in_words(recipe), self.plain())));
        let is_replace = template.replace;
        let fails = in_spec || !field.spec.is_empty();
        Use {
            node: node.id(),
            field: field.clone(),
            is_replace,
            step: self.step,
            need,
            expects,
            certain,
            fails,
            reason,
            by_advice: self.by_advice,
            never,
        }
    }
}

/// The path from a node to one inside of it; whether that is a value, and not a key.
fn follow(from: NodeRef<'_>, to: NodeRef<'_>, path: &mut Vec<Segment>) -> bool {
    let mut at = from;
    while at.id() != to.id() {
        let next = match at.kind() {
            Kind::Array => at.item_around(to.id()).map(|(index, item)| (Segment::Index(index), item)),
            Kind::Object => {
                let member = at.member_around(to.id()).filter(|member| member.key.id() != to.id());
                member.map(|member| (Segment::Key(member.key.text().into_owned()), member.value))
            }
            _ => None,
        };
        let Some((segment, next)) = next else { return false };
        path.push(segment);
        at = next;
    }
    true
}

/// The kinds of values that a format specification suits; nothing when it cannot be told.
fn spec_takes(field: &Field, converted: bool) -> Option<Kinds> {
    if field.spec.is_empty() {
        return None;
    }
    // A nested placeholder is taken for a width.
    let text: String = field
        .spec
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Field(_) => "5",
        })
        .collect();
    let Ok(spec) = parse_spec(&text) else {
        return Some(0);
    };
    if spec.width.is_some_and(|width| width > 100_000) || spec.precision.is_some_and(|precision| precision > 100_000) {
        return Some(0);
    }
    let suits = |kind: python::Kind| spec.check(kind).is_ok();
    if converted {
        return Some(if suits(python::Kind::Text) { TEXT } else { 0 });
    }
    let mut kinds = 0;
    let all = [(python::Kind::Integer, BOOL | INTEGER), (python::Kind::Float, FRACTION), (python::Kind::Text, TEXT)];
    for (kind, bits) in all {
        if suits(kind) {
            kinds |= bits;
        }
    }
    Some(kinds)
}

fn formatted_type(field: &Field, kinds: Kinds) -> Type {
    let mut takes = Type::of(kinds);
    if let Some(Piece::Literal(text)) = field.spec.last()
        && text.ends_with('c')
        && kinds & TEXT == 0
    {
        // Halves of characters are left out.
        takes.range = (0, 0xd7ff);
    }
    takes
}
