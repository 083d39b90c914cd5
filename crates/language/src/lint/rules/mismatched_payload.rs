//! Payloads that the step they are sent to does not take.

use crate::diagnostic::Sink;
use crate::infer::misfit;
use crate::lint::Context;
use crate::recipe::Role;
use crate::schema::Problem;
use crate::syntax::Kind;

declare_rule! {
    /// # Why
    /// The contracts of two services say what one sends and what the other takes, and the two do not fit: a key is
    /// missing, or of another type. The same holds for a payload in `start`. An empty list there is how recipes
    /// write that there is none.
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
    "mismatched-payload", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    for step in recipe.steps() {
        let Some(sender) = cx.contract_of(step).filter(|contract| contract.channels.is_some()) else { continue };
        for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let channel = match link.channel {
                Some(name) => sender.channel(&cx.node(name).text()),
                None => sender.default_channel(),
            };
            let target = link.target.id().and_then(|id| recipe.step(id));
            let Some((channel, target)) = channel.zip(target) else { continue };
            let Some(taker) = cx.contract_of(target) else { continue };
            let Some(sent) = &channel.payload else { continue };
            let Some((path, problem)) = misfit(cx.contracts, sent, taker) else { continue };
            let (from, to) = (recipe.name(step), recipe.name(target));
            let part = if path.is_empty() { "it".to_owned() } else { format!("`{path}`") };
            let message =
                format!("what step `{from}` sends on `{}` does not fit step `{to}`: {part} {problem}", channel.name);
            sink.report(
                RULE.at(cx.node(link.node).span(), message)
                    .label(format!("sent by {}", sender.name()))
                    .also(cx.node(target.key).span(), format!("taken by {}", taker.name()))
                    .help("put a step between them, or connect another channel"),
            );
        }
    }
    for (_, target, payload) in
        recipe.start().into_iter().flat_map(|start| &start.entries).filter_map(|entry| entry.pair)
    {
        let Some(target) = target.id().and_then(|id| recipe.step(id)) else { continue };
        let Some(contract) = cx.contract_of(target) else { continue };
        let Some(schema) = &contract.payload else { continue };
        let payload = cx.node(payload);
        if payload.kind() == Kind::Array && payload.is_empty() {
            continue;
        }
        for violation in schema.check(payload, contract.coerced, &mut cx.view(payload)) {
            let name = recipe.name(target);
            let part = if violation.path.is_empty() { "it".to_owned() } else { format!("`{}`", violation.path) };
            let node = cx.node(violation.node);
            let (span, problem, help) = match violation.problem {
                Problem::Missing(key) => (node.head(), format!("{part} has no `{key}`"), None),
                Problem::Unknown { name, key, meant } => (
                    key.map_or(node.head(), |key| cx.node(key).span()),
                    format!("{part} has the unknown key `{name}`"),
                    meant,
                ),
                Problem::Unfit { predicate, meant, .. } => (node.head(), format!("{part} {predicate}"), meant),
            };
            let diagnostic = RULE.at(span, format!("the payload for step `{name}` does not fit: {problem}"));
            sink.report(match help {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help(format!("the contract of {} says what it takes", contract.name())),
            });
        }
    }
}
