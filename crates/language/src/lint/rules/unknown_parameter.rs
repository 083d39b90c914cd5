//! Parameters that the service does not know.

use crate::diagnostic::{Level, Sink};
use crate::lint::{Context, renamed};
use crate::schema::Problem;
use crate::syntax::NodeRef;

declare_rule! {
    /// A step gives a parameter that its service does not read.
    ///
    /// # Why
    /// The service rejects or ignores a misspelt parameter, and the step runs without it. The key `unknown` of a
    /// contract sets the level: `error`, `warning` or `ignore`. If the service may read other parameters, only names
    /// that look like a listed one are reported, as warnings.
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
    ///
    /// # When not to follow it
    /// The parameter is only documentation. If the contract does not list all parameters that the service reads,
    /// correct the contract.
    "unknown-parameter", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for found in cx.violations() {
        let Problem::Unknown { name, key, meant } = &found.violation.problem else { continue };
        let step = &cx.recipe.steps()[found.step];
        let node = cx.node(key.unwrap_or(found.violation.node));
        let (step, service, what) = (cx.recipe.name(step), cx.name_of(found.contract), found.part.noun());
        let path = &found.violation.path;
        let message = match (path.is_empty(), found.level) {
            (true, Level::Error) => format!("{service} has no {what} `{name}`, which step `{step}` gives"),
            (true, _) => format!("{service} does not know the {what} `{name}` of step `{step}`"),
            (false, _) => format!("{what} `{path}` of step `{step}` has the unknown key `{name}`"),
        };
        let diagnostic = RULE.at(if key.is_some() { node.span() } else { node.head() }, message).level(found.level);
        let diagnostic = match (meant, key) {
            (Some(meant), Some(_)) => rename(diagnostic, name, meant, node),
            (Some(meant), None) => diagnostic.help(format!("did you mean `{meant}`?")),
            (None, _) if found.level == Level::Error => diagnostic.help("remove it"),
            (None, _) => diagnostic.help("remove it, or add it to the contract if the service reads it"),
        };
        sink.report(cx.advise(diagnostic, found.contract));
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
