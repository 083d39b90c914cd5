//! JSON Schema over a [`Tree`](crate::syntax::Tree): what does not fit, at its exact place and in the user's words.
//!
//! Strings with placeholders stand for values that are not known: nothing is said about them, or about what depends
//! on them, unless their values are given. Where a contract says that values are coerced, text counts as what it
//! reads as (`"5"` is a number), as pydantic takes it.

mod formats;
mod leaf;
mod pattern;
mod problem;
mod validator;
mod wording;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonschema::{JsonType, ValidationError, Validator};

use self::leaf::{Leaf, LeafKind, flatten, flaw};
pub use self::pattern::{Pattern, pattern_is_made_of};
pub use self::problem::{Fault, Problem, Unfit};
use self::validator::{Item, Notation};
use self::wording::{Subject, fault};
use crate::diagnostic::nearest;
use crate::source::Source;
use crate::syntax::{Kind, NodeId, NodeRef, json};
use crate::value::{Number, Value};

/// The form in which schemas are held.
pub use serde_json::Value as SchemaValue;

/// A JSON Schema, compiled once and shared.
#[derive(Debug)]
pub struct Schema {
    root: SchemaValue,
    /// Nothing when it is not right after all.
    validator: OnceLock<Option<Validator<Notation>>>,
    /// Whether formats of text are checked, as pydantic reads them.
    has_formats: bool,
    /// What has been worked out of it.
    pub derived: Derived,
}

/// A place beside something for what somebody works out of it time and again. A copy has a place of its own.
#[derive(Debug, Default)]
pub struct Derived(OnceLock<Box<dyn Any + Send + Sync>>);

impl Clone for Derived {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Derived {
    /// What somebody finds for a key, kept from the first time on. Of very many keys not all are kept.
    pub fn remember<Q, V>(&self, key: &Q, find: impl FnOnce() -> V) -> V
    where
        Q: ToOwned + Hash + Eq + ?Sized,
        Q::Owned: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        const MOST_KNOWN: usize = 4096;
        type Known<K, V> = RwLock<HashMap<K, V, foldhash::fast::RandomState>>;
        let known = self.0.get_or_init(|| Box::new(Known::<Q::Owned, V>::default()));
        // It may be somebody else's.
        let Some(known) = known.downcast_ref::<Known<Q::Owned, V>>() else { return find() };
        if let Some(found) = known.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return found.clone();
        }
        let found = find();
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_KNOWN {
            known.insert(key.to_owned(), found.clone());
        }
        found
    }
}

/// Two schemas are the same when their text is.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for Schema {}

/// Why something is no JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where in the schema: keys and indices from its root.
    pub path: Vec<Segment>,
    /// What is wrong: a clause.
    pub message: String,
}

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A member of an object.
    Key(String),
    /// An item of an array.
    Index(usize),
}

/// What is known about a document beside its text.
#[derive(Debug, Default)]
pub struct View {
    /// Values that stand in place of nodes: placeholders filled in, text coerced.
    pub values: HashMap<NodeId, Value>,
    /// Keys of members that a later one replaces.
    pub dropped: HashSet<NodeId>,
    /// Texts that stand for a value that is not known.
    pub open: HashSet<NodeId>,
}

impl View {
    /// What is known of a text in which braces are braces, and of a repeated key the last counts.
    pub fn plain(root: NodeRef<'_>) -> Self {
        let texts = root.descendants().filter(|node| node.has_braces());
        let mut view = Self { values: texts.map(|node| (node.id(), node.to_value())).collect(), ..Self::default() };
        for object in root.descendants().filter(|node| node.kind() == Kind::Object) {
            let mut last = HashMap::new();
            for member in object.members() {
                view.dropped.extend(last.insert(member.key.text(), member.key.id()));
            }
        }
        view
    }
}

/// A value that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The value, or the object that lacks or holds too much.
    pub node: NodeId,
    /// Where it is, from the root of what is checked: `cluster.commands[0]`; empty for the root.
    pub path: String,
    /// The first key of the path.
    pub top: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl Schema {
    /// Compiles a schema. It reads no files and asks no network for what it refers to.
    ///
    /// # Errors
    /// It is no JSON Schema, or refers to something that is not in it.
    pub fn new(root: SchemaValue) -> Result<Self, Flaw> {
        match compile(&root, false) {
            Ok(_) if is_nullable(&root) => Ok(Self::trusted(root)),
            Ok(validator) => Ok(Self { validator: OnceLock::from(Some(validator)), ..Self::trusted(root) }),
            Err(error) => Err(flaw(&root, &error)),
        }
    }

    /// A schema that is known to be right: it is compiled when something is first held against it, which costs more
    /// than all else that a small recipe needs. One that is not right after all lets everything pass.
    pub fn trusted(mut root: SchemaValue) -> Self {
        if is_nullable(&root) {
            write_null(&mut root);
        }
        Self { root, validator: OnceLock::new(), has_formats: false, derived: Derived::default() }
    }

    /// The same where formats of text are checked, as pydantic reads them.
    #[must_use]
    pub fn with_formats(self) -> Self {
        if !has_key(&self.root, "format") {
            return self;
        }
        Self { validator: OnceLock::new(), has_formats: true, ..self }
    }

    /// One of our own, from its text: see [`Schema::trusted`].
    pub fn published(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self::trusted)
    }

    /// The schema itself.
    pub fn root(&self) -> &SchemaValue {
        &self.root
    }

    /// What in a document does not fit, in the order of the text.
    pub fn check(&self, root: NodeRef<'_>, coerced: bool, view: &mut View) -> Vec<Violation> {
        // Of text that is coerced, each round makes values that the next one judges; they nest no deeper than this.
        const MOST_ROUNDS: usize = 8;
        let Some(validator) = self.validator.get_or_init(|| compile(&self.root, self.has_formats).ok()) else {
            return Vec::new();
        };
        let mut violations = Vec::new();
        // What has been coerced already and does not fit yet meets two types at once: one of them it was.
        let mut coerced_once: HashSet<(NodeId, Vec<Segment>)> = HashSet::new();
        for _ in 0..MOST_ROUNDS {
            let mut leaves = Vec::new();
            let is_undecided = |leaf: &Leaf| is_undecided(root, leaf, view);
            for error in validator.iter_errors(Item::Node(root, view)) {
                flatten(&error, &is_undecided, &mut leaves);
            }
            if leaves.is_empty() {
                return Vec::new();
            }
            let count = |leaf: &Leaf| {
                let (path, types) = match (&leaf.kind, &leaf.instead) {
                    (LeafKind::Types(types), _) => (&leaf.path, types),
                    (_, Some((path, types))) => (path, types),
                    _ => return None,
                };
                let (node, rest) = resolve(root, path, view);
                let place = (node.id(), rest.to_vec());
                if coerced_once.contains(&place) {
                    return None;
                }
                Some((place.0, place.1, coerce(node, rest, view, types)?))
            };
            let found: Vec<(NodeId, Vec<Segment>, Value)> =
                if coerced { leaves.iter().filter_map(count).collect() } else { Vec::new() };
            let coerced_now = !found.is_empty();
            coerced_once.extend(found.iter().map(|(node, rest, _)| (*node, rest.clone())));
            if !coerced_now {
                leaves.retain(|leaf| {
                    let (node, rest) = resolve(root, &leaf.path, view);
                    !matches!(leaf.kind, LeafKind::Types(_)) || !coerced_once.contains(&(node.id(), rest.to_vec()))
                });
                // Which values there are says more than of which type they are.
                let options = leaves.iter().filter(|leaf| matches!(leaf.kind, LeafKind::Options(_)));
                let options: Vec<Vec<Segment>> = options.map(|leaf| leaf.path.clone()).collect();
                leaves.retain(|leaf| !matches!(leaf.kind, LeafKind::Types(_)) || !options.contains(&leaf.path));
                violations =
                    leaves.into_iter().filter_map(|leaf| self.judge(root, leaf, coerced, view)).flatten().collect();
                break;
            }
            for (node, rest, value) in found {
                match view.values.get_mut(&node).and_then(|outer| inner_mut(outer, &rest)) {
                    Some(place) => *place = value,
                    None => {
                        view.values.insert(node, value);
                    }
                }
            }
        }
        violations.sort_by_key(|violation| violation.node);
        violations.dedup();
        violations
    }

    /// What is wrong with a file of this form, in words; `whole` is what to call all of it. Such a file is no recipe:
    /// braces in it are braces.
    pub fn faults(&self, root: NodeRef<'_>, whole: &str) -> Vec<Fault> {
        let violations = self.check(root, false, &mut View::plain(root)).into_iter();
        violations.map(|violation| fault(root.tree(), whole, violation)).collect()
    }

    /// What does not fit in a value that has no text. It is final: braces in it are braces.
    pub fn check_value(&self, value: &Value, coerced: bool) -> Vec<Violation> {
        let tree = json::parse(Arc::new(Source::from_text("", value.to_json())));
        self.check(tree.root(), coerced, &mut View::plain(tree.root()))
    }

    /// The same in words, where text is text.
    pub fn faults_of_value(&self, value: &Value, whole: &str) -> Vec<Fault> {
        self.faults(json::parse(Arc::new(Source::from_text("", value.to_json()))).root(), whole)
    }

    /// The names of the properties at the top, with what the schema says about each.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &SchemaValue)> {
        let properties = resolve_reference(&self.root, &self.root).get("properties").and_then(SchemaValue::as_object);
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// What the schema says about the property of this name at the top.
    pub fn property(&self, name: &str) -> Option<&SchemaValue> {
        resolve_reference(&self.root, &self.root).get("properties")?.get(name)
    }

    /// The names at the top that must be there.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        required_names(resolve_reference(&self.root, &self.root))
    }

    /// Whether names that it does not list are refused at the top.
    pub fn is_closed(&self) -> bool {
        resolve_reference(&self.root, &self.root).get("additionalProperties") == Some(&SchemaValue::Bool(false))
    }

    /// What the schema says in words about a property at the top.
    pub fn description(&self, name: &str) -> Option<&str> {
        let schema = self.property(name)?;
        resolve_reference(&self.root, schema).get("description").or_else(|| schema.get("description"))?.as_str()
    }

    fn judge(&self, root: NodeRef<'_>, leaf: Leaf, coerced: bool, view: &View) -> Option<Vec<Violation>> {
        let (node, rest) = resolve(root, &leaf.path, view);
        let filled = view.values.get(&node.id()).and_then(|outer| inner(outer, rest));
        let path = path_text(&leaf.path);
        let top = match leaf.path.first() {
            Some(Segment::Key(key)) => Some(key.clone()),
            _ => None,
        };
        let violation =
            |path: &str, problem| Violation { node: node.id(), path: path.to_owned(), top: top.clone(), problem };
        let templated_keys = || node.members().any(|member| member.key.has_braces());
        match leaf.kind {
            LeafKind::Missing(_) if filled.is_none() && (templated_keys() || holds_missing(node)) => None,
            LeafKind::Missing(name) => Some(vec![violation(&path, Problem::Missing(name))]),
            LeafKind::Unknown(names) => {
                let absent = self.known_names(&leaf.schema_path).into_iter().filter(|known| node.get(known).is_none());
                let absent: Vec<&str> = absent.collect();
                let unknown = names.into_iter().filter_map(|name| {
                    let key = node.member(&name).map(|member| member.key);
                    if key.is_some_and(NodeRef::has_braces) {
                        return None;
                    }
                    let meant = nearest(&name, absent.iter().copied()).map(str::to_owned);
                    let top = top.clone().or_else(|| Some(name.clone()));
                    let problem = Problem::Unknown { name, key: key.map(NodeRef::id), meant };
                    Some(Violation { top, ..violation(&path, problem) })
                });
                Some(unknown.collect())
            }
            kind => {
                let depends = !matches!(kind, LeafKind::Types(_) | LeafKind::Size(_)) || node.kind() == Kind::String;
                if filled.is_none() && depends && is_open(node, view) {
                    return None;
                }
                let subject = Subject { node, filled, coerced };
                Some(vec![violation(&path, subject.problem(kind))])
            }
        }
    }

    /// The names of the properties that stand beside an `additionalProperties` at this place of the schema.
    fn known_names(&self, schema_path: &str) -> Vec<&str> {
        let parent = schema_path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let Some(object) = self.root.pointer(parent) else { return Vec::new() };
        let properties = object.get("properties").and_then(SchemaValue::as_object);
        properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

fn compile(root: &SchemaValue, has_formats: bool) -> Result<Validator<Notation>, ValidationError<'static>> {
    let mut options = jsonschema::options_for::<Notation>();
    if has_formats {
        options = options.should_validate_formats(true);
        for (name, fits) in formats::FORMATS {
            options = options.with_format(name, fits);
        }
    } else {
        options = options.should_validate_formats(false);
    }
    options.build(root)
}

fn has_key(schema: &SchemaValue, key: &str) -> bool {
    match schema {
        SchemaValue::Object(object) => object.contains_key(key) || object.values().any(|value| has_key(value, key)),
        SchemaValue::Array(items) => items.iter().any(|item| has_key(item, key)),
        _ => false,
    }
}

/// Whether OpenAPI's `nullable` is in a schema.
fn is_nullable(schema: &SchemaValue) -> bool {
    has_key(schema, "nullable")
}

/// Writes OpenAPI's `nullable` as JSON Schema does.
fn write_null(schema: &mut SchemaValue) {
    match schema {
        SchemaValue::Array(items) => items.iter_mut().for_each(write_null),
        SchemaValue::Object(object) => {
            object.values_mut().for_each(write_null);
            // A property may be called so.
            if object.get("nullable").is_none_or(|nullable| !nullable.is_boolean()) {
                return;
            }
            if object.remove("nullable") != Some(SchemaValue::Bool(true)) {
                return;
            }
            let form = SchemaValue::Object(object.clone());
            object.retain(|key, _| ["description", "default", "title", "deprecated"].contains(&key.as_str()));
            object.insert("anyOf".to_owned(), SchemaValue::Array(vec![form, serde_json::json!({ "type": "null" })]));
        }
        _ => {}
    }
}

/// The names of `required` of a schema that is no reference.
pub fn required_names(schema: &SchemaValue) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(SchemaValue::as_array).into_iter().flatten().filter_map(SchemaValue::as_str)
}

/// The schema that a `$ref` within the document leads to.
pub fn resolve_reference<'s>(root: &'s SchemaValue, schema: &'s SchemaValue) -> &'s SchemaValue {
    const MOST: usize = 32;
    let mut schema = schema;
    for _ in 0..MOST {
        let pointer = schema.get("$ref").and_then(SchemaValue::as_str).and_then(|text| text.strip_prefix('#'));
        match pointer.and_then(|pointer| root.pointer(pointer)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

/// A value as the validator's own kind of value.
pub fn to_schema_value(value: &Value) -> SchemaValue {
    match value {
        Value::Null => SchemaValue::Null,
        Value::Bool(value) => SchemaValue::Bool(*value),
        Value::Number(number) => SchemaValue::Number(to_number(number.as_str())),
        Value::String(text) => SchemaValue::String(text.clone()),
        Value::Raw(text) => SchemaValue::String(text.to_string()),
        Value::Array(items) => SchemaValue::Array(items.iter().map(to_schema_value).collect()),
        Value::Object(object) => {
            SchemaValue::Object(object.iter().map(|(key, value)| (key.clone(), to_schema_value(value))).collect())
        }
    }
}

fn to_number(text: &str) -> serde_json::Number {
    let number = Number::from_text(text);
    text.parse().ok().or_else(|| serde_json::Number::from_f64(number.as_f64())).unwrap_or_else(|| 0.into())
}

/// `cluster.commands[0]`
pub fn path_text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => {
                let _ = write!(text, ".{key}");
            }
            Segment::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

/// Follows a path as far as there are nodes; what is left lies in a value that stands in place of a node.
fn resolve<'t, 'p>(root: NodeRef<'t>, path: &'p [Segment], view: &View) -> (NodeRef<'t>, &'p [Segment]) {
    let mut node = root;
    for (at, segment) in path.iter().enumerate() {
        if view.values.contains_key(&node.id()) {
            return (node, &path[at..]);
        }
        let next = match segment {
            Segment::Key(key) => node.get(key),
            Segment::Index(index) => node.item(*index),
        };
        match next {
            Some(next) => node = next,
            None => return (node, &path[at..]),
        }
    }
    (node, &[])
}

/// What a path leads to in a value.
fn inner<'v>(value: &'v Value, path: &[Segment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |at, segment| match segment {
        Segment::Key(key) => at.get(key),
        Segment::Index(index) => at.as_array()?.get(*index),
    })
}

fn inner_mut<'v>(value: &'v mut Value, path: &[Segment]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |at, segment| match (at, segment) {
        (Value::Object(object), Segment::Key(key)) => object.get_mut(key),
        (Value::Array(items), Segment::Index(index)) => items.get_mut(*index),
        _ => None,
    })
}

/// Whether anything in a node is not known yet.
fn is_open(node: NodeRef<'_>, view: &View) -> bool {
    node.descendants()
        .any(|inner| inner.kind() == Kind::Missing || (inner.has_braces() && !view.values.contains_key(&inner.id())))
        || !view.open.is_empty() && node.descendants().any(|inner| view.open.contains(&inner.id()))
}

/// Whether it is not known yet whether something is wrong: it depends on what a placeholder becomes.
fn is_undecided(root: NodeRef<'_>, leaf: &Leaf, view: &View) -> bool {
    let (node, rest) = resolve(root, &leaf.path, view);
    if view.values.get(&node.id()).and_then(|outer| inner(outer, rest)).is_some() {
        return false;
    }
    match &leaf.kind {
        LeafKind::Missing(_) => node.members().any(|member| member.key.has_braces()) || holds_missing(node),
        LeafKind::Unknown(_) => false,
        LeafKind::Types(_) | LeafKind::Size(_) => node.kind() == Kind::String && is_open(node, view),
        LeafKind::Options(_)
        | LeafKind::Is(_)
        | LeafKind::Pattern(_)
        | LeafKind::Form(_)
        | LeafKind::Forbidden(_)
        | LeafKind::Other(_) => is_open(node, view),
    }
}

fn holds_missing(node: NodeRef<'_>) -> bool {
    node.descendants().any(|inner| inner.kind() == Kind::Missing)
}

/// The value that text (or a boolean, or 0 and 1) counts as where values are coerced, as pydantic does it.
fn coerce(node: NodeRef<'_>, rest: &[Segment], view: &View, types: &[JsonType]) -> Option<Value> {
    let filled = view.values.get(&node.id()).and_then(|outer| inner(outer, rest));
    let value = match (filled, node.kind()) {
        (Some(value), _) => value.clone(),
        (None, Kind::String) if node.has_braces() || view.open.contains(&node.id()) => return None,
        (None, Kind::String | Kind::Bool | Kind::Number) => node.to_value(),
        _ => return None,
    };
    let wants = |kind| types.contains(&kind);
    match &value {
        Value::String(text) => {
            let number = reads_as_number(text);
            match number {
                Some(number) if wants(JsonType::Number) => return Some(Value::Number(number)),
                // Of whole numbers it takes no exponent.
                Some(number)
                    if wants(JsonType::Integer) && number.as_f64().fract() == 0.0 && !text.contains(['e', 'E']) =>
                {
                    return Some(Value::Number(number));
                }
                _ => {}
            }
            reads_as_boolean(text).filter(|_| wants(JsonType::Boolean)).map(Value::Bool)
        }
        Value::Bool(value) if wants(JsonType::Number) || wants(JsonType::Integer) => {
            Some(Value::from(i64::from(*value)))
        }
        Value::Number(number) if wants(JsonType::Boolean) => match number.as_f64() {
            0.0 => Some(Value::Bool(false)),
            1.0 => Some(Value::Bool(true)),
            _ => None,
        },
        _ => None,
    }
}

/// The number that text reads as.
pub fn reads_as_number(text: &str) -> Option<Number> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    // Python takes `_` between digits, and words for what is no finite number.
    let is_between = |(at, _): (usize, char)| {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        digit(text[..at].chars().next_back()) && digit(text[at + 1..].chars().next())
    };
    if text.contains('_') {
        let plain = text.replace('_', "");
        let mut all = text.char_indices().filter(|(_, c)| *c == '_');
        return if all.all(is_between) { reads_as_number(&plain) } else { None };
    }
    let (sign, word) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    match word.to_ascii_lowercase().as_str() {
        "nan" => return Some(Number::from_text("NaN")),
        "inf" | "infinity" => return Some(Number::from_text(&format!("{sign}Infinity"))),
        _ => {}
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    (plain && text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<f64>().is_ok())
        .then(|| Number::from_text(text))
}

/// The boolean that text reads as.
pub fn reads_as_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}
