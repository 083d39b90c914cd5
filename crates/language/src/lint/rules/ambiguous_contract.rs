//! Several contracts for one queue, where the step does not name the service that is meant.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::value::write_string;

declare_rule! {
    /// A step does not name one of the services on its queue.
    ///
    /// # Why
    /// A step on a queue that several services share is checked only if it names its service. Without the name, it is
    /// unknown which contract applies.
    ///
    /// # Example
    /// With two contracts for one queue:
    /// ```contract
    /// { "names": ["EM connector"], "queues": ["ispyb_connector"], "parameters": { "required": ["session"] } }
    /// ```
    /// ```contract
    /// { "names": ["MX connector"], "queues": ["ispyb_connector"], "parameters": { "required": ["dcid"] } }
    /// ```
    /// ```json
    /// { "1": { "queue": "ispyb_connector", "parameters": { "dcid": 5 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "service": "MX connector", "queue": "ispyb_connector", "parameters": { "dcid": 5 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The services on the queue take the same parameters.
    "ambiguous-contract", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let mut reported = HashSet::new();
    for (step, under) in cx.recipe.steps().iter().zip(cx.all_under()) {
        let Some((one, other)) = under.overlap else { continue };
        let Some(queue) = step.queue.map(|queue| cx.node(queue)) else { continue };
        // Once for each queue: what is to be done is the same everywhere.
        if !reported.insert(queue.text()) {
            continue;
        }
        let (name, what) = (cx.recipe.name(step), if one.wrapper { "programs" } else { "services" });
        let message = format!(
            "queue {} has contracts of several {what}, {} and {} among them, and step `{name}` names none of them",
            cx.show_name(queue),
            one.name(),
            other.name()
        );
        let mut quoted = String::new();
        write_string(&mut quoted, one.name());
        let diagnostic = RULE.at(queue.span(), message);
        sink.report(match step.service {
            Some(service) => diagnostic
                .also(cx.node(service).span(), "no contract has this name")
                .help("write the name of one of them under `service`, or add this one to the `names` of its contract"),
            None => diagnostic.help(format!("name the service: `\"service\": {quoted}`")),
        });
    }
}
