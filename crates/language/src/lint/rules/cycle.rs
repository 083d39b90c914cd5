//! Steps that feed each other in a circle.

use crate::diagnostic::Sink;
use crate::graph::Cycle;
use crate::lint::Context;
use crate::recipe::Role;

declare_rule! {
    /// Steps form a cycle.
    ///
    /// # Why
    /// A recipe must terminate. Messages in a cycle would circulate forever.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "output": 2 },
    ///   "2": { "queue": "archiver", "output": 1 },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// A service that needs several rounds sends itself a *checkpoint*, which needs no link.
    /// ```json
    /// {
    ///   "1": { "queue": "images", "output": 2 },
    ///   "2": { "queue": "archiver" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the dispatcher refuses such recipes.
    "cycle", Error
}

/// How many steps of a circle are named in the message.
const SHOWN: usize = 8;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for cycle in cx.graph.cycles() {
        report(cx, &cycle, sink);
    }
}

fn report(cx: &Context<'_>, cycle: &Cycle, sink: &mut Sink) {
    let recipe = cx.recipe;
    let steps: Vec<_> = cycle.steps.iter().map(|&step| &recipe.steps()[step]).collect();
    let link = |place: usize| {
        let link = &recipe.links(steps[place])[cycle.edges[place].link];
        (cx.node(link.node).span(), link.role)
    };
    let name = |place: usize| recipe.name(steps[place % steps.len()]);
    let message = if steps.len() == 1 {
        format!("step `{}` goes to itself", name(0))
    } else {
        let shown: Vec<_> = (0..steps.len().min(SHOWN)).map(|place| format!("`{}`", name(place))).collect();
        let more = if steps.len() > SHOWN { format!(" → … ({} steps)", steps.len()) } else { String::new() };
        format!("steps form a cycle: {}{more} → `{}`", shown.join(" → "), name(0))
    };
    let last = steps.len() - 1;
    let (span, role) = link(last);
    let mut diagnostic = RULE.at(span, message).label("closes the cycle").refused();
    for place in (0..last).take(SHOWN) {
        let (span, _) = link(place);
        diagnostic = diagnostic.also(span, format!("`{}` goes to `{}`", name(place), name(place + 1)));
    }
    let by_error = role == Role::Error || (0..last).any(|place| link(place).1 == Role::Error);
    let help = if by_error {
        "`error` links count as links here, although they are never followed; remove one"
    } else if cycle.tangle > steps.len() {
        "remove a link; these steps form further cycles"
    } else if steps.len() == 1 {
        "remove this link"
    } else {
        "remove one of these links"
    };
    sink.report(diagnostic.help(help));
}
