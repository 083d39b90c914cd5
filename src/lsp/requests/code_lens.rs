//! `textDocument/codeLens`: run a recipe on the embedded broker, and show its graph; for clients that can do that.

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use zrecipe_language::document::DocumentKind;

/// The request.
pub use gen_lsp_types::CodeLensRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, client: &Client) {
    offered.code_lens_provider = client.commands.then(lsp::CodeLensOptions::default);
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::CodeLensParams) -> Result<Option<Vec<lsp::CodeLens>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let recipe = &view.compilation.recipe;
    let Some(start) = recipe.start().filter(|_| view.compilation.document.kind() == DocumentKind::Recipe) else {
        return Ok(None);
    };
    let range = view.range(recipe.span(start.key));
    let lens = |title: &str, command: &str| lsp::CodeLens {
        range,
        command: Some(lsp::Command {
            title: title.to_owned(),
            command: command.to_owned(),
            arguments: Some(vec![view.uri.0.clone().into()]),
            ..Default::default()
        }),
        data: None,
    };
    let graph = lens("show graph", "zrecipe.showGraph");
    let run = lens("run on the embedded broker", "zrecipe.run");
    // What is run is the file.
    let runs = view.is_file() && !view.compilation.is_refused();
    Ok(Some(if runs { vec![run, graph] } else { vec![graph] }))
}
