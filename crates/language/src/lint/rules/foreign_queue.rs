//! A service on the queue of another service.

use crate::diagnostic::{Level, Sink};
use crate::evidence::{About, Reason};
use crate::lint::{Context, meant};
use crate::recipe::Step;

declare_rule! {
    /// A step is on the queue of another service.
    ///
    /// # Why
    /// The name of the service is documentation; the queue decides which service receives the message. If a service
    /// uses one queue in all other recipes, and the queue here belongs to another service or to none, the message goes
    /// to the wrong place.
    ///
    /// Ignore the finding if an instance of the service consumes its own queue.
    ///
    /// # Example
    /// In three other recipes `Images` is on `images`, and `Archiver` on `archiver`:
    /// ```json beside-3 {"1":{"service":"Images","queue":"images","output":2},"2":{"service":"Archiver","queue":"archiver"},"start":[[1,[]]]}
    /// {
    ///   "1": { "service": "Images", "queue": "archiver" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json beside-3 {"1":{"service":"Images","queue":"images","output":2},"2":{"service":"Archiver","queue":"archiver"},"start":[[1,[]]]}
    /// {
    ///   "1": { "service": "Images", "queue": "images" },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The service has a further queue that the other recipes do not use yet. A contract states its queues.
    "foreign-queue", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (_, finding) in cx.evidence() {
        let About::Queue(index) = finding.about else { continue };
        let Some(step) = cx.step_at(index) else { continue };
        let Some(queue) = step.queue.map(|queue| cx.node(queue)) else { continue };
        let name = cx.recipe.name(step);
        let diagnostic = match finding.reason {
            Reason::OtherKind => RULE
                .at(queue.span(), format!("queue {} of step `{name}` is the name of a service", cx.show_name(queue))),
            Reason::Agreement if !is_declared(cx, step) => {
                let service = step.service.map(|service| cx.show_name(cx.node(service))).unwrap_or_default();
                RULE.at(queue.span(), format!("service {service} of step `{name}` is on queue {}", cx.show_name(queue)))
                    .label("in no other step")
                    .level(if is_variant(&queue.text(), finding.meant()) { Level::Note } else { RULE.level })
            }
            _ => continue,
        };
        sink.report(meant(diagnostic, finding, queue, "steps of the service use"));
    }
}

/// Whether a queue is called like the usual one, and something more: an instance of the service may listen there.
fn is_variant(queue: &str, usual: &str) -> bool {
    queue.strip_prefix(usual).is_some_and(|rest| rest.starts_with(['.', '_', '-']))
}

/// Whether the contract of the service, or the broker, knows better.
fn is_declared(cx: &Context<'_>, step: &Step) -> bool {
    let under = cx.under(step);
    let queue = cx.recipe.text(step.queue).unwrap_or_default();
    let is_job = under.is_job && !cx.contracts.all_of_queue(&queue).is_empty();
    is_job || cx.topology.is_some_and(|topology| topology.queue(&queue).is_some()) && under.service.is_some()
}
