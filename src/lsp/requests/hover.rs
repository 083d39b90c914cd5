//! `textDocument/hover`: what the thing under the cursor is.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::describe::{self, RECIPE_KEYS, STEP_KEYS};
use crate::lsp::forms;
use crate::lsp::place::key_at;
use crate::lsp::session::Session;
use crate::lsp::tokens::VARIABLES;
use crate::lsp::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::names::Name;
use zrecipe_language::site;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::NodeId;
use zrecipe_language::template::Access;

/// The request.
pub use gen_lsp_types::HoverRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.hover_provider = Some(lsp::HoverProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::HoverParams) -> Result<Option<lsp::Hover>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let parameters = session.parameters();
    let offset = view.offset(at.position);
    let found = view.name_at(at.position).and_then(|found| {
        let mut text = describe::name(&view, &found.name)?;
        if let (Name::Placeholder(name), Some(parameters)) = (&found.name, &parameters) {
            let path = path_at(&view, found.node, offset).unwrap_or_default();
            text.push_str("\n\n");
            text.push_str(&describe::value(name, path, parameters));
        }
        Some((text, found.span))
    });
    let found = found.or_else(|| variable(&view, offset)).or_else(|| key(&view, offset));
    Ok(found.map(|(value, span)| lsp::Hover {
        contents: lsp::Contents::MarkupContent(lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value }),
        range: Some(view.range(span)),
    }))
}

/// What the placeholder at a byte takes out of its parameter.
fn path_at(view: &View, node: NodeId, offset: u32) -> Option<&[Access]> {
    let used = view.compilation.templates.iter().find(|used| used.node == node)?;
    let node = view.compilation.tree.node(node);
    let fields = used.template.as_ref().ok()?.fields().into_iter();
    let spans = fields.map(|field| (node.text_span(field.span.clone()), field));
    let around = spans.filter(|(span, _)| span.start <= offset && offset <= span.end);
    around.min_by_key(|(span, _)| span.end - span.start).map(|(_, field)| &*field.path)
}

/// What the runner fills in for a word that begins with `$`.
fn variable(view: &View, offset: u32) -> Option<(String, Span)> {
    let (text, at) = (view.source().text(), offset as usize);
    let is_word = |c: char| c.is_ascii_uppercase() || c == '$';
    let start = text[..at].trim_end_matches(is_word).len();
    let end = at + text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at);
    let (word, said) = VARIABLES.into_iter().find(|(word, _)| *word == &text[start..end])?;
    (view.compilation.document.kind() == DocumentKind::Recipe)
        .then(|| (format!("`{word}`\n\n{said}"), Span::new(start, end)))
}

/// What a key is for: those of a step that the framework reads, and those of documents that have a published form.
fn key(view: &View, offset: u32) -> Option<(String, Span)> {
    let root = view.compilation.tree.root();
    let (path, key) = key_at(root, offset)?;
    let of_list =
        |list: &[(&'static str, &'static str)]| list.iter().find(|(name, _)| key.is(name)).map(|(_, text)| *text);
    let said = match (view.compilation.document.kind(), &*path) {
        (DocumentKind::Recipe, [_]) => of_list(&RECIPE_KEYS).map(str::to_owned),
        (DocumentKind::Recipe, [_, _]) => view.step_at(offset).and_then(|_| of_list(&STEP_KEYS)).map(str::to_owned),
        (kind, path) => {
            let of_plugin = || {
                let content = root.get(path.first()?.key()?)?;
                let form = site::form_of(&site::plugin_of(content)?)?;
                forms::description(form.root(), path.get(1..)?)
            };
            let is_site = kind == DocumentKind::Site;
            let said = is_site.then(of_plugin).flatten();
            said.or_else(|| forms::of(kind).and_then(|form| forms::description(form.root(), path)))
        }
    };
    said.map(|text| (format!("`{}`\n\n{text}", key.text()), key.span()))
}
