//! Changes of files, told by the client or watched here.

use std::path::PathBuf;

use gen_lsp_types as lsp;
use gen_lsp_types::{Notification as _, Request as _};
use notify::{RecursiveMode, Watcher as _};

use super::{Event, Server};
use crate::lsp::session::Session;
use zrecipe_project::project::{directories, walk};
use zrecipe_project::selection::Selection;

impl Server {
    /// Tells the client what can only be told now: which documents are formatted, and which files it is to watch.
    pub(super) fn register(&mut self) {
        let mut registrations = Vec::new();
        if self.session.client.registers_formatting {
            // Another language has a formatter of its own, and an editor that knows two asks which one is meant.
            registrations.push(serde_json::json!({
                "id": "zrecipe-formatting",
                "method": lsp::DocumentFormattingRequest::METHOD.as_str(),
                "registerOptions": { "documentSelector": [{ "language": "json" }] },
            }));
        }
        if self.session.client.watches {
            // Of a directory that is moved or removed nothing is told but itself: created is 1, deleted is 4.
            let mut watchers = vec![serde_json::json!({ "globPattern": "**/*", "kind": 5 })];
            let patterns = ["**/*.json", "**/*.{yml,yaml}", "**/*.ini", "**/zrecipe.toml", "**/*.py"];
            watchers.extend(patterns.map(|pattern| serde_json::json!({ "globPattern": pattern })));
            registrations.push(serde_json::json!({
                "id": "zrecipe-files",
                "method": lsp::DidChangeWatchedFilesNotification::METHOD.as_str(),
                "registerOptions": { "watchers": watchers },
            }));
        }
        if !registrations.is_empty() {
            let params = serde_json::json!({ "registrations": registrations });
            self.session.request(lsp::RegistrationRequest::METHOD.as_str(), params);
        }
    }

    /// Watches files if the client does not.
    pub(super) fn watch(&mut self) {
        if self.session.client.watches {
            return;
        }
        let events = self.events.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, notify::EventKind::Access(_)) {
                return;
            }
            let is_new = matches!(
                event.kind,
                notify::EventKind::Create(_) | notify::EventKind::Modify(notify::event::ModifyKind::Name(_))
            );
            let (relevant, others): (Vec<PathBuf>, Vec<PathBuf>) =
                event.paths.into_iter().partition(|path| Session::is_relevant(path));
            let (folders, gone): (Vec<PathBuf>, Vec<PathBuf>) = others.into_iter().partition(|path| path.is_dir());
            if is_new && !folders.is_empty() {
                let _ = events.send(Event::Directories(folders));
            }
            let changed: Vec<PathBuf> = relevant.into_iter().chain(gone).collect();
            if !changed.is_empty() {
                let _ = events.send(Event::Changed(changed));
            }
        });
        self.watcher = watcher.ok();
    }

    /// Watches directories, each by itself: what git ignores changes often, and is none of our business.
    pub(super) fn watch_directories(&mut self, found: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut failed = None;
        let mut files = Vec::new();
        for directory in found.iter().filter(|path| self.session.is_ours(path)) {
            let is_new = !self.watched.contains(directory);
            let below = if is_new { directories(directory) } else { Vec::new() };
            for directory in below {
                if self.watched.insert(directory.clone()) {
                    failed = watcher.watch(&directory, RecursiveMode::NonRecursive).err().or(failed);
                }
            }
            if is_new && self.session.folders().iter().all(|folder| folder.basis.root != *directory) {
                files.extend(walk(directory, &Selection::default(), |_| false).files);
            }
        }
        if let Some(error) = failed {
            self.session.log(lsp::MessageType::Warning, format!("files are not watched: {error}"));
        }
        if !files.is_empty() {
            self.changed(&files);
        }
    }
}
