//! Python source files as syntax trees, and what their names stand for across files.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{Expr, ModModule, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::{Ranged, TextSize};

use super::definitions::{Class, Def, EntryPoint, Function, Model};

/// A parsed file.
pub(super) struct Module {
    /// What evidence calls it.
    pub shown: String,
    /// The parts of its module name, from the file system's root on.
    segments: Vec<String>,
    is_package: bool,
    pub tree: ModModule,
    line_starts: Vec<u32>,
    /// The first syntax error: line and message.
    pub error: Option<(usize, String)>,
    /// Whether the file is written for Python 2.
    pub is_python2: bool,
}

impl Module {
    /// Parses a file; what follows a syntax error is read as far as possible.
    pub fn parse(path: &str, shown: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed = parse_unchecked(text, ParseOptions::from(Mode::Module));
        let bytes = text.as_bytes();
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|at| at + 1));
        let line_starts: Vec<u32> = starts.filter_map(|at| u32::try_from(at).ok()).collect();
        let line = |at: TextSize| line_starts.partition_point(|start| *start <= at.to_u32());
        let error = parsed.errors().first().map(|error| (line(error.location.start()), error.error.to_string()));
        let is_python2 = error.is_some() && text.lines().any(is_python2_line);
        let stem = path.strip_suffix(".py").or_else(|| path.strip_suffix(".pyi")).unwrap_or(path);
        let mut segments: Vec<String> =
            stem.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect();
        let is_package = segments.last().is_some_and(|last| last == "__init__");
        if is_package {
            segments.pop();
        }
        let tree = match parsed.into_syntax() {
            ruff_python_ast::Mod::Module(module) => module,
            ruff_python_ast::Mod::Expression(expression) => ModModule {
                node_index: expression.node_index,
                range: expression.range,
                body: std::iter::empty::<Stmt>().collect(),
            },
        };
        Self { shown: shown.to_owned(), segments, is_package, tree, line_starts, error, is_python2 }
    }

    /// The number of the line on which a part of the file begins.
    pub fn line(&self, part: &impl Ranged) -> usize {
        self.line_starts.partition_point(|start| *start <= part.start().to_u32())
    }

    /// The last part of the module's name.
    pub fn name(&self) -> &str {
        self.segments.last().map_or("", String::as_str)
    }
}

/// Whether a line is a statement that only Python 2 takes.
fn is_python2_line(line: &str) -> bool {
    let line = line.trim_start();
    let follows = |word: &str, marks: &[char]| {
        line.strip_prefix(word).is_some_and(|rest| rest.starts_with(' ') && rest.trim_start().starts_with(marks))
    };
    follows("print", &['"', '\'', '>']) || follows("exec", &['"', '\'']) || {
        let catches = line.strip_prefix("except ").and_then(|rest| rest.strip_suffix(':'));
        catches.is_some_and(|rest| {
            rest.split_once(", ").is_some_and(|(_, name)| name.chars().next().is_some_and(char::is_lowercase))
        })
    }
}

enum Binding<'a> {
    Class(&'a StmtClassDef),
    Function(&'a StmtFunctionDef),
    Value(&'a Expr),
    Import { module: Vec<String>, member: Option<&'a str> },
}

/// A class with those that it inherits from, and the names of its bases that are not in the files.
pub(super) type Ancestry<'a> = (Vec<Class<'a>>, Vec<String>);

/// The names of all files.
pub(super) struct Index<'a> {
    pub modules: &'a [Module],
    names: Vec<HashMap<&'a str, Binding<'a>>>,
    by_last: HashMap<&'a str, Vec<usize>>,
    ancestries: RefCell<HashMap<usize, Rc<Ancestry<'a>>>>,
    pub models: RefCell<HashMap<usize, Rc<Model<'a>>>>,
    /// Group, name and target of the packages' entry points.
    pub entry_points: Vec<EntryPoint>,
}

/// The most steps from a name to what it stands for.
const MAX_STEPS: usize = 12;

impl<'a> Index<'a> {
    pub fn new(modules: &'a [Module]) -> Self {
        let mut by_last: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, module) in modules.iter().enumerate() {
            if let Some(last) = module.segments.last() {
                by_last.entry(last).or_default().push(index);
            }
        }
        let names = modules
            .iter()
            .map(|module| {
                let mut names = HashMap::new();
                collect(module, &module.tree.body, &mut names);
                names
            })
            .collect();
        let (ancestries, models) = (RefCell::default(), RefCell::default());
        Self { modules, names, by_last, ancestries, models, entry_points: Vec::new() }
    }

    /// The file of a module, by the parts of its name: the one whose path ends with them.
    pub fn module(&self, parts: &[String]) -> Option<usize> {
        let candidates = self.by_last.get(parts.last()?.as_str())?;
        let fits = |index: &&usize| self.modules[**index].segments.ends_with(parts);
        candidates.iter().filter(fits).min_by_key(|index| self.modules[**index].segments.len()).copied()
    }

    /// What a name of a file stands for.
    pub fn lookup(&self, module: usize, name: &str) -> Def<'a> {
        self.lookup_within(module, name, MAX_STEPS).unwrap_or_else(|| Def::External(name.to_owned()))
    }

    fn lookup_within(&self, module: usize, name: &str, steps: usize) -> Option<Def<'a>> {
        if steps == 0 {
            return None;
        }
        let Some(binding) = self.names[module].get(name) else {
            // A package's own modules are its members.
            let own = &self.modules[module];
            if own.is_package {
                let parts: Vec<String> = own.segments.iter().cloned().chain([name.to_owned()]).collect();
                return self.module(&parts).map(Def::Module);
            }
            return None;
        };
        Some(match binding {
            Binding::Class(node) => Def::Class(Class { module, node }),
            Binding::Function(node) => Def::Function(Function { module, node }),
            Binding::Value(value) => match value {
                Expr::Name(_) | Expr::Attribute(_) => match self.resolve_within(module, value, steps - 1) {
                    Some(Def::External(_)) | None => Def::Value(module, value),
                    Some(found) => found,
                },
                _ => Def::Value(module, value),
            },
            Binding::Import { module: parts, member } => {
                let found = self.module(parts);
                match (found, member) {
                    (Some(found), None) => Def::Module(found),
                    (Some(found), Some(member)) => self.lookup_within(found, member, steps - 1)?,
                    (None, Some(member)) => {
                        let parts: Vec<String> = parts.iter().cloned().chain([(*member).to_owned()]).collect();
                        self.module(&parts).map_or_else(|| Def::External(parts.join(".")), Def::Module)
                    }
                    (None, None) => Def::External(parts.join(".")),
                }
            }
        })
    }

    /// What a name or a chain of attributes stands for.
    pub fn resolve(&self, module: usize, expression: &'a Expr) -> Option<Def<'a>> {
        self.resolve_within(module, expression, MAX_STEPS)
    }

    fn resolve_within(&self, module: usize, expression: &'a Expr, steps: usize) -> Option<Def<'a>> {
        match expression {
            Expr::Name(name) => {
                Some(self.lookup_within(module, &name.id, steps).unwrap_or_else(|| Def::External(name.id.to_string())))
            }
            Expr::Attribute(attribute) => {
                let owner = self.resolve_within(module, &attribute.value, steps)?;
                self.member(&owner, &attribute.attr)
            }
            _ => None,
        }
    }

    /// What an attribute of something stands for.
    pub fn member(&self, owner: &Def<'a>, name: &str) -> Option<Def<'a>> {
        match owner {
            Def::Module(index) => Some(self.lookup(*index, name)),
            Def::Class(class) => self.find_member(*class, name).map(|(_, member)| member),
            Def::External(path) => {
                let path = format!("{path}.{name}");
                let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
                Some(self.module(&parts).map_or(Def::External(path), Def::Module))
            }
            Def::Function(_) | Def::Value(..) => None,
        }
    }

    /// A class and those that it inherits from, in the order in which names are looked up; and the bases that are
    /// not in these files.
    pub fn ancestry(&self, class: Class<'a>) -> Rc<Ancestry<'a>> {
        let id = std::ptr::from_ref(class.node).addr();
        if let Some(known) = self.ancestries.borrow().get(&id) {
            return Rc::clone(known);
        }
        let (mut known, mut external) = (Vec::new(), Vec::new());
        self.add_ancestors(class, &mut known, &mut external);
        let found = Rc::new((known, external));
        self.ancestries.borrow_mut().insert(id, Rc::clone(&found));
        found
    }

    fn add_ancestors(&self, class: Class<'a>, known: &mut Vec<Class<'a>>, external: &mut Vec<String>) {
        if known.contains(&class) || known.len() > 64 {
            return;
        }
        known.push(class);
        for base in class.node.bases() {
            // `Generic[T]` is the base `Generic`.
            let base = if let Expr::Subscript(subscript) = base { &subscript.value } else { base };
            match self.resolve(class.module, base) {
                Some(Def::Class(base)) => self.add_ancestors(base, known, external),
                Some(Def::External(name)) => external.push(name),
                _ => external.push("?".to_owned()),
            }
        }
    }

    /// A member of a class or of one that it inherits from, and the class that has it.
    pub fn find_member(&self, class: Class<'a>, name: &str) -> Option<(Class<'a>, Def<'a>)> {
        self.ancestry(class).0.iter().find_map(|owner| Some((*owner, own_member(*owner, name)?)))
    }

    /// The methods of a class and of those that it inherits from, the nearest first.
    pub fn methods(&self, class: Class<'a>) -> Vec<(Class<'a>, Function<'a>)> {
        let mut all: Vec<(Class<'a>, Function<'a>)> = Vec::new();
        for owner in self.ancestry(class).0.iter().copied() {
            for statement in &owner.node.body {
                if let Stmt::FunctionDef(node) = statement
                    && !all.iter().any(|(_, known)| known.node.name == node.name)
                {
                    all.push((owner, Function { module: owner.module, node }));
                }
            }
        }
        all
    }

    /// What an entry point's target, `module:name`, stands for.
    pub fn target(&self, path: &str) -> Option<Def<'a>> {
        let (module, member) = path.split_once(':')?;
        let parts: Vec<String> = module.trim().split('.').map(str::to_owned).collect();
        Some(self.lookup(self.module(&parts)?, member.trim().split(['.', ' ', '[']).next()?))
    }

    /// The entry points of a group whose targets are in these files.
    pub fn entry_points_of(&self, group: &str) -> Vec<(String, Def<'a>)> {
        let points = self.entry_points.iter().filter(|point| point.group == group);
        points.filter_map(|point| Some((point.name.clone(), self.target(&point.target)?))).collect()
    }

    /// All classes at the top level of a file.
    pub fn classes(&self, module: usize) -> Vec<Class<'a>> {
        let mut found: Vec<Class<'a>> = self.names[module]
            .values()
            .filter_map(|binding| match binding {
                Binding::Class(node) => Some(Class { module, node }),
                _ => None,
            })
            .collect();
        found.sort_by_key(|class| class.node.start());
        found
    }
}

/// A member that a class itself has.
pub(super) fn own_member<'a>(class: Class<'a>, name: &str) -> Option<Def<'a>> {
    class.node.body.iter().rev().find_map(|statement| match statement {
        Stmt::FunctionDef(node) if node.name.as_str() == name => {
            Some(Def::Function(Function { module: class.module, node }))
        }
        Stmt::ClassDef(node) if node.name.as_str() == name => Some(Def::Class(Class { module: class.module, node })),
        Stmt::Assign(assign) if assign.targets.iter().any(|target| is_name(target, name)) => {
            Some(Def::Value(class.module, &assign.value))
        }
        Stmt::AnnAssign(assign) if is_name(&assign.target, name) => {
            Some(Def::Value(class.module, assign.value.as_deref()?))
        }
        _ => None,
    })
}

fn is_name(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::Name(found) if found.id == name)
}

fn collect<'a>(module: &'a Module, body: &'a [Stmt], names: &mut HashMap<&'a str, Binding<'a>>) {
    for statement in body {
        match statement {
            Stmt::ClassDef(node) => {
                names.insert(&node.name, Binding::Class(node));
            }
            Stmt::FunctionDef(node) => {
                // What follows a syntax error may have slipped into a function.
                if module.error.is_some() {
                    collect(module, &node.body, names);
                }
                names.insert(&node.name, Binding::Function(node));
            }
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    if let Expr::Name(name) = target {
                        names.insert(&name.id, Binding::Value(&assign.value));
                    }
                }
            }
            Stmt::AnnAssign(assign) => {
                if let (Expr::Name(name), Some(value)) = (&*assign.target, &assign.value) {
                    names.insert(&name.id, Binding::Value(value));
                }
            }
            Stmt::TypeAlias(alias) => {
                if let Expr::Name(name) = &*alias.name {
                    names.insert(&name.id, Binding::Value(&alias.value));
                }
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let parts: Vec<String> = alias.name.split('.').map(str::to_owned).collect();
                    match &alias.asname {
                        Some(name) => names.insert(name, Binding::Import { module: parts, member: None }),
                        None => {
                            let first = alias.name.split('.').next().unwrap_or(&alias.name);
                            names.insert(first, Binding::Import { module: vec![first.to_owned()], member: None })
                        }
                    };
                }
            }
            Stmt::ImportFrom(import) => {
                let named = import.module.iter().flat_map(|name| name.split('.').map(str::to_owned));
                let parts: Vec<String> = match usize::try_from(import.level).unwrap_or(0) {
                    0 => named.collect(),
                    level => {
                        let up = if module.is_package { level - 1 } else { level };
                        let own = &module.segments[..module.segments.len().saturating_sub(up)];
                        own.iter().cloned().chain(named).collect()
                    }
                };
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    names.insert(name, Binding::Import { module: parts.clone(), member: Some(&alias.name) });
                }
            }
            Stmt::If(branch) => {
                collect(module, &branch.body, names);
                for clause in &branch.elif_else_clauses {
                    collect(module, &clause.body, names);
                }
            }
            Stmt::Try(attempt) => {
                for handler in &attempt.handlers {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    collect(module, &handler.body, names);
                }
                collect(module, &attempt.orelse, names);
                collect(module, &attempt.body, names);
            }
            Stmt::With(with) => collect(module, &with.body, names),
            _ => {}
        }
    }
}
