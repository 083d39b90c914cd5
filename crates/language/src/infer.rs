//! Types of recipe parameters, from where their placeholders stand: the *signature* of a recipe.
//!
//! A type says which values may stand there without making the substitution fail, or a step's service refuse its
//! parameters. It is a set of kinds with what must be in them; all uses of a parameter meet in one type, and where
//! nothing is left the uses contradict each other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::contract::{Contract, Contracts};
use crate::recipe::{LONGEST_DELAY, Recipe};
use crate::schema::{
    Pattern, Schema, SchemaValue, Segment, reads_as_boolean, reads_as_number, resolve_reference, to_schema_value,
};
use crate::source::Span;
use crate::syntax::{Kind, Member, NodeId, NodeRef};
use crate::template::python::{self, parse_spec};
use crate::template::{Access, Field, Piece, Template, TemplateUse};
use crate::value::Value;

/// Kinds of values, as bits.
type Kinds = u8;

const NULL: Kinds = 1;
const BOOL: Kinds = 1 << 1;
const INTEGER: Kinds = 1 << 2;
/// Numbers written with a fraction or exponent.
const FRACTION: Kinds = 1 << 3;
const TEXT: Kinds = 1 << 4;
const ARRAY: Kinds = 1 << 5;
const OBJECT: Kinds = 1 << 6;
const NUMBER: Kinds = INTEGER | FRACTION;
const SCALAR: Kinds = BOOL | NUMBER | TEXT;
const ALL: Kinds = NULL | SCALAR | ARRAY | OBJECT;

/// What text must read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Anything.
    Any,
    /// A number.
    Number,
    /// An integer.
    Integer,
    /// A word for true or false.
    Boolean,
}

impl Reading {
    fn suits(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Number => reads_as_number(text).is_some(),
            Self::Integer => reads_as_number(text).is_some_and(|number| number.as_f64().fract() == 0.0),
            Self::Boolean => reads_as_boolean(text).is_some(),
        }
    }

    /// Whether a character can be in such text.
    fn has(self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Number | Self::Integer => c.is_ascii_digit() || c.is_whitespace() || "+-._eE".contains(c),
            Self::Boolean => "truefalsyon01".contains(c.to_ascii_lowercase()),
        }
    }
}

/// A type: the set of values that may stand in a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    kinds: Kinds,
    /// Of text: what it must read as.
    reading: Reading,
    /// Of numbers: the least and the greatest.
    range: (i64, i64),
    /// Of arrays and text: the least length.
    length: usize,
    /// Of text: regular expressions that it must match.
    patterns: Vec<Pattern>,
    /// Of objects: keys that must be there.
    keys: BTreeMap<String, Type>,
    /// Of arrays: items that must be of a type of their own.
    places: BTreeMap<usize, Type>,
    /// Of arrays: every item.
    items: Option<Box<Type>>,
    /// The only values there are.
    values: Option<Vec<SchemaValue>>,
}

/// Maximum place of a list item for which a schema lists the items before it.
const MAX_PREFIX_ITEMS: usize = 64;

impl Type {
    const fn of(kinds: Kinds) -> Self {
        Self {
            kinds,
            reading: Reading::Any,
            range: (i64::MIN, i64::MAX),
            length: 0,
            patterns: Vec::new(),
            keys: BTreeMap::new(),
            places: BTreeMap::new(),
            items: None,
            values: None,
        }
    }

    /// Every value.
    pub fn any() -> Self {
        Self::of(ALL)
    }

    /// What becomes text in a placeholder.
    pub fn scalar() -> Self {
        Self::of(SCALAR)
    }

    /// The seconds by which a message can be delayed.
    fn delay() -> Self {
        Self { range: (0, LONGEST_DELAY as i64), ..Self::of(NUMBER) }
    }

    /// Whether every value is of this type.
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// Whether no value is of this type.
    pub fn is_empty(&self) -> bool {
        self.kinds == 0 || self.values.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether null is of this type.
    pub fn takes_null(&self) -> bool {
        self.kinds & NULL != 0
    }

    /// Whether a string, number or boolean is of this type.
    pub fn takes_scalar(&self) -> bool {
        self.kinds & SCALAR != 0
    }

    /// Whether any text is of this type.
    pub fn takes_text(&self) -> bool {
        self.kinds & TEXT != 0
    }

    /// Whether all text that a value of this type can become is text of this kind; numbers and booleans always are.
    pub fn is_made_of(&self, kind: impl Fn(&str) -> bool) -> bool {
        let fits = |value: &SchemaValue| match value {
            SchemaValue::String(text) => kind(text),
            value => !value.is_array() && !value.is_object(),
        };
        match &self.values {
            Some(values) => values.iter().all(fits),
            None => self.kinds & (ARRAY | OBJECT) == 0 && (self.kinds & TEXT == 0 || self.reading != Reading::Any),
        }
    }

    /// Whether a value is of this type.
    pub fn holds(&self, value: &Value) -> bool {
        let fits = match value {
            Value::Null => self.kinds & NULL != 0,
            Value::Bool(_) => self.kinds & BOOL != 0,
            Value::Number(number) if number.is_integer() => {
                let bounds = |value: i64| self.range.0 <= value && value <= self.range.1;
                self.kinds & INTEGER != 0 && number.as_i64().map_or(self.range == (i64::MIN, i64::MAX), bounds)
            }
            Value::Number(number) => {
                let (least, greatest) = self.range;
                self.kinds & FRACTION != 0 && (least as f64..=greatest as f64).contains(&number.as_f64())
            }
            Value::String(text) => {
                self.kinds & TEXT != 0 && self.reading.suits(text) && text.chars().count() >= self.length
            }
            Value::Raw(_) => self.kinds & TEXT != 0 && self.reading == Reading::Any && self.length <= 1,
            Value::Array(items) => {
                let place = |(place, inner): (&usize, &Self)| items.get(*place).is_some_and(|item| inner.holds(item));
                self.kinds & ARRAY != 0
                    && items.len() >= self.length
                    && self.places.iter().all(place)
                    && self.items.as_ref().is_none_or(|inner| items.iter().all(|item| inner.holds(item)))
            }
            Value::Object(object) => {
                let key = |(key, inner): (&String, &Self)| object.get(key).is_some_and(|value| inner.holds(value));
                self.kinds & OBJECT != 0 && self.keys.iter().all(key)
            }
        };
        fits && self.values.as_ref().is_none_or(|values| values.contains(&to_schema_value(value)))
    }

    /// Whether a value from a list of values is in order as far as text and numbers go.
    fn admits(&self, value: &SchemaValue) -> bool {
        let kind = kind_of(value);
        let (least, greatest) = self.range;
        self.kinds & kind != 0
            && match value {
                SchemaValue::String(text) => self.reading.suits(text) && text.chars().count() >= self.length,
                SchemaValue::Number(number) if kind == INTEGER => {
                    number.as_i64().is_none_or(|number| least <= number && number <= greatest)
                }
                _ => true,
            }
    }

    /// Whether some text of this type can come of a template, whatever is put into it.
    fn may_come_of(&self, template: &Template) -> bool {
        if let Some(values) = &self.values {
            return values.iter().filter_map(SchemaValue::as_str).any(|text| template.may_become(text));
        }
        let literals = template.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Field(_) => None,
        });
        let suits = literals.clone().all(|text| text.chars().all(|c| self.reading.has(c)));
        let ends = |piece: Option<&Piece>| match piece {
            Some(Piece::Literal(text)) => text.clone(),
            _ => String::new(),
        };
        let (start, end) = (ends(template.pieces.first()), ends(template.pieces.last()));
        suits && self.patterns.iter().all(|pattern| pattern.may_match(&start, &end))
    }

    /// The values that are of both types.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let mut met = Self::of(self.kinds & other.kinds);
        met.range = (self.range.0.max(other.range.0), self.range.1.min(other.range.1));
        if met.range.0 > met.range.1 {
            met.kinds &= !NUMBER;
        }
        met.length = self.length.max(other.length);
        met.reading = match (self.reading, other.reading) {
            (Reading::Any, reading) | (reading, Reading::Any) => reading,
            // Of numbers 0 and 1 are booleans, too.
            (a, b) => a.max(b),
        };
        met.patterns = self.patterns.clone();
        met.patterns.extend(other.patterns.iter().filter(|pattern| !self.patterns.contains(pattern)).cloned());
        met.keys = self.keys.clone();
        for (key, other) in &other.keys {
            let key_type = met.keys.get(key).map_or_else(|| other.clone(), |own| own.meet(other));
            met.keys.insert(key.clone(), key_type);
        }
        if met.keys.values().any(Type::is_empty) {
            met.kinds &= !OBJECT;
        }
        met.places = self.places.clone();
        for (place, other) in &other.places {
            let place_type = met.places.get(place).map_or_else(|| other.clone(), |own| own.meet(other));
            met.places.insert(*place, place_type);
        }
        met.items = match (&self.items, &other.items) {
            (Some(a), Some(b)) => Some(Box::new(a.meet(b))),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        if let Some(items) = &met.items {
            met.places.values_mut().for_each(|place| *place = place.meet(items));
        }
        let no_item = met.length > 0 && met.items.as_ref().is_some_and(|items| items.is_empty());
        if no_item || met.places.values().any(Type::is_empty) {
            met.kinds &= !ARRAY;
        }
        met.values = match (&self.values, &other.values) {
            (Some(a), Some(b)) => Some(a.iter().filter(|value| b.contains(value)).cloned().collect()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        if let Some(values) = met.values.take() {
            let values: Vec<SchemaValue> = values.into_iter().filter(|value| met.admits(value)).collect();
            met.kinds &= values.iter().map(kind_of).fold(0, |kinds, kind| kinds | kind);
            met.values = Some(values);
        }
        met
    }

    /// The values that are of one of the types, and perhaps a few more.
    #[must_use]
    fn join(&self, other: &Self) -> Self {
        let mut joined = Self::of(self.kinds | other.kinds);
        let only = |kind: Kinds| match (self.kinds & kind != 0, other.kinds & kind != 0) {
            (true, false) => Some(self),
            (false, true) => Some(other),
            _ => None,
        };
        joined.reading = match only(TEXT) {
            Some(one) => one.reading,
            None if self.reading == other.reading => self.reading,
            None => Reading::Any,
        };
        joined.patterns = match only(TEXT) {
            Some(one) => one.patterns.clone(),
            None if self.patterns == other.patterns => self.patterns.clone(),
            None => Vec::new(),
        };
        joined.range =
            only(NUMBER).map_or((self.range.0.min(other.range.0), self.range.1.max(other.range.1)), |one| one.range);
        joined.length = self.length.min(other.length);
        joined.keys = match only(OBJECT) {
            Some(one) => one.keys.clone(),
            None => {
                let both =
                    self.keys.iter().filter_map(|(key, own)| Some((key.clone(), own.join(other.keys.get(key)?))));
                both.collect()
            }
        };
        joined.items = match (only(ARRAY), &self.items, &other.items) {
            (Some(one), ..) => one.items.clone(),
            (None, Some(a), Some(b)) => Some(Box::new(a.join(b))),
            _ => None,
        };
        // Values limit all kinds at once, so they stay only where both sides have some.
        joined.values = match (&self.values, &other.values) {
            (Some(a), Some(b)) => Some(a.iter().chain(b).cloned().collect()),
            (Some(a), None) if other.kinds == NULL => Some(a.iter().cloned().chain([SchemaValue::Null]).collect()),
            (None, Some(b)) if self.kinds == NULL => Some(b.iter().cloned().chain([SchemaValue::Null]).collect()),
            _ => None,
        };
        joined
    }

    /// The values that a schema lets through, and perhaps a few more.
    pub fn of_schema(root: &SchemaValue, schema: &SchemaValue) -> Self {
        of_schema(root, schema, 0)
    }

    /// This type where text counts as what it reads as.
    #[must_use]
    pub fn coerced(mut self) -> Self {
        if self.kinds & (NUMBER | BOOL) != 0 {
            // Text that reads as a number matches no pattern that other text has to.
            self.patterns.clear();
        }
        if self.kinds & TEXT == 0 {
            let reading = match self.kinds {
                kinds if kinds & FRACTION != 0 => Some(Reading::Number),
                kinds if kinds & INTEGER != 0 => Some(Reading::Integer),
                kinds if kinds & BOOL != 0 => Some(Reading::Boolean),
                _ => None,
            };
            if let Some(reading) = reading {
                if reading == Reading::Boolean {
                    (self.kinds, self.range) = (self.kinds | NUMBER, (0, 1));
                }
                // A boolean counts as a number, and 0 and 1 count as booleans.
                self.kinds |= TEXT | BOOL;
                self.reading = reading;
                // What is in range cannot be told of text.
                self.length = 0;
            }
            let scalars = |value: &&SchemaValue| kind_of(value) & (NUMBER | BOOL) != 0;
            if let Some(values) = &mut self.values {
                let texts: Vec<SchemaValue> =
                    values.iter().filter(scalars).map(|value| value.to_string().into()).collect();
                values.extend(texts);
            }
        }
        self.items = self.items.map(|items| Box::new(items.coerced()));
        self.keys = self.keys.into_iter().map(|(key, inner)| (key, inner.coerced())).collect();
        self
    }

    /// Takes over the limits of a schema for numbers and lengths, rounded to the wider side.
    fn limit(&mut self, schema: &serde_json::Map<String, SchemaValue>) {
        let number = |key: &str| schema.get(key).and_then(SchemaValue::as_f64);
        let is_whole = self.kinds & FRACTION == 0;
        let least = number("minimum").into_iter().chain(number("exclusiveMinimum"));
        let greatest = number("maximum").into_iter().chain(number("exclusiveMaximum"));
        for least in least {
            self.range.0 = self.range.0.max(if is_whole { least.ceil() } else { least.floor() } as i64);
        }
        for greatest in greatest {
            self.range.1 = self.range.1.min(if is_whole { greatest.floor() } else { greatest.ceil() } as i64);
        }
        let key = match self.kinds {
            TEXT => "minLength",
            ARRAY => "minItems",
            _ => return,
        };
        if let Some(length) = schema.get(key).and_then(SchemaValue::as_u64) {
            self.length = self.length.max(usize::try_from(length).unwrap_or_default());
        }
    }

    /// What may be put into `{x}` so that the text is of this type.
    fn of_text(&self) -> Self {
        if self.kinds & TEXT == 0 {
            return Self::of(0);
        }
        if let Some(values) = &self.values {
            // `{x}` with 1 is `1`, so a number may stand for the text of one.
            let numbers = values.iter().filter_map(SchemaValue::as_str).filter_map(|text| text.parse::<i64>().ok());
            let mut all = values.clone();
            for number in numbers.map(SchemaValue::from) {
                if !all.contains(&number) {
                    all.push(number);
                }
            }
            let kinds = all.iter().map(kind_of).fold(0, |kinds, kind| kinds | kind) & SCALAR;
            return Self { values: Some(all), ..Self::of(kinds) };
        }
        match self.reading {
            Reading::Any => Self { patterns: self.patterns.clone(), ..Self::of(SCALAR) },
            Reading::Number => Self { reading: Reading::Number, ..Self::of(NUMBER | TEXT) },
            Reading::Integer => Self { reading: Reading::Integer, ..Self::of(INTEGER | TEXT) },
            Reading::Boolean => Self { reading: Reading::Boolean, range: (0, 1), ..Self::of(BOOL | INTEGER | TEXT) },
        }
    }

    /// The type of a thing that must have something in it.
    fn holding(access: &Access, inner: Self) -> Self {
        if inner.is_empty() {
            return Self::of(0);
        }
        match access {
            Access::Key(key) => Self { keys: BTreeMap::from([(key.clone(), inner)]), ..Self::of(OBJECT) },
            Access::Index(index) => {
                // A character of text is text.
                let text = if inner.kinds & TEXT != 0 && inner.reading == Reading::Any && inner.values.is_none() {
                    TEXT
                } else {
                    0
                };
                Self { length: index + 1, places: BTreeMap::from([(*index, inner)]), ..Self::of(ARRAY | text) }
            }
        }
    }

    /// As a JSON Schema.
    pub fn to_schema(&self) -> SchemaValue {
        if self.is_empty() {
            return SchemaValue::Bool(false);
        }
        let mut schema = serde_json::Map::new();
        if let Some(values) = &self.values {
            schema.insert("enum".to_owned(), SchemaValue::Array(values.clone()));
            return SchemaValue::Object(schema);
        }
        let mut names = Vec::new();
        // JSON Schema does not tell 1.0 from 1, and Python does: a number with a fraction alone cannot be said.
        for (kind, name) in [
            (NULL, "null"),
            (BOOL, "boolean"),
            (NUMBER, "number"),
            (INTEGER, "integer"),
            (TEXT, "string"),
            (ARRAY, "array"),
            (OBJECT, "object"),
        ] {
            let is_whole = self.kinds & kind == kind;
            if is_whole && !(kind == INTEGER && names.contains(&"number")) {
                names.push(name);
            }
        }
        if names.is_empty() {
            names.push("number");
            schema.insert("not".to_owned(), serde_json::json!({ "type": "integer" }));
        }
        let bounded = self.kinds & NUMBER != 0;
        if bounded && self.range.0 != i64::MIN {
            schema.insert("minimum".to_owned(), self.range.0.into());
        }
        if bounded && self.range.1 != i64::MAX {
            schema.insert("maximum".to_owned(), self.range.1.into());
        }
        if self.kinds & TEXT != 0 {
            let pattern = match self.reading {
                Reading::Any => None,
                Reading::Number => Some(r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"),
                Reading::Integer => Some(r"^\s*[-+]?[0-9]+(\.0*)?\s*$"),
                Reading::Boolean => Some(r"^([Tt]rue|[Ff]alse|[Yy]es|[Nn]o|[Oo]n|[Oo]ff|[01tfynTFYN])$"),
            };
            let mut patterns = pattern.into_iter().chain(self.patterns.iter().map(Pattern::text));
            if let Some(pattern) = patterns.next() {
                schema.insert("pattern".to_owned(), pattern.into());
            }
            let more: Vec<_> = patterns.map(|pattern| serde_json::json!({ "pattern": pattern })).collect();
            if !more.is_empty() {
                schema.insert("allOf".to_owned(), more.into());
            }
            if self.length > 0 {
                schema.insert("minLength".to_owned(), self.length.into());
            }
        }
        if self.kinds & ARRAY != 0 {
            if self.length > 0 {
                schema.insert("minItems".to_owned(), self.length.into());
            }
            if let Some(items) = self.items.as_ref().filter(|items| !items.is_any()) {
                schema.insert("items".to_owned(), items.to_schema());
            }
            // A list of schemas for a large place would be as long as the number says.
            if self.places.keys().last().is_some_and(|&last| last < MAX_PREFIX_ITEMS) {
                let last = self.places.keys().last().copied().unwrap_or_default();
                let rest = self.items.as_ref().map_or(SchemaValue::Bool(true), |items| items.to_schema());
                let all = (0..=last).map(|place| self.places.get(&place).map_or_else(|| rest.clone(), Type::to_schema));
                schema.insert("prefixItems".to_owned(), SchemaValue::Array(all.collect()));
            }
        }
        if self.kinds & OBJECT != 0 && !self.keys.is_empty() {
            let properties = self.keys.iter().map(|(key, inner)| (key.clone(), inner.to_schema()));
            schema.insert("properties".to_owned(), SchemaValue::Object(properties.collect()));
            let required = self.keys.keys().cloned().map(SchemaValue::from);
            schema.insert("required".to_owned(), required.collect());
        }
        if self.kinds != ALL {
            let kind = match names.as_slice() {
                [only] => SchemaValue::from(*only),
                _ => names.into(),
            };
            schema.shift_insert(0, "type".to_owned(), kind);
        }
        SchemaValue::Object(schema)
    }
}

fn kind_of(value: &SchemaValue) -> Kinds {
    match value {
        SchemaValue::Null => NULL,
        SchemaValue::Bool(_) => BOOL,
        SchemaValue::Number(number) if number.is_i64() || number.is_u64() => INTEGER,
        SchemaValue::Number(_) => FRACTION,
        SchemaValue::String(_) => TEXT,
        SchemaValue::Array(_) => ARRAY,
        SchemaValue::Object(_) => OBJECT,
    }
}

/// How deep schemas are followed; deeper, anything goes.
const MOST_DEPTH: usize = 16;

fn of_schema(root: &SchemaValue, schema: &SchemaValue, depth: usize) -> Type {
    let Some(object) = schema.as_object().filter(|_| depth < MOST_DEPTH) else {
        return if *schema == SchemaValue::Bool(false) { Type::of(0) } else { Type::any() };
    };
    let mut found = Type::any();
    if object.contains_key("$ref") {
        let target = resolve_reference(root, schema);
        if !std::ptr::eq(target, schema) {
            found = of_schema(root, target, depth + 1);
        }
    }
    let kind = |name: &str| match name {
        "null" => NULL,
        "boolean" => BOOL,
        "integer" => INTEGER,
        "number" => NUMBER,
        "string" => TEXT,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ALL,
    };
    match object.get("type") {
        Some(SchemaValue::String(name)) => found.kinds &= kind(name),
        Some(SchemaValue::Array(names)) => {
            found.kinds &= names.iter().filter_map(SchemaValue::as_str).map(kind).fold(0, |all, kind| all | kind);
        }
        _ => {}
    }
    let values = object.get("enum").and_then(SchemaValue::as_array).cloned();
    if let Some(values) = values.or_else(|| object.get("const").map(|value| vec![value.clone()])) {
        let kinds = values.iter().map(kind_of).fold(0, |all, kind| all | kind);
        found = found.meet(&Type { values: Some(values), ..Type::of(kinds) });
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = object.get(keyword).and_then(SchemaValue::as_array) {
            let branches = branches.iter().map(|branch| of_schema(root, branch, depth + 1));
            if let Some(joined) = branches.reduce(|a, b| a.join(&b)) {
                found = found.meet(&joined);
            }
        }
    }
    for branch in object.get("allOf").and_then(SchemaValue::as_array).into_iter().flatten() {
        found = found.meet(&of_schema(root, branch, depth + 1));
    }
    if let Some(pattern) = object.get("pattern").and_then(SchemaValue::as_str)
        && found.kinds & TEXT != 0
    {
        found = found.meet(&Type { patterns: vec![Pattern::new(pattern)], ..Type::any() });
    }
    found.limit(object);
    if found.kinds & OBJECT != 0 {
        let required = object.get("required").and_then(SchemaValue::as_array).into_iter().flatten();
        for name in required.filter_map(SchemaValue::as_str) {
            let property = object.get("properties").and_then(|properties| properties.get(name));
            let property = property.map_or_else(Type::any, |property| of_schema(root, property, depth + 1));
            found.keys.insert(name.to_owned(), property);
        }
    }
    if found.kinds & ARRAY != 0
        && let Some(items) = object.get("items")
    {
        found.items = Some(Box::new(of_schema(root, items, depth + 1)));
    }
    found
}

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

impl fmt::Display for Type {
    /// In words: `integer`, `list of texts`, `object with id, name`; with `#` as part of a sentence: `an integer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(values) = &self.values {
            const MOST: usize = 6;
            let shown =
                values.iter().take(MOST).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let mut shown: Vec<String> = shown.collect();
            if values.len() > MOST {
                shown.push("…".to_owned());
            }
            return match f.alternate() {
                true => write!(f, "one of {}", shown.join(", ")),
                false => f.write_str(&shown.join(" | ")),
            };
        }
        if self.kinds == ALL && self.keys.is_empty() {
            return f.write_str("anything");
        }
        let mut parts: Vec<String> = Vec::new();
        let has = |kind: Kinds| self.kinds & kind != 0;
        let article = |word: &str| match word.starts_with(['a', 'e', 'i', 'o', 'u']) {
            _ if !f.alternate() => word.to_owned(),
            true => format!("an {word}"),
            false => format!("a {word}"),
        };
        // A number or boolean stands for its text, and where values are coerced for one another.
        let as_text = self.kinds & SCALAR == SCALAR && self.reading == Reading::Any;
        let as_other = |reading: Reading| has(TEXT) && has(BOOL) && self.reading == reading;
        let limits = match self.range {
            (i64::MIN, i64::MAX) => String::new(),
            (least, i64::MAX) => format!(" of at least {least}"),
            (i64::MIN, greatest) => format!(" of at most {greatest}"),
            (least, greatest) => format!(" from {least} to {greatest}"),
        };
        match self.kinds & NUMBER {
            _ if as_text || as_other(Reading::Boolean) => {}
            NUMBER => parts.push(article("number") + &limits),
            INTEGER => parts.push(article("integer") + &limits),
            FRACTION => parts.push(article("number with a fraction") + &limits),
            _ => {}
        }
        if has(BOOL) && !as_text && !as_other(Reading::Number) && !as_other(Reading::Integer) {
            parts.push(article("boolean"));
        }
        if has(TEXT) {
            let reading = match self.reading {
                Reading::Any => "text",
                Reading::Number => "text of a number",
                Reading::Integer => "text of an integer",
                Reading::Boolean => "text of a boolean",
            };
            parts.push(match self.patterns.as_slice() {
                _ if self.kinds != TEXT => reading.to_owned(),
                [] => reading.to_owned(),
                patterns => {
                    let patterns: Vec<&str> = patterns.iter().map(Pattern::text).collect();
                    format!("{reading} that matches `{}`", patterns.join("` and `"))
                }
            });
        }
        if has(ARRAY) {
            parts.push(match &self.items {
                Some(items) if !items.is_any() => match (Self { patterns: Vec::new(), ..*items.clone() }).to_string() {
                    word if word.bytes().all(|byte| byte.is_ascii_lowercase()) => article(&format!("list of {word}s")),
                    words => article(&format!("list of {words}")),
                },
                _ if self.length > 0 => article(&format!("list of at least {}", self.length)),
                _ => article("list"),
            });
        }
        if has(OBJECT) {
            let keys: Vec<&str> = self.keys.keys().map(String::as_str).collect();
            parts.push(if keys.is_empty() {
                article("object")
            } else {
                article(&format!("object with {}", keys.join(", ")))
            });
        }
        if has(NULL) {
            parts.push("null".to_owned());
        }
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        f.write_str(&parts.join(" or "))
    }
}

/// Whether a parameter must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing is wrong without it: `guid`, which is always given, `${HOME}`, `{payload}`.
    Optional,
    /// Without it a placeholder stays as text, or becomes null.
    Expected,
    /// Without it the request is rejected, a message is lost, or a service refuses its parameters.
    Required,
}

/// One place where a parameter is used.
#[derive(Debug, Clone)]
pub struct Use {
    /// The string.
    pub node: NodeId,
    /// The placeholder in its template.
    pub field: Field,
    /// Whether the value itself is put in, and not text.
    pub is_replace: bool,
    /// The step it is in; none in `start`.
    pub step: Option<usize>,
    /// Whether it is needed here.
    pub need: Need,
    /// What the parameter must be for this place.
    pub expects: Type,
    /// Whether anything else is surely wrong, and not only unusual.
    pub certain: bool,
    /// Whether anything else makes the substitution fail.
    pub fails: bool,
    /// What the recipe does with it here: a clause.
    pub reason: String,
    /// Why nothing that comes of the string suits this place, whatever the parameter is.
    pub never: Option<Never>,
}

/// Why what comes of a string with placeholders never suits its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Never {
    /// It is text, and no text suits; what does: a clause.
    Text(String),
    /// The text beside the placeholders does not suit; what does: a clause.
    Beside(String),
}

impl Use {
    /// Where the placeholder is. To find it in a long string with escapes takes a walk through the string.
    pub fn span(&self, recipe: &Recipe) -> Span {
        recipe.node(self.node).text_span(self.field.span.clone())
    }
}

/// A parameter of a recipe.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub meets: Type,
    /// Whether it must be given.
    pub need: Need,
    /// Its uses, in the order of the text.
    pub uses: Vec<Use>,
    /// Two uses that contradict each other: the later one, and the earlier.
    pub conflict: Option<(usize, usize)>,
    /// What the contract of a service says about the place it goes to.
    pub description: Option<String>,
}

/// Names that services fill in themselves: the bodies of mails.
const LATER: [&str; 2] = ["payload", "pprint_payload"];

/// The names of all parameters that templates use.
pub fn names(templates: &[TemplateUse]) -> impl Iterator<Item = &str> {
    let templates = templates.iter().filter_map(|used| used.template.as_ref().ok());
    templates.flat_map(Template::fields).map(|field| field.name.as_str())
}

/// Words that the author of a string with a placeholder that is none may have meant as the name of a parameter.
pub fn meant(recipe: &Recipe, templates: &[TemplateUse]) -> impl Iterator<Item = String> {
    let broken = templates.iter().filter(|used| used.template.is_err());
    let spaced = names(templates).map(str::trim).map(str::to_owned);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    spaced.chain(broken.flat_map(move |used| {
        let text = recipe.node(used.node).text();
        text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    }))
}

/// The signature of a recipe: its parameters in the order of the alphabet.
pub fn infer(recipe: &Recipe, templates: &[TemplateUse], contracts: &Contracts) -> Vec<Parameter> {
    of_uses(recipe, templates, contracts)
}

/// The same with only those uses of parameters that ask for something: the others, which take any text, are most of
/// them.
pub fn demands(recipe: &Recipe, templates: &[TemplateUse], contracts: &Contracts) -> Vec<Parameter> {
    let parts = demanding(recipe, contracts);
    let is_in_one = |node: NodeId| {
        let after = parts.partition_point(|&part| part <= node);
        after.checked_sub(1).is_some_and(|last| recipe.node(parts[last]).holds(node))
    };
    let asks = |field: &Field| !field.path.is_empty() || !field.spec.is_empty();
    of_uses(
        recipe,
        templates.iter().filter(|used| {
            let in_form = used.template.as_ref().is_ok_and(|template| template.replace || template.any_field(asks));
            in_form || is_in_one(used.node)
        }),
        contracts,
    )
}

/// The parts of the steps where their contracts may ask for more than text, in the order of the document.
fn demanding(recipe: &Recipe, contracts: &Contracts) -> Vec<NodeId> {
    let mut found = Vec::new();
    for step in recipe.steps() {
        let Some(contract) = contracts.of_step(recipe, step) else { continue };
        for (schema, part) in [(&contract.parameters, step.parameters), (&contract.job_parameters, step.job_parameters)]
        {
            let (Some(schema), Some(part)) = (schema, part) else { continue };
            let may_have_braces = |node: NodeRef<'_>| match node.kind() {
                Kind::Array | Kind::Object => !node.is_empty(),
                _ => node.has_braces(),
            };
            let values = recipe.node(part).members().filter(|member| may_have_braces(member.value));
            let asks =
                |member: &Member<'_>| !takes_text(schema, &member.key.text(), member.value.kind() == Kind::String);
            found.extend(values.filter(asks).map(|member| member.value.id()));
        }
    }
    found.sort_unstable();
    found
}

/// Whether it is plain to see that a schema takes any text as the value of a key, or, if that is no text itself,
/// anywhere in it.
fn takes_text(schema: &Schema, key: &str, is_text: bool) -> bool {
    const SILENT: [&str; 6] = ["type", "title", "description", "default", "examples", "deprecated"];
    const OF_OBJECTS: [&str; 4] = ["properties", "required", "additionalProperties", "$schema"];
    let Some(root) = schema.root().as_object() else { return false };
    let is_plain = |known: &str| SILENT.contains(&known) || OF_OBJECTS.contains(&known);
    let named = root.get("properties").and_then(|properties| properties.get(key));
    let says_text = |kind: &SchemaValue| kind.as_str() == Some("string");
    let holds_text = |kinds: &SchemaValue| kinds.as_array().is_some_and(|kinds| kinds.iter().any(says_text));
    root.keys().all(|known| is_plain(known))
        && match named.map(SchemaValue::as_object) {
            None => root.get("additionalProperties").is_none_or(SchemaValue::is_boolean),
            Some(Some(named)) => {
                let kinds = named.get("type");
                named.keys().all(|known| SILENT.contains(&known.as_str()))
                    && (!is_text || kinds.is_none_or(|kinds| says_text(kinds) || holds_text(kinds)))
            }
            Some(None) => false,
        }
}

fn of_uses<'u>(
    recipe: &Recipe,
    templates: impl IntoIterator<Item = &'u TemplateUse>,
    contracts: &Contracts,
) -> Vec<Parameter> {
    let mut parameters: BTreeMap<&str, Parameter> = BTreeMap::new();
    for used in templates {
        let Ok(template) = &used.template else { continue };
        let node = recipe.node(used.node);
        let place = Place::find(recipe, contracts, node);
        let text = node.text();
        for (field, in_spec) in fields(template) {
            let found = place.use_of(recipe, node, &text, template, field, in_spec);
            let parameter = parameters.entry(&field.name).or_insert_with(|| Parameter {
                name: field.name.clone(),
                meets: Type::any(),
                need: Need::Optional,
                uses: Vec::new(),
                conflict: None,
                description: None,
            });
            if parameter.description.is_none() && template.whole().is_some() {
                parameter.description = place.description();
            }
            parameter.uses.push(found);
        }
    }
    let mut parameters: Vec<Parameter> = parameters.into_values().collect();
    parameters.iter_mut().for_each(settle);
    parameters
}

/// Makes one type of all uses.
fn settle(parameter: &mut Parameter) {
    parameter.need = parameter.uses.iter().map(|used| used.need).max().unwrap_or(Need::Optional);
    for (index, used) in parameter.uses.iter().enumerate().filter(|(_, used)| used.certain) {
        let met = parameter.meets.meet(&used.expects);
        if !met.is_empty() {
            parameter.meets = met;
            continue;
        }
        if parameter.conflict.is_none() && !used.expects.is_empty() {
            let certain = parameter.uses[..index].iter().enumerate().filter(|(_, earlier)| earlier.certain);
            let mut against = certain.clone().filter(|(_, earlier)| earlier.expects.meet(&used.expects).is_empty());
            let earlier = against.next().or_else(|| certain.clone().next_back()).map(|(earlier, _)| earlier);
            parameter.conflict = earlier.map(|earlier| (index, earlier));
        }
    }
    for used in parameter.uses.iter().filter(|used| !used.certain || used.expects.is_empty()) {
        let met = parameter.meets.meet(&used.expects);
        // To stand as text for something else is unusual; what cannot be formatted at all is rejected.
        if !met.is_empty() || used.fails {
            parameter.meets = met;
        }
    }
}

/// All placeholders, and whether they stand in a format specification.
fn fields(template: &Template) -> Vec<(&Field, bool)> {
    fn collect<'t>(pieces: &'t [Piece], in_spec: bool, fields: &mut Vec<(&'t Field, bool)>) {
        for piece in pieces {
            if let Piece::Field(field) = piece {
                fields.push((field, in_spec));
                collect(&field.spec, true, fields);
            }
        }
    }
    let mut fields = Vec::new();
    collect(&template.pieces, false, &mut fields);
    fields
}

/// Where a string stands.
struct Place<'r> {
    step: Option<usize>,
    /// The key of the step it is in, for a message.
    part: &'static str,
    destination: bool,
    delay: bool,
    is_key: bool,
    contract: Option<&'r Contract>,
    schema: Option<&'r Schema>,
    path: Vec<Segment>,
    said: Option<Arc<Said>>,
    /// Whether text counts as what it reads as: the contract says so.
    coerced: bool,
}

impl<'r> Place<'r> {
    fn find(recipe: &'r Recipe, contracts: &'r Contracts, node: NodeRef<'_>) -> Self {
        let mut place = Place {
            step: None,
            part: "",
            destination: false,
            delay: false,
            is_key: false,
            contract: None,
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
        for (part, value) in [("parameters", step.parameters), ("job_parameters", step.job_parameters)] {
            let Some(value) = value.filter(|&value| holds(value)) else { continue };
            place.part = part;
            place.is_key = !follow(recipe.node(value), node, &mut place.path);
            if place.is_key {
                continue;
            }
            place.contract = contracts.of_step(recipe, step);
            place.schema = place.contract.and_then(|contract| match part {
                "parameters" => contract.parameters.as_ref(),
                _ => contract.job_parameters.as_ref(),
            });
            if let (Some(contract), Some(schema)) = (place.contract, place.schema) {
                (place.said, place.coerced) = (Some(Said::at_place(schema, &place.path)), contract.coerced);
            }
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

    fn description(&self) -> Option<String> {
        if self.delay {
            return Some("seconds by which messages to a step are delayed".to_owned());
        }
        match self.path.as_slice() {
            [Segment::Key(key)] => self.schema?.description(key).map(str::to_owned),
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

    fn use_of(
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
            reason = "its value is put in here".to_owned();
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
            never,
        }
    }
}

/// The path from a node to one inside of it; whether that is a value, and not a key.
fn follow(from: NodeRef<'_>, to: NodeRef<'_>, path: &mut Vec<Segment>) -> bool {
    let target = to.span();
    let holds = |outer: NodeRef<'_>| outer.span().start <= target.start && target.end <= outer.span().end;
    let mut at = from;
    while at.id() != to.id() {
        let next = match at.kind() {
            Kind::Array => {
                at.items().enumerate().find(|(_, item)| holds(*item)).map(|(index, item)| (Segment::Index(index), item))
            }
            Kind::Object => {
                let member = at.members().find(|member| holds(member.value));
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

/// Why a payload does not fit: the path of the part, and what is wrong with it.
pub type Misfit = (String, String);

/// Whether what a service sends on one of its channels can be what another one takes, both under these contracts.
pub fn misfit(contracts: &Contracts, sent: &Schema, taker: &Contract) -> Option<Misfit> {
    let taken = taker.payload.as_ref()?;
    // The two schemas stay where they are while the contracts are there.
    let pair = (std::ptr::from_ref(sent).addr(), std::ptr::from_ref(taken).addr());
    let find = || misfit_at(sent.root(), sent.root(), taken.root(), taken.root(), taker.coerced, String::new(), 0);
    contracts.derived.remember(&pair, find)
}

fn misfit_at(
    sent_root: &SchemaValue,
    sent: &SchemaValue,
    taken_root: &SchemaValue,
    taken: &SchemaValue,
    coerced: bool,
    path: String,
    depth: usize,
) -> Option<(String, String)> {
    if depth > MOST_DEPTH {
        return None;
    }
    let sent = resolve_reference(sent_root, sent);
    let taken = resolve_reference(taken_root, taken);
    let sends = Type::of_schema(sent_root, sent);
    let takes = Type::of_schema(taken_root, taken);
    let takes = if coerced { takes.coerced() } else { takes };
    let kinds =
        |found: &Type| Type { kinds: found.kinds, reading: found.reading, values: found.values.clone(), ..Type::any() };
    if sends.is_empty() || takes.is_empty() {
        return None;
    }
    // A number that is whole may be an integer.
    let mut wide = kinds(&sends);
    if wide.kinds & NUMBER != 0 && wide.values.is_none() {
        wide.kinds |= NUMBER;
    }
    if wide.meet(&kinds(&takes)).is_empty() {
        return Some((
            path,
            format!("is {:#}, and {:#} is taken", kinds(&sends), kinds(&Type::of_schema(taken_root, taken))),
        ));
    }
    if sends.kinds != OBJECT || takes.kinds & OBJECT == 0 {
        return None;
    }
    let properties = sent.get("properties").and_then(SchemaValue::as_object)?;
    let is_open = sent.get("additionalProperties").is_some_and(|more| *more != SchemaValue::Bool(false))
        || ["patternProperties", "anyOf", "oneOf", "allOf"].iter().any(|keyword| sent.get(keyword).is_some());
    for key in takes.keys.keys() {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match properties.get(key) {
            None if is_open => {}
            None => return Some((inner, "is not in it".to_owned())),
            Some(property) => {
                let wanted = taken.get("properties").and_then(|properties| properties.get(key));
                let wanted = wanted.unwrap_or(&SchemaValue::Bool(true));
                let found = misfit_at(sent_root, property, taken_root, wanted, coerced, inner, depth + 1);
                if found.is_some() {
                    return found;
                }
            }
        }
    }
    None
}
