//! A service that no other step names, and whose name is nearly that of one that many have.

use crate::diagnostic::Sink;
use crate::evidence::About;
use crate::lint::{Context, meant};

declare_rule! {
    /// A service name looks like one that other steps have.
    ///
    /// # Why
    /// The name of the service selects contracts, and the wrapper of a job. If a name occurs only once, and is almost
    /// the same as the name in other steps, it is probably misspelt.
    ///
    /// # Example
    /// Five other recipes name the service `Images`:
    /// ```json beside-5 {"1":{"service":"Images","queue":"images"},"start":[[1,[]]]}
    /// { "1": { "service": "Imgaes", "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"service":"Images","queue":"images"},"start":[[1,[]]]}
    /// { "1": { "service": "Images", "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// There are two services with such names.
    "rare-service", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (_, finding) in cx.evidence() {
        let About::Service(index) = finding.about else { continue };
        let Some(step) = cx.step_at(index) else { continue };
        let Some(service) = step.service.map(|service| cx.node(service)) else { continue };
        let message =
            format!("service {} of step `{}` is named nowhere else", cx.show_name(service), cx.recipe.name(step));
        sink.report(meant(RULE.at(service.span(), message), finding, service, "steps name"));
    }
}
