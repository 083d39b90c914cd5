//! The loop of the server: messages in their order, then what has happened beside them, then findings.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, select};
use gen_lsp_types as lsp;
use gen_lsp_types::{Notification as _, Request as _};
use lsp_server::{ErrorCode, Message, Request, Response, ResponseError};
use notify::RecommendedWatcher;

use super::client::Error;
use super::fault::{FAULT, guarded};
use super::folder::{Basis, File};
use super::session::Session;
use zrecipe_project::project::directories;

mod files;
mod notifications;

/// Something that has happened beside the client's messages.
pub(super) enum Event {
    /// These directories belong to the workspace.
    Directories(Vec<PathBuf>),
    /// A folder has been scanned.
    Scanned(PathBuf, Vec<(PathBuf, File)>),
    /// Files or directories have changed.
    Changed(Vec<PathBuf>),
    /// The client is gone.
    Orphaned,
}

/// How a session has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client said goodbye.
    Orderly,
    /// It did not.
    Abrupt,
    /// It has ended, and somebody else has its ends of the streams.
    Orphaned,
    /// What it sent could not be read any further; why.
    Unreadable(String),
}

pub(super) struct Server {
    pub(super) session: Session,
    pub(super) out: Sender<Message>,
    pub(super) events: Sender<Event>,
    /// Watches files if the client does not.
    pub(super) watcher: Option<RecommendedWatcher>,
    /// The directories that it watches.
    pub(super) watched: HashSet<PathBuf>,
    /// The client has said that it leaves.
    pub(super) leaving: bool,
}

impl Server {
    pub(super) fn run(mut self, happened: &Receiver<Event>) -> Result<End, String> {
        self.register();
        self.watch();
        let roots: Vec<Arc<Basis>> = self.session.folders().iter().map(|folder| Arc::clone(&folder.basis)).collect();
        roots.into_iter().for_each(|basis| self.scan(basis));
        loop {
            self.send()?;
            if let Some(message) = self.session.inbox.pop() {
                if let Some(end) = self.take(message) {
                    self.send()?;
                    return Ok(end);
                }
                continue;
            }
            if let Ok(event) = happened.try_recv() {
                match self.happened(event) {
                    Some(end) => return Ok(end),
                    None => continue,
                }
            }
            match guarded(|| self.session.tell_one()) {
                Some(true) => continue,
                Some(false) => {}
                None => {
                    self.session.give_up();
                    self.session.log(lsp::MessageType::Error, FAULT.to_owned());
                    continue;
                }
            }
            self.session.rest();
            let messages = self.session.inbox.channel().clone();
            select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.session.inbox.take(message),
                    Err(_) => return Ok(End::Abrupt),
                },
                recv(happened) -> event => if let Some(end) = event.ok().and_then(|event| self.happened(event)) {
                    return Ok(end);
                },
            }
        }
    }

    /// Sends what waits to be sent.
    fn send(&mut self) -> Result<(), String> {
        let sent = self.session.outbox.drain(..).all(|message| self.out.send(message).is_ok());
        if sent { Ok(()) } else { Err("the client closed the connection".to_owned()) }
    }

    fn take(&mut self, message: Message) -> Option<End> {
        match message {
            Message::Request(request) => self.answer(request),
            Message::Notification(note) if note.method == lsp::ExitNotification::METHOD.as_str() => {
                return Some(if self.leaving { End::Orderly } else { End::Abrupt });
            }
            Message::Notification(note) => {
                let method = note.method.clone();
                let outcome = guarded(|| self.note(note)).unwrap_or_else(|| Err(Error::Failed(FAULT.to_owned())));
                if let Err(error) = outcome {
                    let why = ResponseError::from(error).message;
                    self.session.log(lsp::MessageType::Error, format!("{method}: {why}"));
                }
            }
            Message::Response(_) => {}
        }
        None
    }

    fn answer(&mut self, request: Request) {
        let (id, method) = (request.id.clone(), request.method.clone());
        let fails = |code: ErrorCode, message: String| Err(ResponseError { code: code as i32, message, data: None });
        let result = if self.leaving {
            fails(ErrorCode::InvalidRequest, "the client has sent `shutdown`".to_owned())
        } else if method == lsp::ShutdownRequest::METHOD.as_str() {
            self.leaving = true;
            Ok(serde_json::Value::Null)
        } else {
            let answered = match self.session.inbox.begin(&id) {
                Ok(()) => guarded(|| super::answer(&mut self.session, request)),
                Err(error) => Some(Some(Err(error))),
            };
            match answered {
                Some(Some(result)) => result.map_err(ResponseError::from),
                Some(None) => fails(ErrorCode::MethodNotFound, format!("there is no request `{method}`")),
                None => {
                    self.session.log(lsp::MessageType::Error, format!("{method}: {FAULT}"));
                    fails(ErrorCode::InternalError, FAULT.to_owned())
                }
            }
        };
        self.session.inbox.end();
        self.session.respond(Response { id, response_result: result });
    }

    /// Takes an event in; how the server ends, if it does because of it.
    fn happened(&mut self, event: Event) -> Option<End> {
        let mut end = None;
        let outcome = guarded(|| match event {
            Event::Directories(directories) => self.watch_directories(&directories),
            Event::Scanned(root, files) => {
                let count = files.iter().filter(|(_, file)| file.kind.is_some()).count();
                let inner = self.session.scanned(&root, files);
                inner.into_iter().for_each(|basis| self.scan(basis));
                self.end_progress(&root, count);
            }
            Event::Changed(paths) => self.changed(&paths),
            Event::Orphaned => end = Some(End::Orphaned),
        });
        if outcome.is_none() {
            self.session.log(lsp::MessageType::Error, FAULT.to_owned());
        }
        end
    }

    fn changed(&mut self, paths: &[PathBuf]) {
        let scans = self.session.changed(paths);
        scans.into_iter().for_each(|basis| self.scan(basis));
    }

    /// Looks at the files of a folder in another thread.
    fn scan(&mut self, basis: Arc<Basis>) {
        self.begin_progress(&basis.root);
        let (events, watches) = (self.events.clone(), self.watcher.is_some());
        std::thread::spawn(move || {
            if watches {
                // What changes after this is told, and what has changed before is seen by the scan.
                events.send(Event::Directories(directories(&basis.root)))?;
            }
            let files = guarded(|| basis.scan()).unwrap_or_default();
            events.send(Event::Scanned(basis.root.clone(), files))
        });
    }

    fn begin_progress(&mut self, root: &Path) {
        if !self.session.client.progress {
            return;
        }
        let token = token(root);
        let method = lsp::WorkDoneProgressCreateRequest::METHOD.as_str();
        self.session.request(method, serde_json::json!({ "token": &token }));
        let value = serde_json::json!({ "kind": "begin", "title": "zrecipe", "message": "reading the workspace" });
        self.session.notify::<lsp::ProgressNotification>(lsp::ProgressParams { token, value });
    }

    fn end_progress(&mut self, root: &Path, count: usize) {
        if self.session.client.progress {
            let value = serde_json::json!({ "kind": "end", "message": format!("{count} files") });
            self.session.notify::<lsp::ProgressNotification>(lsp::ProgressParams { token: token(root), value });
        }
    }
}

fn token(root: &Path) -> lsp::ProgressToken {
    lsp::ProgressToken::String(format!("zrecipe {}", root.display()))
}
