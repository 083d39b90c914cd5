//! Messages to the client.

use gen_lsp_types as lsp;
use lsp_server::{Message, Notification, Request, RequestId, Response};

use super::Session;

impl Session {
    pub(super) fn publish(&mut self, uri: lsp::Uri, version: Option<i32>, diagnostics: Vec<lsp::Diagnostic>) {
        let params = lsp::PublishDiagnosticsParams { uri, version, diagnostics };
        self.notify::<lsp::PublishDiagnosticsNotification>(params);
    }

    /// Sends a notification.
    pub fn notify<N: lsp::Notification>(&mut self, params: N::Params) {
        self.outbox.push(Message::Notification(Notification::new(N::METHOD.as_str().to_owned(), params)));
    }

    /// Sends a request; what the client answers does not matter.
    pub fn request(&mut self, method: &str, params: serde_json::Value) {
        self.sent += 1;
        let id = RequestId::from(format!("zrecipe-{}", self.sent));
        self.outbox.push(Message::Request(Request::new(id, method.to_owned(), params)));
    }

    /// Says something in the log of the client.
    pub fn log(&mut self, kind: lsp::MessageType, message: String) {
        self.notify::<lsp::LogMessageNotification>(lsp::LogMessageParams { kind, message });
    }

    /// Answers a request.
    pub fn respond(&mut self, response: Response) {
        self.outbox.push(Message::Response(response));
    }
}
