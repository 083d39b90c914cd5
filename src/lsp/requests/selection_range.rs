//! `textDocument/selectionRange`: the cursor's text, value, member, object, and so on outwards.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::place::extent;
use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::Kind;

/// The request.
pub use gen_lsp_types::SelectionRangeRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.selection_range_provider = Some(lsp::SelectionRangeProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::SelectionRangeParams,
) -> Result<Option<Vec<lsp::SelectionRange>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    Ok(Some(params.positions.into_iter().map(|position| selection(&view, view.offset(position))).collect()))
}

fn selection(view: &View, offset: u32) -> lsp::SelectionRange {
    let holds = |span: Span| span.start <= offset && offset <= span.end;
    let mut at = view.compilation.tree.root();
    let mut spans = vec![Span::new(0, view.source().text().len()), at.span()];
    loop {
        if let Some(item) = at.items().filter(|item| holds(extent(*item))).last() {
            spans.push(extent(item));
            at = item;
            continue;
        }
        let whole = |member: &zrecipe_language::syntax::Member<'_>| {
            let (key, value) = (member.key.span(), extent(member.value));
            let is_header = value.start < key.start && key.end <= value.end;
            Span { start: if is_header { value.start } else { key.start }, end: value.end.max(key.end) }
        };
        let Some(member) = at.members().filter(|member| holds(whole(member))).last() else { break };
        spans.push(whole(&member));
        let parts = [member.value, member.key].into_iter().map(|part| (part, extent(part)));
        let Some((part, span)) = parts.into_iter().find(|(_, span)| holds(*span)) else { break };
        spans.push(span);
        at = part;
    }
    if at.kind() == Kind::String {
        spans.push(at.text_span(0..at.text().len()));
    }
    spans.extend(zrecipe_language::names::at(view.names(), offset).map(|found| found.span));
    let mut selection: Option<lsp::SelectionRange> = None;
    let mut outer: Option<Span> = None;
    for span in spans {
        // Each lies in the one before it, and is shorter.
        if holds(span) && outer.is_none_or(|outer| outer.start <= span.start && span.end <= outer.end && outer != span)
        {
            outer = Some(span);
            selection = Some(lsp::SelectionRange { range: view.range(span), parent: selection.map(Box::new) });
        }
    }
    selection.unwrap_or_else(|| lsp::SelectionRange { range: view.range(Span::empty(offset as usize)), parent: None })
}
