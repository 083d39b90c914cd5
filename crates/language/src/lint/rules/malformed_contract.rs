//! A contract file that is not of the form of one.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A contract does not have the form of contracts.
    ///
    /// # Why
    /// A contract says what a service promises: a file with its `names` and `queues`, and JSON Schemas of what it
    /// takes and sends. What is misspelt in one is never checked in any recipe. The form of contracts is
    /// described by `schemas/contract.schema.json`.
    ///
    /// # Example
    /// ```json
    /// { "names": ["Images"], "queues": ["images"], "parameters": { "type": "objekt" } }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "names": ["Images"], "queues": ["images"], "parameters": { "type": "object" } }
    /// ```
    ///
    /// # When not to follow it
    /// Never: no recipe is checked against the contract.
    "malformed-contract", Error, about [Contract]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for fault in cx.document.contract().iter().flat_map(|reading| &reading.faults) {
        sink.report(RULE.of_fault(fault));
    }
}
