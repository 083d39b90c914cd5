//! Types as sets of values: what is known of one, how two meet and join, and what a JSON Schema makes of them.

use std::collections::BTreeMap;

use crate::recipe::LONGEST_DELAY;
use crate::schema::{
    Pattern, SchemaValue, reads_as_boolean, reads_as_number, required_names, resolve_reference, to_schema_value,
};
use crate::template::{Access, Piece, Template};
use crate::value::Value;

/// Kinds of values, as bits.
pub(super) type Kinds = u8;

pub(super) const NULL: Kinds = 1;
pub(super) const BOOL: Kinds = 1 << 1;
pub(super) const INTEGER: Kinds = 1 << 2;
/// Numbers written with a fraction or exponent.
pub(super) const FRACTION: Kinds = 1 << 3;
pub(super) const TEXT: Kinds = 1 << 4;
pub(super) const ARRAY: Kinds = 1 << 5;
pub(super) const OBJECT: Kinds = 1 << 6;
pub(super) const NUMBER: Kinds = INTEGER | FRACTION;
pub(super) const SCALAR: Kinds = BOOL | NUMBER | TEXT;
pub(super) const ALL: Kinds = NULL | SCALAR | ARRAY | OBJECT;

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
    pub(super) kinds: Kinds,
    /// Of text: what it must read as.
    pub(super) reading: Reading,
    /// Of numbers: the least and the greatest.
    pub(super) range: (i64, i64),
    /// Of arrays and text: the least length.
    pub(super) length: usize,
    /// Of text: regular expressions that it must match.
    pub(super) patterns: Vec<Pattern>,
    /// Of objects: keys that must be there.
    pub(super) keys: BTreeMap<String, Type>,
    /// Of arrays: items that must be of a type of their own.
    pub(super) places: BTreeMap<usize, Type>,
    /// Of arrays: every item.
    pub(super) items: Option<Box<Type>>,
    /// The only values there are.
    pub(super) values: Option<Vec<SchemaValue>>,
}

/// Maximum place of a list item for which a schema lists the items before it.
const MAX_PREFIX_ITEMS: usize = 64;

impl Type {
    pub(super) const fn of(kinds: Kinds) -> Self {
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
    pub(super) fn delay() -> Self {
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
                // The outermost bounds are none: floating-point numbers go far beyond them.
                let (least, greatest) = self.range;
                let is_enough = least == i64::MIN || least as f64 <= number.as_f64();
                self.kinds & FRACTION != 0 && is_enough && (greatest == i64::MAX || number.as_f64() <= greatest as f64)
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
    pub(super) fn may_come_of(&self, template: &Template) -> bool {
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
    pub(super) fn join(&self, other: &Self) -> Self {
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
    pub(super) fn of_text(&self) -> Self {
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
    pub(super) fn holding(access: &Access, inner: Self) -> Self {
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
pub(super) const MOST_DEPTH: usize = 16;

pub(super) fn of_schema(root: &SchemaValue, schema: &SchemaValue, depth: usize) -> Type {
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
        for name in required_names(schema) {
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
