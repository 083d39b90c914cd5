//! `workspace/diagnostic`: what there is to say about all files of the workspace, for clients that ask. What has been
//! said already is not said again.

use std::collections::HashMap;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::findings::Findings;
use crate::lsp::session::Session;

/// The request.
pub use gen_lsp_types::WorkspaceDiagnosticRequest as Method;

/// What is offered: see the request for one document.
pub fn offer(_offered: &mut lsp::ServerCapabilities, _client: &Client) {}

/// The answer.
///
/// # Errors
/// Nobody wants to know any more, or something else has to be done first.
pub fn run(
    session: &mut Session,
    params: lsp::WorkspaceDiagnosticParams,
) -> Result<lsp::WorkspaceDiagnosticReport, Error> {
    let mut before: HashMap<lsp::Uri, String> =
        params.previous_result_ids.into_iter().map(|previous| (previous.uri, previous.value)).collect();
    let mut items = Vec::new();
    for (place, path) in session.files() {
        let Some((uri, version, found)) = session.findings_of(place, &path)? else { continue };
        match before.remove(&uri) {
            Some(id) if id == found.id => items.push(unchanged(uri, version, id)),
            None if found.items.is_empty() => {}
            _ => items.push(full(uri, version, found)),
        }
    }
    // What is not there any more has no findings.
    let none = Findings::new(Vec::new());
    let gone = before.into_iter().filter(|(_, id)| *id != none.id);
    items.extend(gone.map(|(uri, _)| full(uri, None, none.clone())));
    Ok(lsp::WorkspaceDiagnosticReport { items })
}

fn full(uri: lsp::Uri, version: Option<i32>, found: Findings) -> lsp::WorkspaceDocumentDiagnosticReport {
    lsp::WorkspaceFullDocumentDiagnosticReport { uri, version, full_document_diagnostic_report: found.report() }.into()
}

fn unchanged(uri: lsp::Uri, version: Option<i32>, result_id: String) -> lsp::WorkspaceDocumentDiagnosticReport {
    let unchanged_document_diagnostic_report = lsp::UnchangedDocumentDiagnosticReport { result_id };
    lsp::WorkspaceUnchangedDocumentDiagnosticReport { uri, version, unchanged_document_diagnostic_report }.into()
}
