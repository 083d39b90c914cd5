//! Parameters whose values the service does not take.

use std::collections::HashSet;

use crate::contract::{Contract, Declared};
use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::infer::{Never, Type, Use};
use crate::lint::Context;
use crate::recipe::Step;
use crate::schema::Problem;
use crate::syntax::{Kind, NodeId, NodeRef};
use crate::value::Value;

declare_rule! {
    /// A parameter has another type than its service takes.
    ///
    /// # Why
    /// According to the contract of the service, the parameter must have another type. A string with placeholders is
    /// always text: for a list or an object, write `{$REPLACE:name}`. If the parameters are known, the values of
    /// placeholders are checked as well.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "runner.submission", "parameters": { "workingdir": ".", "commands": ["date"], "timeout": "soon" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "runner.submission", "parameters": { "workingdir": ".", "commands": ["date"], "timeout": 60 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The contract is stricter than the service. Then correct the contract, or mark the property with `x-parsed`.
    "parameter-type", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let said = text_where_none_fits(cx, sink);
    for found in cx.violations() {
        let violation = &found.violation;
        let Problem::Unfit { predicate, meant, replacement, .. } = &violation.problem else { continue };
        let node = cx.node(violation.node);
        // That `parameters` are no object is the business of another rule.
        let is_whole = violation.path.is_empty();
        if is_whole && node.kind() != Kind::Object || said.contains(&violation.node) {
            continue;
        }
        let step = &cx.recipe.steps()[found.step];
        // In an old form of the parameters `deprecated-parameter` says what takes its place.
        if is_old_form(cx, step, found.contract, &violation.path) {
            continue;
        }
        let what = found.part.noun();
        let name = cx.recipe.name(step);
        let message = match is_whole {
            true => format!("`{}` of step `{name}` {predicate}", found.part.key()),
            false => format!("{what} `{}` of step `{name}` {predicate}", violation.path),
        };
        let diagnostic = RULE.at(node.head(), message).level(found.level);
        let explanation = violation.top.as_deref().and_then(|top| found.explanation(top));
        let diagnostic = match (meant, explanation) {
            (Some(meant), _) => diagnostic.help(format!("did you mean `{meant}`?")),
            (None, Some(explanation)) => diagnostic.help(explanation),
            (None, None) => diagnostic.help(format!("the contract of {} requires it", cx.name_of(found.contract))),
        };
        let diagnostic = cx.advise(diagnostic, found.contract);
        sink.report(match replacement {
            // A service may take what its contract does not describe.
            Some((text, _)) => diagnostic.unsafe_fix(format!("write `{text}`"), node.span(), text.clone()),
            None => diagnostic,
        });
    }
    if let Some(declared) = cx.declared.filter(|declared| !declared.is_empty()) {
        declared_types(cx, declared, sink);
    }
}

/// Whether a step has deprecated parameters that belong into this one now.
fn is_old_form(cx: &Context<'_>, step: &Step, contract: &Contract, path: &str) -> bool {
    let parameters = step.parameters.map(|parameters| cx.node(parameters));
    let mut old = contract.deprecated.iter();
    old.any(|(old, new)| {
        let within = new.as_deref().and_then(|new| new.split_once('.')).is_some_and(|(within, _)| within == path);
        within && parameters.is_some_and(|parameters| parameters.get(old).is_some())
    })
}

/// The same for a text of the step.
fn is_of_old_form(cx: &Context<'_>, used: &Use) -> bool {
    let Some(step) = used.step.and_then(|step| cx.recipe.steps().get(step)) else { return false };
    let Some(contract) = cx.contract_of(step).filter(|contract| !contract.deprecated.is_empty()) else { return false };
    let parameters = step.parameters.map(|parameters| cx.node(parameters));
    let mut members = parameters.into_iter().flat_map(NodeRef::members);
    let own = members.find(|member| member.value.id() == used.node);
    own.is_some_and(|member| is_old_form(cx, step, contract, &member.key.text()))
}

/// Templates, which make text, in places where the service takes none, or none of what can come of them.
fn text_where_none_fits(cx: &Context<'_>, sink: &mut Sink) -> HashSet<NodeId> {
    let mut said = HashSet::new();
    for (parameter, used) in cx.demands().iter().flat_map(|p| p.uses.iter().map(move |used| (p, used))) {
        let Some(never) = &used.never else { continue };
        if !said.insert(used.node) {
            continue;
        }
        let node = cx.node(used.node);
        if is_of_old_form(cx, used) {
            continue;
        }
        let whole = node.text().len() == used.field.span.len();
        let value = cx.parameters.and_then(|parameters| parameters.get(&parameter.name));
        let advised = |diagnostic: Diagnostic| match used.by_advice {
            true => diagnostic.level(Level::Warning),
            false => diagnostic,
        };
        let is_plain = whole && used.field.spec.is_empty() && used.field.conversion.is_none();
        let wanted = match never {
            Never::Text(wanted) => wanted,
            Never::Beside(wanted) => {
                let message = format!("this text does not fit for any value of `{}`: {wanted}", used.field);
                let diagnostic = RULE.at(node.head(), message).help("check the text beside the placeholder");
                sink.report(advised(diagnostic));
                continue;
            }
        };
        let diagnostic = advised(RULE.at(node.head(), format!("`{}` makes text, and {wanted}", used.field)));
        // What is known to be text is not what is wanted as a value, either.
        sink.report(if is_plain && !matches!(value, Some(Value::String(_))) {
            let mut replacement = format!("{{$REPLACE:{}", used.field.name);
            used.field.path.iter().for_each(|access| replacement.push_str(&access.to_string()));
            replacement.push('}');
            let help = format!("if the parameter `{}` is that, write `{replacement}`", parameter.name);
            diagnostic.help(help).unsafe_fix(
                format!("write `{replacement}`"),
                node.text_span(used.field.span.clone()),
                replacement,
            )
        } else {
            diagnostic.help("give the value itself, or only `{$REPLACE:…}`")
        });
    }
    said
}

/// Parameters that the site's dispatcher adds, in places where they do not fit; and given ones of another type.
fn declared_types(cx: &Context<'_>, declared: &Declared, sink: &mut Sink) {
    for parameter in cx.signature() {
        let (Some(schema), Some(first)) = (declared.get(&parameter.name), parameter.uses.first()) else { continue };
        let name = &parameter.name;
        if let Some(value) = cx.parameters.and_then(|parameters| parameters.get(name)) {
            // What comes from the command line is text.
            if let Some(violation) = schema.check_value(value, true).first() {
                let predicate = match &violation.problem {
                    Problem::Unfit { predicate, .. } => predicate.clone(),
                    Problem::Missing(key) => format!("has no `{key}`"),
                    Problem::Unknown { name, .. } => format!("has the unknown key `{name}`"),
                };
                let at = if violation.path.is_empty() { String::new() } else { format!("`{}` of ", violation.path) };
                let message = format!("{at}the parameter `{name}` {predicate}");
                sink.report(
                    RULE.at(first.span(cx.recipe), message)
                        .help("its type is set under `[parameters]` in the settings of the site"),
                );
            }
            continue;
        }
        let given = Type::of_schema(schema.root(), schema.root());
        let wrong = parameter.uses.iter().find(|used| used.certain && given.meet(&used.expects).is_empty());
        if let Some(used) = wrong {
            sink.report(
                RULE.at(
                    used.span(cx.recipe),
                    format!("the parameter `{name}` is {given:#} at this site, and does not fit here"),
                )
                .label(used.reason.clone())
                .help("its type is set under `[parameters]` in the settings of the site"),
            );
        }
    }
}
