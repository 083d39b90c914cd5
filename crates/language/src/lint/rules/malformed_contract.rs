//! A contract file that is not of the form of one.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A contract has an invalid form.
    ///
    /// # Why
    /// A contract describes the interface of a service: a file with its `names` and `queues`, and JSON Schemas of its
    /// input and output. A misspelt key of a contract is never checked in any recipe. `schemas/contract.schema.json`
    /// describes the form of contracts.
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
