//! One link written more than once.

use std::collections::HashMap;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::recipe::{Link, Role};

declare_rule! {
    /// A link is listed twice.
    ///
    /// # Why
    /// `[2, 2]` sends each message to step 2 twice. The same applies to a repeated step with the same payload in
    /// `start`.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "output": [2, 2] }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "output": [2] }, "2": { "queue": "archiver" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The step must receive each message twice.
    "repeated-link", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let recipe = cx.recipe;
    for step in recipe.steps() {
        let links = recipe.links(step);
        if links.len() < 2 || all_differ(links) {
            continue;
        }
        let mut first = HashMap::with_capacity(links.len());
        for link in links {
            let Some(id) = link.target.id() else { continue };
            let place = cx.node(link.node).span();
            if let Some(before) = first.insert((link.role == Role::Output, link.channel, id), place) {
                let name = recipe.name(step);
                let (message, help) = match link.role {
                    Role::Output => (
                        format!("step `{name}` sends to step `{id}` more than once"),
                        "each message would arrive several times; remove the repetition",
                    ),
                    Role::Error => {
                        (format!("`error` of step `{name}` names step `{id}` more than once"), "remove the repetition")
                    }
                };
                sink.report(RULE.at(place, message).also(before, "already here").help(help));
            }
        }
    }
    if recipe.start().is_none_or(|start| start.entries.len() < 2) {
        return;
    }
    let mut first = HashMap::new();
    for entry in recipe.start().into_iter().flat_map(|start| &start.entries) {
        let Some((_, target, payload)) = entry.pair else { continue };
        let Some(id) = target.id() else { continue };
        let place = cx.node(entry.node).span();
        if let Some(before) = first.insert((id, cx.node(payload).to_value().to_json()), place) {
            sink.report(
                RULE.at(place, format!("`start` sends the same message to step `{id}` more than once"))
                    .also(before, "already here")
                    .help("remove the repetition"),
            );
        }
    }
}

/// Whether a few links are different, which they nearly always are.
fn all_differ(links: &[Link]) -> bool {
    const FEW: usize = 16;
    let same = |a: &Link, b: &Link| a.role == b.role && a.channel == b.channel && a.target.id() == b.target.id();
    links.len() <= FEW
        && links.iter().enumerate().all(|(index, link)| !links[..index].iter().any(|other| same(other, link)))
}
