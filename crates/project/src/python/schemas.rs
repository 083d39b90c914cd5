//! Annotations of types as JSON Schemas.

use ruff_python_ast::{Expr, Stmt};
use serde_json::{Map, Value, json};

use super::definitions::{Class, Def, Extra, Model};
use super::literals::constant;
use super::source::Index;

impl<'a> Index<'a> {
    /// The JSON Schema of an annotation; of one that is not known everything fits.
    pub fn schema(&self, module: usize, annotation: &'a Expr, depth: usize) -> Value {
        if depth == 0 {
            return json!({});
        }
        match annotation {
            Expr::NoneLiteral(_) => json!({"type": "null"}),
            Expr::StringLiteral(name) => self.schema_of_def(self.lookup(module, name.value.to_str()), depth),
            Expr::Name(_) | Expr::Attribute(_) => match self.resolve(module, annotation) {
                Some(def) => self.schema_of_def(def, depth),
                None => json!({}),
            },
            Expr::BinOp(either) => {
                union(vec![self.schema(module, &either.left, depth), self.schema(module, &either.right, depth)])
            }
            Expr::Subscript(subscript) => {
                let parts: Vec<&'a Expr> = match &*subscript.slice {
                    Expr::Tuple(parts) => parts.elts.iter().collect(),
                    other => vec![other],
                };
                let head = self.external(module, &subscript.value).unwrap_or_default();
                let part =
                    |at: usize| parts.get(at).map_or_else(|| json!({}), |part| self.schema(module, part, depth - 1));
                match head.as_str() {
                    "Optional" => union(vec![part(0), json!({"type": "null"})]),
                    "Union" => union(parts.iter().map(|part| self.schema(module, part, depth - 1)).collect()),
                    "Annotated" | "Required" | "NotRequired" | "Final" | "ReadOnly" => part(0),
                    "Literal" => {
                        let values: Option<Vec<Value>> = parts.iter().map(|part| constant(part)).collect();
                        values.map_or_else(|| json!({}), |values| json!({"enum": values}))
                    }
                    "list" | "List" | "Sequence" | "MutableSequence" | "Collection" | "Iterable" | "set" | "Set"
                    | "frozenset" | "FrozenSet" | "deque" | "Deque" => json!({"type": "array", "items": part(0)}),
                    "tuple" | "Tuple" => match &parts[..] {
                        [_, Expr::EllipsisLiteral(_)] => json!({"type": "array", "items": part(0)}),
                        parts => {
                            let items: Vec<Value> =
                                parts.iter().map(|part| self.schema(module, part, depth - 1)).collect();
                            let count = items.len();
                            json!({"type": "array", "prefixItems": items, "minItems": count, "maxItems": count})
                        }
                    },
                    "dict" | "Dict" | "Mapping" | "MutableMapping" | "OrderedDict" | "defaultdict" | "DefaultDict" => {
                        match part(1) {
                            Value::Object(any) if any.is_empty() => json!({"type": "object"}),
                            values => json!({"type": "object", "additionalProperties": values}),
                        }
                    }
                    _ => match self.resolve(module, &subscript.value) {
                        Some(def @ Def::Class(_)) => self.schema_of_def(def, depth),
                        _ => json!({}),
                    },
                }
            }
            Expr::Call(call) => {
                let mut schema = match self.external(module, &call.func).as_deref() {
                    Some("conint") => json!({"type": "integer"}),
                    Some("confloat" | "condecimal") => json!({"type": "number"}),
                    Some("constr") => json!({"type": "string"}),
                    Some("conlist" | "conset") => {
                        let item = call.arguments.args.first();
                        let items = item.map_or_else(|| json!({}), |item| self.schema(module, item, depth - 1));
                        json!({"type": "array", "items": items})
                    }
                    _ => return json!({}),
                };
                for keyword in &call.arguments.keywords {
                    if let (Some(name), Some(value)) = (&keyword.arg, constant(&keyword.value)) {
                        bound(&mut schema, name, value);
                    }
                }
                schema
            }
            _ => json!({}),
        }
    }

    fn schema_of_def(&self, def: Def<'a>, depth: usize) -> Value {
        match def {
            Def::Class(class) => self.schema_of_class(class, depth),
            Def::Value(module, value) => match value {
                Expr::Call(call)
                    if matches!(self.external(module, &call.func).as_deref(), Some("NewType" | "TypeAliasType")) =>
                {
                    let inner = call.arguments.args.get(1);
                    inner.map_or_else(|| json!({}), |inner| self.schema(module, inner, depth - 1))
                }
                value => self.schema(module, value, depth - 1),
            },
            Def::External(name) => external_schema(name.rsplit('.').next().unwrap_or_default()),
            Def::Function(_) | Def::Module(_) => json!({}),
        }
    }

    fn schema_of_class(&self, class: Class<'a>, depth: usize) -> Value {
        let ancestry = self.ancestry(class);
        let external = &ancestry.1;
        if external.iter().any(|name| name.ends_with("Enum") || name.ends_with("IntFlag")) {
            let values = class.node.body.iter().filter_map(|statement| match statement {
                Stmt::Assign(assign) if matches!(&assign.targets[..], [Expr::Name(name)] if !name.id.starts_with('_')) => {
                    Some(match &*assign.value {
                        Expr::Call(_) => None,
                        value => constant(value),
                    })
                }
                _ => None,
            });
            let values: Option<Vec<Value>> = values.collect();
            return values.filter(|values| !values.is_empty()).map_or_else(|| json!({}), |all| json!({"enum": all}));
        }
        let Some(_) = self.model_kind(class) else { return json!({}) };
        if external.iter().any(|name| name.ends_with("RootModel")) || depth <= 1 {
            return json!({});
        }
        object_schema(&self.model_within(class, depth - 1))
    }
}

/// The schema of a type that is not in the files.
fn external_schema(name: &str) -> Value {
    let dated = |format: &str| json!({"type": ["string", "number"], "format": format});
    match name {
        "str" | "Path" | "PurePath" | "PosixPath" | "PurePosixPath" | "FilePath" | "DirectoryPath" | "NewPath"
        | "PathLike" | "StrictStr" | "SecretStr" | "EmailStr" | "NameEmail" | "bytes" => json!({"type": "string"}),
        "int" | "StrictInt" => json!({"type": "integer"}),
        "PositiveInt" => json!({"type": "integer", "exclusiveMinimum": 0}),
        "NegativeInt" => json!({"type": "integer", "exclusiveMaximum": 0}),
        "NonNegativeInt" => json!({"type": "integer", "minimum": 0}),
        "NonPositiveInt" => json!({"type": "integer", "maximum": 0}),
        "float" | "StrictFloat" | "FiniteFloat" | "Decimal" => json!({"type": "number"}),
        "PositiveFloat" => json!({"type": "number", "exclusiveMinimum": 0}),
        "NegativeFloat" => json!({"type": "number", "exclusiveMaximum": 0}),
        "NonNegativeFloat" => json!({"type": "number", "minimum": 0}),
        "NonPositiveFloat" => json!({"type": "number", "maximum": 0}),
        "bool" | "StrictBool" => json!({"type": "boolean"}),
        "None" | "NoneType" => json!({"type": "null"}),
        "dict" | "Dict" | "Mapping" | "MutableMapping" | "OrderedDict" => json!({"type": "object"}),
        "list" | "List" | "Sequence" | "set" | "Set" | "tuple" | "Tuple" | "frozenset" => json!({"type": "array"}),
        "datetime" | "AwareDatetime" | "NaiveDatetime" | "PastDatetime" | "FutureDatetime" => dated("date-time"),
        "date" | "PastDate" | "FutureDate" => dated("date"),
        "time" => dated("time"),
        "timedelta" => dated("duration"),
        "UUID" | "UUID1" | "UUID3" | "UUID4" | "UUID5" => json!({"type": "string", "format": "uuid"}),
        "HttpUrl" | "AnyUrl" | "AnyHttpUrl" | "FileUrl" => json!({"type": "string", "format": "uri"}),
        _ => json!({}),
    }
}

/// Of several types one; the same twice counts once.
fn union(parts: Vec<Value>) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Value::Object(object) if object.is_empty() => return json!({}),
            Value::Object(object) if object.len() == 1 && object.contains_key("anyOf") => {
                let inner = object.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
                all.extend(inner.into_iter().filter(|part| !all.contains(part)).collect::<Vec<_>>());
            }
            part if !all.contains(&part) => all.push(part),
            _ => {}
        }
    }
    match all.len() {
        1 => all.remove(0),
        _ => json!({"anyOf": all}),
    }
}

/// Adds a bound to a schema, also to the types of a union.
pub(super) fn bound(schema: &mut Value, name: &str, value: Value) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::Array(parts)) = object.get_mut("anyOf") {
        for part in parts {
            bound(part, name, value.clone());
        }
        return;
    }
    let is = |kind: &str| match object.get("type") {
        Some(Value::String(found)) => found == kind,
        _ => false,
    };
    let is_number = is("integer") || is("number");
    let (is_text, is_array) = (is("string"), is("array"));
    let key = match name {
        "gt" if is_number => "exclusiveMinimum",
        "ge" if is_number => "minimum",
        "lt" if is_number => "exclusiveMaximum",
        "le" if is_number => "maximum",
        "multiple_of" if is_number => "multipleOf",
        "min_length" if is_text => "minLength",
        "max_length" if is_text => "maxLength",
        "min_length" | "min_items" if is_array => "minItems",
        "max_length" | "max_items" if is_array => "maxItems",
        "pattern" | "regex" if is_text => "pattern",
        _ => return,
    };
    // The patterns of pydantic are Rust's; what Python alone knows is left out.
    if key == "pattern" && value.as_str().is_some_and(|text| text.contains("(?P")) {
        return;
    }
    object.insert(key.to_owned(), value);
}

/// The JSON Schema of an object that is read as a model.
pub(super) fn object_schema(model: &Model<'_>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in &model.fields {
        let mut schema = field.schema.clone();
        if let (Some(default), Value::Object(schema)) = (&field.default, &mut schema) {
            schema.insert("default".to_owned(), default.clone());
        }
        for other in &field.also {
            properties.insert(other.clone(), schema.clone());
        }
        properties.insert(field.key.clone(), schema);
        if field.required && field.also.is_empty() {
            required.push(Value::from(field.key.as_str()));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    schema.insert("properties".to_owned(), Value::Object(properties));
    match model.extra {
        Extra::Forbidden if !model.open => {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        Extra::Allowed => {
            schema.insert("additionalProperties".to_owned(), Value::Bool(true));
        }
        _ if model.open => {
            schema.insert("additionalProperties".to_owned(), Value::Bool(true));
        }
        _ => {}
    }
    Value::Object(schema)
}
