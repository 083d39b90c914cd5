//! `workspace/textDocumentContent`: documents that the server itself has, which are the pages of the rules and the built-in contracts.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::convert::SCHEME;
use crate::lsp::describe::rule_page;
use crate::lsp::session::Session;
use zrecipe_language::contract::BUILT_IN;

/// The request.
pub use gen_lsp_types::TextDocumentContentRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    let options = lsp::TextDocumentContentOptions { schemes: vec![SCHEME.to_owned()] };
    if let Some(workspace) = &mut offered.workspace {
        workspace.text_document_content = Some(lsp::TextDocumentContent::Options(options));
    }
}

/// The answer.
///
/// # Errors
/// There is no such document.
pub fn run(
    _session: &mut Session,
    params: lsp::TextDocumentContentParams,
) -> Result<lsp::TextDocumentContentResult, Error> {
    let rest = params.uri.0.strip_prefix(SCHEME).unwrap_or_default();
    let rule = rest.strip_prefix(":rules/").and_then(|rest| rest.strip_suffix(".md")).and_then(rule_page);
    let contract = || {
        let file = rest.strip_prefix(":contracts/")?;
        BUILT_IN.iter().find(|(known, _)| *known == file).map(|(_, text)| (*text).to_owned())
    };
    let text = rule.or_else(contract).ok_or_else(|| Error::Invalid(format!("there is no document {}", params.uri)))?;
    Ok(lsp::TextDocumentContentResult { text })
}
