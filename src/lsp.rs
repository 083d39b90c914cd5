//! The language server: what an editor asks, answered from the same compilation that every other front end makes.
//! Each request is one file in `lsp/requests/`.
//!
//! One thread holds the state and takes the client's messages in their order, so that an answer is about the text that
//! the client had when it asked. Findings are told when no message waits. Folders are scanned, and files watched, by
//! other threads, which send what they find.
//!
//! | file | contents |
//! |---|---|
//! | `client` | what the client can do, and what it is sent |
//! | `convert` | places and findings as the protocol has them |
//! | `describe` | what there is to say about a name, in Markdown |
//! | `fault` | A panic ends one answer, never the server |
//! | `findings` | findings of a document as the client gets them |
//! | `folder` | a folder of the workspace: its project, its files and what they say together |
//! | `forms` | what the form of a document allows in a place, read from its published schema |
//! | `inbox` | messages of the client in their order, and which of them were cancelled |
//! | `initialize` | what a client says of itself when it connects, and what the server offers to every client |
//! | `parent` | the process of the client, whose end is ours |
//! | `place` | where in a document a cursor stands |
//! | `probe` | what stands where something is being written in YAML: the document as it is once a word stands there |
//! | `renaming` | which names can be changed, to what, and how a name is written in place of another |
//! | `server` | the loop of the server |
//! | `session` | what the server knows between two messages |
//! | `stdio` | the client at the standard streams |
//! | `steps` | steps as the protocol has them in a hierarchy |
//! | `title` | titles of steps in lenses, outlines and hints |
//! | `tokens` | the words of a document that mean something, as the protocol colours them |
//! | `view` | everything that is known about one document between two changes of it |
//! | `wire` | messages on a stream: framing, and limits on their size |

use std::collections::HashSet;

use crossbeam_channel::unbounded;
use gen_lsp_types as lsp;
use gen_lsp_types::{Notification as _, Request as _};
use lsp_server::{Connection, ErrorCode, Message, Request, Response};

use zrecipe_project::project::Given;

pub mod client;
pub mod convert;
pub mod describe;
mod fault;
pub mod findings;
pub mod folder;
pub mod forms;
pub mod inbox;
mod initialize;
mod parent;
pub mod place;
pub mod probe;
pub mod renaming;
mod server;
pub mod session;
mod stdio;
pub mod steps;
pub mod title;
pub mod tokens;
pub mod view;
pub mod wire;

pub use server::End;
pub use stdio::serve_stdio;

use client::{Client, Error};
use inbox::Inbox;
use initialize::{capabilities, client, roots};
use parent::{process, watch_process};
use server::Server;
use session::Session;

/// Serves a client until it leaves.
///
/// # Errors
/// It does not speak the protocol; in words.
pub fn serve(connection: &Connection, given: Given) -> Result<End, String> {
    let says = |answer: Response| {
        connection.sender.send(answer.into()).map_err(|_| "the client closed the connection".to_owned())
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
            Err(_) => return Err("standard input closed before an `initialize` request".to_owned()),
        }
    };
    let client = client(&params.capabilities);
    // Looked up before the answer: a client may end as soon as it has that, and its end would be taken for absence.
    let client_process = process(&params);
    let mut offered = capabilities(&client);
    offer(&mut offered, &client);
    let result = lsp::InitializeResult {
        capabilities: offered,
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
