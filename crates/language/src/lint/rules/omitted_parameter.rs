//! A parameter that all other steps of the kind have, and this one has not.

use crate::diagnostic::Sink;
use crate::evidence::{About, Reason, shortened};
use crate::lint::Context;
use crate::source::Span;
use crate::value::write_string;

declare_rule! {
    /// A step omits a parameter that all others of its queue have.
    ///
    /// # Why
    /// Every other step on the same queue gives the parameter, so it is probably missing here. If a contract defines
    /// required parameters, `missing-parameter` reports them.
    ///
    /// # Example
    /// Five other recipes give `session_id` to the queue `feedback`:
    /// ```json beside-5 {"1":{"queue":"feedback","parameters":{"session_id":"{session}","program_id":"{program}"}},"start":[[1,[]]]}
    /// { "1": { "queue": "feedback", "parameters": { "program_id": "{program}" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"feedback","parameters":{"session_id":"{session}","program_id":"{program}"}},"start":[[1,[]]]}
    /// {
    ///   "1": { "queue": "feedback", "parameters": { "program_id": "{program}", "session_id": "{session}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The service finds the value in the message, or has a default.
    "omitted-parameter", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (facts, finding) in cx.evidence() {
        let About::Omitted(index) = finding.about else { continue };
        let Some(step) = cx.step_at(index) else { continue };
        let Some(parameters) = step.parameters.map(|parameters| cx.node(parameters)) else { continue };
        let name = shortened(finding.meant());
        let message = format!("step `{}` does not give the parameter `{name}`", cx.recipe.name(step));
        let who = match finding.reason {
            Reason::AgreementOfFed => "similar steps that the same channel feeds",
            _ => "steps of the kind",
        };
        let diagnostic = RULE.at(parameters.head(), message);
        let help = format!("{} other {who} give it", finding.counts());
        let usual = cx.set.and_then(|(_, set)| set.usual_value(facts, index, finding.meant()));
        sink.report(match usual {
            Some(value) if cx.is_json() && !parameters.is_empty() => {
                let mut written = " ".to_owned();
                write_string(&mut written, finding.meant());
                written.push_str(": ");
                write_string(&mut written, &value);
                written.push(',');
                let head = parameters.head();
                let place = Span { start: head.end, ..head };
                diagnostic.help(format!("{help}, most as `{}`", shortened(&value))).unsafe_fix(
                    format!("give `{name}`"),
                    place,
                    written,
                )
            }
            _ => diagnostic.help(help),
        });
    }
}
