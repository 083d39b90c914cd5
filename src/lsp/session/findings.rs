//! Findings of documents: when they are computed again, and when the client gets them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gen_lsp_types as lsp;
use gen_lsp_types::Request as _;

use super::Session;
use crate::lsp::client::Error;
use crate::lsp::convert::{self, Lines};
use crate::lsp::findings::Findings;
use crate::lsp::folder::Folder;
use zrecipe_language::document::DocumentKind;

impl Session {
    /// The findings of a document as the client takes them.
    ///
    /// # Errors
    /// It is not open.
    pub fn diagnostics(&mut self, uri: &lsp::Uri) -> Result<Vec<lsp::Diagnostic>, Error> {
        let view = self.view(uri)?;
        Ok(view.diagnostics())
    }

    /// The files of the workspace that are ours, each with the place of its folder.
    pub fn files(&self) -> Vec<(usize, PathBuf)> {
        let of = |(place, folder): (usize, &Folder)| {
            let files = folder.files().into_iter().filter(|(_, file)| file.kind.is_some());
            files.map(|(path, _)| (place, path.to_owned())).collect::<Vec<_>>()
        };
        self.folders.iter().enumerate().flat_map(of).collect()
    }

    /// What there is to say about a file of a folder, with its version if it is open. It is known until something about
    /// it changes.
    ///
    /// # Errors
    /// Nobody wants to know any more, or something else has to be done first.
    pub fn findings_of(
        &mut self,
        place: usize,
        path: &Path,
    ) -> Result<Option<(lsp::Uri, Option<i32>, Findings)>, Error> {
        let open = self.documents.values().find(|document| document.path == path).map(|document| document.uri.clone());
        if let Some(uri) = open {
            let view = self.view(&uri)?;
            return Ok(Some((uri, view.version, Findings::new(view.diagnostics()))));
        }
        let Some(folder) = self.folders.get_mut(place) else { return Ok(None) };
        let (uri, lines) = (convert::uri(path), Lines::new(self.client.unit));
        if let Some(found) = folder.said(path) {
            return Ok(Some((uri, None, found.clone())));
        }
        self.inbox.go_on()?;
        if !self.inbox.waiting.is_empty() {
            return Err(Error::Later);
        }
        let Some(compilation) = folder.check(path) else { return Ok(None) };
        let found = compilation.diagnostics.iter();
        let found = found.map(|found| lines.diagnostic(&compilation.source, &uri, found)).collect();
        let found = Findings::new(found);
        folder.say(path, found.clone());
        Ok(Some((uri, None, found)))
    }

    /// Says what there is to say about one document that has changed; whether there was one.
    pub fn tell_one(&mut self) -> bool {
        // What the user looks at is most likely what has been edited; its findings are not told yet.
        let stale = || self.documents.values().filter(|document| document.stale);
        let next = stale().find(|document| document.told.is_none()).or_else(|| stale().next());
        let Some(uri) = next.map(|document| document.uri.clone()) else { return false };
        let unknown_before = self.documents.get(&uri.0).is_some_and(|document| document.told.is_none());
        if !unknown_before {
            self.compare(&uri);
        }
        if self.client.pulls {
            // It is asked for next.
            if unknown_before && self.view(&uri).is_ok() {
                self.spread(&uri);
            }
            if let Some(document) = self.documents.get_mut(&uri.0) {
                document.stale = false;
                document.told.get_or_insert_default();
            }
            if !unknown_before && self.client.refreshes && !self.documents.values().any(|document| document.stale) {
                self.request(lsp::DiagnosticRefreshRequest::METHOD.as_str(), serde_json::Value::Null);
            }
            return true;
        }
        let Ok(found) = self.diagnostics(&uri) else { return false };
        self.spread(&uri);
        let Some(document) = self.documents.get_mut(&uri.0) else { return false };
        document.stale = false;
        if document.told.as_ref() != Some(&found) {
            let version = document.version;
            document.told = Some(found.clone());
            self.publish(uri, Some(version), found);
        }
        true
    }

    /// Holds the others against the text of a document that has not been saved yet, if they are held against its file.
    fn spread(&mut self, uri: &lsp::Uri) {
        let Some(document) = self.documents.get(&uri.0) else { return };
        let Some(view) = &document.view else { return };
        let is_one = matches!(
            view.compilation.document.kind(),
            DocumentKind::Contract | DocumentKind::Broker | DocumentKind::Settings | DocumentKind::Site
        );
        let (path, version) = (document.path.clone(), document.version);
        if !is_one || document.spread == Some(version) || !self.folders.iter().any(|folder| folder.basis.holds(&path)) {
            return;
        }
        for place in 0..self.folders.len() {
            let folder = &self.folders[place];
            if folder.basis.holds(&path) && (folder.basis.names(&path) || self.innermost(&path) == Some(place)) {
                let basis = self.basis(&folder.basis.root.clone());
                self.folders[place].basis = Arc::new(basis);
            }
        }
        for (key, other) in &mut self.documents {
            if *key == uri.0 {
                other.spread = Some(version);
            } else {
                self.old.extend(other.view.take());
                other.stale = true;
            }
        }
    }

    /// Forgets what is known of a document if other recipes have or had something to say against it.
    fn compare(&mut self, uri: &lsp::Uri) {
        let Some(document) = self.documents.get(&uri.0) else { return };
        let Some(view) = &document.view else { return };
        let (path, was_contradicted) = (document.path.clone(), view.is_contradicted);
        let place = self.folder(&path);
        if (was_contradicted || self.folders[place].contradicts(&path))
            && let Some(document) = self.documents.get_mut(&uri.0)
        {
            self.old.extend(document.view.take());
        }
    }

    /// Drops what is not needed any more, which for a large recipe takes as long as to say something about it.
    pub fn rest(&mut self) {
        self.old.clear();
    }

    /// Marks a document as told although it could not be.
    pub fn give_up(&mut self) {
        self.documents.values_mut().for_each(|document| document.stale = false);
    }
}
