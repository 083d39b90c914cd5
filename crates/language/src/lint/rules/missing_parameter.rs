//! Parameters that the service needs and the step does not give.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::schema::Problem;

declare_rule! {
    /// # Why
    /// The contract of the service says that it cannot work without the parameter.
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
    "missing-parameter", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for found in cx.violations() {
        let Problem::Missing(missing) = &found.violation.problem else { continue };
        let step = &cx.recipe.steps()[found.step];
        let Some(contract) = cx.contract_of(step) else { continue };
        let (name, service) = (cx.recipe.name(step), contract.name());
        let what = if found.part == "parameters" { "parameter" } else { "job parameter" };
        let path = &found.violation.path;
        let (message, schema) = if path.is_empty() {
            let schema = if found.part == "parameters" { &contract.parameters } else { &contract.job_parameters };
            (format!("step `{name}` does not give the {what} `{missing}`, which {service} needs"), schema.as_ref())
        } else {
            (format!("{what} `{path}` of step `{name}` has no `{missing}`, which {service} needs"), None)
        };
        let diagnostic = RULE.at(cx.node(found.violation.node).head(), message);
        sink.report(match schema.and_then(|schema| schema.description(missing)) {
            Some(description) => diagnostic.help(format!("`{missing}`: {description}")),
            None => diagnostic.help(format!("add it: `\"{missing}\": …`")),
        });
    }
}
