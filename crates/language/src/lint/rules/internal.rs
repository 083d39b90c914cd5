//! Faults of zrecipe itself.

use crate::diagnostic::{Diagnostic, Sink};
use crate::guard::Panic;
use crate::lint::Context;
use crate::source::Span;
use crate::syntax::ProblemKind;

declare_rule! {
    /// zrecipe itself failed while it checked the file.
    ///
    /// # Why
    /// zrecipe has a bug: an internal error stopped the check of this file. All other files are checked as usual.
    /// Please report the bug with the location in the message and with the file.
    ///
    /// # Example
    /// A file that zrecipe cannot read because of a bug:
    /// ```yaml faulty=secrets/broker.yml
    /// version: 1
    /// environments: {live: [broker]}
    /// broker: secrets/broker.yml
    /// ```
    ///
    /// # Instead
    /// The same without the part that reveals the bug, until it is fixed:
    /// ```yaml
    /// version: 1
    /// environments: {live: [broker]}
    /// broker: secrets/broker.yml
    /// ```
    ///
    /// # When not to follow it
    /// Never: please report it. The finding says nothing about the file.
    "internal", Error, about any
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for problem in cx.tree.problems() {
        if let ProblemKind::Internal(place) = problem.kind {
            let place = cx.tree.message(place);
            sink.report(finding(format!("internal error{place}: zrecipe cannot read this file")));
        }
    }
}

/// The finding for a document of which the check as a whole panicked.
pub fn in_check(panic: &Panic) -> Diagnostic {
    finding(format!("internal error{}: zrecipe could not check this file", panic.at()))
}

/// The finding for a rule that panicked.
pub fn in_rule(rule: &str, panic: &Panic) -> Diagnostic {
    finding(format!("internal error{}: rule `{rule}` could not check this file", panic.at()))
}

fn finding(message: String) -> Diagnostic {
    RULE.at(Span::empty(0), message).help("report this bug of zrecipe; other files are checked as usual").refused()
}
