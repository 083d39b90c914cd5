//! `textDocument/documentSymbol`: the outline of a document.

use crate::lsp::title::title;
use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::report::printable;
use zrecipe_language::secret;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::{Kind, Member};

/// The request.
pub use gen_lsp_types::DocumentSymbolRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.document_symbol_provider = Some(lsp::DocumentSymbolProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::DocumentSymbolParams,
) -> Result<Option<lsp::DocumentSymbolResponse>, Error> {
    let view = session.view(&params.text_document.uri)?;
    // Parts of parts of parts nobody looks for in an outline.
    const LEVELS: usize = 3;
    let tree = &view.compilation.tree;
    let secrets = secret::find(tree);
    let symbols = tree.root().members().filter_map(|member| symbol(&view, &secrets, member, LEVELS)).collect();
    Ok(Some(lsp::DocumentSymbolResponse::DocumentSymbolList(symbols)))
}

fn symbol(view: &View, secrets: &[Span], member: Member<'_>, levels: usize) -> Option<lsp::DocumentSymbol> {
    let recipe = &view.compilation.recipe;
    let step = recipe.steps().binary_search_by_key(&member.key.id(), |step| step.key).ok();
    let step = step.map(|place| &recipe.steps()[place]);
    let key = member.key.text();
    // What YAML takes for a key may be the rest of a password.
    let key = if secret::covers(secrets, member.key.span()) { secret::MASK.to_owned() } else { printable(&key, 80) };
    let name = step.map_or(key, |step| title(recipe, step));
    let detail = step.and_then(|step| recipe.text(step.queue).or_else(|| recipe.text(step.topic)));
    let kind = match (step, member.value.kind()) {
        (Some(_), _) => lsp::SymbolKind::Class,
        (None, Kind::Object) => lsp::SymbolKind::Object,
        (None, Kind::Array) => lsp::SymbolKind::Array,
        (None, Kind::String) => lsp::SymbolKind::String,
        (None, Kind::Number) => lsp::SymbolKind::Number,
        (None, Kind::Bool) => lsp::SymbolKind::Boolean,
        (None, Kind::Null | Kind::Missing) => lsp::SymbolKind::Null,
    };
    let children = (levels > 1).then(|| {
        let members = member.value.members();
        members.filter_map(|member| symbol(view, secrets, member, levels - 1)).collect::<Vec<_>>()
    });
    let span = Span { start: member.key.span().start, end: member.value.span().end.max(member.key.span().end) };
    #[expect(deprecated, reason = "the field has to be there")]
    (!name.is_empty()).then(|| lsp::DocumentSymbol {
        name,
        detail: detail.map(|detail| printable(&secret::hidden_text(&detail), 80)),
        kind,
        tags: None,
        deprecated: None,
        range: view.range(span),
        selection_range: view.range(member.key.span()),
        children: children.filter(|children| !children.is_empty()),
    })
}
