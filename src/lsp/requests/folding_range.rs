//! `textDocument/foldingRange`: lists and objects over several lines.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::place::extent;
use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::syntax::{Kind, NodeRef, Notation};

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
    let mut lines = Vec::new();
    of_node(&view, view.compilation.tree.root(), None, &mut lines);
    // Of two that begin in one line the longer one.
    lines.retain(|(start, end)| start < end);
    lines.sort_by_key(|&(start, end)| (start, std::cmp::Reverse(end)));
    lines.dedup_by_key(|(start, _)| *start);
    let fold = |(start_line, end_line)| lsp::FoldingRange { start_line, end_line, ..Default::default() };
    Ok(Some(lines.into_iter().map(fold).collect()))
}

/// The first and last lines of a list or an object and of all in it; `key` is where the line is that stays.
fn of_node(view: &View, node: NodeRef<'_>, key: Option<NodeRef<'_>>, lines: &mut Vec<(u32, u32)>) {
    // What is written at an anchor is folded there.
    if !matches!(node.kind(), Kind::Array | Kind::Object) || node.raw().starts_with('*') {
        return;
    }
    let is_toml = Notation::of(view.source().name()) == Notation::Toml;
    let is_header = is_toml && (node.kind() == Kind::Object || node.raw().starts_with("[["));
    let span = extent(node);
    let length = view.source().slice(span).trim_end().len() as u32;
    let line = |at: u32| view.position(at).line;
    let (first, last) = (line(span.start), line(span.start + length));
    if node.raw().starts_with('{') || node.raw().starts_with('[') && !is_header {
        // The line of the closing bracket stays.
        lines.push((first, last.saturating_sub(1)));
    } else if is_toml && node.kind() == Kind::Object && node.raw().starts_with('[') && key.is_some() {
        lines.push((first, last));
    } else if let Some(key) = key.filter(|_| !is_toml) {
        lines.push((line(key.span().start), last));
    }
    node.members().for_each(|member| of_node(view, member.value, Some(member.key), lines));
    node.items().for_each(|item| of_node(view, item, Some(item), lines));
}
