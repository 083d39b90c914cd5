//! JSON Schema over a [`Tree`]: what does not fit, at its exact place and in the user's words.
//!
//! Strings with placeholders stand for values that are not known: nothing is said about them, or about what depends
//! on them, unless their values are given. Where a contract says that values are coerced, text counts as what it
//! reads as (`"5"` is a number), as pydantic takes it.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError, Validator};
use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::diagnostic::{counted, nearest};
use crate::source::{Source, Span};
use crate::syntax::{Kind, Member, NodeId, NodeRef, Tree, json};
use crate::value::{self, Number, Value};

/// The form in which schemas are held.
pub use serde_json::Value as SchemaValue;

/// A JSON Schema, compiled once and shared.
#[derive(Debug)]
pub struct Schema {
    root: SchemaValue,
    /// Nothing when it is not right after all.
    validator: OnceLock<Option<Validator<Notation>>>,
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

/// The ways in which a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// An object lacks a key.
    Missing(String),
    /// An object has a key that it may not have.
    Unknown {
        /// The key.
        name: String,
        /// Its node, if it has one.
        key: Option<NodeId>,
        /// The known key that it looks like.
        meant: Option<String>,
    },
    /// Anything else.
    Unfit {
        /// A predicate: ``is a string, not a number``.
        predicate: String,
        /// What may have been meant.
        meant: Option<String>,
        /// What to write in its place, and whether that is surely meant.
        replacement: Option<(String, bool)>,
    },
}

/// Something wrong with a file that is to be of a certain form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What: a clause.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Schema {
    /// Compiles a schema. It reads no files and asks no network for what it refers to.
    ///
    /// # Errors
    /// It is no JSON Schema, or refers to something that is not in it.
    pub fn new(root: SchemaValue) -> Result<Self, Flaw> {
        match compile(&root) {
            Ok(validator) => Ok(Self { validator: OnceLock::from(Some(validator)), ..Self::trusted(root) }),
            Err(error) => Err(flaw(&root, &error)),
        }
    }

    /// A schema that is known to be right: it is compiled when something is first held against it, which costs more
    /// than all else that a small recipe needs. One that is not right after all lets everything pass.
    pub fn trusted(root: SchemaValue) -> Self {
        Self { root, validator: OnceLock::new(), derived: Derived::default() }
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
        let Some(validator) = self.validator.get_or_init(|| compile(&self.root).ok()) else { return Vec::new() };
        let mut violations = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let mut leaves = Vec::new();
            for error in validator.iter_errors(Item::Node(root, view)) {
                flatten(&error, &mut leaves);
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
                Some((node.id(), rest.to_vec(), coerce(node, rest, view, types)?))
            };
            let found: Vec<(NodeId, Vec<Segment>, Value)> =
                if coerced { leaves.iter().filter_map(count).collect() } else { Vec::new() };
            let coerced_now = !found.is_empty();
            if !coerced_now {
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

    /// The names at the top that must be there.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let required = resolve_reference(&self.root, &self.root).get("required").and_then(SchemaValue::as_array);
        required.into_iter().flatten().filter_map(SchemaValue::as_str)
    }

    /// Whether names that it does not list are refused at the top.
    pub fn is_closed(&self) -> bool {
        resolve_reference(&self.root, &self.root).get("additionalProperties") == Some(&SchemaValue::Bool(false))
    }

    /// What the schema says in words about a property at the top.
    pub fn description(&self, name: &str) -> Option<&str> {
        let (_, schema) = self.properties().find(|&(known, _)| known == name)?;
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
                let known = self.known_names(&leaf.schema_path);
                let unknown = names.into_iter().filter_map(|name| {
                    let key = node.members().map(|member| member.key).filter(|key| key.is(&name)).last();
                    if key.is_some_and(NodeRef::has_braces) {
                        return None;
                    }
                    let absent = known.iter().copied().filter(|known| node.get(known).is_none());
                    let meant = nearest(&name, absent).map(str::to_owned);
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

fn compile(root: &SchemaValue) -> Result<Validator<Notation>, ValidationError<'static>> {
    jsonschema::options_for::<Notation>().build(root)
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

fn fault(tree: &Tree, whole: &str, violation: Violation) -> Fault {
    let node = tree.node(violation.node);
    let what = if violation.path.is_empty() { whole.to_owned() } else { format!("`{}`", violation.path) };
    let did_you_mean = |meant: Option<String>| meant.map(|meant| format!("did you mean `{meant}`?"));
    match violation.problem {
        Problem::Missing(name) => Fault { span: node.head(), message: format!("{what} has no `{name}`"), help: None },
        Problem::Unknown { name, key, meant } => {
            let span = key.map_or(node.head(), |key| tree.node(key).span());
            Fault { span, message: format!("{what} has the unknown key `{name}`"), help: did_you_mean(meant) }
        }
        Problem::Unfit { predicate, meant, .. } => {
            Fault { span: node.head(), message: format!("{what} {predicate}"), help: did_you_mean(meant) }
        }
    }
}

fn flaw(root: &SchemaValue, error: &ValidationError<'_>) -> Flaw {
    let path = segments(error);
    let message = match error.kind() {
        ValidationErrorKind::Referencing(_) => "the schema refers to something that is not in it".to_owned(),
        _ => {
            let mut leaves = Vec::new();
            flatten(error, &mut leaves);
            let shown = path.iter().try_fold(root, |at, segment| match segment {
                Segment::Key(key) => at.get(key),
                Segment::Index(index) => at.get(index),
            });
            let shown = shown.map_or_else(String::new, |value| format!("`{}` ", shorten(&value.to_string())));
            format!("{shown}is not what a JSON Schema has here")
        }
    };
    Flaw { path, message }
}

fn segments(error: &ValidationError<'_>) -> Vec<Segment> {
    let convert = |segment: LocationSegment<'_>| match segment {
        LocationSegment::Property(name) => Segment::Key(name.into_owned()),
        LocationSegment::Index(index) => Segment::Index(index),
    };
    error.instance_path().segments().map(convert).collect()
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
            Segment::Index(index) => node.items().nth(*index),
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
}

fn holds_missing(node: NodeRef<'_>) -> bool {
    node.descendants().any(|inner| inner.kind() == Kind::Missing)
}

/// What is at the bottom of an error: a fact about one value.
struct Leaf {
    path: Vec<Segment>,
    schema_path: String,
    kind: LeafKind,
    /// What else the value around it may be, if it is a scalar.
    instead: Option<(Vec<Segment>, Vec<JsonType>)>,
}

enum LeafKind {
    Types(Vec<JsonType>),
    Options(Vec<SchemaValue>),
    Missing(String),
    Unknown(Vec<String>),
    /// About the number of items or members.
    Size(String),
    Other(String),
}

fn flatten(error: &ValidationError<'_>, leaves: &mut Vec<Leaf>) {
    use ValidationErrorKind as K;
    let kind = match error.kind() {
        K::Type { kind: TypeKind::Single(only) } => LeafKind::Types(vec![*only]),
        K::Type { kind: TypeKind::Multiple(several) } => LeafKind::Types(several.iter().collect()),
        K::Enum { options } => LeafKind::Options(options.as_array().cloned().unwrap_or_default()),
        K::Constant { expected_value } => LeafKind::Options(vec![(**expected_value).clone()]),
        K::Required { property } => LeafKind::Missing(property.as_str().unwrap_or_default().to_owned()),
        K::AdditionalProperties { unexpected } | K::UnevaluatedProperties { unexpected } => {
            LeafKind::Unknown(unexpected.clone())
        }
        K::AnyOf { context } | K::OneOfNotValid { context } => return flatten_branches(error, context, leaves),
        K::OneOfMultipleValid { .. } => {
            LeafKind::Other("fits more than one of the forms of which it must be one".to_owned())
        }
        K::Minimum { limit } => LeafKind::Other(format!("is less than {limit}")),
        K::Maximum { limit } => LeafKind::Other(format!("is more than {limit}")),
        K::ExclusiveMinimum { limit } => LeafKind::Other(format!("is not above {limit}")),
        K::ExclusiveMaximum { limit } => LeafKind::Other(format!("is not below {limit}")),
        K::MultipleOf { multiple_of } => LeafKind::Other(format!("is not a multiple of {multiple_of}")),
        K::MinLength { limit: 1 } => LeafKind::Other("is empty".to_owned()),
        K::MinLength { limit } => LeafKind::Other(format!("has fewer than {}", counted(*limit, "character"))),
        K::MaxLength { limit } => LeafKind::Other(format!("has more than {}", counted(*limit, "character"))),
        K::MinItems { limit: 1 } => LeafKind::Size("is empty".to_owned()),
        K::MinItems { limit } => LeafKind::Size(format!("has fewer than {}", counted(*limit, "item"))),
        K::MaxItems { limit } => LeafKind::Size(format!("has more than {}", counted(*limit, "item"))),
        K::AdditionalItems { limit } => LeafKind::Size(format!("has more than {}", counted(*limit as u64, "item"))),
        K::MinProperties { limit: 1 } => LeafKind::Size("is empty".to_owned()),
        K::MinProperties { limit } => LeafKind::Size(format!("has fewer than {}", counted(*limit, "key"))),
        K::MaxProperties { limit } => LeafKind::Size(format!("has more than {}", counted(*limit, "key"))),
        K::Pattern { pattern } if pattern == "\\S" => LeafKind::Other("is empty".to_owned()),
        K::Pattern { pattern } => LeafKind::Other(format!("does not match the pattern `{}`", shorten(pattern))),
        K::Format { format } => LeafKind::Other(format!("is not in the form of `{}`", shorten(format))),
        K::UniqueItems => LeafKind::Other("has an item more than once".to_owned()),
        K::Contains => LeafKind::Other("lacks an item that it must have".to_owned()),
        K::UnevaluatedItems { .. } => LeafKind::Other("has an item that it may not have".to_owned()),
        K::PropertyNames { error } => match error.instance().as_str() {
            Some(name) => LeafKind::Unknown(vec![name.to_owned()]),
            None => LeafKind::Other("has a key of a form that it may not have".to_owned()),
        },
        K::FalseSchema => LeafKind::Other("may not be given".to_owned()),
        K::Not { .. } => LeafKind::Other("is a value that is ruled out".to_owned()),
        _ => LeafKind::Other("does not fit".to_owned()),
    };
    let schema_path = error.schema_path().as_str().to_owned();
    leaves.push(Leaf { path: segments(error), schema_path, kind, instead: None });
}

/// Of several forms a value may have, the one it was meant to have: that whose type it has.
fn flatten_branches(error: &ValidationError<'_>, branches: &[Vec<ValidationError<'static>>], leaves: &mut Vec<Leaf>) {
    let path = segments(error);
    let mut types = Vec::new();
    let mut options = Vec::new();
    let mut meant = Vec::new();
    for branch in branches {
        let mut found = Vec::new();
        branch.iter().for_each(|error| flatten(error, &mut found));
        let mismatch = found.iter().find_map(|leaf| match &leaf.kind {
            LeafKind::Types(types) if leaf.path == path => Some(types.clone()),
            _ => None,
        });
        match mismatch {
            Some(more) => types.extend(more),
            None => meant.push(found),
        }
    }
    let all_options = !meant.is_empty()
        && meant.iter().all(
            |found| matches!(found.as_slice(), [Leaf { kind: LeafKind::Options(_), path: at, .. }] if *at == path),
        );
    let schema_path = error.schema_path().as_str().to_owned();
    if all_options {
        for leaf in meant.into_iter().flatten() {
            if let LeafKind::Options(more) = leaf.kind {
                options.extend(more);
            }
        }
        let instead = path.clone();
        leaves.push(Leaf {
            path,
            schema_path,
            kind: LeafKind::Options(options),
            instead: (!types.is_empty()).then_some((instead, types)),
        });
        return;
    }
    if meant.len() > 1 {
        meant = told_apart(meant, &path);
    }
    match meant.len() {
        0 => {
            types.dedup();
            leaves.push(Leaf { path, schema_path, kind: LeafKind::Types(types), instead: None });
        }
        1 => {
            let instead = |leaf: Leaf| match leaf.instead {
                None if !types.is_empty() => Leaf { instead: Some((path.clone(), types.clone())), ..leaf },
                _ => leaf,
            };
            leaves.extend(meant.pop().unwrap_or_default().into_iter().map(instead));
        }
        _ => {
            let kind = LeafKind::Other("has none of the forms that it may have".to_owned());
            let instead = (!types.is_empty()).then(|| (path.clone(), types));
            leaves.push(Leaf { path, schema_path, kind, instead });
        }
    }
}

/// Of several forms of an object the one that is meant: by a key whose value names the form, or because only the types
/// of values are in its way. If the value names none, that is what is wrong.
fn told_apart(mut forms: Vec<Vec<Leaf>>, path: &[Segment]) -> Vec<Vec<Leaf>> {
    let names = |leaf: &Leaf| matches!(leaf.kind, LeafKind::Options(_)) && leaf.path.len() == path.len() + 1;
    let is_named = forms.iter().any(|form| !form.iter().any(names));
    if !is_named {
        let mut named: Vec<Leaf> =
            forms.iter_mut().filter_map(|form| form.drain(..).find(|leaf| names(leaf))).collect();
        let mut first = named.remove(0);
        let is_same = named.iter().all(|leaf| leaf.path == first.path);
        if let LeafKind::Options(all) = &mut first.kind
            && is_same
        {
            all.extend(named.into_iter().flat_map(|leaf| match leaf.kind {
                LeafKind::Options(more) => more,
                _ => Vec::new(),
            }));
            return vec![vec![first]];
        }
        return vec![vec![first], named];
    }
    forms.retain(|form| !form.iter().any(names));
    let only_types = |form: &Vec<Leaf>| form.iter().all(|leaf| matches!(leaf.kind, LeafKind::Types(_)));
    if forms.iter().filter(|form| only_types(form)).count() == 1 {
        forms.retain(only_types);
    }
    forms
}

/// The value that text (or a boolean, or 0 and 1) counts as where values are coerced, as pydantic does it.
fn coerce(node: NodeRef<'_>, rest: &[Segment], view: &View, types: &[JsonType]) -> Option<Value> {
    let filled = view.values.get(&node.id()).and_then(|outer| inner(outer, rest));
    let value = match (filled, node.kind()) {
        (Some(value), _) => value.clone(),
        (None, Kind::String) if node.has_braces() => return None,
        (None, Kind::String | Kind::Bool | Kind::Number) => node.to_value(),
        _ => return None,
    };
    let wants = |kind| types.contains(&kind);
    match &value {
        Value::String(text) => {
            let number = reads_as_number(text);
            match number {
                Some(number) if wants(JsonType::Number) => return Some(Value::Number(number)),
                Some(number) if wants(JsonType::Integer) && number.as_f64().fract() == 0.0 => {
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

/// Whether a pattern lets through only text in which every part of it fits; what it says of characters beyond ASCII
/// does not count.
pub fn pattern_is_made_of(pattern: &str, fits: impl Fn(&str) -> bool + Copy) -> bool {
    fn consists(hir: &Hir, fits: impl Fn(&str) -> bool + Copy) -> bool {
        let fits_range = |start: u32, end: u32| {
            (start..=end.min(127)).filter_map(char::from_u32).all(|c| fits(c.encode_utf8(&mut [0; 4])))
        };
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => true,
            HirKind::Literal(text) => str::from_utf8(&text.0).is_ok_and(fits),
            HirKind::Class(Class::Unicode(class)) => {
                class.ranges().iter().all(|range| fits_range(range.start().into(), range.end().into()))
            }
            HirKind::Class(Class::Bytes(class)) => {
                class.ranges().iter().all(|range| fits_range(range.start().into(), range.end().into()))
            }
            HirKind::Repetition(repeated) => consists(&repeated.sub, fits),
            HirKind::Capture(group) => consists(&group.sub, fits),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(|part| consists(part, fits)),
        }
    }
    regex_syntax::parse(pattern).is_ok_and(|hir| {
        let (prefix, suffix) = (hir.properties().look_set_prefix(), hir.properties().look_set_suffix());
        prefix.contains(Look::Start) && suffix.contains(Look::End) && consists(&hir, fits)
    })
}

/// A regular expression that text must match. Copies share what has been found out about it.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<(String, OnceLock<[Ends; 2]>)>);

/// How text that matches begins, or how it ends; nothing if that is hard to tell.
type Ends = Option<Vec<Literal>>;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(Arc::new((text.to_owned(), OnceLock::new())))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0.0
    }

    fn ends(&self) -> &[Ends; 2] {
        self.0.1.get_or_init(|| {
            let Ok(hir) = regex_syntax::parse(self.text()) else { return [None, None] };
            let properties = hir.properties();
            let extract = |is_bound: bool, kind| {
                let found = is_bound.then(|| Extractor::new().kind(kind).extract(&hir));
                found.and_then(|found| found.literals().map(<[Literal]>::to_vec))
            };
            [
                extract(properties.look_set_prefix().contains(Look::Start), ExtractKind::Prefix),
                extract(properties.look_set_suffix().contains(Look::End), ExtractKind::Suffix),
            ]
        })
    }

    /// Whether text that starts and ends like this can match; where that is hard to tell, it can.
    pub fn may_match(&self, start: &str, end: &str) -> bool {
        let any = |ends: &Ends, fits: &dyn Fn(&str) -> bool| {
            let fits = |literal: &Literal| str::from_utf8(literal.as_bytes()).map_or(true, fits);
            ends.as_ref().is_none_or(|literals| literals.iter().any(fits))
        };
        let [begins, ends] = self.ends();
        any(begins, &|literal| literal.starts_with(start) || start.starts_with(literal))
            && any(ends, &|literal| literal.ends_with(end) || end.ends_with(literal))
    }
}

/// The number that text reads as.
pub fn reads_as_number(text: &str) -> Option<Number> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
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

/// What a message is about.
struct Subject<'a> {
    node: NodeRef<'a>,
    /// What stands in its place.
    filled: Option<&'a Value>,
    coerced: bool,
}

impl Subject<'_> {
    fn show(&self) -> String {
        let text = match self.filled {
            Some(value) => value.to_json(),
            // In YAML it may be written in many lines.
            None if self.node.kind() == Kind::String && self.node.raw().contains('\n') => {
                Value::from(self.node.text().into_owned()).to_json()
            }
            None => self.node.raw().to_owned(),
        };
        shorten(&text)
    }

    fn describe(&self) -> String {
        match (self.filled, self.node.kind()) {
            (Some(value), _) => match value {
                Value::Array(_) | Value::Object(_) | Value::Null => value.describe().to_owned(),
                _ => format!("`{}`", self.show()),
            },
            (None, Kind::Array | Kind::Object | Kind::Null | Kind::Missing) => self.node.describe().to_owned(),
            _ => format!("`{}`", self.show()),
        }
    }

    fn is_text(&self) -> bool {
        match self.filled {
            Some(value) => matches!(value, Value::String(_)),
            None => self.node.kind() == Kind::String,
        }
    }

    fn problem(&self, kind: LeafKind) -> Problem {
        let filled_in = self.node.has_braces() && self.node.kind() == Kind::String;
        let verb = if filled_in { "becomes" } else { "is" };
        let plain = |predicate: String| Problem::Unfit { predicate, meant: None, replacement: None };
        match kind {
            LeafKind::Types(types) => {
                let wanted = types_in_words(&types);
                let what = self.describe();
                if !self.is_text() {
                    return plain(format!("{verb} {what}, not {wanted}"));
                }
                let readable =
                    types.iter().any(|kind| matches!(kind, JsonType::Integer | JsonType::Number | JsonType::Boolean));
                if self.coerced && readable {
                    return plain(format!("{verb} {what}, which does not read as {wanted}"));
                }
                let text = self.node.text();
                let number = reads_as_number(&text).filter(|number| {
                    types.contains(&JsonType::Number) || (types.contains(&JsonType::Integer) && number.is_integer())
                });
                let replacement = match (&*text, number) {
                    _ if filled_in => None,
                    (_, Some(number)) => {
                        serde_json::from_str::<serde_json::Number>(number.as_str()).ok().map(|n| n.to_string())
                    }
                    ("true" | "false", None) if types.contains(&JsonType::Boolean) => Some(text.to_string()),
                    _ => None,
                };
                Problem::Unfit {
                    predicate: format!("{verb} the text {what}, not {wanted}"),
                    meant: None,
                    replacement: replacement.map(|text| (text, true)),
                }
            }
            LeafKind::Options(options) => {
                let texts: Vec<&str> = options.iter().filter_map(SchemaValue::as_str).collect();
                let text = self.filled.map_or_else(
                    || self.node.text(),
                    |value| Cow::Owned(value.as_str().unwrap_or_default().to_owned()),
                );
                let meant = if self.is_text() { nearest(&text, texts.iter().copied()) } else { None };
                let replacement = meant.filter(|_| !filled_in).map(|meant| {
                    let mut quoted = String::new();
                    value::write_string(&mut quoted, meant);
                    (quoted, false)
                });
                const MOST: usize = 8;
                let mut list: Vec<String> = options
                    .iter()
                    .take(MOST)
                    .map(|option| match option.as_str() {
                        Some(text) => format!("`{}`", shorten(text)),
                        None => format!("`{}`", shorten(&option.to_string())),
                    })
                    .collect();
                if options.len() > MOST {
                    list.push(format!("{} more", options.len() - MOST));
                }
                let wanted = match list.as_slice() {
                    [only] => only.clone(),
                    _ => format!("one of {}", list.join(", ")),
                };
                let predicate = format!("{verb} {}, not {wanted}", self.describe());
                Problem::Unfit { predicate, meant: meant.map(str::to_owned), replacement }
            }
            LeafKind::Size(predicate) => plain(predicate),
            LeafKind::Other(predicate) if filled_in => plain(format!("becomes {}, which {predicate}", self.describe())),
            LeafKind::Other(predicate) => match predicate.strip_prefix("is ") {
                Some(rest) if self.node.kind() == Kind::Number => {
                    plain(format!("is {}, which is {rest}", self.describe()))
                }
                _ => plain(predicate),
            },
            LeafKind::Missing(name) => Problem::Missing(name),
            LeafKind::Unknown(names) => {
                Problem::Unknown { name: names.into_iter().next().unwrap_or_default(), key: None, meant: None }
            }
        }
    }
}

/// As much of a text as fits into a message.
fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.chars().count() {
        0..=MOST => text,
        _ => format!("{}…", text.chars().take(MOST - 1).collect::<String>()),
    }
}

fn types_in_words(types: &[JsonType]) -> String {
    let word = |kind: &JsonType| match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    };
    let mut words: Vec<&str> = Vec::new();
    for kind in types.iter().filter(|kind| **kind != JsonType::Null || types.len() == 1) {
        if !words.contains(&word(kind)) {
            words.push(word(kind));
        }
    }
    words.join(" or ")
}

// ---------------------------------------------------------------------------------------------------------------
// The tree as the validator sees it

/// The representation that the validator reads.
#[derive(Debug)]
enum Notation {}

/// A value, wherever it comes from.
#[derive(Debug, Clone)]
enum Item<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t Value),
    Text(&'t str),
}

impl<'t> Item<'t> {
    fn new(node: NodeRef<'t>, view: &'t View) -> Self {
        match view.values.get(&node.id()) {
            Some(value) if !view.values.is_empty() => Item::Value(value),
            _ => Item::Node(node, view),
        }
    }

    /// What it is, values in place of nodes put in.
    fn settle(&self) -> Self {
        match self {
            Item::Node(node, view) => Item::new(*node, view),
            other => other.clone(),
        }
    }
}

impl Json for Notation {
    type Node<'a> = Item<'a>;
    type PreparedKey = String;
    type StringBuffer = String;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut String, string: &str, f: impl FnOnce(Item<'_>) -> T) -> T {
        buffer.clear();
        buffer.push_str(string);
        f(Item::Text(buffer))
    }
}

/// A number by its text.
struct Digits<'t>(&'t str);

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        Some(Number::from_text(self.0).as_f64())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(to_number(self.0))
    }

    fn is_integer(&self) -> bool {
        let number = Number::from_text(self.0);
        number.is_integer() || number.as_f64().fract() == 0.0
    }
}

/// An object.
enum Members<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t value::Object),
}

/// An array.
enum Elements<'t> {
    Node(NodeRef<'t>, &'t View),
    Value(&'t [Value]),
}

impl<'t> Node<'t, Notation> for Item<'t> {
    type Object = Members<'t>;
    type Array = Elements<'t>;
    type Number = Digits<'t>;

    fn as_object(&self) -> Option<Members<'t>> {
        match self.settle() {
            Item::Node(node, view) => (node.kind() == Kind::Object).then_some(Members::Node(node, view)),
            Item::Value(Value::Object(object)) => Some(Members::Value(object)),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<Elements<'t>> {
        match self.settle() {
            Item::Node(node, view) => (node.kind() == Kind::Array).then_some(Elements::Node(node, view)),
            Item::Value(Value::Array(items)) => Some(Elements::Value(items)),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'t, str>> {
        match self.settle() {
            Item::Node(node, _) => (node.kind() == Kind::String).then(|| node.text()),
            Item::Value(Value::String(text)) => Some(Cow::Borrowed(text)),
            Item::Value(Value::Raw(text)) => Some(Cow::Borrowed(text)),
            Item::Value(_) => None,
            Item::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    fn as_number(&self) -> Option<Digits<'t>> {
        match self.settle() {
            Item::Node(node, _) => (node.kind() == Kind::Number).then(|| Digits(node.as_json())),
            Item::Value(Value::Number(number)) => Some(Digits(number.as_str())),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.settle() {
            Item::Node(node, _) => node.as_bool(),
            Item::Value(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.json_type() == JsonType::Null
    }

    fn json_type(&self) -> JsonType {
        match self.settle() {
            Item::Node(node, _) => match node.kind() {
                Kind::Null | Kind::Missing => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Number => JsonType::Number,
                Kind::String => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
            Item::Value(value) => match value {
                Value::Null => JsonType::Null,
                Value::Bool(_) => JsonType::Boolean,
                Value::Number(_) => JsonType::Number,
                Value::String(_) | Value::Raw(_) => JsonType::String,
                Value::Array(_) => JsonType::Array,
                Value::Object(_) => JsonType::Object,
            },
            Item::Text(_) => JsonType::String,
        }
    }

    fn to_value(&self) -> Cow<'t, SchemaValue> {
        Cow::Owned(match self.settle() {
            Item::Node(node, view) => match node.kind() {
                Kind::Array => node.items().map(|item| Item::Node(item, view).to_value().into_owned()).collect(),
                Kind::Object => {
                    let members = Members::Node(node, view);
                    let members =
                        members.members().map(|(name, value)| (name.into_owned(), value.to_value().into_owned()));
                    SchemaValue::Object(members.collect())
                }
                _ => to_schema_value(&node.to_value()),
            },
            Item::Value(value) => to_schema_value(value),
            Item::Text(text) => SchemaValue::String(text.to_owned()),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        match self {
            Item::Node(node, _) => {
                Some(NodeIdentity::tagged(std::ptr::from_ref(node.tree()).addr(), node.id().index()))
            }
            Item::Value(value) => Some(NodeIdentity::new(std::ptr::from_ref::<Value>(value).addr())),
            Item::Text(_) => None,
        }
    }
}

impl<'t> Object<'t, Notation> for Members<'t> {
    type Node = Item<'t>;
    type MemberName = Cow<'t, str>;
    type MembersIter = Box<dyn Iterator<Item = (Cow<'t, str>, Item<'t>)> + 't>;

    fn len(&self) -> usize {
        match self {
            Members::Node(..) => self.members().count(),
            Members::Value(object) => object.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Members::Node(node, _) => node.is_empty(),
            Members::Value(object) => object.is_empty(),
        }
    }

    fn get(&self, key: &String) -> Option<Item<'t>> {
        match self {
            Members::Node(node, view) => node.get(key).map(|value| Item::Node(value, view)),
            Members::Value(object) => object.get(key).map(Item::Value),
        }
    }

    fn members(&self) -> Self::MembersIter {
        match *self {
            Members::Node(node, view) => {
                let kept =
                    move |member: &Member<'_>| view.dropped.is_empty() || !view.dropped.contains(&member.key.id());
                let members = node.members().filter(kept);
                Box::new(members.map(move |member| (member.key.text(), Item::Node(member.value, view))))
            }
            Members::Value(object) => {
                Box::new(object.iter().map(|(key, value)| (Cow::Borrowed(key.as_str()), Item::Value(value))))
            }
        }
    }
}

impl<'t> Array<'t, Notation> for Elements<'t> {
    type Node = Item<'t>;
    type ElementsIter = Box<dyn Iterator<Item = Item<'t>> + 't>;

    fn len(&self) -> usize {
        match self {
            Elements::Node(node, _) => node.items().count(),
            Elements::Value(items) => items.len(),
        }
    }

    fn elements(&self) -> Self::ElementsIter {
        match *self {
            Elements::Node(node, view) => Box::new(node.items().map(move |item| Item::Node(item, view))),
            Elements::Value(items) => Box::new(items.iter().map(Item::Value)),
        }
    }
}
