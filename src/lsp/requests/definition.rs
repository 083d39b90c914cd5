//! `textDocument/definition`: where a step, queue, service, channel, parameter, block, environment or recipe comes from.

use std::sync::Arc;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::convert::{self, Lines, SCHEME};
use crate::lsp::session::Session;
use zrecipe_language::compile::structure;
use zrecipe_language::contract::{self, Contracts};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::names::{Name, names};
use zrecipe_language::source::Source;

/// The request.
pub use gen_lsp_types::DefinitionRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.definition_provider = Some(lsp::DefinitionProvider::Bool(true));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::DefinitionParams) -> Result<Option<lsp::DefinitionResponse>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let Some(name) = view.name_at(at.position).map(|found| found.name.clone()) else { return Ok(None) };
    let mut places = Vec::new();
    if let Name::Recipe(recipe) = &name {
        let start = lsp::Range::default();
        places.extend(
            session.recipe_file(&view, recipe).map(|path| lsp::Location { uri: convert::uri(&path), range: start }),
        );
    }
    let mut names = vec![name.clone()];
    if let Name::Queue(queue) = &name {
        // The contract may have a pattern for it.
        names.extend(view.basis.contracts().of_queue(queue).map(|contract| Name::Service(contract.name().to_owned())));
    }
    for name in &names {
        if !places.is_empty() {
            break;
        }
        for other in session.definitions(&view, name)? {
            let found = other.names().iter().filter(|found| found.is_definition && found.name == *name);
            places.extend(found.map(|found| other.location(found.span)));
        }
    }
    if places.is_empty() && session.client.documents {
        places.extend(names.iter().find_map(|name| built_in(name, &session.client)));
    }
    let places = (!places.is_empty()).then_some(places);
    Ok(places.map(|places| lsp::DefinitionResponse::Definition(lsp::Definition::LocationList(places))))
}

/// Where a contract that is built in defines a name.
fn built_in(name: &Name, client: &Client) -> Option<lsp::Location> {
    contract::BUILT_IN.iter().find_map(|(file, text)| {
        let source = Arc::new(Source::from_text(*file, *text));
        let compilation = structure(source, Some(DocumentKind::Contract));
        let found = names(&compilation, Contracts::built_in());
        let found = found.iter().find(|found| found.is_definition && found.name == *name)?;
        let range = Lines::new(client.unit).range(&compilation.source, found.span);
        Some(lsp::Location { uri: lsp::Uri(format!("{SCHEME}:contracts/{file}")), range })
    })
}
