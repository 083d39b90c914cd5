//! Settings files that are not TOML, or not of the form that settings have.

use std::sync::LazyLock;

use crate::diagnostic::Sink;
use crate::lint::{Context, RULES, SETTINGS_SCHEMA, SITE_PREFIX, nearest};
use crate::schema::Schema;
use crate::syntax::{NodeRef, ProblemKind};

declare_rule! {
    /// `zrecipe.toml` has an error.
    ///
    /// # Why
    /// `zrecipe.toml` sets the levels of rules, and the locations of recipes, contracts and configurations. If it
    /// cannot be read, no command works. `schemas/settings.schema.json` describes its form.
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
    ///
    /// # When not to follow it
    /// Never: no command works until it is corrected.
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
        unknown_site_rules(cx, sink);
    }
}

/// Names of rules of the site that the file does not define.
fn unknown_site_rules(cx: &Context<'_>, sink: &mut Sink) {
    let root = cx.tree.root();
    let defined = root.get("site-rules").into_iter().flat_map(NodeRef::members);
    let defined: Vec<String> = defined.map(|member| format!("{SITE_PREFIX}{}", member.key.text())).collect();
    let items = |key: &str| root.get(key).into_iter().flat_map(NodeRef::items);
    let tables = root.get("rules").into_iter().chain(items("overrides").filter_map(|entry| entry.get("rules")));
    let keys = tables.flat_map(NodeRef::members).map(|member| member.key);
    for name in keys.chain(items("suppress").filter_map(|entry| entry.get("rule"))) {
        let text = name.text();
        if !text.starts_with(SITE_PREFIX) || defined.iter().any(|known| *known == *text) {
            continue;
        }
        let finding = RULE.at(name.span(), format!("there is no rule `{text}`"));
        sink.report(match nearest(&text, defined.iter().map(String::as_str)) {
            Some(meant) => finding.help(format!("did you mean `{meant}`?")),
            None => finding.help("define it in `[site-rules]`"),
        });
    }
}
