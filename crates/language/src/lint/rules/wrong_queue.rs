//! Steps that name a service, and a queue on which it does not listen.

use std::collections::HashMap;

use crate::contract::Contract;
use crate::diagnostic::{Edit, Sink, counted};
use crate::evidence::{About, Finding, shortened};
use crate::lint::Context;
use crate::syntax::{Kind, NodeId};
use crate::value::write_string;

declare_rule! {
    /// The queue and the service of a step disagree.
    ///
    /// # Why
    /// Messages go to `queue`; `service` is documentation. If they disagree, the message reaches another service than
    /// the intended one, or none.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "service": "Runner", "queue": "runner", "parameters": { "workingdir": ".", "commands": ["date"] } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "service": "Runner", "queue": "runner.submission", "parameters": { "workingdir": ".", "commands": ["date"] } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The service runs under another name or on an additional queue. A contract states both.
    "wrong-queue", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let by_evidence = cx.evidence().filter_map(|(_, finding)| match finding.about {
        About::Exchanged(index) => Some((cx.step_at(index)?.key, finding)),
        _ => None,
    });
    let by_evidence: HashMap<NodeId, &Finding> = by_evidence.collect();
    for step in cx.recipe.steps() {
        let (Some(service), Some(queue)) = (step.service, step.queue) else { continue };
        let (service, queue) = (cx.node(service), cx.node(queue));
        if service.kind() != Kind::String || queue.kind() != Kind::String || queue.has_braces() {
            continue;
        }
        let text = queue.text();
        let (meant, named) = (service.text(), cx.contracts.all_of_service(&text));
        let exchanged = by_evidence.get(&step.key);
        let is_known =
            cx.contracts.all_of_queue(&text).is_empty() && named.into_iter().any(|named| named.serves(&meant));
        if is_known || exchanged.is_some() {
            let message = format!("`service` and `queue` of step `{}` are swapped", cx.recipe.name(step));
            let swap = vec![
                Edit { span: service.span(), replacement: queue.raw().to_owned() },
                Edit { span: queue.span(), replacement: service.raw().to_owned() },
            ];
            let diagnostic = RULE.at(queue.span(), message).also(service.span(), "this is the queue");
            let help = exchanged.map_or_else(
                || "exchange them".to_owned(),
                |finding| {
                    if finding.of == 0 {
                        return "exchange them: in the other steps services begin with a capital, and queues do not"
                            .to_owned();
                    }
                    let count = counted(finding.of, "other step");
                    format!("exchange them: `{}` is the queue of {count}", shortened(finding.meant()))
                },
            );
            sink.report(diagnostic.help(help).with_fix(false, "exchange them", swap));
            continue;
        }
        let Some(contract) = cx.contracts.of_service(&service.text()) else { continue };
        let is_elsewhere = |contract: &Contract| contract.serves(&text) || contract.other_queues || contract.wrapper;
        // The program in a job may be called like a service.
        let is_job = cx.under(step).is_job && !cx.contracts.all_of_queue(&text).is_empty();
        if is_job || cx.contracts.all_of_service(&service.text()).any(is_elsewhere) {
            continue;
        }
        let message = format!("{} does not consume queue {}", cx.name_of(contract), cx.show_name(queue));
        let mut diagnostic = RULE.at(queue.span(), message).also(service.span(), "the intended service");
        let listens: Vec<String> = contract.queues.iter().map(|queue| format!("`{queue}`")).collect();
        diagnostic = match cx.contracts.of_queue(&queue.text()) {
            Some(other) => {
                diagnostic.help(format!("{} does; {} consumes {}", other.name(), contract.name(), listens.join(", ")))
            }
            None => diagnostic.help(format!("it consumes {}", listens.join(", "))),
        };
        let diagnostic = cx.advise(diagnostic, contract);
        sink.report(match contract.queues.iter().find(|queue| !queue.contains('*')) {
            Some(right) => {
                let mut quoted = String::new();
                write_string(&mut quoted, right);
                diagnostic.unsafe_fix(format!("write `{right}`"), queue.span(), quoted)
            }
            None => diagnostic,
        });
    }
}
