//! A service on the queue of another service.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A step is on the queue of another service.
    ///
    /// # Why
    /// The service's name is for people; the queue decides who gets the message. When a service is on one queue in all
    /// other recipes, and the queue it is given here is that of another service, the message goes to the wrong one.
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
    let Some((facts, set)) = cx.set else { return };
    for place in &facts.places {
        let (Some(usual), Some(service)) = (set.usual_queue_of_service(facts, place), &place.service) else { continue };
        let message = format!("service `{service}` of step `{}` is on queue `{}`", place.step, place.queue);
        sink.report(
            RULE.at(place.span, message)
                .label("the queue of another service")
                .help(format!("in {} other places it is on queue `{}`", usual.count, usual.name))
                .unsafe_fix(format!("write `{}`", usual.name), place.span, format!("\"{}\"", usual.name)),
        );
    }
}
