//! The walk through expressions.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{BoolOp, CmpOp, Expr, ExprSubscript, FStringPart, InterpolatedStringElement, Operator, UnaryOp};
use serde_json::Value;

use super::definitions::{Class, Def, Function};
use super::facts::{Root, Segment, Use, same};
use super::flow::Walk;
use super::literals::constant;
use super::values::{Abs, At, Callable, Chosen, Code, Dict, How};

impl<'a> Walk<'_, 'a> {
    /// What an expression is.
    pub fn eval(&mut self, expression: &'a Expr) -> Abs<'a> {
        if self.fuel == 0 {
            return Abs::Unknown;
        }
        self.fuel -= 1;
        match expression {
            Expr::NoneLiteral(_) => Abs::Nothing,
            Expr::StringLiteral(_) | Expr::NumberLiteral(_) | Expr::BooleanLiteral(_) => {
                constant(expression).map_or(Abs::Unknown, |value| Abs::Json(Rc::new(value)))
            }
            Expr::Name(name) => self.name(&name.id),
            Expr::Attribute(attribute) => {
                let value = self.eval(&attribute.value);
                self.attribute(&value, &attribute.attr, expression)
            }
            Expr::Subscript(subscript) => self.subscript(subscript),
            Expr::Call(call) => self.call(call),
            Expr::BoolOp(either) => self.either(either.op, &either.values),
            Expr::If(either) => {
                let truth = self.eval(&either.test).truth();
                match truth {
                    Some(true) => self.eval(&either.body),
                    Some(false) => self.eval(&either.orelse),
                    None => self.alternatives(&[&either.body, &either.orelse]),
                }
            }
            Expr::Named(named) => {
                let value = self.eval(&named.value);
                self.assign(&named.target, value.clone());
                value
            }
            Expr::Dict(dict) => self.dict(dict),
            Expr::List(list) => self.list(&list.elts),
            Expr::Tuple(tuple) => self.list(&tuple.elts),
            Expr::Set(set) => self.list(&set.elts),
            Expr::ListComp(comprehension) => self.comprehension(&comprehension.generators, &[&comprehension.elt]),
            Expr::SetComp(comprehension) => self.comprehension(&comprehension.generators, &[&comprehension.elt]),
            Expr::Generator(comprehension) => self.comprehension(&comprehension.generators, &[&comprehension.elt]),
            Expr::DictComp(comprehension) => {
                self.dict_comprehension(&comprehension.generators, comprehension.key.as_deref(), &comprehension.value)
            }
            Expr::FString(text) => {
                let mut parts: Vec<&'a InterpolatedStringElement> = Vec::new();
                let mut head = String::new();
                for part in &text.value {
                    match part {
                        FStringPart::Literal(literal) if parts.is_empty() => head.push_str(literal),
                        FStringPart::Literal(_) => {}
                        FStringPart::FString(text) => parts.extend(text.elements.iter()),
                    }
                }
                let mut first = None;
                for part in parts {
                    match part {
                        InterpolatedStringElement::Literal(literal) if first.is_none() => head.push_str(&literal.value),
                        InterpolatedStringElement::Literal(_) => {}
                        InterpolatedStringElement::Interpolation(inner) => {
                            let value = self.eval(&inner.expression);
                            match (&first, value.as_text()) {
                                (None, Some(text)) => head.push_str(text),
                                (None, None) => first = Some(value),
                                _ => {}
                            }
                        }
                    }
                }
                prefixed(&head, first)
            }
            Expr::BinOp(operation) => self.operation(&operation.left, operation.op, &operation.right),
            Expr::Compare(compare) => {
                let mut left = self.eval(&compare.left);
                for (operator, right) in compare.ops.iter().zip(&compare.comparators) {
                    let value = self.eval(right);
                    if matches!(operator, CmpOp::In | CmpOp::NotIn)
                        && let (Some(text), Some(at)) = (left.as_text(), value.as_at())
                        // In a text it would be a part of it.
                        && at.is_whole()
                    {
                        let (text, at) = (text.to_owned(), at.clone());
                        self.read(&at, &text, How::Member, &*compare.left);
                    }
                    left = value;
                }
                Abs::Unknown
            }
            Expr::UnaryOp(operation) => {
                let value = self.eval(&operation.operand);
                match (operation.op, value.truth()) {
                    (UnaryOp::Not, Some(truth)) => Abs::Json(Rc::new(Value::Bool(!truth))),
                    _ => Abs::Unknown,
                }
            }
            Expr::Lambda(lambda) => Abs::Function(Rc::new(Callable {
                code: Code::Lambda(lambda),
                module: self.module(),
                frame: Some(self.current),
                bound: false,
                owner: self.frames[self.current].owner,
            })),
            Expr::Await(inner) => self.eval(&inner.value),
            Expr::Starred(inner) => self.eval(&inner.value),
            Expr::Yield(inner) => inner.value.as_ref().map_or(Abs::Unknown, |value| self.eval(value)),
            Expr::YieldFrom(inner) => self.eval(&inner.value),
            _ => Abs::Unknown,
        }
    }

    pub fn name(&mut self, name: &'a str) -> Abs<'a> {
        let mut frame = Some(self.current);
        while let Some(at) = frame {
            if let Some(value) = self.frames[at].vars.get(name) {
                return value.clone();
            }
            frame = self.frames[at].parent;
        }
        let def = self.index.lookup(self.module(), name);
        self.defined(def)
    }

    /// The value of something that a name stands for.
    pub fn defined(&mut self, def: Def<'a>) -> Abs<'a> {
        match def {
            Def::Class(class) => Abs::Class(class),
            Def::Function(function) => self.function(function, false, None),
            Def::Module(index) => Abs::Module(index),
            Def::External(name) => Abs::External(name.into()),
            Def::Value(module, value) => {
                if let Some(value) = constant(value) {
                    return match value {
                        Value::Array(items) => {
                            Abs::List(Rc::new(items.into_iter().map(|item| Abs::Json(Rc::new(item))).collect()))
                        }
                        Value::Object(object) => {
                            let keys = object.into_iter().map(|(key, value)| (key, (true, Abs::Json(Rc::new(value)))));
                            let keys = keys.collect();
                            self.new_dict(Dict { keys, ..Dict::default() })
                        }
                        Value::Null => Abs::Nothing,
                        value => Abs::Json(Rc::new(value)),
                    };
                }
                match value {
                    // A table of functions or models.
                    Expr::Dict(_) | Expr::Tuple(_) | Expr::List(_) => {
                        let at = std::ptr::from_ref(value).addr();
                        if self.stack.contains(&at) {
                            return Abs::Unknown;
                        }
                        self.stack.push(at);
                        let found = self.in_module(module, |walk| walk.eval(value));
                        self.stack.pop();
                        found
                    }
                    _ => Abs::Unknown,
                }
            }
        }
    }

    pub fn in_module<T>(&mut self, module: usize, walk: impl FnOnce(&mut Self) -> T) -> T {
        let frame = super::values::Frame {
            vars: HashMap::new(),
            parent: None,
            module,
            owner: None,
            entry: false,
            returned: None,
            returns: 0,
        };
        self.frames.push(frame);
        let current = std::mem::replace(&mut self.current, self.frames.len() - 1);
        let result = walk(self);
        self.current = current;
        result
    }

    pub fn function(&self, function: Function<'a>, bound: bool, owner: Option<Class<'a>>) -> Abs<'a> {
        let module = function.module;
        Abs::Function(Rc::new(Callable { code: Code::Function(function), module, frame: None, bound, owner }))
    }

    /// `value.name`.
    pub fn attribute(&mut self, value: &Abs<'a>, name: &'a str, part: &'a Expr) -> Abs<'a> {
        match value {
            Abs::This => self.own_attribute(name),
            Abs::Wrapper => match name {
                "recipe_step" => Abs::at(At::of(Root::Step)),
                "payload" => Abs::at(At::of(Root::Payload)),
                "environment" => Abs::at(At::of(Root::Environment)),
                "transport" => Abs::Transport,
                _ => Abs::Method(Rc::new(value.clone()), name),
            },
            Abs::At(at) => {
                if let Some(class) = at.model
                    && let Some(field) =
                        self.index.model(class).fields.iter().find(|field| field.attribute == name).cloned()
                {
                    let mut inner = at.inner(&Segment::Key(field.key.clone()));
                    inner.model = field.model;
                    inner.instance = at.instance && field.is_instance();
                    return Abs::at(inner);
                }
                if at.namespace {
                    let at = at.clone();
                    return self.read(&at, name, How::Index, part);
                }
                Abs::Method(Rc::new(value.clone()), name)
            }
            Abs::Module(index) => {
                let found = self.index.member(&Def::Module(*index), name);
                found.map_or(Abs::Unknown, |def| self.defined(def))
            }
            Abs::External(path) => {
                let found = self.index.member(&Def::External(path.to_string()), name);
                found.map_or(Abs::Unknown, |def| self.defined(def))
            }
            Abs::Class(class) => match self.index.find_member(*class, name) {
                Some((owner, Def::Function(function))) => self.function(function, false, Some(owner)),
                Some((_, def)) => self.defined(def),
                None => Abs::Method(Rc::new(value.clone()), name),
            },
            Abs::Object(at) => self.objects[*at].get(name).cloned().unwrap_or(Abs::Unknown),
            Abs::Unknown => Abs::Unknown,
            other => Abs::Method(Rc::new(other.clone()), name),
        }
    }

    pub fn own_attribute(&mut self, name: &'a str) -> Abs<'a> {
        if let Some(value) = self.attributes.get(name) {
            return changeable(value.clone());
        }
        match name {
            "_environment" => return Abs::at(At::of(Root::Service)),
            "_transport" | "transport" => return Abs::Transport,
            "recwrap" if self.facts.wrapper => return Abs::Wrapper,
            "log" | "_log" | "logger" => return Abs::Log,
            _ => {}
        }
        match self.index.find_member(self.class, name) {
            Some((owner, Def::Function(function))) => {
                let is = |wanted: &str| {
                    function.node.decorator_list.iter().any(|decorator| {
                        matches!(&decorator.expression, Expr::Name(name) if name.id == wanted)
                            || matches!(&decorator.expression, Expr::Attribute(name) if name.attr.as_str() == wanted)
                    })
                };
                let bound = self.function(function, !is("staticmethod"), Some(owner));
                if is("property") || is("cached_property") {
                    return self
                        .invoke(&bound, super::values::Given { args: vec![], keywords: vec![], spread: vec![] });
                }
                bound
            }
            Some((_, def)) => self.defined(def),
            None => Abs::Method(Rc::new(Abs::This), name),
        }
    }

    pub fn subscript(&mut self, subscript: &'a ExprSubscript) -> Abs<'a> {
        let value = self.eval(&subscript.value);
        let key = self.eval(&subscript.slice);
        self.item(&value, &key, &subscript.value, false)
    }

    /// `value[key]`; `or_none` for `value.get(key)`.
    pub fn item(&mut self, value: &Abs<'a>, key: &Abs<'a>, part: &'a Expr, or_none: bool) -> Abs<'a> {
        match value {
            Abs::At(at) => {
                let at = at.clone();
                match key {
                    Abs::Json(text) if text.is_string() => {
                        let text = text.as_str().unwrap_or_default().to_owned();
                        self.used(value, if at.is_whole() { None } else { Some(Use::Object) });
                        let how = if or_none { How::Get(None) } else { How::Index };
                        self.read(&at, &text, how, part)
                    }
                    Abs::Json(_) => {
                        self.used(value, None);
                        Abs::at(at.inner(&Segment::Item))
                    }
                    Abs::OneOf(keys) => {
                        let certain = std::mem::replace(&mut self.certain, false);
                        let mut all = Abs::Unknown;
                        for (index, key) in keys.iter().enumerate() {
                            let found = self.item(value, key, part, or_none);
                            all = if index == 0 { found } else { self.join(all, found) };
                        }
                        self.certain = certain;
                        all
                    }
                    _ => {
                        let is_name = at.places.iter().all(|place| place.root == Root::Environment);
                        if is_name && self.facts.replaces.is_none() && key.is_of_interest() {
                            self.facts.replaces = Some("whole");
                        } else if !is_name {
                            self.escape(value);
                        }
                        Abs::at(At { optional: false, ..at.inner(&Segment::Item) })
                    }
                }
            }
            Abs::Dict(at) => match key {
                Abs::Json(text) if text.is_string() => {
                    let text = text.as_str().unwrap_or_default();
                    let dict = &self.dicts[*at];
                    match dict.keys.get(text) {
                        Some((_, value)) => changeable(value.clone()),
                        None => Abs::Unknown,
                    }
                }
                Abs::At(selector) => {
                    let dict = &self.dicts[*at];
                    let cases: Vec<(String, Abs<'a>)> = dict
                        .keys
                        .iter()
                        .filter(|(_, (_, value))| matches!(value, Abs::Class(_) | Abs::Function(_)))
                        .map(|(key, (_, value))| (key.clone(), value.clone()))
                        .collect();
                    if cases.is_empty() {
                        return Abs::Unknown;
                    }
                    let complete = !dict.open && !or_none;
                    Abs::Chosen(Rc::new(Chosen { selector: (**selector).clone(), cases, complete }))
                }
                _ => Abs::Unknown,
            },
            Abs::List(items) => match key {
                Abs::Json(index) => {
                    let index = index.as_u64().and_then(|index| usize::try_from(index).ok());
                    index.and_then(|index| items.get(index).cloned()).unwrap_or(Abs::Unknown)
                }
                _ => Abs::Unknown,
            },
            _ => Abs::Unknown,
        }
    }

    pub fn either(&mut self, op: BoolOp, values: &'a [Expr]) -> Abs<'a> {
        let certain = self.certain;
        let mut joined: Option<Abs<'a>> = None;
        let mut is_known = Some(op == BoolOp::And);
        for (at, value) in values.iter().enumerate() {
            self.certain = certain && at == 0;
            let value = self.eval(value);
            let truth = value.truth();
            match (op, truth) {
                // `rw and …`: what follows is reached; `not rw or …` likewise.
                (BoolOp::And, Some(true)) | (BoolOp::Or, Some(false)) if at + 1 < values.len() => {
                    continue;
                }
                (BoolOp::And, Some(false)) => {
                    self.certain = certain;
                    return Abs::Json(Rc::new(Value::Bool(false)));
                }
                (BoolOp::Or, Some(true)) if joined.is_none() => {
                    self.certain = certain;
                    return value;
                }
                _ => {}
            }
            if truth.is_none() {
                is_known = None;
            }
            joined = Some(match (joined, op) {
                (None, _) => value,
                // What is left of `a and b` is `b`.
                (Some(_), BoolOp::And) => value,
                (Some(Abs::At(at)), BoolOp::Or)
                    if at.places.iter().all(|place| place.root == Root::Service) && value.as_text().is_some() =>
                {
                    Abs::Overridable(value.as_text().unwrap_or_default().into())
                }
                (Some(known), BoolOp::Or) => {
                    let known = match known {
                        Abs::At(at) => Abs::at(At { optional: false, ..(*at).clone() }),
                        other => other,
                    };
                    self.join(known, value)
                }
            });
        }
        self.certain = certain;
        match (op, is_known, joined) {
            (BoolOp::And, _, Some(value)) if values.len() > 1 && value.truth() == Some(true) => Abs::Unknown,
            (_, _, joined) => joined.unwrap_or(Abs::Unknown),
        }
    }

    /// Expressions of which one is evaluated.
    pub fn alternatives(&mut self, parts: &[&'a Expr]) -> Abs<'a> {
        let (certain, mut values, mut ranges) = (self.certain, Vec::new(), Vec::new());
        self.depth += 1;
        for part in parts {
            self.certain = certain;
            let mark = self.facts.reads.len();
            values.push(self.eval(part));
            ranges.push(mark..self.facts.reads.len());
        }
        self.certain = certain;
        self.depth -= 1;
        for (at, range) in ranges.iter().enumerate() {
            for index in range.clone() {
                let read = &self.facts.reads[index];
                let is_in_all = ranges.iter().enumerate().filter(|(other, _)| *other != at).all(|(_, other)| {
                    other.clone().any(|other| {
                        let other = &self.facts.reads[other];
                        other.required
                            && other.places.iter().any(|place| read.places.iter().any(|own| same(own, place)))
                    })
                });
                let is_only = ranges.len() == 1;
                let read = &mut self.facts.reads[index];
                read.required &= is_in_all;
                read.mapping &= is_only;
            }
        }
        values.into_iter().reduce(|one, other| self.join(one, other)).unwrap_or(Abs::Unknown)
    }

    pub fn operation(&mut self, left: &'a Expr, operator: Operator, right: &'a Expr) -> Abs<'a> {
        let (one, other) = (self.eval(left), self.eval(right));
        match operator {
            Operator::Add => match (one.as_text(), other.as_text()) {
                (Some(one), Some(other)) => return Abs::text(&format!("{one}{other}")),
                (Some(head), None) => {
                    let head = head.to_owned();
                    // `"$" + name`, `"${" + name + "}"`.
                    if (head == "$" || head == "${") && is_environment_name(&other) {
                        self.facts.replaces = Some("text");
                    }
                    return prefixed(&head, Some(other));
                }
                _ => {}
            },
            Operator::Mod => {
                if let Some(head) = one.as_text().and_then(|text| text.strip_suffix("%s")) {
                    let value = match &other {
                        Abs::List(items) if items.len() == 1 => items[0].clone(),
                        other => other.clone(),
                    };
                    return prefixed(head, Some(value));
                }
            }
            Operator::BitOr if one.is_of_interest() || other.is_of_interest() => return self.merge(&[other, one]),
            _ => {}
        }
        Abs::Unknown
    }
}

/// A value of something that others may change meanwhile: a flag is then anything.
fn changeable(value: Abs<'_>) -> Abs<'_> {
    match value {
        Abs::Nothing => Abs::Unknown,
        Abs::Json(value) if !value.is_string() => Abs::Unknown,
        value => value,
    }
}

/// Text that begins with this and goes on with a value.
fn prefixed<'a>(head: &str, first: Option<Abs<'a>>) -> Abs<'a> {
    match first {
        None => Abs::text(head),
        Some(Abs::At(at)) => Abs::Prefixed(head.into(), Some(at)),
        Some(_) => Abs::Prefixed(head.into(), None),
    }
}

/// Whether it is a name in the environment.
fn is_environment_name(value: &Abs<'_>) -> bool {
    value.as_at().is_some_and(|at| at.places.iter().all(|place| place.root == Root::Environment))
}
