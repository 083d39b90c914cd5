//! Parameters that the service needs and the step does not give.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::schema::Problem;

declare_rule! {
    /// A step does not give a parameter that its service needs.
    ///
    /// # Why
    /// According to the contract, the service cannot work without the parameter. Many services read the parameters of
    /// the step and the payload as one mapping. Then the parameter is reported only if no payload can contain it:
    /// `start` begins here without it, or every channel that leads here lacks it.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "runner.submission", "parameters": { "commands": ["date"] } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "runner.submission", "parameters": { "commands": ["date"], "workingdir": "/tmp" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// A service of the site adds the parameter in a way that no contract describes. A contract of zrecipe itself may
    /// not fit another service on the same queue; a contract in zrecipe.toml replaces it.
    "missing-parameter", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for found in cx.violations() {
        let Problem::Missing(missing) = &found.violation.problem else { continue };
        let step = &cx.recipe.steps()[found.step];
        let (name, service, what) = (cx.recipe.name(step), cx.name_of(found.contract), found.part.noun());
        let path = &found.violation.path;
        let message = match path.is_empty() {
            true if found.by_payload => format!(
                "step `{name}` does not get the {what} `{missing}`, which {service} needs: neither the step nor a payload has it"
            ),
            true => format!("step `{name}` does not give the {what} `{missing}`, which {service} needs"),
            false => format!("{what} `{path}` of step `{name}` has no `{missing}`, which {service} needs"),
        };
        let diagnostic = RULE.at(cx.node(found.violation.node).head(), message).level(found.level);
        let diagnostic = match found.explanation(missing) {
            Some(explanation) => diagnostic.help(explanation),
            None => diagnostic.help(format!("add it: `\"{missing}\": …`")),
        };
        sink.report(cx.advise(diagnostic, found.contract));
    }
}
