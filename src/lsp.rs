//! The language server: what an editor asks, answered from the same compilation that every other front end makes.
//! Each request is one file in `lsp/requests/`.
//!
//! One thread holds the state and takes the client's messages in their order, so that an answer is about the text that
//! the client had when it asked. Findings are told when no message waits. Folders are scanned, and files watched, by
//! other threads, which send what they find.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use gen_lsp_types as lsp;
use gen_lsp_types::{Notification as _, Request as _};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response, ResponseError};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use zrecipe_language::source::Unit;
use zrecipe_project::project::{Given, directories, walk};

pub mod client;
pub mod convert;
pub mod describe;
pub mod findings;
pub mod folder;
pub mod forms;
pub mod inbox;
pub mod place;
pub mod probe;
pub mod renaming;
pub mod session;
pub mod steps;
pub mod title;
pub mod tokens;
pub mod view;
pub mod wire;

use client::{Client, Error};
use folder::{Basis, File};
use inbox::Inbox;
use session::Session;

/// Something that has happened beside the client's messages.
enum Event {
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

/// Serves the client at the standard streams until it leaves.
///
/// # Errors
/// It does not speak the protocol; in words.
pub fn serve_stdio(given: Given) -> Result<End, String> {
    let (sender, to_write) = unbounded::<Message>();
    let (read, receiver) = unbounded();
    let (told, unreadable) = (sender.clone(), Arc::new(OnceLock::new()));
    let why = Arc::clone(&unreadable);
    std::thread::spawn(move || {
        let mut from = io::stdin().lock();
        loop {
            let heard = match wire::hear(&mut from) {
                Ok(Some(heard)) => heard,
                Ok(None) => break,
                Err(error) => {
                    let _ = why.set(error);
                    break;
                }
            };
            let (going, is_last) = match heard {
                wire::Heard::Message(message) => {
                    let is_exit = |note: &Notification| note.method == lsp::ExitNotification::METHOD.as_str();
                    let is_last = matches!(&message, Message::Notification(note) if is_exit(note));
                    (read.send(message).is_ok(), is_last)
                }
                wire::Heard::Malformed(what) => (what.replies().into_iter().all(|one| told.send(one).is_ok()), false),
            };
            if !going || is_last {
                break;
            }
        }
    });
    let writer = std::thread::spawn(move || {
        let mut to = io::stdout().lock();
        to_write.into_iter().all(|message| wire::say(&mut to, &message).is_ok())
    });
    let end = serve(&Connection { sender, receiver }, given);
    if let Some(why) = unreadable.get() {
        let _ = writer.join();
        return Ok(End::Unreadable(why.clone()));
    }
    // Whoever has left or listens no more sends nothing that somebody would wait for; what could not be written neither.
    if end.as_ref().is_ok_and(|end| *end != End::Orphaned) {
        let _ = writer.join();
    }
    end
}

/// Serves a client until it leaves.
///
/// # Errors
/// It does not speak the protocol; in words.
pub fn serve(connection: &Connection, given: Given) -> Result<End, String> {
    let says = |answer: Response| {
        connection.sender.send(answer.into()).map_err(|_| "the client does not listen any more".to_owned())
    };
    let (id, params): (_, lsp::InitializeParams) = loop {
        match connection.receiver.recv() {
            Ok(Message::Request(request)) if request.method == lsp::InitializeRequest::METHOD.as_str() => {
                match serde_json::from_value(request.params) {
                    Ok(params) => break (request.id, params),
                    Err(error) => {
                        let why = format!("`initialize` is malformed: {error}");
                        says(Response::new_err(request.id, ErrorCode::InvalidParams as i32, why))?;
                    }
                }
            }
            Ok(Message::Request(request)) => {
                let why = format!("`{}` comes before `initialize`", request.method);
                says(Response::new_err(request.id, ErrorCode::ServerNotInitialized as i32, why))?;
            }
            Ok(Message::Notification(note)) if note.method == lsp::ExitNotification::METHOD.as_str() => {
                return Ok(End::Abrupt);
            }
            Ok(_) => {}
            Err(_) => return Err("no editor speaks the Language Server Protocol here: nothing has come".to_owned()),
        }
    };
    let client = client(&params.capabilities);
    // Looked up before the answer: a client may end as soon as it has that, and its end would be taken for absence.
    let client_process = process(&params);
    let result = lsp::InitializeResult {
        capabilities: capabilities(&client),
        server_info: Some(lsp::ServerInfo {
            name: "zrecipe".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    };
    let result = serde_json::to_value(result).map_err(|error| error.to_string())?;
    says(Response { id, response_result: Ok(result) })?;
    let trusted = params.initialization_options.as_ref().and_then(|options| options.get("trusted"));
    let trusted = trusted.and_then(serde_json::Value::as_bool).unwrap_or(false);
    // In a rendezvous nothing waits, and what does not wait cannot be cancelled.
    let (sender, messages) = unbounded();
    let receiver = connection.receiver.clone();
    std::thread::spawn(move || receiver.into_iter().all(|message| sender.send(message).is_ok()));
    let mut session = Session::new(client, Inbox::new(messages), given, roots(&params), trusted);
    params.initialization_options.iter().for_each(|options| session.configure(options));
    let (events, happened) = unbounded();
    if let Some(client) = client_process {
        let events = events.clone();
        std::thread::spawn(move || watch_process(client, &events));
    }
    Server { session, out: connection.sender.clone(), events, watcher: None, watched: HashSet::new(), leaving: false }
        .run(&happened)
}

/// The process of the client, if it can be seen from here: it may be on another machine, or in a container.
fn process(params: &lsp::InitializeParams) -> Option<Pid> {
    let number = serde_json::to_value(params).ok()?.get("processId")?.as_i64()?;
    Pid::from_raw(number.try_into().ok()?).filter(|&process| test_kill_process(process).is_ok())
}

/// Says when a process has ended: one that is killed may leave its end of the pipe to another.
fn watch_process(process: Pid, events: &Sender<Event>) {
    const BETWEEN: Duration = Duration::from_secs(2);
    while test_kill_process(process) != Err(Errno::SRCH) {
        std::thread::sleep(BETWEEN);
    }
    let _ = events.send(Event::Orphaned);
}

/// The folders that the client has open.
fn roots(params: &lsp::InitializeParams) -> Vec<PathBuf> {
    let folders = match &params.workspace_folders_initialize_params.workspace_folders {
        Some(lsp::WorkspaceFolders::WorkspaceFolderList(folders)) => {
            folders.iter().filter_map(|folder| convert::path(&folder.uri)).collect()
        }
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older clients have nothing else")]
    let root = &params.root_uri;
    if folders.is_empty() { root.iter().filter_map(convert::path).collect() } else { folders }
}

fn client(can: &lsp::ClientCapabilities) -> Client {
    let can = serde_json::to_value(can).unwrap_or_default();
    let says = |pointer: &str| can.pointer(pointer).and_then(serde_json::Value::as_bool).unwrap_or(false);
    let encodings = can.pointer("/general/positionEncodings").and_then(serde_json::Value::as_array);
    let takes = |name: &str| encodings.is_some_and(|encodings| encodings.iter().any(|encoding| encoding == name));
    let operations = can.pointer("/workspace/workspaceEdit/resourceOperations").and_then(serde_json::Value::as_array);
    let versioned_edits = says("/workspace/workspaceEdit/documentChanges");
    Client {
        unit: if takes("utf-8") { Unit::Utf8 } else { Unit::Utf16 },
        pulls: can.pointer("/textDocument/diagnostic").is_some(),
        refreshes: says("/workspace/diagnostics/refreshSupport"),
        snippets: says("/textDocument/completion/completionItem/snippetSupport"),
        watches: says("/workspace/didChangeWatchedFiles/dynamicRegistration"),
        registers_formatting: says("/textDocument/formatting/dynamicRegistration"),
        progress: says("/window/workDoneProgress"),
        versioned_edits,
        makes_files: versioned_edits && operations.is_some_and(|all| all.iter().any(|operation| operation == "create")),
        documents: can.pointer("/workspace/textDocumentContent").is_some(),
        commands: says("/experimental/zrecipeCommands"),
    }
}

fn capabilities(client: &Client) -> lsp::ServerCapabilities {
    let mut offered = lsp::ServerCapabilities {
        position_encoding: Some(match client.unit {
            Unit::Utf8 => lsp::PositionEncodingKind::UTF8,
            Unit::Utf16 | Unit::Char => lsp::PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(lsp::TextDocumentSync::Options(lsp::TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(lsp::TextDocumentSyncKind::Incremental),
            save: Some(lsp::Save::Bool(true)),
            ..Default::default()
        })),
        workspace: Some(lsp::WorkspaceOptions {
            workspace_folders: Some(lsp::WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(lsp::ChangeNotifications::Bool(true)),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    offer(&mut offered, client);
    offered
}

struct Server {
    session: Session,
    out: Sender<Message>,
    events: Sender<Event>,
    /// Watches files if the client does not.
    watcher: Option<RecommendedWatcher>,
    /// The directories that it watches.
    watched: HashSet<PathBuf>,
    /// The client has said that it leaves.
    leaving: bool,
}

impl Server {
    fn run(mut self, happened: &Receiver<Event>) -> Result<End, String> {
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
        if sent { Ok(()) } else { Err("the client does not listen any more".to_owned()) }
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
            fails(ErrorCode::InvalidRequest, "the client has said that it leaves".to_owned())
        } else if method == lsp::ShutdownRequest::METHOD.as_str() {
            self.leaving = true;
            Ok(serde_json::Value::Null)
        } else {
            let answered = match self.session.inbox.begin(&id) {
                Ok(()) => guarded(|| answer(&mut self.session, request)),
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

    fn note(&mut self, note: Notification) -> Result<(), Error> {
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

    fn begin_progress(&mut self, root: &std::path::Path) {
        if !self.session.client.progress {
            return;
        }
        let token = token(root);
        let method = lsp::WorkDoneProgressCreateRequest::METHOD.as_str();
        self.session.request(method, serde_json::json!({ "token": &token }));
        let value = serde_json::json!({ "kind": "begin", "title": "zrecipe", "message": "reading the workspace" });
        self.session.notify::<lsp::ProgressNotification>(lsp::ProgressParams { token, value });
    }

    fn end_progress(&mut self, root: &std::path::Path, count: usize) {
        if self.session.client.progress {
            let value = serde_json::json!({ "kind": "end", "message": format!("{count} files") });
            self.session.notify::<lsp::ProgressNotification>(lsp::ProgressParams { token: token(root), value });
        }
    }

    /// Tells the client what can only be told now: which documents are formatted, and which files it is to watch.
    fn register(&mut self) {
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
    fn watch(&mut self) {
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
    fn watch_directories(&mut self, found: &[PathBuf]) {
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
                files.extend(walk(directory).unwrap_or_default());
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

fn token(root: &std::path::Path) -> lsp::ProgressToken {
    lsp::ProgressToken::String(format!("zrecipe {}", root.display()))
}

/// What is said when something has panicked; where, is on standard error.
const FAULT: &str = "zrecipe itself has a fault here; please report it";

/// Does something that may panic; nothing if it did. What it was about is then as it was, or will be made anew: no
/// state is half changed for longer than it takes to put a value in its place.
fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn read<P: serde::de::DeserializeOwned>(params: serde_json::Value) -> Result<P, Error> {
    serde_json::from_value(params).map_err(|error| Error::Invalid(error.to_string()))
}

/// Declares the modules of `lsp/requests/`: each has the request's type as `Method`, what is offered to clients in
/// `offer`, and the answer in `run`.
macro_rules! requests {
    ($($module:ident),+ $(,)?) => {
        /// One request a file.
        pub mod requests {
            $(pub mod $module;)+
        }

        /// The names of the modules.
        pub const REQUESTS: &[&str] = &[$(stringify!($module)),+];

        /// Offers everything to a client.
        fn offer(offered: &mut lsp::ServerCapabilities, client: &Client) {
            $(requests::$module::offer(offered, client);)+
        }

        /// The answer to a request; nothing if there is no such request.
        fn answer(session: &mut Session, request: Request) -> Option<Result<serde_json::Value, Error>> {
            $(if request.method == <requests::$module::Method as lsp::Request>::METHOD.as_str() {
                let answer = read(request.params).and_then(|params| requests::$module::run(session, params));
                return Some(answer.and_then(|answer| {
                    serde_json::to_value(answer).map_err(|error| Error::Failed(error.to_string()))
                }));
            })+
            None
        }
    };
}

requests! {
    diagnostic,
    workspace_diagnostic,
    hover,
    definition,
    references,
    document_highlight,
    document_symbol,
    workspace_symbol,
    folding_range,
    selection_range,
    prepare_call_hierarchy,
    call_hierarchy_incoming,
    call_hierarchy_outgoing,
    document_link,
    completion,
    rename,
    prepare_rename,
    code_action,
    inlay_hint,
    semantic_tokens,
    semantic_tokens_range,
    formatting,
    code_lens,
    graph,
    text_document_content,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_nothing() {
        assert_eq!(guarded(|| 1), Some(1));
        #[expect(clippy::panic, reason = "a fault is what is tested")]
        let outcome = guarded(|| panic!("a fault"));
        assert_eq!(outcome, None::<()>);
    }
}
