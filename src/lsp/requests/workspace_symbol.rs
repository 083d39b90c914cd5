//! `workspace/symbol`: names in the whole workspace.

use std::path::PathBuf;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::title::title;
use zrecipe_language::names::Name;
use zrecipe_language::secret;

/// The request.
pub use gen_lsp_types::WorkspaceSymbolRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.workspace_symbol_provider = Some(lsp::WorkspaceSymbolProvider::Bool(true));
}

/// The answer: of each name where it is defined, or else where it is used first.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::WorkspaceSymbolParams,
) -> Result<Option<lsp::WorkspaceSymbolResponse>, Error> {
    const MOST: usize = 128;
    let query = params.query.to_lowercase();
    let mut wanted: Vec<(Name, PathBuf)> = Vec::new();
    let mut steps: Vec<(i64, PathBuf)> = Vec::new();
    for folder in session.folders() {
        let files = folder.files();
        // Files that say what there is come before recipes, which use it.
        let (recipes, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|(_, file)| file.kind == Some(zrecipe_language::document::DocumentKind::Recipe));
        for (path, file) in others.into_iter().chain(recipes) {
            let titled = file.steps.iter().filter(|(_, title)| has_all(title, &query));
            steps.extend(titled.take(MOST.saturating_sub(steps.len())).map(|(id, _)| (*id, path.to_owned())));
            for name in file.names.iter().filter(|name| is_wanted(name, &query)) {
                if wanted.len() < MOST && !wanted.iter().any(|(known, _)| known == name) {
                    wanted.push((name.clone(), path.to_owned()));
                }
            }
        }
    }
    let mut symbols = Vec::new();
    for (name, path) in wanted {
        session.inbox.go_on()?;
        let Some(view) = session.view_of(&path) else { continue };
        let occurrences = || view.names().iter().filter(|found| found.name == name);
        let Some(found) = occurrences().find(|found| found.is_definition).or_else(|| occurrences().next()) else {
            continue;
        };
        symbols.push(lsp::WorkspaceSymbol {
            location: lsp::WorkspaceSymbolLocation::Location(view.location(found.span)),
            data: None,
            base_symbol_information: lsp::BaseSymbolInformation {
                name: secret::hidden_text(&name.text()),
                kind: kind(&name),
                tags: None,
                container_name: Some(name.kind().to_owned()),
            },
        });
    }
    // There are many of them, so they come last.
    for (id, path) in steps.into_iter().take(MOST.saturating_sub(symbols.len())) {
        session.inbox.go_on()?;
        let Some(view) = session.view_of(&path) else { continue };
        let recipe = &view.compilation.recipe;
        let Some(step) = recipe.step(id) else { continue };
        symbols.push(lsp::WorkspaceSymbol {
            location: lsp::WorkspaceSymbolLocation::Location(view.location(recipe.span(step.key))),
            data: None,
            base_symbol_information: lsp::BaseSymbolInformation {
                name: title(recipe, step),
                kind: kind(&Name::Step(id)),
                tags: None,
                container_name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            },
        });
    }
    Ok(Some(lsp::WorkspaceSymbolResponse::WorkspaceSymbolList(symbols)))
}

/// Whether a name has all the characters of the query in their order.
fn is_wanted(name: &Name, query: &str) -> bool {
    if matches!(name, Name::Rule(_) | Name::Parameter(_)) {
        return false;
    }
    has_all(&name.text(), query)
}

fn has_all(text: &str, query: &str) -> bool {
    let text = text.to_lowercase();
    let mut left = text.chars();
    query.chars().all(|wanted| left.any(|found| found == wanted))
}

fn kind(name: &Name) -> lsp::SymbolKind {
    match name {
        Name::Step(_) | Name::Service(_) => lsp::SymbolKind::Class,
        Name::Queue(_) | Name::Topic(_) | Name::Exchange(_) => lsp::SymbolKind::Interface,
        Name::Channel(_) => lsp::SymbolKind::Event,
        Name::Parameter(_) => lsp::SymbolKind::Property,
        Name::Placeholder(_) => lsp::SymbolKind::Variable,
        Name::Block(_) | Name::Environment(_) => lsp::SymbolKind::Module,
        Name::Recipe(_) => lsp::SymbolKind::File,
        Name::Rule(_) => lsp::SymbolKind::Constant,
    }
}
