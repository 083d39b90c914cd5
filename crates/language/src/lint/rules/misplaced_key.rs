//! Keys that stand in the wrong object: in a step instead of its `output` or `parameters`, and the other way round.

use crate::diagnostic::{Diagnostic, Sink, counted};
use crate::evidence::{About, shortened};
use crate::lint::Context;
use crate::recipe::{STEP_KEYS, Step};
use crate::syntax::{Kind, Member, NodeRef};

declare_rule! {
    /// A key is in an object where nothing reads it.
    ///
    /// # Why
    /// An extra brace or indentation moves a key into another object, where nothing reads it. The rule reports a step
    /// or `start` inside a step, `output` inside `parameters`, a channel beside `output`, and a key beside `parameters`
    /// that is a parameter in other steps on the same queue.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "size": 3, "output": 2 } },
    ///   "2": { "queue": "archiver" },
    ///   "start": [[1, []], [2, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "size": 3 }, "output": 2 },
    ///   "2": { "queue": "archiver" },
    ///   "start": [[1, []], [2, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// A service reads the key in this place.
    "misplaced-key", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let value = cx.node(step.value);
        sink.extend(nested(cx, step, value, "step"));
        let has_output = value.get("output").is_some();
        for member in value.members() {
            let key = member.key.text();
            if matches!(&*key, "parameters" | "output") && member.value.kind() == Kind::Object {
                sink.extend(nested(cx, step, member.value, &key));
            }
            if key == "parameters" && !has_output {
                let output = member.value.members().find(|inner| inner.key.is("output"));
                sink.extend(output.filter(|output| is_output(cx, step, output.value)).map(|output| {
                    let name = cx.recipe.name(step);
                    RULE.at(output.key.span(), format!("`output` is inside `parameters` of step `{name}`"))
                        .help("move it beside `parameters`: it is not followed inside `parameters`")
                }));
            }
            if has_output && !STEP_KEYS.contains(&&*key) && is_link(cx, step, member.value) {
                sink.extend(beside_output(cx, step, value, member));
            }
        }
    }
    for (facts, finding) in cx.evidence() {
        let About::Misplaced(index) = finding.about else { continue };
        let own = &facts.own_keys[index];
        let Some(step) = cx.step_at(own.step) else { continue };
        let key = cx.node(own.key);
        let count = finding.usual.first().map_or(0, |custom| custom.count);
        let message =
            format!("key `{}` of step `{}` is beside `parameters`", shortened(&key.text()), cx.recipe.name(step));
        let help = format!("move it into `parameters`, as in {}", counted(count, "other step"));
        sink.report(RULE.at(key.span(), message).help(help));
    }
}

/// Steps and `start` inside of an object of a step.
fn nested<'a>(
    cx: &'a Context<'_>,
    step: &'a Step,
    object: NodeRef<'a>,
    within: &'a str,
) -> impl Iterator<Item = Diagnostic> + 'a {
    let is_step = |member: &Member<'_>| {
        let is_number = member.key.text().trim().parse::<i64>().is_ok();
        is_number && ["queue", "topic", "service"].into_iter().any(|key| member.value.get(key).is_some())
    };
    let is_start = |member: &Member<'_>| {
        let is_pair = |item: NodeRef<'_>| item.items().count() == 2;
        member.key.is("start") && member.value.items().next().is_some() && member.value.items().all(is_pair)
    };
    object.members().filter(move |member| is_step(member) || is_start(member)).map(move |member| {
        let (key, name) = (member.key.text(), cx.recipe.name(step));
        let what = if key == "start" { "`start`".to_owned() } else { format!("step `{key}`") };
        let place = if within == "step" { String::new() } else { format!("`{within}` of ") };
        RULE.at(member.key.span(), format!("{what} is inside {place}step `{name}`"))
            .help(format!("close step `{name}` before it"))
    })
}

/// A channel that has slipped out of `output`, unless `output` is no object of channels.
fn beside_output(cx: &Context<'_>, step: &Step, value: NodeRef<'_>, member: Member<'_>) -> Option<Diagnostic> {
    let output = value.get("output").filter(|output| output.kind() == Kind::Object)?;
    let (key, name) = (member.key.text(), cx.recipe.name(step));
    if output.get(&key).is_some() {
        return None;
    }
    let message =
        format!("key `{}` of step `{name}` has the number of a step, and is beside `output`", shortened(&key));
    Some(RULE.at(member.key.span(), message).help("if it is a channel, move it into `output`"))
}

/// Whether a value could be that of a channel.
fn is_link(cx: &Context<'_>, step: &Step, value: NodeRef<'_>) -> bool {
    value.as_integer().is_some_and(|id| id != step.id && cx.recipe.step(id).is_some())
}

/// Whether a value could be that of `output`.
fn is_output(cx: &Context<'_>, step: &Step, value: NodeRef<'_>) -> bool {
    let is_one = |value: NodeRef<'_>| match value.kind() {
        Kind::Array => value.items().next().is_some() && value.items().all(|item| is_link(cx, step, item)),
        _ => is_link(cx, step, value),
    };
    match value.kind() {
        Kind::Object => !value.is_empty() && value.members().all(|member| is_one(member.value)),
        _ => is_one(value),
    }
}
