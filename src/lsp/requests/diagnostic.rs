//! `textDocument/diagnostic`: what there is to say about a document, for clients that ask.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::findings::Findings;
use crate::lsp::session::Session;

/// The request.
pub use gen_lsp_types::DocumentDiagnosticRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, client: &Client) {
    if client.pulls {
        offered.diagnostic_provider = Some(lsp::DiagnosticProvider::DiagnosticOptions(lsp::DiagnosticOptions {
            identifier: Some("zrecipe".to_owned()),
            inter_file_dependencies: true,
            workspace_diagnostics: true,
            ..Default::default()
        }));
    }
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::DocumentDiagnosticParams,
) -> Result<lsp::DocumentDiagnosticReport, Error> {
    let found = Findings::new(session.diagnostics(&params.text_document.uri)?);
    if params.previous_result_id.as_ref() == Some(&found.id) {
        let unchanged_document_diagnostic_report = lsp::UnchangedDocumentDiagnosticReport { result_id: found.id };
        let related_documents = None;
        return Ok(lsp::RelatedUnchangedDocumentDiagnosticReport {
            related_documents,
            unchanged_document_diagnostic_report,
        }
        .into());
    }
    let full_document_diagnostic_report = found.report();
    Ok(lsp::RelatedFullDocumentDiagnosticReport { related_documents: None, full_document_diagnostic_report }.into())
}
