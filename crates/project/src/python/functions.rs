//! The walk into functions, methods and models.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall, Parameters, Stmt};
use serde_json::Value;

use super::definitions::{Class, Kind};
use super::facts::{Place, Root, Segment, Selector};
use super::flow::Walk;
use super::values::{Abs, At, Callable, Chosen, Code, Dict, Frame, Given, How};

/// How deep calls are followed.
const MAX_CALLS: usize = 8;

impl<'a> Walk<'_, 'a> {
    /// `getattr(object, name)`: a name that begins with a constant chooses among the methods.
    pub fn attribute_by_name(&mut self, given: &Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        let Some(owner) = given.args.first() else { return Abs::Unknown };
        let name = given.args.get(1).cloned().unwrap_or(Abs::Unknown);
        match (owner, &name) {
            (Abs::This, Abs::Prefixed(prefix, Some(selector))) => {
                let methods = self.index.methods(self.class);
                let mut cases: Vec<(String, Abs<'a>)> = Vec::new();
                for (owner, function) in methods {
                    if let Some(case) = function.node.name.strip_prefix(&**prefix)
                        && !case.is_empty()
                    {
                        let bound = self.function(function, true, Some(owner));
                        cases.push((case.to_owned(), bound));
                    }
                }
                // A base that is not known may have more.
                let ancestry = self.index.ancestry(self.class);
                let external = &ancestry.1;
                let is_plain = |name: &String| {
                    name.ends_with("CommonService") || name.ends_with("BaseWrapper") || name.ends_with("object")
                };
                let complete = external.iter().all(is_plain);
                Abs::Chosen(Rc::new(Chosen { selector: (**selector).clone(), cases, complete }))
            }
            (Abs::At(at), name) if name.as_text().is_some() => {
                let (key, at) = (name.as_text().unwrap_or_default().to_owned(), (**at).clone());
                if let Some(class) = at.model {
                    let field = self.index.model(class).fields.iter().find(|field| field.attribute == key).cloned();
                    return field.map_or(Abs::Unknown, |field| Abs::at(at.inner(&Segment::Key(field.key))));
                }
                if at.namespace {
                    self.read(&at, &key, How::Get(given.args.get(2).cloned()), call)
                } else {
                    Abs::Unknown
                }
            }
            (Abs::At(_), _) => {
                self.escape(owner);
                Abs::Unknown
            }
            _ => Abs::Unknown,
        }
    }

    /// A function or model that a value of the message chooses.
    pub fn choose(&mut self, chosen: &Rc<Chosen<'a>>, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        let subject = Abs::at(chosen.selector.clone());
        let evidence = self.evidence(call);
        let made: Vec<_> = chosen.cases.iter().map(|(name, _)| self.choice(&subject, name)).collect();
        let Some(Some(first)) = made.first().cloned() else {
            for value in given.all().cloned().collect::<Vec<_>>() {
                self.escape(&value);
            }
            return Abs::Unknown;
        };
        let list = first
            .inside
            .iter()
            .find_map(|segment| if let Segment::Key(key) = segment { Some(key.clone()) } else { None });
        // The same choice once more, in a list or an object inside: its cases are known.
        if self.choices.iter().any(|choice| choice.by == first.by) {
            for selector in &mut self.facts.selectors {
                if selector.by == first.by
                    && let Some(list) = &list
                    && !selector.also_in.contains(list)
                {
                    selector.also_in.push(list.clone());
                }
            }
            self.facts.selectors.extend(list.map(|list| Selector {
                by: first.by.clone(),
                values: Vec::new(),
                complete: true,
                also_in: vec![list],
                evidence,
            }));
            return Abs::Unknown;
        }
        self.facts.selectors.push(Selector {
            by: first.by.clone(),
            values: chosen.cases.iter().map(|(name, _)| name.clone()).collect(),
            complete: chosen.complete,
            also_in: list.into_iter().collect(),
            evidence,
        });
        let certain = self.certain;
        let mut result: Option<Abs<'a>> = None;
        for ((_, case), choice) in chosen.cases.iter().zip(made) {
            let Some(choice) = choice else { continue };
            self.choices.push(choice);
            self.certain = certain;
            let value = match case {
                Abs::Function(callable) => self.enter(callable, &given, true),
                Abs::Class(class) => self.construct(*class, given.clone(), call),
                _ => Abs::Unknown,
            };
            self.choices.pop();
            result = Some(match result {
                None => value,
                Some(known) => self.join(known, value),
            });
        }
        self.certain = certain;
        result.unwrap_or(Abs::Unknown)
    }

    /// Calls a function of the files.
    pub fn invoke(&mut self, function: &Abs<'a>, given: Given<'a>) -> Abs<'a> {
        let Abs::Function(callable) = function else { return Abs::Unknown };
        self.enter(callable, &given, false)
    }

    /// Walks through a function; `entry` if its `return False` refuses the message.
    pub fn enter(&mut self, callable: &Rc<Callable<'a>>, given: &Given<'a>, entry: bool) -> Abs<'a> {
        let id = callable.code.id();
        let is_of_interest = given.all().any(Abs::is_of_interest);
        let is_own = callable.bound || callable.frame.is_some();
        if !is_own && !is_of_interest {
            return Abs::Unknown;
        }
        if self.stack.contains(&id) || self.stack.len() >= MAX_CALLS {
            for value in given.all().cloned().collect::<Vec<_>>() {
                self.escape(&value);
            }
            return Abs::Unknown;
        }
        let is_same = !is_of_interest && callable.frame.is_none();
        if is_same
            && let Some((certain, value)) = self.seen.get(&(id, self.choices.clone()))
            && (*certain || !self.certain)
        {
            return value.clone();
        }
        self.entered.insert(id);
        let owner = callable.owner;
        self.frames.push(Frame {
            vars: HashMap::new(),
            parent: callable.frame,
            module: callable.module,
            owner,
            entry,
            returned: None,
            returns: 0,
        });
        let frame = self.frames.len() - 1;
        let certain = self.certain;
        let result = match callable.code {
            Code::Function(function) => {
                self.bind(
                    frame,
                    &function.node.parameters,
                    given,
                    callable,
                    function.node.decorator_list.iter().any(is_validated),
                );
                let current = std::mem::replace(&mut self.current, frame);
                self.stack.push(id);
                self.block(&function.node.body);
                self.stack.pop();
                self.current = current;
                self.frames[frame].returned.take().unwrap_or(Abs::Nothing)
            }
            Code::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.bind(frame, parameters, given, callable, false);
                }
                let current = std::mem::replace(&mut self.current, frame);
                self.stack.push(id);
                let value = self.eval(&lambda.body);
                self.stack.pop();
                self.current = current;
                value
            }
        };
        self.certain = certain;
        if is_same {
            self.seen.insert((id, self.choices.clone()), (certain, result.clone()));
        }
        result
    }

    pub fn bind(
        &mut self,
        frame: usize,
        parameters: &'a Parameters,
        given: &Given<'a>,
        callable: &Callable<'a>,
        is_validated: bool,
    ) {
        let mut args = given.args.iter();
        let mut used: Vec<&str> = Vec::new();
        let positional = parameters.posonlyargs.iter().chain(&parameters.args);
        let count = parameters.posonlyargs.len() + parameters.args.len();
        for (at, parameter) in positional.chain(&parameters.kwonlyargs).enumerate() {
            let name: &'a str = &parameter.parameter.name;
            let mut value = None;
            if at == 0 && callable.bound {
                value = Some(Abs::This);
            } else if at < count {
                value = args.next().cloned();
            }
            if value.is_none() {
                value = given.keyword(name).cloned();
                used.push(name);
            }
            if value.is_none() {
                // `function(**parameters)`.
                for spread in &given.spread {
                    if let Abs::At(source) = spread {
                        let source = (**source).clone();
                        let how = if parameter.default.is_some() { How::Get(None) } else { How::Index };
                        value = Some(self.read(&source, name, how, &parameter.parameter));
                    } else if let Abs::Dict(source) = spread {
                        value = value.or_else(|| Some(self.dicts[*source].keys.get(name)?.1.clone()));
                    }
                }
            }
            let mut value = value.unwrap_or_else(|| match &parameter.default {
                Some(default) => super::literals::constant(default).map_or(Abs::Unknown, |value| match value {
                    Value::Null => Abs::Nothing,
                    value => Abs::Json(Rc::new(value)),
                }),
                None => Abs::Unknown,
            });
            if is_validated
                && let (Abs::At(source), Some(annotation)) = (&value, &parameter.parameter.annotation)
                && let Some(class) = self.index.model_of_annotation(callable.module, annotation)
            {
                let source = (**source).clone();
                value = self.validate(class, &source, &[]);
            }
            self.frames[frame].vars.insert(name, value);
        }
        if let Some(rest) = &parameters.vararg {
            self.frames[frame].vars.insert(&rest.name, Abs::List(Rc::new(args.cloned().collect())));
        }
        if let Some(rest) = &parameters.kwarg {
            let keys = given.keywords.iter().filter(|(name, _)| !used.contains(name));
            let keys = keys.map(|(name, value)| ((*name).to_owned(), (true, value.clone()))).collect();
            let rest_of = self.new_dict(Dict { keys, ..Dict::default() });
            self.frames[frame].vars.insert(&rest.name, rest_of);
            for spread in given.spread.clone() {
                self.escape(&spread);
            }
        }
    }

    /// `Class(…)`.
    pub fn construct(&mut self, class: Class<'a>, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        let ancestry = self.index.ancestry(class);
        let (known, external) = &*ancestry;
        if external.iter().any(|name| name.ends_with("ChainMap"))
            || known.iter().any(|class| class.node.name.contains("ChainMap"))
        {
            let is_environment = |value: &Abs<'a>| {
                value.as_at().is_some_and(|at| at.places.iter().any(|place| place.root == Root::Environment))
            };
            if given.keywords.iter().any(|(_, value)| is_environment(value)) {
                self.facts.replaces = Some("text");
            }
            return self.merge(&given.args);
        }
        if self.index.model_kind(class).is_some() {
            let names: Vec<&str> = given.keywords.iter().map(|(name, _)| *name).collect();
            let mut parts: Vec<Abs<'a>> = given.spread.clone();
            parts.reverse();
            if let Abs::At(at) = self.merge(&parts) {
                self.type_arguments(class, &given);
                return self.validate(class, &at, &names);
            }
            self.type_arguments(class, &given);
            let mut fields: HashMap<String, Abs<'a>> = HashMap::new();
            let names: Vec<String> =
                self.index.model(class).fields.iter().map(|field| field.attribute.to_owned()).collect();
            fields.extend(names.into_iter().zip(given.args));
            fields.extend(given.keywords.into_iter().map(|(name, value)| (name.to_owned(), value)));
            self.objects.push(fields);
            return Abs::Object(self.objects.len() - 1);
        }
        for value in given.all().cloned().collect::<Vec<_>>() {
            self.escape(&value);
        }
        let _ = call;
        // A stand-in for a recipe wrapper.
        self.objects.push(HashMap::new());
        Abs::Object(self.objects.len() - 1)
    }

    /// The types of values that are given to a model one by one.
    pub fn type_arguments(&mut self, class: Class<'a>, given: &Given<'a>) {
        if self.index.model_kind(class) != Some(super::definitions::Kind::Checked) {
            return;
        }
        for field in &self.index.model(class).fields {
            let Some(Abs::At(at)) = given.keyword(&field.key).or_else(|| given.keyword(field.attribute)) else {
                continue;
            };
            if at.optional && field.required {
                self.require(at);
            }
            for index in &at.reads {
                let read = &mut self.facts.reads[*index];
                if read.schema.is_none() && field.schema.get("anyOf").is_none() {
                    read.schema = Some(field.schema.clone());
                }
            }
        }
    }

    /// A class method of a model, such as `Model.model_validate(x)`.
    pub fn class_method(&mut self, class: Class<'a>, name: &str, given: &Given<'a>) -> Option<Abs<'a>> {
        self.index.model_kind(class)?;
        let at = given.args.first()?.as_at()?.clone();
        matches!(name, "model_validate" | "parse_obj" | "validate" | "validate_python" | "from_dict")
            .then(|| self.validate(class, &at, &[]))
    }

    /// Reads a mapping as a model.
    pub fn validate(&mut self, class: Class<'a>, at: &At<'a>, given: &[&str]) -> Abs<'a> {
        let model = self.index.model(class);
        let kind = self.index.model_kind(class);
        let is_closed = match model.extra {
            super::definitions::Extra::Forbidden => true,
            super::definitions::Extra::Ignored => kind == Some(Kind::Plain),
            super::definitions::Extra::Allowed => false,
        };
        if model.open || model.extra == super::definitions::Extra::Allowed {
            self.escape(&Abs::at(at.clone()));
        } else if is_closed && at.is_whole() {
            self.facts.closed = true;
        }
        for field in &model.fields {
            if given.contains(&field.attribute) || given.contains(&field.key.as_str()) {
                continue;
            }
            for key in std::iter::once(&field.key).chain(&field.also) {
                let inner = at.inner(&Segment::Key(key.clone()));
                let is_part_of_step = |place: &Place| place.root == Root::Step && place.path.len() == 1;
                if inner.places.iter().all(is_part_of_step) {
                    if let Some(class) = field.model
                        && matches!(key.as_str(), "parameters" | "job_parameters")
                    {
                        let certain = self.certain;
                        self.certain &= field.required;
                        self.validate(class, &inner, &[]);
                        self.certain = certain;
                    }
                    continue;
                }
                if let Some(extra) = at.extra
                    && let Some((true, value)) = self.dicts[extra].keys.get(key)
                {
                    if let (Some(class), Some(inner)) = (field.model, value.as_at().cloned()) {
                        self.validate(class, &inner, &[]);
                    }
                    continue;
                }
                let required = self.certain && field.required && field.also.is_empty();
                let schema = (kind == Some(Kind::Checked)).then(|| field.schema.clone());
                self.note(&inner.places, required, field.default.clone(), schema, field.evidence.clone());
            }
        }
        Abs::at(At {
            model: Some(class),
            instance: kind == Some(Kind::Checked),
            reads: Vec::new(),
            optional: false,
            ..at.clone()
        })
    }

    /// The docstring's first line.
    pub fn description(class: Class<'a>) -> Option<String> {
        let Some(Stmt::Expr(first)) = class.node.body.first() else { return None };
        let Expr::StringLiteral(text) = &*first.value else { return None };
        let paragraph = text.value.to_str().trim().split("\n\n").next()?;
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// `@pydantic.validate_call`.
fn is_validated(decorator: &ruff_python_ast::Decorator) -> bool {
    let function = match &decorator.expression {
        Expr::Call(call) => &call.func,
        other => other,
    };
    let name = match function {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => "",
    };
    matches!(name, "validate_call" | "validate_arguments")
}
