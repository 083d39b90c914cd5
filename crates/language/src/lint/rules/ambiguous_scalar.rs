//! Words and numbers that YAML 1.1 and YAML 1.2 read differently.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::secret;
use crate::syntax::ProblemKind;
use crate::syntax::yaml::readings;

declare_rule! {
    /// YAML 1.1 reads a value differently from YAML 1.2.
    ///
    /// # Why
    /// The Python services read YAML 1.1, in which `on` is a boolean, `012` is ten and `12:30` is a number of seconds.
    /// Editors and most other programs read YAML 1.2.
    ///
    /// # Example
    /// ```yaml
    /// 1: {queue: images, parameters: {mode: 0755}}
    /// start: [[1, []]]
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// 1: {queue: images, parameters: {mode: "0755"}}
    /// start: [[1, []]]
    /// ```
    ///
    /// # When not to follow it
    /// Only Python services read the file, and the value of YAML 1.1 is meant.
    "ambiguous-scalar", Note, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let source = cx.tree.source();
    let mut found = cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::AmbiguousScalar).peekable();
    let secrets = if found.peek().is_some() { secret::find(cx.tree) } else { Vec::new() };
    for problem in found {
        let text = source.slice(problem.span);
        let Some((here, elsewhere)) = readings(text) else { continue };
        // What a secret is read as tells what it is.
        let message =
            if secrets.iter().any(|secret| secret.start <= problem.span.start && problem.span.end <= secret.end) {
                "a secret that is something else in YAML 1.2".to_owned()
            } else {
                format!("`{text}` is {here} here, and {elsewhere} in YAML 1.2")
            };
        sink.report(RULE.at(problem.span, message).help("quote it if it is text"));
    }
}
