//! `textDocument/completion`: what may stand here, from contracts, configurations and the whole workspace.

mod choice;
mod form;
mod known;
mod placeholder;
mod recipe;
mod settings;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::forms;
use crate::lsp::place::{Place, is_json};
use crate::lsp::probe::{Probe, is_needed, probes};
use crate::lsp::session::Session;
use crate::lsp::view::View;
use choice::{Choice, new_recipe};
use form::{in_form, in_request, in_site};
use known::Known;
use placeholder::{placeholder, placeholders, variables};
use recipe::in_recipe;
use settings::in_settings;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::syntax::Notation;

/// The request.
pub use gen_lsp_types::CompletionRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.completion_provider = Some(lsp::CompletionOptions {
        trigger_characters: Some(["\"", "{", ":", " ", "$"].map(str::to_owned).to_vec()),
        ..Default::default()
    });
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::CompletionParams) -> Result<Option<lsp::CompletionResponse>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let offset = view.offset(at.position);
    let known = Known::of(session, &view, offset);
    let snippets = session.client.snippets;
    let is_recipe = view.compilation.document.kind() == DocumentKind::Recipe;
    let items = if is_recipe && is_json(&view) && view.source().text().trim().is_empty() {
        vec![new_recipe(snippets)]
    } else if Notation::of(view.source().name()) == Notation::Toml {
        if view.compilation.document.kind() == DocumentKind::Settings && view.is_told() {
            in_settings(&view, offset)
        } else {
            Vec::new()
        }
    } else {
        let place = Place::at(&view, offset);
        let variables = variables(&view, &place, offset);
        match placeholder(&view, &place, offset) {
            _ if !variables.is_empty() => variables,
            Some(span) => placeholders(&view, &known, span),
            None if is_needed(&view, &place, offset) => {
                let probes = probes(&view, &session.client, offset);
                let of = |probe: &Probe| {
                    let (place, known) = (probe.place(), Known::of(session, &probe.view, offset));
                    let replaced = probe.original(place.replaced(offset));
                    let choices = choices(&probe.view, &place, &known).into_iter();
                    choices.map(|choice| choice.item(&view, &place, offset, replaced, snippets)).collect()
                };
                probes.iter().map(of).find(|items: &Vec<lsp::CompletionItem>| !items.is_empty()).unwrap_or_default()
            }
            None => {
                let replaced = place.replaced(offset);
                let choices = choices(&view, &place, &known).into_iter();
                choices.map(|choice| choice.item(&view, &place, offset, replaced, snippets)).collect()
            }
        }
    };
    Ok(Some(lsp::CompletionResponse::CompletionList(lsp::CompletionList {
        is_incomplete: false,
        items,
        ..Default::default()
    })))
}

/// What may stand in a place.
fn choices(view: &View, place: &Place<'_>, known: &Known) -> Vec<Choice> {
    match view.compilation.document.kind() {
        DocumentKind::Recipe => in_recipe(view, place, known),
        DocumentKind::Request => in_request(place, known),
        DocumentKind::Site | DocumentKind::Plugin => in_site(view, place),
        kind => forms::of(kind).map_or(Vec::new(), |form| in_form(form.root(), &place.path, place)),
    }
}
