//! The walk through the statements of a service: which values come from the message, and what is done with them.
//!
//! Functions are entered where they are called with something of the message. Branches are walked one after the
//! other and joined; a key is required if every branch that does not refuse the message needs it.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::Ranged;

use super::definitions::Class;
use super::facts::{Choice, Evidence, Facts, Root, Segment};
use super::literals::pattern_texts;
use super::source::Index;
use super::values::{Abs, Arm, Dict, End, Frame};

/// How much of a service is walked through: expressions.
const MAX_EXPRESSIONS: usize = 400_000;

/// The walk through one service or wrapper.
pub(super) struct Walk<'i, 'a> {
    pub index: &'i Index<'a>,
    pub class: Class<'a>,
    pub facts: Facts,
    pub frames: Vec<Frame<'a>>,
    pub current: usize,
    pub attributes: HashMap<&'a str, Abs<'a>>,
    pub dicts: Vec<Dict<'a>>,
    pub objects: Vec<HashMap<String, Abs<'a>>>,
    /// Values that the service itself put into what it was given, and whether always.
    pub overlay: HashMap<(Root, Vec<Segment>), (Abs<'a>, bool)>,
    /// Whether this is reached for every message that is not refused.
    pub certain: bool,
    /// Whether the absence of what is read now refuses the message.
    pub forced: bool,
    pub depth: usize,
    pub choices: Vec<Choice>,
    /// The functions that are being walked through.
    pub stack: Vec<usize>,
    /// What functions gave that got nothing of interest, and whether they were certain.
    pub seen: HashMap<(usize, Vec<Choice>), (bool, Abs<'a>)>,
    pub fuel: usize,
    /// The functions that were walked through.
    pub entered: HashSet<usize>,
    /// Methods that were subscribed, and whether they get a recipe wrapper.
    pub handlers: Vec<(Abs<'a>, bool)>,
}

impl<'i, 'a> Walk<'i, 'a> {
    pub fn new(index: &'i Index<'a>, class: Class<'a>, wrapper: bool) -> Self {
        let frame = Frame {
            vars: HashMap::new(),
            parent: None,
            module: class.module,
            owner: Some(class),
            entry: false,
            returned: None,
            returns: 0,
        };
        Self {
            index,
            class,
            facts: Facts { wrapper, ..Facts::default() },
            frames: vec![frame],
            current: 0,
            attributes: HashMap::new(),
            dicts: Vec::new(),
            objects: Vec::new(),
            overlay: HashMap::new(),
            certain: true,
            forced: false,
            depth: 0,
            choices: Vec::new(),
            stack: Vec::new(),
            seen: HashMap::new(),
            fuel: MAX_EXPRESSIONS,
            entered: HashSet::new(),
            handlers: Vec::new(),
        }
    }

    pub fn module(&self) -> usize {
        self.frames[self.current].module
    }

    pub fn evidence(&self, part: &impl Ranged) -> Evidence {
        let module = &self.index.modules[self.module()];
        Evidence { file: module.shown.clone(), line: module.line(part) }
    }

    pub fn set(&mut self, name: &'a str, value: Abs<'a>) {
        self.frames[self.current].vars.insert(name, value);
    }

    /// Walks through statements.
    pub fn block(&mut self, body: &'a [Stmt]) -> End {
        for (at, statement) in body.iter().enumerate() {
            // What follows `if …: return` is its other branch.
            if let Stmt::If(branch) = statement
                && branch.elif_else_clauses.is_empty()
                && self.leaves_well(&branch.body)
            {
                return self.branch(branch, Some(&body[at + 1..]));
            }
            let end = self.statement(statement, &body[..at]);
            if end != End::Next {
                return end;
            }
        }
        End::Next
    }

    pub fn statement(&mut self, statement: &'a Stmt, before: &'a [Stmt]) -> End {
        match statement {
            Stmt::Expr(expression) => {
                let value = self.eval(&expression.value);
                if matches!(&value, Abs::External(name) if &**name == "exit()") {
                    return End::Failed;
                }
            }
            Stmt::Assign(assign) => {
                let value = self.eval(&assign.value);
                for target in &assign.targets {
                    self.assign(target, value.clone());
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.eval(value);
                    self.assign(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => {
                let old = self.eval(&assign.target);
                let value = self.eval(&assign.value);
                if assign.op == ruff_python_ast::Operator::BitOr && old.is_of_interest() {
                    let merged = self.merge(&[value, old]);
                    self.assign(&assign.target, merged);
                } else {
                    match &*assign.target {
                        Expr::Name(name) => self.set(&name.id, Abs::Unknown),
                        // What came with the message and is added to is still what came.
                        Expr::Subscript(subscript) => {
                            let owner = self.eval(&subscript.value);
                            if matches!(owner, Abs::Dict(_)) {
                                let key = self.eval(&subscript.slice);
                                self.store(&owner, &key, Abs::Unknown, &assign.target);
                            }
                        }
                        _ => {}
                    }
                }
            }
            Stmt::Return(leave) => {
                let value = leave.value.as_ref().map_or(Abs::Nothing, |value| self.eval(value));
                let is_refusal = self.refuses(before)
                    || self.frames[self.current].entry
                        && (matches!(&value, Abs::Json(value) if **value == serde_json::Value::Bool(false))
                            || self.facts.wrapper && matches!(value, Abs::Nothing));
                if !is_refusal {
                    self.frames[self.current].returns += 1;
                    let known = self.frames[self.current].returned.take();
                    let joined = known.map_or(value.clone(), |known| self.join(known, value));
                    self.frames[self.current].returned = Some(joined);
                }
                return if is_refusal { End::Failed } else { End::Left };
            }
            Stmt::Raise(raise) => {
                let certain = std::mem::replace(&mut self.certain, false);
                for part in [&raise.exc, &raise.cause].into_iter().flatten() {
                    self.eval(part);
                }
                self.certain = certain;
                return End::Failed;
            }
            Stmt::If(branch) => return self.branch(branch, None),
            Stmt::For(each) => {
                let items = self.eval(&each.iter);
                let rounds = self.items_of(&items);
                let (certain, depth) = (self.certain, self.depth);
                let before = self.frames[self.current].vars.clone();
                let returns = self.frames[self.current].returns;
                let is_unrolled = rounds.is_some();
                for item in rounds.unwrap_or_else(|| vec![self.item_of(&items)]) {
                    self.certain = certain && is_unrolled;
                    self.depth = if is_unrolled { depth } else { depth + 1 };
                    self.assign(&each.target, item);
                    let end = self.block(&each.body);
                    if end == End::Left {
                        self.certain = false;
                    }
                }
                (self.certain, self.depth) = (certain && self.frames[self.current].returns == returns, depth);
                self.join_vars(before);
                return self.block(&each.orelse);
            }
            Stmt::While(round) => {
                self.eval(&round.test);
                let certain = std::mem::replace(&mut self.certain, false);
                let before = self.frames[self.current].vars.clone();
                let returns = self.frames[self.current].returns;
                self.depth += 1;
                self.block(&round.body);
                self.depth -= 1;
                self.certain = certain && self.frames[self.current].returns == returns;
                self.join_vars(before);
                return self.block(&round.orelse);
            }
            Stmt::With(with) => {
                let mut suppresses = false;
                for item in &with.items {
                    let value = self.eval(&item.context_expr);
                    suppresses |= matches!(&value, Abs::External(name) if &**name == "suppress()");
                    if let Some(target) = &item.optional_vars {
                        self.assign(target, Abs::Unknown);
                    }
                }
                let certain = self.certain;
                self.certain &= !suppresses;
                let end = self.block(&with.body);
                self.certain = certain && (self.certain || suppresses);
                return if suppresses { End::Next } else { end };
            }
            Stmt::Try(attempt) => return self.attempt(attempt),
            Stmt::Match(choice) => {
                let subject = self.eval(&choice.subject);
                let mut arms = Vec::new();
                let mut is_exhaustive = false;
                for case in &choice.cases {
                    let names = pattern_texts(&case.pattern);
                    is_exhaustive |= case.guard.is_none() && case.pattern.is_irrefutable();
                    self.bind_pattern(&case.pattern, &subject);
                    let made: Vec<Choice> = names.iter().filter_map(|name| self.choice(&subject, name)).collect();
                    if made.is_empty() {
                        arms.push(Arm::new(&case.body));
                    }
                    arms.extend(made.into_iter().map(|choice| Arm::of(choice, &case.body)));
                }
                if !is_exhaustive {
                    arms.push(Arm::new(&[]));
                }
                let evidence = self.evidence(choice);
                return self.fork(&arms, &evidence).0;
            }
            Stmt::Assert(assert) => {
                self.eval(&assert.test);
                self.refuse(&assert.test, false);
            }
            Stmt::FunctionDef(node) => {
                let function = super::definitions::Function { module: self.module(), node };
                let callable = super::values::Callable {
                    code: super::values::Code::Function(function),
                    module: self.module(),
                    frame: Some(self.current),
                    bound: false,
                    owner: self.frames[self.current].owner,
                };
                self.set(&node.name, Abs::Function(std::rc::Rc::new(callable)));
            }
            Stmt::ClassDef(node) => {
                let class = Class { module: self.module(), node };
                self.set(&node.name, Abs::Class(class));
            }
            Stmt::Delete(delete) => {
                let certain = std::mem::replace(&mut self.certain, false);
                for target in &delete.targets {
                    self.eval(target);
                }
                self.certain = certain;
            }
            Stmt::Break(_) | Stmt::Continue(_) => return End::Left,
            _ => {}
        }
        End::Next
    }
}
