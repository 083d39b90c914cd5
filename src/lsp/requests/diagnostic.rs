//! `textDocument/diagnostic`: what there is to say about a document, for clients that ask.

use gen_lsp_types as lsp;

use crate::lsp::session::{Client, Error, Session};

/// The request.
pub use gen_lsp_types::DocumentDiagnosticRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, client: &Client) {
    if client.pulls {
        offered.diagnostic_provider = Some(lsp::DiagnosticProvider::DiagnosticOptions(lsp::DiagnosticOptions {
            identifier: Some("zrecipe".to_owned()),
            inter_file_dependencies: true,
            workspace_diagnostics: false,
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
    let items = session.diagnostics(&params.text_document.uri)?;
    let report = lsp::FullDocumentDiagnosticReport { result_id: None, items };
    Ok(lsp::DocumentDiagnosticReport::RelatedFullDocumentDiagnosticReport(lsp::RelatedFullDocumentDiagnosticReport {
        related_documents: None,
        full_document_diagnostic_report: report,
    }))
}
