//! Payloads that the step they are sent to does not take.

use crate::contract::{Contract, Part};
use crate::diagnostic::{Diagnostic, Sink};
use crate::flow::Sends;
use crate::infer::{misfit, partial_misfit};
use crate::lint::Context;
use crate::recipe::{Role, Step};
use crate::schema::{Problem, Schema, Violation};
use crate::syntax::Kind;

declare_rule! {
    /// A payload does not fit the service that receives it.
    ///
    /// # Why
    /// The contracts of two services describe what one sends and what the other accepts, and these do not match: a key
    /// is missing, or has another type. The same applies to a payload in `start`. An empty list there means that there
    /// is no payload.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "processing_recipe" }, "start": [[1, { "recipes": "one" }]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "processing_recipe" }, "start": [[1, { "recipes": ["one"] }]] }
    /// ```
    ///
    /// # When not to follow it
    /// A contract does not describe what its service sends or takes. Then correct the contract.
    "mismatched-payload", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    for step in recipe.steps() {
        let Some(sends) = Sends::of(recipe, step, &cx.under(step)) else { continue };
        for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let target = link.target.id().and_then(|id| recipe.step(id));
            let Some((channel, target)) = sends.channel_of(recipe, link).zip(target) else { continue };
            let Some(sent) = &channel.payload else { continue };
            let misfit = takers(cx, target).find_map(|(taker, part)| match part {
                Some(schema) => Some((taker, partial_misfit(cx.contracts, sent, schema, taker.coerced)?)),
                // What is forwarded may have what is missing.
                None if channel.forwards.is_empty() => Some((taker, misfit(cx.contracts, sent, taker)?)),
                None => None,
            });
            let Some((taker, (path, problem))) = misfit else { continue };
            let (from, to) = (recipe.name(step), recipe.name(target));
            let part = if path.is_empty() { "it".to_owned() } else { format!("`{path}`") };
            let message = format!(
                "the payload that step `{from}` sends on `{}` does not fit step `{to}`: {part} {problem}",
                channel.name
            );
            let sent_in = channel.evidence.first().map_or_else(String::new, |place| format!(" in {place}"));
            let diagnostic = RULE
                .at(cx.node(link.node).span(), message)
                .label(format!("sent by {}{sent_in}", cx.name_of(sends.contract)))
                .also(cx.node(target.key).span(), format!("taken by {}", cx.name_of(taker)))
                .help("put a step between them, or connect another channel");
            sink.report(cx.advise(cx.advise(diagnostic, taker), sends.contract));
        }
    }
    for (_, target, payload) in
        recipe.start().into_iter().flat_map(|start| &start.entries).filter_map(|entry| entry.pair)
    {
        let Some(target) = target.id().and_then(|id| recipe.step(id)) else { continue };
        let payload = cx.node(payload);
        if payload.kind() == Kind::Array && payload.is_empty() {
            continue;
        }
        for (contract, part) in takers(cx, target) {
            let is_part = part.is_some();
            let Some(schema) = part.or(contract.payload.as_ref()) else { continue };
            // What is no mapping is not read as one.
            if is_part && payload.kind() != Kind::Object {
                continue;
            }
            let mut violations = schema.check(payload, contract.coerced, &mut cx.view(payload));
            // The parameters of the step may have what the payload lacks, and other services what it has in addition.
            violations.retain(|violation| !is_part || !violation.path.is_empty());
            for violation in violations {
                sink.report(cx.advise(diagnostic(cx, target, contract, violation), contract));
            }
        }
    }
}

/// The contracts of those that take what is sent to a step; with the schema of what they read together with the
/// parameters of the step, where they do.
fn takers<'a>(cx: &Context<'a>, step: &Step) -> impl Iterator<Item = (&'a Contract, Option<&'a Schema>)> {
    let under = cx.under(step);
    let alone = under.all().filter(|contract| contract.payload.is_some()).map(|contract| (contract, None));
    let merged = Part::ALL.into_iter().filter_map(move |part| {
        let contract = under.of(part).filter(|contract| contract.takes_payload_as(part))?;
        Some((contract, Some(contract.schema(part)?)))
    });
    alone.chain(merged)
}

fn diagnostic(cx: &Context<'_>, target: &Step, contract: &Contract, violation: Violation) -> Diagnostic {
    let name = cx.recipe.name(target);
    let part = if violation.path.is_empty() { "it".to_owned() } else { format!("`{}`", violation.path) };
    let node = cx.node(violation.node);
    let (span, problem, help) = match violation.problem {
        Problem::Missing(key) => (node.head(), format!("{part} has no `{key}`"), None),
        Problem::Unknown { name, key, meant } => {
            (key.map_or(node.head(), |key| cx.node(key).span()), format!("{part} has the unknown key `{name}`"), meant)
        }
        Problem::Unfit { predicate, meant, .. } => (node.head(), format!("{part} {predicate}"), meant),
    };
    let diagnostic = RULE.at(span, format!("the payload for step `{name}` does not fit: {problem}"));
    match help {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!("see the contract of {}", cx.name_of(contract))),
    }
}
