//! Uses of a parameter that no single value suits.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::template::Piece;

declare_rule! {
    /// # Why
    /// A parameter has one value. Where one place takes an item out of it and another formats it as a number, or
    /// the contracts of two services ask for different types, whatever is given is wrong in one of them.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "file": "{run[name]}.h5" }, "output": 2 },
    ///   "2": { "queue": "archiver", "parameters": { "label": "run {run:04d}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "file": "{run[name]}.h5" }, "output": 2 },
    ///   "2": { "queue": "archiver", "parameters": { "label": "run {run[number]:04d}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    "conflicting-uses", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    // Only an item that is taken out, a format, or a contract asks for a certain type.
    let typed = |(_, template): (_, &crate::template::Template)| {
        template.pieces.iter().any(|piece| matches!(piece, Piece::Field(field) if !field.path.is_empty() || !field.spec.is_empty()))
    };
    let under_contract = || cx.recipe.steps().iter().any(|step| cx.contract_of(step).is_some());
    if cx.templates.len() < 2 && !cx.parsed_templates().any(typed) {
        return;
    }
    if !cx.parsed_templates().any(typed) && !under_contract() {
        return;
    }
    for parameter in cx.signature() {
        let Some((later, earlier)) = parameter.conflict else { continue };
        let (later, earlier) = (&parameter.uses[later], &parameter.uses[earlier]);
        sink.report(
            RULE.at(later.span(cx.recipe), format!("no value of the parameter `{}` suits all of its uses", parameter.name))
                .label(later.reason.clone())
                .also(earlier.span(cx.recipe), earlier.reason.clone())
                .help("use two parameters, or take different items out of one"),
        );
    }
}
