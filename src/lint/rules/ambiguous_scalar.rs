//! Words and numbers that YAML 1.1 and YAML 1.2 read differently.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::ProblemKind;
use crate::syntax::yaml::readings;

declare_rule! {
    /// # Why
    /// The Python services read YAML 1.1, where `on` is a boolean, `012` is ten and `12:30` is a number of seconds.
    /// Editors and most other programs read YAML 1.2, and so do many people.
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
    "ambiguous-scalar", Note, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let source = cx.tree.source();
    for problem in cx.tree.problems().iter().filter(|problem| problem.kind == ProblemKind::AmbiguousScalar) {
        let text = source.slice(problem.span);
        let Some((here, elsewhere)) = readings(text) else { continue };
        sink.report(
            RULE.at(problem.span, format!("`{text}` is {here} here, and {elsewhere} in YAML 1.2"))
                .help("put it in quotes if it is text"),
        );
    }
}
