//! What the client tells: documents that are opened, edited and closed, files, folders and settings that change.

use std::path::PathBuf;
use std::sync::Arc;

use gen_lsp_types as lsp;
use lsp_server::Notification;

use super::Server;
use crate::lsp::client::Error;
use crate::lsp::{convert, read};

impl Server {
    pub(super) fn note(&mut self, note: Notification) -> Result<(), Error> {
        let session = &mut self.session;
        match lsp::LspNotificationMethod::from(note.method.as_str()) {
            lsp::LspNotificationMethod::TextDocumentDidOpen => {
                let document = read::<lsp::DidOpenTextDocumentParams>(note.params)?.text_document;
                let language = serde_json::to_value(&document.language_id).unwrap_or_default();
                let language = language.as_str().unwrap_or_default();
                session.open(document.uri, language, document.version, document.text);
            }
            lsp::LspNotificationMethod::TextDocumentDidChange => {
                let params = read::<lsp::DidChangeTextDocumentParams>(note.params)?;
                let document = params.text_document;
                session.edit(&document.text_document_identifier.uri, document.version, params.content_changes)?;
            }
            lsp::LspNotificationMethod::TextDocumentDidClose => {
                let uri = read::<lsp::DidCloseTextDocumentParams>(note.params)?.text_document.uri;
                if let Some(path) = session.close(&uri) {
                    self.changed(&[path]);
                }
            }
            lsp::LspNotificationMethod::TextDocumentDidSave => {
                let uri = read::<lsp::DidSaveTextDocumentParams>(note.params)?.text_document.uri;
                if let Some(path) = session.path_of(&uri) {
                    self.changed(&[path]);
                }
            }
            lsp::LspNotificationMethod::WorkspaceDidChangeWatchedFiles => {
                let changes = read::<lsp::DidChangeWatchedFilesParams>(note.params)?.changes;
                let paths: Vec<PathBuf> = changes.iter().filter_map(|change| convert::path(&change.uri)).collect();
                self.changed(&paths);
            }
            lsp::LspNotificationMethod::WorkspaceDidChangeConfiguration => {
                let settings = read::<lsp::DidChangeConfigurationParams>(note.params)?.settings;
                session.configure(settings.get("zrecipe").unwrap_or(&settings));
            }
            lsp::LspNotificationMethod::WorkspaceDidChangeWorkspaceFolders => {
                let event = read::<lsp::DidChangeWorkspaceFoldersParams>(note.params)?.event;
                event
                    .removed
                    .iter()
                    .filter_map(|folder| convert::path(&folder.uri))
                    .for_each(|path| session.remove_folder(&path));
                for root in event.added.iter().filter_map(|folder| convert::path(&folder.uri)) {
                    self.session.add_folder(&root);
                    let basis = self.session.folders().iter().find(|folder| folder.basis.root == root);
                    let basis = basis.map(|folder| Arc::clone(&folder.basis));
                    basis.into_iter().for_each(|basis| self.scan(basis));
                }
            }
            // `initialized` is handled before; others say nothing that we want to know.
            _ => {}
        }
        Ok(())
    }
}
