//! `textDocument/documentLink`: from names of recipes and files to the files.

use std::path::PathBuf;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::convert;
use crate::lsp::session::Session;
use crate::lsp::view::View;
use zrecipe_language::document::Document;
use zrecipe_language::names::Name;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::{Kind, NodeRef};

/// The request.
pub use gen_lsp_types::DocumentLinkRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.document_link_provider = Some(lsp::DocumentLinkOptions::default());
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::DocumentLinkParams) -> Result<Option<Vec<lsp::DocumentLink>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let mut found: Vec<(Span, PathBuf)> = Vec::new();
    for occurrence in view.names() {
        if let Name::Recipe(name) = &occurrence.name {
            found.extend(session.recipe_file(&view, name).map(|path| (occurrence.span, path)));
        }
    }
    for node in files(&view) {
        let path = view.path.parent().unwrap_or(std::path::Path::new("/")).join(&*node.text());
        if session.may_follow(&path) && path.is_file() {
            found.push((node.text_span(0..node.text().len()), path));
        }
    }
    let link = |(span, path): (Span, PathBuf)| lsp::DocumentLink {
        range: view.range(span),
        target: Some(convert::uri(&path)),
        ..Default::default()
    };
    Ok(Some(found.into_iter().map(link).collect()))
}

/// Strings that name files: of a site and of settings.
fn files(view: &View) -> Vec<NodeRef<'_>> {
    let tree = &view.compilation.tree;
    let nodes: Vec<NodeRef<'_>> = match &view.compilation.document {
        Document::Site(site) => {
            let includes = site.includes().iter().map(|include| include.node);
            let blocks = site.blocks().iter().filter(|block| block.file.is_some()).map(|block| block.value);
            includes.chain(blocks).map(|node| tree.node(node)).collect()
        }
        Document::Settings => {
            let keys = ["site", "baseline", "contracts", "broker"];
            let values = keys.into_iter().filter_map(|key| tree.root().get(key));
            values.flat_map(|value| value.items().chain([value])).collect()
        }
        _ => Vec::new(),
    };
    nodes.into_iter().filter(|node| node.kind() == Kind::String).collect()
}
