//! Parameters that the service does not know.

use crate::diagnostic::{Level, Sink};
use crate::lint::{Context, nearest, renamed};
use crate::recipe::Step;
use crate::schema::{Problem, Schema};
use crate::syntax::NodeRef;

declare_rule! {
    /// # Why
    /// A misspelt parameter is refused by a service that takes no others, and passed over by one that does: then
    /// the step runs without it. Where the contract allows other parameters, only names that look like a known
    /// one are reported, as warnings.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "runner.submission", "parameters": { "workingdir": ".", "commands": ["date"], "time-out": 60 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "runner.submission", "parameters": { "workingdir": ".", "commands": ["date"], "timeout": 60 } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    "unknown-parameter", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for found in cx.violations() {
        let Problem::Unknown { name, key, meant } = &found.violation.problem else { continue };
        let step = &cx.recipe.steps()[found.step];
        let Some(contract) = cx.contract_of(step) else { continue };
        let node = cx.node(key.unwrap_or(found.violation.node));
        let what = if found.part == "parameters" { "parameter" } else { "job parameter" };
        let path = &found.violation.path;
        let message = match path.is_empty() {
            true => format!("{} has no {what} `{name}`, which step `{}` gives", contract.name(), cx.recipe.name(step)),
            false => format!("{what} `{path}` of step `{}` has the unknown key `{name}`", cx.recipe.name(step)),
        };
        let diagnostic = RULE.at(if key.is_some() { node.span() } else { node.head() }, message);
        sink.report(match (meant, key) {
            (Some(meant), Some(_)) => rename(diagnostic, name, meant, node),
            (Some(meant), None) => diagnostic.help(format!("did you mean `{meant}`?")),
            (None, _) => diagnostic.help("remove it"),
        });
    }
    for step in cx.recipe.steps() {
        let Some(contract) = cx.contract_of(step) else { continue };
        for (what, schema, value) in [
            ("parameter", &contract.parameters, step.parameters),
            ("job parameter", &contract.job_parameters, step.job_parameters),
        ] {
            if let (Some(schema), Some(value)) = (schema.as_ref().filter(|schema| !schema.is_closed()), value) {
                let deprecated = |name: &str| contract.deprecated.iter().any(|(old, _)| old == name);
                look_alikes(cx, step, (what, contract.name()), schema, cx.node(value), &deprecated, sink);
            }
        }
    }
}

/// Names that are not known, and look like one that is.
fn look_alikes(
    cx: &Context<'_>,
    step: &Step,
    (what, service): (&str, &str),
    schema: &Schema,
    value: NodeRef<'_>,
    deprecated: &dyn Fn(&str) -> bool,
    sink: &mut Sink,
) {
    for member in value.members().filter(|member| !member.key.has_braces()) {
        let name = member.key.text();
        if schema.properties().any(|(known, _)| known == name) || deprecated(&name) || cx.recipe.is_dropped(member.key)
        {
            continue;
        }
        let absent = schema.properties().map(|(known, _)| known).filter(|known| value.get(known).is_none());
        let Some(meant) = nearest(&name, absent) else { continue };
        let message = format!("{service} does not know the {what} `{name}` of step `{}`", cx.recipe.name(step));
        sink.report(rename(RULE.at(member.key.span(), message).level(Level::Warning), &name, meant, member.key));
    }
}

fn rename(
    diagnostic: crate::diagnostic::Diagnostic,
    name: &str,
    meant: &str,
    key: NodeRef<'_>,
) -> crate::diagnostic::Diagnostic {
    diagnostic.help(format!("did you mean `{meant}`?")).unsafe_fix(
        format!("rename `{name}` to `{meant}`"),
        key.span(),
        renamed(key, meant),
    )
}
