//! Which classes are services and wrappers, and the walk through each.

use std::collections::HashSet;

use ruff_python_ast::{Expr, Stmt};

use super::definitions::{Class, Def, Function};
use super::facts::{Evidence, Facts, Root, Send, Sent};
use super::flow::Walk;
use super::source::Index;
use super::values::{Abs, At, Code, Given};

/// The facts of all services and wrappers; a service with several handlers has one entry for each.
pub(super) fn all(index: &Index<'_>) -> Vec<Facts> {
    let mut found = Vec::new();
    for module in 0..index.modules.len() {
        if index.modules[module].is_python2 {
            continue;
        }
        for class in index.classes(module) {
            match kind(index, class) {
                Some(true) => found.extend(wrapper(index, class)),
                Some(false) => found.extend(service(index, class)),
                None => {}
            }
        }
    }
    found
}

/// The names under which packages offer a class, in a group.
fn entry_names<'a>(index: &Index<'a>, class: Class<'a>, group: &str) -> Vec<String> {
    let points = index.entry_points.iter().filter(|point| point.group == group);
    let mut names: Vec<String> = points
        .filter(|point| matches!(index.target(&point.target), Some(Def::Class(target)) if target == class))
        .map(|point| point.name.clone())
        .collect();
    names.dedup();
    names
}

/// Whether a class is a wrapper (`true`) or a service (`false`).
fn kind<'a>(index: &Index<'a>, class: Class<'a>) -> Option<bool> {
    if !entry_names(index, class, "zocalo.wrappers").is_empty() {
        return Some(true);
    }
    if !entry_names(index, class, "workflows.services").is_empty() {
        return Some(false);
    }
    let ancestry = index.ancestry(class);
    let (known, external) = &*ancestry;
    let has = |ends: &str| {
        external.iter().any(|name| name.ends_with(ends))
            || known.iter().skip(1).any(|class| class.node.name.as_str() == ends)
    };
    if has("BaseWrapper") {
        return method(index, class, "run").map(|_| true);
    }
    let is_service = has("CommonService") || external.iter().any(|name| name.ends_with("Service"));
    (is_service && method(index, class, "initializing").is_some()).then_some(false)
}

fn method<'a>(index: &Index<'a>, class: Class<'a>, name: &str) -> Option<(Class<'a>, Function<'a>)> {
    match index.find_member(class, name)? {
        (owner, Def::Function(function)) => {
            let only_raises = matches!(&function.node.body[..], [.., Stmt::Raise(_)]) && function.node.body.len() <= 2;
            (!only_raises).then_some((owner, function))
        }
        _ => None,
    }
}

fn start<'i, 'a>(index: &'i Index<'a>, class: Class<'a>, is_wrapper: bool) -> Walk<'i, 'a> {
    let mut walk = Walk::new(index, class, is_wrapper);
    let mut names = Vec::new();
    if let Some((_, Def::Value(_, Expr::StringLiteral(name)))) = index.find_member(class, "_service_name")
        && !is_wrapper
    {
        names.push(name.value.to_str().to_owned());
    }
    names.extend(entry_names(index, class, if is_wrapper { "zocalo.wrappers" } else { "workflows.services" }));
    names.push(class.node.name.to_string());
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    walk.facts.names = names;
    walk.facts.description = Walk::description(class);
    let module = &index.modules[class.module];
    walk.facts.evidence = Some(Evidence { file: module.shown.clone(), line: module.line(&class.node.name) });
    walk
}

fn none<'a>() -> Given<'a> {
    Given { args: vec![], keywords: vec![], spread: vec![] }
}

fn service<'a>(index: &Index<'a>, class: Class<'a>) -> Vec<Facts> {
    let mut walk = start(index, class, false);
    if let Some((owner, function)) = method(index, class, "initializing") {
        let bound = walk.function(function, true, Some(owner));
        walk.invoke(&bound, none());
    }
    if walk.facts.queues.is_empty() {
        for (owner, function) in index.methods(class) {
            if mentions_subscribe(&function.node.body) {
                let bound = walk.function(function, true, Some(owner));
                walk.invoke(&bound, none());
            }
        }
    }
    let handlers = std::mem::take(&mut walk.handlers);
    let subscribed = std::mem::take(&mut walk.facts);
    let mut found: Vec<Facts> = Vec::new();
    let mut done: Vec<usize> = Vec::new();
    walk.entered.clear();
    for (handler, is_recipe) in &handlers {
        let Abs::Function(callable) = handler else { continue };
        if done.contains(&callable.code.id()) {
            continue;
        }
        done.push(callable.code.id());
        let name = match callable.code {
            super::values::Code::Function(function) => Some(function.node.name.to_string()),
            super::values::Code::Lambda(_) => None,
        };
        let mut facts = Facts { reads: Vec::new(), sends: Vec::new(), ..subscribed.clone() };
        facts.queues.retain(|queue| queue.handler == name);
        if facts.queues.is_empty() {
            continue;
        }
        walk.facts = facts;
        walk.overlay.clear();
        walk.seen.clear();
        (walk.certain, walk.depth) = (true, 0);
        let payload = Abs::at(At::of(Root::Payload));
        let args = if *is_recipe { vec![Abs::Wrapper, Abs::Unknown, payload] } else { vec![Abs::Unknown, payload] };
        walk.enter(callable, &Given { args, ..none() }, true);
        let mut facts = std::mem::take(&mut walk.facts);
        if walk.fuel == 0 {
            open_all(&mut facts);
        }
        found.push(facts);
    }
    let elsewhere = sent_elsewhere(&walk);
    for facts in &mut found {
        facts.sends.extend(elsewhere.iter().cloned());
    }
    let known: Vec<&str> = found.iter().flat_map(|facts| &facts.queues).map(|queue| queue.name.as_str()).collect();
    let rest: Vec<_> =
        subscribed.queues.iter().filter(|queue| !known.contains(&queue.name.as_str())).cloned().collect();
    if !rest.is_empty() || found.is_empty() {
        // Its handlers are not known.
        let mut facts = Facts { queues: rest, ..subscribed };
        open_all(&mut facts);
        found.push(facts);
    }
    found
}

/// Of what is not known everything may be read and sent.
fn open_all(facts: &mut Facts) {
    for root in [Root::Step, Root::Payload] {
        facts.open.push(super::facts::Place { root, path: Vec::new(), base: 0 });
    }
    facts.other_channels = true;
}

fn wrapper<'a>(index: &Index<'a>, class: Class<'a>) -> Option<Facts> {
    let (owner, function) = method(index, class, "run")?;
    let mut walk = start(index, class, true);
    let bound = walk.function(function, true, Some(owner));
    let Abs::Function(callable) = &bound else { return None };
    walk.enter(callable, &none(), true);
    if walk.fuel == 0 {
        open_all(&mut walk.facts);
    }
    let elsewhere = sent_elsewhere(&walk);
    walk.facts.sends.extend(elsewhere);
    Some(walk.facts)
}

/// What the methods send that were not walked through: those that a timer calls.
fn sent_elsewhere(walk: &Walk<'_, '_>) -> Vec<Send> {
    use ruff_python_ast::visitor::{Visitor, walk_expr};
    struct Search<'m>(Vec<Send>, &'m super::source::Module);
    impl<'a> Visitor<'a> for Search<'_> {
        fn visit_expr(&mut self, expression: &'a Expr) {
            if let Expr::Call(call) = expression
                && let Expr::Attribute(attribute) = &*call.func
                && attribute.attr.as_str() == "send_to"
                && let Some(Expr::StringLiteral(channel)) = call.arguments.args.first()
            {
                self.0.push(Send {
                    channel: Some(channel.value.to_str().to_owned()),
                    sent: Sent { open: true, ..Sent::default() },
                    always: false,
                    choices: Vec::new(),
                    evidence: Evidence { file: self.1.shown.clone(), line: self.1.line(call) },
                });
            }
            walk_expr(self, expression);
        }
    }
    let mut found = Vec::new();
    for (_, function) in walk.index.methods(walk.class) {
        let id = Code::Function(function).id();
        if walk.entered.contains(&id) {
            continue;
        }
        let mut search = Search(Vec::new(), &walk.index.modules[function.module]);
        for statement in &function.node.body {
            search.visit_stmt(statement);
        }
        found.extend(search.0);
    }
    found
}

/// Whether statements subscribe to something.
fn mentions_subscribe(body: &[Stmt]) -> bool {
    use ruff_python_ast::visitor::{Visitor, walk_expr};
    struct Search(bool);
    impl<'a> Visitor<'a> for Search {
        fn visit_expr(&mut self, expression: &'a Expr) {
            match expression {
                Expr::Attribute(attribute) if matches!(attribute.attr.as_str(), "subscribe" | "wrap_subscribe") => {
                    self.0 = true
                }
                Expr::Name(name) if name.id == "wrap_subscribe" => self.0 = true,
                _ => {}
            }
            walk_expr(self, expression);
        }
    }
    let mut search = Search(false);
    for statement in body {
        search.visit_stmt(statement);
    }
    search.0
}
