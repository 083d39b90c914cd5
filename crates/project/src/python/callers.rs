//! Python code that starts recipes: which recipes, and with which parameters.
//!
//! A request is a mapping with the key `recipes`; its parameters are the mapping under `parameters`. Both are followed
//! through names, attributes, updates and the calls of the function that they came to as an argument. A text that is
//! assigned to something called *recipe* names a recipe, too; then its parameters are not known.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, ExprCall, Operator, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged as _;
use serde_json::Value;

use super::definitions::{Class, Def};
use super::literals::constant;
use super::source::{Index, Module};
use super::{Evidence, File};

/// Names of recipes and parameters in one call of Zocalo.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// Where.
    pub evidence: Evidence,
    /// The recipes.
    pub recipes: Vec<String>,
    /// The parameters, with their values if these are literals.
    pub parameters: BTreeMap<String, Option<Value>>,
    /// Whether there may be others.
    pub is_open: bool,
}

/// The most steps from a name to what is in it.
const MAX_STEPS: usize = 6;

/// The most callers of a function that are followed.
const MAX_CALLERS: usize = 50;

/// The places in Python files that start recipes, in the order of the files.
pub fn callers(files: &[File]) -> Vec<Caller> {
    // To parse a file takes longer than to search it.
    let of_interest = files.iter().filter(|file| file.path.ends_with(".py") && file.text.contains("recipe"));
    let modules: Vec<Module> = of_interest.map(|file| Module::parse(&file.path, &file.name, &file.text)).collect();
    let index = Index::new(&modules);
    let scopes: Vec<Scope<'_>> = modules.iter().enumerate().flat_map(|(at, module)| scopes(at, module)).collect();
    let search = Search { index: &index, scopes: &scopes };
    let mut found = Vec::new();
    for at in 0..scopes.len() {
        search.scope(at, &mut found);
    }
    found.sort_by(|a, b| a.evidence.cmp(&b.evidence));
    found.dedup();
    found
}

/// A function, or the top level of a file or class: its own code, without functions inside of it.
#[derive(Default)]
struct Scope<'a> {
    module: usize,
    function: Option<&'a StmtFunctionDef>,
    class: Option<Class<'a>>,
    /// Targets as paths, and what is assigned to them: `message["parameters"]`.
    assigned: Vec<(String, &'a Expr)>,
    /// What mappings are updated with.
    updated: Vec<(String, &'a ExprCall)>,
    /// Items that are added to lists.
    appended: Vec<(String, &'a Expr)>,
    returned: Vec<&'a Expr>,
    calls: Vec<&'a ExprCall>,
    dicts: Vec<&'a Expr>,
}

fn scopes<'a>(at: usize, module: &'a Module) -> Vec<Scope<'a>> {
    let mut found = vec![Scope { module: at, ..Scope::default() }];
    let mut collector = Collector { module: at, found: &mut found, current: 0, class: None };
    module.tree.body.iter().for_each(|statement| collector.visit_stmt(statement));
    found
}

struct Collector<'a, 'f> {
    module: usize,
    found: &'f mut Vec<Scope<'a>>,
    current: usize,
    class: Option<Class<'a>>,
}

impl<'a> Visitor<'a> for Collector<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                let scope =
                    Scope { module: self.module, function: Some(function), class: self.class, ..Scope::default() };
                self.found.push(scope);
                let outer = std::mem::replace(&mut self.current, self.found.len() - 1);
                function.body.iter().for_each(|statement| self.visit_stmt(statement));
                self.current = outer;
                return;
            }
            Stmt::ClassDef(node) => {
                let class = Some(Class { module: self.module, node });
                self.found.push(Scope { module: self.module, class, ..Scope::default() });
                let outer = (std::mem::replace(&mut self.current, self.found.len() - 1), self.class);
                self.class = class;
                node.body.iter().for_each(|statement| self.visit_stmt(statement));
                (self.current, self.class) = outer;
                return;
            }
            _ => {}
        }
        let scope = &mut self.found[self.current];
        match statement {
            Stmt::Assign(assign) => {
                let targets = assign.targets.iter().filter_map(path_of);
                scope.assigned.extend(targets.map(|target| (target, &*assign.value)));
            }
            Stmt::AnnAssign(assign) => {
                if let (Some(target), Some(value)) = (path_of(&assign.target), &assign.value) {
                    scope.assigned.push((target, value));
                }
            }
            Stmt::AugAssign(assign) => {
                if let Some(target) = path_of(&assign.target) {
                    match assign.op {
                        Operator::Add => scope.appended.push((target, &assign.value)),
                        _ => scope.assigned.push((target, &assign.value)),
                    }
                }
            }
            Stmt::Return(returned) => scope.returned.extend(returned.value.as_deref()),
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        let scope = &mut self.found[self.current];
        match expression {
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func
                    && let Some(target) = path_of(&method.value)
                {
                    match (method.attr.as_str(), call.arguments.args.first()) {
                        ("update", _) => scope.updated.push((target, call)),
                        ("append" | "extend", Some(item)) => scope.appended.push((target, item)),
                        ("setdefault", Some(key)) => {
                            if let (Some(key), Some(value)) = (text_of(key), call.arguments.args.get(1)) {
                                scope.assigned.push((format!("{target}[{key}]"), value));
                            }
                        }
                        _ => {}
                    }
                }
                scope.calls.push(call);
            }
            Expr::Dict(_) => scope.dicts.push(expression),
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

/// A name with attributes and literal keys as text: `self.message[parameters]`.
fn path_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", path_of(&attribute.value)?, attribute.attr)),
        Expr::Subscript(subscript) => Some(format!("{}[{}]", path_of(&subscript.value)?, text_of(&subscript.slice)?)),
        _ => None,
    }
}

fn text_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
        _ => None,
    }
}

/// What is known of the keys of a mapping.
#[derive(Default, Clone)]
struct Keys {
    names: BTreeMap<String, Option<Value>>,
    is_open: bool,
}

impl Keys {
    fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    fn extend(&mut self, other: Self) {
        for (name, value) in other.names {
            // Of several values none is certain.
            self.names.entry(name).and_modify(|known| *known = None).or_insert(value);
        }
        self.is_open |= other.is_open;
    }
}

/// A mapping, and the place from which it comes.
type Found = (Evidence, Keys);

struct Search<'a, 's> {
    index: &'s Index<'a>,
    scopes: &'s [Scope<'a>],
}

impl<'a> Search<'a, '_> {
    fn evidence(&self, scope: &Scope<'a>, part: &Expr) -> Evidence {
        let module = &self.index.modules[scope.module];
        Evidence { file: module.shown.clone(), line: module.line(part) }
    }

    /// The requests of a scope.
    fn scope(&self, at: usize, found: &mut Vec<Caller>) {
        let scope = &self.scopes[at];
        let mut seen = BTreeSet::new();
        for dict in &scope.dicts {
            let Expr::Dict(items) = dict else { continue };
            let value = |name: &str| {
                let is_it = |key: &Option<Expr>| key.as_ref().and_then(text_of).is_some_and(|text| text == name);
                items.items.iter().find(|item| is_it(&item.key)).map(|item| &item.value)
            };
            let Some(recipes) = value("recipes") else { continue };
            seen.insert(recipes.start());
            let name = scope.assigned.iter().find(|(_, value)| std::ptr::eq(*value, *dict)).map(|(name, _)| name);
            let inner = |key: &str| name.map(|name| format!("{name}[{key}]"));
            let mut names = self.texts(at, recipes, MAX_STEPS);
            if let Some(list) = inner("recipes") {
                names.extend(self.texts_at(at, &list, MAX_STEPS));
            }
            let given = value("parameters").map(|value| self.mappings(at, value, MAX_STEPS));
            self.add(at, dict, names, given, inner("parameters"), found);
        }
        // `message["recipes"] = [...]`
        for (target, value) in &scope.assigned {
            let Some(owner) = target.strip_suffix("[recipes]") else { continue };
            if seen.insert(value.start()) {
                let names = self.texts(at, value, MAX_STEPS);
                self.add(at, value, names, None, Some(format!("{owner}[parameters]")), found);
            }
        }
        for call in &scope.calls {
            let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
            if let Some(recipes) = keyword("recipes").or_else(|| keyword("recipe")).or_else(|| keyword("recipe_name"))
                && seen.insert(recipes.start())
            {
                let names = self.texts(at, recipes, MAX_STEPS);
                let given = keyword("parameters").map(|value| self.mappings(at, value, MAX_STEPS));
                self.add(at, recipes, names, given, None, found);
            }
        }
        // `job["recipe"] = "…"`, `self.recipe = "…"`
        for (target, value) in &scope.assigned {
            let last = target.rsplit(['.', '[']).next().unwrap_or_default().trim_end_matches(']').to_lowercase();
            if matches!(last.as_str(), "recipe" | "recipe_name" | "recipes")
                && seen.insert(value.start())
                && let names = self.texts(at, value, 1)
                && !names.is_empty()
            {
                self.add(at, value, names, None, None, found);
            }
        }
    }

    /// Adds a request: one caller for each place that its parameters come from.
    fn add(
        &self,
        at: usize,
        place: &'a Expr,
        names: BTreeSet<String>,
        given: Option<Vec<Found>>,
        path: Option<String>,
        found: &mut Vec<Caller>,
    ) {
        if names.is_empty() {
            return;
        }
        let scope = &self.scopes[at];
        let own = self.evidence(scope, place);
        let later = path.map(|path| self.written(at, &path, MAX_STEPS)).unwrap_or_default();
        let all = match given {
            Some(all) => all,
            // A request without parameters that are in sight.
            None => vec![(own.clone(), Keys { is_open: later.names.is_empty(), ..Keys::default() })],
        };
        for (evidence, mut keys) in all {
            keys.extend(later.clone());
            let recipes = names.iter().cloned().collect();
            let evidence = if evidence.file.is_empty() { own.clone() } else { evidence };
            found.push(Caller { evidence, recipes, parameters: keys.names, is_open: keys.is_open });
        }
    }

    /// The texts that an expression can be: of a list all items.
    fn texts(&self, at: usize, expression: &'a Expr, steps: usize) -> BTreeSet<String> {
        if steps == 0 {
            return BTreeSet::new();
        }
        let all = |items: &'a [Expr]| items.iter().flat_map(|item| self.texts(at, item, steps - 1)).collect();
        match expression {
            Expr::StringLiteral(text) => BTreeSet::from([text.value.to_str().to_owned()]),
            Expr::List(list) => all(&list.elts),
            Expr::Tuple(tuple) => all(&tuple.elts),
            Expr::Set(set) => all(&set.elts),
            Expr::If(either) => {
                let mut texts = self.texts(at, &either.body, steps - 1);
                texts.extend(self.texts(at, &either.orelse, steps - 1));
                texts
            }
            Expr::BoolOp(either) => all(&either.values),
            // `settings.get("recipe", "default")`
            Expr::Call(call) if name_of(&call.func) == Some("get") => {
                call.arguments.args.get(1).map(|default| self.texts(at, default, steps - 1)).unwrap_or_default()
            }
            Expr::Name(name) => {
                let own = self.texts_at(at, &name.id, steps - 1);
                if !own.is_empty() {
                    return own;
                }
                match self.index.lookup(self.scopes[at].module, &name.id) {
                    Def::Value(_, value) => self.texts(at, value, steps - 1),
                    _ => BTreeSet::new(),
                }
            }
            Expr::Attribute(_) => {
                path_of(expression).map(|path| self.texts_at(at, &path, steps - 1)).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    fn texts_at(&self, at: usize, path: &str, steps: usize) -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        for scope in self.scopes_of(at, path) {
            let written = self.scopes[scope].assigned.iter().chain(&self.scopes[scope].appended);
            for (_, value) in written.filter(|(target, _)| target == path) {
                texts.extend(self.texts(scope, value, steps));
            }
        }
        texts
    }

    /// The scopes in which a path can be written: for attributes of `self` all methods of the class.
    fn scopes_of(&self, at: usize, path: &str) -> Vec<usize> {
        let own = &self.scopes[at];
        if !path.starts_with("self.") {
            return vec![at];
        }
        let Some(class) = own.class else { return vec![at] };
        let family = self.index.ancestry(class);
        let is_of_family = |scope: &Scope<'a>| scope.class.is_some_and(|class| family.0.contains(&class));
        (0..self.scopes.len()).filter(|&other| is_of_family(&self.scopes[other])).collect()
    }

    /// What is written to a mapping at a path, apart from what was assigned to it as a whole.
    fn written(&self, at: usize, path: &str, steps: usize) -> Keys {
        let mut keys = Keys::default();
        for other in self.scopes_of(at, path) {
            let scope = &self.scopes[other];
            for (target, value) in &scope.assigned {
                let rest = target.strip_prefix(path).and_then(|rest| rest.strip_prefix('['));
                if let Some(key) = rest.and_then(|rest| rest.strip_suffix(']')).filter(|key| !key.contains("][")) {
                    keys.names.insert(key.to_owned(), constant(value));
                }
            }
            for (_, call) in scope.updated.iter().filter(|(target, _)| target == path) {
                keys.extend(self.arguments(other, call, steps));
            }
        }
        keys
    }

    /// The keys that a call of `dict` or `update` has.
    fn arguments(&self, at: usize, call: &'a ExprCall, steps: usize) -> Keys {
        let mut keys = Keys::default();
        for argument in &call.arguments.args {
            keys.extend(self.keys(at, argument, steps));
        }
        for keyword in &call.arguments.keywords {
            match &keyword.arg {
                Some(name) => _ = keys.names.insert(name.to_string(), constant(&keyword.value)),
                None => keys.extend(self.keys(at, &keyword.value, steps)),
            }
        }
        keys
    }

    /// The keys of a mapping, whatever place it comes from.
    fn keys(&self, at: usize, expression: &'a Expr, steps: usize) -> Keys {
        let mut keys = Keys::default();
        self.mappings(at, expression, steps).into_iter().for_each(|(_, found)| keys.extend(found));
        keys
    }

    /// A mapping by the places that it can come from.
    fn mappings(&self, at: usize, expression: &'a Expr, steps: usize) -> Vec<Found> {
        let here = |keys: Keys| vec![(Evidence::default(), keys)];
        let Some(steps) = steps.checked_sub(1) else { return here(Keys::open()) };
        match expression {
            Expr::Dict(dict) => {
                let mut keys = Keys::default();
                for item in &dict.items {
                    match item.key.as_ref().map(text_of) {
                        Some(Some(key)) => _ = keys.names.insert(key, constant(&item.value)),
                        Some(None) => keys.is_open = true,
                        None => keys.extend(self.keys(at, &item.value, steps)),
                    }
                }
                here(keys)
            }
            Expr::BinOp(both) if both.op == Operator::BitOr => {
                let mut keys = self.keys(at, &both.left, steps);
                keys.extend(self.keys(at, &both.right, steps));
                here(keys)
            }
            Expr::If(either) => {
                let mut all = self.mappings(at, &either.body, steps);
                all.extend(self.mappings(at, &either.orelse, steps));
                all
            }
            Expr::Name(name) => self.named(at, &name.id, steps),
            Expr::Attribute(_) | Expr::Subscript(_) => match path_of(expression) {
                Some(path) => self.named(at, &path, steps),
                None => here(Keys::open()),
            },
            Expr::Call(call) => self.called(at, call, steps),
            _ => here(Keys::open()),
        }
    }

    /// A mapping under a name.
    fn named(&self, at: usize, path: &str, steps: usize) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        let mut is_known = false;
        for other in self.scopes_of(at, path) {
            let values = self.scopes[other].assigned.iter().filter(|(target, _)| target == path);
            for (_, value) in values {
                is_known = true;
                all.extend(self.mappings(other, value, steps));
            }
        }
        if !is_known {
            all = match self.argument(at, path, steps) {
                Some(given) => given,
                None => match self.index.lookup(self.scopes[at].module, path) {
                    Def::Value(_, value) => self.mappings(at, value, steps),
                    _ => vec![(Evidence::default(), Keys::open())],
                },
            };
        }
        let written = self.written(at, path, steps);
        all.iter_mut().for_each(|(_, keys)| keys.extend(written.clone()));
        all
    }

    /// A mapping that came as an argument: what the callers of the function give.
    fn argument(&self, at: usize, name: &str, steps: usize) -> Option<Vec<Found>> {
        let scope = &self.scopes[at];
        let function = scope.function?;
        let parameters = &function.parameters;
        let takes_rest = parameters.kwarg.as_ref().is_some_and(|rest| rest.name.as_str() == name);
        let place = parameters.iter_non_variadic_params().position(|given| given.parameter.name.as_str() == name);
        if place.is_none() && !takes_rest {
            return None;
        }
        // The first argument of a method is the object.
        let offset = usize::from(scope.class.is_some());
        let mut found = Vec::new();
        for (other, caller) in self.scopes.iter().enumerate() {
            for call in &caller.calls {
                let called = match &*call.func {
                    Expr::Name(name) => name.id.as_str(),
                    Expr::Attribute(attribute) => attribute.attr.as_str(),
                    _ => continue,
                };
                if called != function.name.as_str() || found.len() > MAX_CALLERS {
                    continue;
                }
                let own = self.evidence(caller, &call.func);
                if takes_rest {
                    let keywords = call.arguments.keywords.iter();
                    let mut keys = Keys::default();
                    for keyword in keywords {
                        match &keyword.arg {
                            Some(name) => _ = keys.names.insert(name.to_string(), constant(&keyword.value)),
                            None => keys.extend(self.keys(other, &keyword.value, steps)),
                        }
                    }
                    found.push((own, keys));
                    continue;
                }
                let by_name = call.arguments.find_keyword(name).map(|keyword| &keyword.value);
                let by_place = || call.arguments.args.get(place?.checked_sub(offset)?);
                if let Some(given) = by_name.or_else(by_place) {
                    let given = self.mappings(other, given, steps);
                    found.extend(
                        given.into_iter().map(|(evidence, keys)| {
                            (if evidence.file.is_empty() { own.clone() } else { evidence }, keys)
                        }),
                    );
                }
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// A mapping that a call returns.
    fn called(&self, at: usize, call: &'a ExprCall, steps: usize) -> Vec<Found> {
        let here = |keys: Keys| vec![(Evidence::default(), keys)];
        let scope = &self.scopes[at];
        match &*call.func {
            Expr::Name(name) if name.id == "dict" => here(self.arguments(at, call, steps)),
            Expr::Attribute(method) if matches!(method.attr.as_str(), "copy" | "deepcopy") => {
                let inner = call.arguments.args.first().unwrap_or(&method.value);
                self.mappings(at, inner, steps)
            }
            Expr::Attribute(method) if matches!(method.attr.as_str(), "model_dump" | "dict" | "_asdict") => {
                here(self.fields(at, &method.value))
            }
            _ if matches!(name_of(&call.func), Some("asdict" | "vars" | "deepcopy" | "copy")) => {
                match (name_of(&call.func), call.arguments.args.first()) {
                    (Some("asdict" | "vars"), Some(inner)) => here(self.fields(at, inner)),
                    (_, Some(inner)) => self.mappings(at, inner, steps),
                    _ => here(Keys::open()),
                }
            }
            _ => {
                // A function of these files.
                let called = match &*call.func {
                    Expr::Attribute(attribute) if path_of(&attribute.value).as_deref() == Some("self") => {
                        let member = scope.class.and_then(|class| self.index.find_member(class, &attribute.attr));
                        member.map(|(_, member)| member)
                    }
                    function => self.index.resolve(scope.module, function),
                };
                let Some(Def::Function(function)) = called else { return here(Keys::open()) };
                let is_it = |scope: &Scope<'a>| scope.function.is_some_and(|own| std::ptr::eq(own, function.node));
                let Some(inner) = self.scopes.iter().position(is_it) else { return here(Keys::open()) };
                let mut keys = Keys::default();
                for value in &self.scopes[inner].returned {
                    keys.extend(self.keys(inner, value, steps));
                }
                keys.is_open |= self.scopes[inner].returned.is_empty();
                here(keys)
            }
        }
    }

    /// The fields of an object whose class the signature of the function or an assignment names.
    fn fields(&self, at: usize, object: &'a Expr) -> Keys {
        let scope = &self.scopes[at];
        let Expr::Name(name) = object else { return Keys::open() };
        let parameters = scope.function.map(|function| &function.parameters);
        let annotated = parameters.into_iter().flat_map(|parameters| parameters.iter_non_variadic_params());
        let annotation = annotated
            .filter(|given| given.parameter.name.as_str() == name.id.as_str())
            .find_map(|given| given.parameter.annotation.as_deref());
        let made =
            scope.assigned.iter().find(|(target, _)| target == name.id.as_str()).and_then(|(_, value)| match value {
                Expr::Call(call) => Some(&*call.func),
                _ => None,
            });
        let class = annotation.or(made).and_then(|class| self.index.resolve(scope.module, class));
        let Some(Def::Class(class)) = class else { return Keys::open() };
        let family = self.index.ancestry(class);
        let mut keys = Keys { is_open: family.1.iter().any(|base| !base.ends_with("BaseModel")), ..Keys::default() };
        for statement in family.0.iter().flat_map(|class| &class.node.body) {
            if let Stmt::AnnAssign(field) = statement
                && let Expr::Name(name) = &*field.target
            {
                keys.names.insert(name.id.to_string(), None);
            }
        }
        keys
    }
}

/// The last part of a name.
fn name_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(&name.id),
        Expr::Attribute(attribute) => Some(&attribute.attr),
        _ => None,
    }
}
