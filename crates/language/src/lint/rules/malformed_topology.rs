//! A broker configuration that is not of the form of one.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::topology;

declare_rule! {
    /// The broker configuration has an error.
    ///
    /// # Why
    /// Zocalo stops at the first part of a broker configuration that is missing or has the wrong type, after it has
    /// applied the parts before it. `policies`, `exchanges` and `groups` are required, even if they are empty lists.
    /// `schemas/broker.schema.json` describes the form.
    ///
    /// # Example
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorun
    ///   vhost: zocalo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   settings:
    ///     queues:
    ///       type: quorum
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Never: Zocalo stops when half of it has been applied.
    "malformed-topology", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker() else { return };
    let letters = || topology.groups.iter().filter_map(|group| group.dead_letters.as_ref());
    for fault in topology::faults(cx.tree) {
        // A pattern that makes no names is the business of another rule.
        if letters().any(|letters| letters.fault.is_some() && cx.node(letters.pattern.node).head() == fault.span) {
            continue;
        }
        // What is missing may stand where the text is broken.
        if cx.is_incomplete() && fault.is_missing {
            continue;
        }
        sink.report(RULE.of_fault(&fault));
    }
}
