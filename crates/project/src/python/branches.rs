//! The walk through branches: what all of them need, and what refuses a message.

use std::collections::HashMap;

use ruff_python_ast::{CmpOp, ExceptHandler, Expr, ExprCall, Pattern, Stmt, StmtIf, StmtTry, UnaryOp};

use super::facts::{Choice, Evidence, Root, Segment, Selector, Use, same};
use super::flow::Walk;
use super::literals::{OF_TEXT, constant};
use super::values::{Abs, Arm, End, How};

impl<'a> Walk<'_, 'a> {
    /// Joins what names were before a loop with what they are after one round.
    pub fn join_vars(&mut self, before: HashMap<&'a str, Abs<'a>>) {
        for (name, value) in before {
            if let Some(now) = self.frames[self.current].vars.remove(name) {
                let joined = self.join(value, now);
                self.frames[self.current].vars.insert(name, joined);
            } else {
                self.frames[self.current].vars.insert(name, value);
            }
        }
    }

    /// Whether statements before the end of a block refuse the message.
    pub fn refuses(&self, before: &'a [Stmt]) -> bool {
        before.iter().any(|statement| {
            let Stmt::Expr(expression) = statement else { return false };
            let Expr::Call(call) = &*expression.value else { return false };
            let Expr::Attribute(attribute) = &*call.func else { return false };
            matches!(attribute.attr.as_str(), "nack" | "transaction_abort" | "_request_termination")
        })
    }

    /// Whether statements end with a `return` that does not refuse the message.
    pub fn leaves_well(&self, body: &'a [Stmt]) -> bool {
        let Some((Stmt::Return(leave), before)) = body.split_last() else { return false };
        let is_none = leave.value.as_deref().is_none_or(|value| matches!(value, Expr::NoneLiteral(_)));
        let is_false = matches!(leave.value.as_deref(), Some(Expr::BooleanLiteral(literal)) if !literal.value);
        let is_entry = self.frames[self.current].entry;
        !self.refuses(before) && !(is_entry && (is_false || is_none && self.facts.wrapper))
    }

    pub fn branch(&mut self, branch: &'a StmtIf, rest: Option<&'a [Stmt]>) -> End {
        let mut tests = vec![(Some(&*branch.test), &branch.body[..])];
        tests.extend(branch.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body[..])));
        let mut arms: Vec<Arm<'a>> = Vec::new();
        let certain = self.certain;
        let mut is_exhaustive = false;
        for (at, (test, body)) in tests.iter().enumerate() {
            let Some(test) = test else {
                is_exhaustive = true;
                arms.push(Arm::new(body));
                continue;
            };
            self.certain = certain && at == 0;
            let truth = self.eval(test).truth();
            self.certain = certain;
            match truth {
                Some(false) => {}
                Some(true) => {
                    is_exhaustive = true;
                    arms.push(Arm::new(body));
                    break;
                }
                None => {
                    let choices = self.choices_of(test);
                    if choices.is_empty() {
                        arms.push(Arm::new(body));
                    }
                    arms.extend(choices.into_iter().map(|choice| Arm::of(choice, body)));
                }
            }
        }
        match (&arms[..], is_exhaustive) {
            ([], _) => return rest.map_or(End::Next, |rest| self.block(rest)),
            ([only], true) => {
                let end = self.block(only.body);
                return match rest {
                    Some(rest) if end == End::Next => self.block(rest),
                    _ => end,
                };
            }
            _ => {}
        }
        if !is_exhaustive {
            arms.push(Arm { is_rest: rest.is_some(), ..Arm::new(rest.unwrap_or_default()) });
        }
        let evidence = self.evidence(branch);
        let (end, ends) = self.fork(&arms, &evidence);
        if end == End::Next && self.certain && arms.len() == 2 {
            match ends[..] {
                [End::Failed, End::Next] => self.refuse(&branch.test, true),
                [End::Next, End::Failed] => self.refuse(&branch.test, false),
                _ => {}
            }
        }
        end
    }

    /// Walks through branches one after the other, and joins what they leave.
    pub fn fork(&mut self, arms: &[Arm<'a>], evidence: &Evidence) -> (End, Vec<End>) {
        let start = self.frames[self.current].vars.clone();
        let certain = self.certain;
        let (mut ends, mut reads, mut sends, mut vars) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut still_certain = true;
        let depth = self.depth;
        for arm in arms {
            self.depth = if arm.is_rest { depth } else { depth + 1 };
            self.frames[self.current].vars.clone_from(&start);
            self.certain = certain;
            let (read, sent) = (self.facts.reads.len(), self.facts.sends.len());
            self.choices.extend(arm.choice.clone());
            let mut end = self.block(arm.body);
            if arm.choice.is_some() {
                self.choices.pop();
            }
            // Who leaves after an exception has not done what was asked.
            if arm.is_handler && end == End::Left {
                end = End::Failed;
            }
            if end == End::Next {
                still_certain &= self.certain;
            }
            ends.push(end);
            reads.push(read..self.facts.reads.len());
            sends.push(sent..self.facts.sends.len());
            vars.push(std::mem::take(&mut self.frames[self.current].vars));
        }
        self.depth = depth;
        self.demote(arms, &ends, &reads);
        for (at, range) in sends.iter().enumerate() {
            for index in range.clone() {
                let channel = self.facts.sends[index].channel.clone();
                let in_all = (0..arms.len()).all(|other| {
                    ends[other] == End::Failed
                        || sends[other].clone().any(|index| {
                            self.facts.sends[index].channel == channel
                                && (self.facts.sends[index].always || other == at)
                        })
                });
                self.facts.sends[index].always &= in_all && ends[at] != End::Failed;
            }
        }
        self.note_choices(arms, &ends, evidence);
        let going: Vec<usize> = (0..arms.len()).filter(|at| ends[*at] == End::Next).collect();
        let has_left = ends.contains(&End::Left);
        self.certain = certain && still_certain && !has_left;
        let mut joined: Option<HashMap<&'a str, Abs<'a>>> = None;
        for at in &going {
            let own = std::mem::take(&mut vars[*at]);
            joined = Some(match joined {
                None => own,
                Some(mut known) => {
                    for (name, value) in own {
                        let value = match known.remove(name) {
                            Some(other) => self.join(other, value),
                            None => value,
                        };
                        known.insert(name, value);
                    }
                    known
                }
            });
        }
        self.frames[self.current].vars = joined.unwrap_or(start);
        let end = match (going.is_empty(), has_left) {
            (false, _) => End::Next,
            (true, true) => End::Left,
            (true, false) => End::Failed,
        };
        (end, ends)
    }

    /// What only some branches require is not required.
    pub fn demote(&mut self, arms: &[Arm<'a>], ends: &[End], reads: &[std::ops::Range<usize>]) {
        let alive: Vec<usize> = (0..arms.len()).filter(|at| ends[*at] != End::Failed).collect();
        for (at, range) in reads.iter().enumerate() {
            if alive.iter().any(|other| *other != at) {
                self.facts.reads[range.clone()].iter_mut().for_each(|read| read.mapping = false);
            }
            if arms[at].choice.is_some() && ends[at] != End::Failed {
                continue;
            }
            for index in range.clone() {
                let read = &self.facts.reads[index];
                if !read.required {
                    continue;
                }
                let is_in_all = alive.contains(&at)
                    && alive.iter().filter(|other| **other != at).all(|other| {
                        reads[*other].clone().any(|other| {
                            let other = &self.facts.reads[other];
                            other.required
                                && other.places.iter().any(|place| read.places.iter().any(|own| same(own, place)))
                        })
                    });
                if !is_in_all {
                    self.facts.reads[index].required = false;
                }
            }
        }
    }

    pub fn note_choices(&mut self, arms: &[Arm<'a>], ends: &[End], evidence: &Evidence) {
        let choices: Vec<&Choice> = arms.iter().filter_map(|arm| arm.choice.as_ref()).collect();
        let Some(first) = choices.first() else { return };
        let others: Vec<End> = (0..arms.len()).filter(|at| arms[*at].choice.is_none()).map(|at| ends[at]).collect();
        self.facts.selectors.push(Selector {
            by: first.by.clone(),
            values: choices.iter().filter(|choice| choice.by == first.by).map(|choice| choice.value.clone()).collect(),
            complete: self.certain && self.choices.is_empty() && others.iter().all(|end| *end == End::Failed),
            also_in: Vec::new(),
            evidence: evidence.clone(),
        });
    }

    pub fn attempt(&mut self, attempt: &'a StmtTry) -> End {
        let mark = self.facts.reads.len();
        let end = self.block(&attempt.body);
        let range = mark..self.facts.reads.len();
        let mut arms: Vec<Arm<'a>> = Vec::new();
        for handler in &attempt.handlers {
            let ExceptHandler::ExceptHandler(handler) = handler;
            arms.push(Arm { is_handler: true, ..Arm::new(&handler.body) });
        }
        if end == End::Next {
            arms.push(Arm { is_rest: true, ..Arm::new(&attempt.orelse) });
        }
        let evidence = self.evidence(attempt);
        let certain = self.certain;
        let (mut outcome, ends) = if arms.is_empty() { (end, Vec::new()) } else { self.fork(&arms, &evidence) };
        let is_caught = attempt.handlers.iter().zip(&ends).any(|(handler, end)| {
            let ExceptHandler::ExceptHandler(handler) = handler;
            *end == End::Next && catches_missing(handler.type_.as_deref())
        });
        if is_caught {
            for read in &mut self.facts.reads[range] {
                (read.required, read.mapping) = (false, false);
            }
        }
        if end != End::Next {
            // What follows is reached by a handler alone.
            self.certain = certain && outcome != End::Next;
            if outcome != End::Next {
                outcome = end;
            }
        }
        let last = self.block(&attempt.finalbody);
        if last == End::Next { outcome } else { last }
    }

    /// The choices that a condition makes: `x == "a"`, `x in ("a", "b")`.
    pub fn choices_of(&mut self, test: &'a Expr) -> Vec<Choice> {
        let Expr::Compare(compare) = test else { return Vec::new() };
        let ([operator], [right]) = (&compare.ops[..], &compare.comparators[..]) else { return Vec::new() };
        let (subject, values) = match operator {
            CmpOp::Eq => match (constant(&compare.left), constant(right)) {
                (Some(value), None) => (right, vec![value]),
                (None, Some(value)) => (&*compare.left, vec![value]),
                _ => return Vec::new(),
            },
            CmpOp::In => match constant(right) {
                Some(serde_json::Value::Array(values)) => (&*compare.left, values),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let certain = std::mem::replace(&mut self.certain, false);
        let subject = self.eval(subject);
        self.certain = certain;
        let texts: Option<Vec<&str>> = values.iter().map(serde_json::Value::as_str).collect();
        texts.unwrap_or_default().into_iter().filter_map(|text| self.choice(&subject, text)).collect()
    }

    /// The choice of one value of a parameter.
    pub fn choice(&self, subject: &Abs<'a>, value: &str) -> Option<Choice> {
        let at = subject.as_at()?;
        let place = at.places.iter().find(|place| place.mapping().is_some() && place.root != Root::Environment)?;
        let (Segment::Key(by), inside) = place.tail().split_last()? else { return None };
        Some(Choice { by: by.clone(), inside: inside.to_vec(), value: value.to_owned() })
    }

    pub fn bind_pattern(&mut self, pattern: &'a Pattern, subject: &Abs<'a>) {
        match pattern {
            Pattern::MatchAs(bound) => {
                if let Some(inner) = &bound.pattern {
                    self.bind_pattern(inner, subject);
                }
                if let Some(name) = &bound.name {
                    self.set(name, subject.clone());
                }
            }
            Pattern::MatchMapping(mapping) => {
                for (key, inner) in mapping.keys.iter().zip(&mapping.patterns) {
                    let value = match (subject.as_at().cloned(), constant(key)) {
                        (Some(at), Some(serde_json::Value::String(key_text))) => {
                            self.read(&at, &key_text, How::Get(None), key)
                        }
                        _ => Abs::Unknown,
                    };
                    self.bind_pattern(inner, &value);
                }
                if let Some(rest) = &mapping.rest {
                    self.set(rest, Abs::Unknown);
                    self.escape(subject);
                }
            }
            _ => {}
        }
    }

    /// What follows from it that the message is refused where a condition is this.
    pub fn refuse(&mut self, test: &'a Expr, when: bool) {
        if !self.certain {
            return;
        }
        match test {
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => self.refuse(&not.operand, !when),
            Expr::BoolOp(either) => {
                let is_or = either.op == ruff_python_ast::BoolOp::Or;
                if is_or == when {
                    for part in &either.values {
                        self.refuse(part, when);
                    }
                }
            }
            Expr::Compare(compare) => {
                let ([operator], [right]) = (&compare.ops[..], &compare.comparators[..]) else { return };
                let is_none = matches!(right, Expr::NoneLiteral(_));
                match operator {
                    CmpOp::Is | CmpOp::Eq if is_none && when => self.force(&compare.left),
                    CmpOp::IsNot | CmpOp::NotEq if is_none && !when => self.force(&compare.left),
                    CmpOp::NotIn if when => self.force_member(&compare.left, right),
                    CmpOp::In if !when => self.force_member(&compare.left, right),
                    _ => {}
                }
            }
            // `if not x.isnumeric(): …nack(…)`.
            Expr::Call(call)
                if !when
                    && let Expr::Attribute(method) = &*call.func
                    && OF_TEXT.contains(&method.attr.as_str()) =>
            {
                if let Expr::Name(_) = &*method.value {
                    let value = self.eval(&method.value);
                    self.insist(&value, Use::Text);
                }
            }
            Expr::Call(call) if !when && call.arguments.len() == 2 => self.insist_on_type(call),
            other if !when => self.force(other),
            _ => {}
        }
    }

    /// `isinstance(x, list)`, of which the opposite is refused.
    fn insist_on_type(&mut self, call: &'a ExprCall) {
        let ([value, kinds], Expr::Name(function)) = (&call.arguments.args[..], &*call.func) else { return };
        let names: Vec<&str> = match kinds {
            Expr::Tuple(kinds) => kinds.elts.iter().map(name_of).collect(),
            kind => vec![name_of(kind)],
        };
        let kind = match names[..] {
            ["list" | "tuple"] | ["list", "tuple"] | ["tuple", "list"] => Use::Array,
            ["dict"] => Use::Object,
            ["str"] => Use::Text,
            ["int"] => Use::Integer,
            ["float"] | ["int", "float"] | ["float", "int"] => Use::Number,
            _ => return,
        };
        if function.id == "isinstance" && matches!(value, Expr::Name(_)) {
            let value = self.eval(value);
            self.insist(&value, kind);
        }
    }

    /// Requires what an expression reads without a default.
    pub fn force(&mut self, expression: &'a Expr) {
        let forced = std::mem::replace(&mut self.forced, true);
        let value = match expression {
            Expr::Name(_) | Expr::Subscript(_) | Expr::Attribute(_) => self.eval(expression),
            Expr::Call(call) if call.arguments.len() == 1 => self.eval(expression),
            Expr::Named(named) => self.eval(&named.target),
            _ => Abs::Unknown,
        };
        self.forced = forced;
        if let Abs::At(at) = &value
            && at.optional
        {
            self.require(at);
        }
    }

    pub fn force_member(&mut self, key: &'a Expr, mapping: &'a Expr) {
        let (key_value, mapping) = (self.eval(key), self.eval(mapping));
        if let (Some(text), Some(at)) = (key_value.as_text(), mapping.as_at()) {
            let at = at.clone();
            self.read(&at, text, How::Index, key);
        }
    }
}

/// A name, if it is one.
fn name_of(expression: &Expr) -> &str {
    match expression {
        Expr::Name(name) => &name.id,
        _ => "",
    }
}

/// Whether a handler of exceptions gets those of missing keys.
fn catches_missing(kind: Option<&Expr>) -> bool {
    let name = |expression: &Expr| match expression {
        Expr::Name(name) => name.id.to_string(),
        Expr::Attribute(attribute) => attribute.attr.to_string(),
        _ => String::new(),
    };
    let names = match kind {
        None => return true,
        Some(Expr::Tuple(kinds)) => kinds.elts.iter().map(name).collect(),
        Some(kind) => vec![name(kind)],
    };
    let missing = ["KeyError", "LookupError", "Exception", "BaseException"];
    names.iter().any(|name| missing.contains(&name.as_str()))
}
