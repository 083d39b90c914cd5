//! What names of Python source files stand for.

use ruff_python_ast::{Expr, StmtClassDef, StmtFunctionDef};
use serde_json::Value;

use super::facts::Evidence;

/// A class, and the file in which it is.
#[derive(Clone, Copy)]
pub(super) struct Class<'a> {
    pub module: usize,
    pub node: &'a StmtClassDef,
}

impl PartialEq for Class<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.node, other.node)
    }
}

/// A function, and the file in which it is.
#[derive(Clone, Copy)]
pub(super) struct Function<'a> {
    pub module: usize,
    pub node: &'a StmtFunctionDef,
}

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Def<'a> {
    Class(Class<'a>),
    Function(Function<'a>),
    Value(usize, &'a Expr),
    Module(usize),
    /// A name that is not in these files: its whole name.
    External(String),
}

/// A field of a model.
#[derive(Clone)]
pub(super) struct Field<'a> {
    /// The attribute of the class.
    pub attribute: &'a str,
    /// The key in the input.
    pub key: String,
    /// Other keys that are taken for it.
    pub also: Vec<String>,
    pub required: bool,
    pub default: Option<Value>,
    pub schema: Value,
    /// The model that the value is read as.
    pub model: Option<Class<'a>>,
    pub evidence: Evidence,
}

impl Field<'_> {
    /// Whether its value may be `None`.
    fn holds_nothing(&self) -> bool {
        let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
        let parts = self.schema.get("anyOf").and_then(Value::as_array);
        self.default.as_ref().is_some_and(Value::is_null) || parts.is_some_and(|parts| parts.iter().any(is_null))
    }

    /// Whether its value is an instance of its model, whatever the input.
    pub fn is_instance(&self) -> bool {
        let is_object = self.schema.get("type").is_some_and(|kind| kind == "object");
        self.model.is_some() && is_object && (self.required || self.default.is_some()) && !self.holds_nothing()
    }
}

/// What a model does with keys that are none of its fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Ignored,
    Allowed,
    Forbidden,
}

/// A model.
#[derive(Clone)]
pub(super) struct Model<'a> {
    pub fields: Vec<Field<'a>>,
    pub extra: Extra,
    /// Whether there may be fields that are not known.
    pub open: bool,
}

/// The kind of a class with fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// pydantic checks and converts the values.
    Checked,
    /// The values stay as they are.
    Plain,
}

/// A name under which a package offers something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryPoint {
    pub group: String,
    pub name: String,
    /// `module:member`.
    pub target: String,
}
