//! The client: what it can do, and what it gets instead of an answer.

use lsp_server::{ErrorCode, ResponseError};
use zrecipe_language::source::Unit;

/// What the client can do.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// How it counts columns.
    pub unit: Unit,
    /// It asks for findings itself.
    pub pulls: bool,
    /// It asks again when it is told to.
    pub refreshes: bool,
    /// It takes text with places to fill in.
    pub snippets: bool,
    /// It watches files for us.
    pub watches: bool,
    /// It can be told later which documents we format.
    pub registers_formatting: bool,
    /// It shows what takes time.
    pub progress: bool,
    /// It takes edits that say of which version of a document they are.
    pub versioned_edits: bool,
    /// It takes edits that make files.
    pub makes_files: bool,
    /// It shows documents that only the server has.
    pub documents: bool,
    /// It knows what our commands in lenses mean.
    pub commands: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The request is malformed, or about something that there is not.
    Invalid(String),
    /// It can be answered, and the answer is that it cannot be done; for the user to read.
    Failed(String),
    /// Nobody wants to know any more.
    Cancelled,
    /// Something else has to be done first; it may be asked again.
    Later,
}

impl From<Error> for ResponseError {
    fn from(error: Error) -> Self {
        let (code, message) = match error {
            Error::Invalid(message) => (ErrorCode::InvalidParams, message),
            Error::Failed(message) => (ErrorCode::RequestFailed, message),
            Error::Cancelled => (ErrorCode::RequestCanceled, "cancelled".to_owned()),
            Error::Later => {
                let data = Some(serde_json::json!({ "retriggerRequest": true }));
                let message = "something else comes first".to_owned();
                return Self { code: ErrorCode::ServerCancelled as i32, message, data };
            }
        };
        Self { code: code as i32, message, data: None }
    }
}
