//! Settings files that are not TOML, or not of the form that settings have.

use std::sync::LazyLock;

use crate::diagnostic::Sink;
use crate::lint::{Context, RULES, SETTINGS_SCHEMA, nearest};
use crate::schema::Schema;
use crate::syntax::ProblemKind;

declare_rule! {
    /// # Why
    /// `zrecipe.toml` says which rules hold, and where recipes, contracts and configurations are. While it cannot be
    /// read no command works. Its form is described by `schemas/settings.schema.json`.
    ///
    /// # Example
    /// ```toml
    /// [rules]
    /// cycle = "alow"
    /// ```
    ///
    /// # Instead
    /// ```toml
    /// [rules]
    /// cycle = "allow"
    /// ```
    "malformed-settings", Error, about [Settings]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    static FORM: LazyLock<Option<Schema>> = LazyLock::new(|| Schema::published(SETTINGS_SCHEMA));
    let problems = cx.tree.problems();
    for problem in problems {
        if let ProblemKind::TomlSyntax(number) = problem.kind {
            sink.report(RULE.at(problem.span, cx.tree.message(number)));
        }
    }
    // What could not be read may be what is missing.
    if problems.is_empty() {
        for mut fault in FORM.iter().flat_map(|form| form.faults(cx.tree.root(), "the file")) {
            // The names of rules are the keys that the schema lists.
            let meant = || nearest(cx.tree.source().slice(fault.span), RULES.iter().map(|rule| rule.name));
            fault.help = fault.help.or_else(|| meant().map(|meant| format!("did you mean `{meant}`?")));
            sink.report(RULE.of_fault(&fault));
        }
    }
}
