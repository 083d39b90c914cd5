//! `textDocument/foldingRange`: lists and objects over several lines.

use gen_lsp_types as lsp;

use crate::lsp::session::{Client, Error, Session};
use crate::syntax::{Kind, Notation};

/// The request.
pub use gen_lsp_types::FoldingRangeRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.folding_range_provider = Some(lsp::FoldingRangeProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::FoldingRangeParams) -> Result<Option<Vec<lsp::FoldingRange>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let has_brackets = Notation::of(view.source().name()) == Notation::Json;
    let mut folds: Vec<lsp::FoldingRange> = Vec::new();
    for node in view.compilation.tree.nodes().filter(|node| matches!(node.kind(), Kind::Array | Kind::Object)) {
        let range = view.range(node.span());
        // The line of the closing bracket stays. Without brackets a block begins in the line of its key.
        let start_line = if has_brackets { range.start.line } else { range.start.line.saturating_sub(1) };
        let end_line = if has_brackets { range.end.line.saturating_sub(1) } else { range.end.line };
        if start_line < end_line && folds.last().is_none_or(|last| last.start_line != start_line) {
            folds.push(lsp::FoldingRange { start_line, end_line, ..Default::default() });
        }
    }
    Ok(Some(folds))
}
