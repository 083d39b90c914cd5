//! Messages of the client in their order, and which of them were cancelled.

use std::collections::{HashSet, VecDeque};

use super::client::Error;
use crossbeam_channel::Receiver;
use gen_lsp_types as lsp;
use gen_lsp_types::Notification as _;
use lsp_server::{Message, RequestId};
/// Messages of the client in their order.
pub struct Inbox {
    messages: Receiver<Message>,
    pub(super) waiting: VecDeque<Message>,
    /// What is being answered.
    current: Option<RequestId>,
    cancelled: HashSet<RequestId>,
}

impl Inbox {
    /// The messages that come from a channel.
    pub fn new(messages: Receiver<Message>) -> Self {
        Self { messages, waiting: VecDeque::new(), current: None, cancelled: HashSet::new() }
    }

    /// The channel, to wait for it.
    pub fn channel(&self) -> &Receiver<Message> {
        &self.messages
    }

    /// Takes what has come meanwhile.
    pub fn poll(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }

    /// Takes a message in.
    pub fn take(&mut self, message: Message) {
        let cancelled = match &message {
            Message::Notification(note) if note.method == lsp::CancelNotification::METHOD.as_str() => {
                note.params.get("id").and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok())
            }
            _ => {
                self.waiting.push_back(message);
                return;
            }
        };
        let Some(id) = cancelled else { return };
        let waits = |message: &Message| matches!(message, Message::Request(request) if request.id == id);
        if self.current.as_ref() == Some(&id) || self.waiting.iter().any(waits) {
            self.cancelled.insert(id);
        }
    }

    /// The next message.
    pub fn pop(&mut self) -> Option<Message> {
        self.poll();
        self.waiting.pop_front()
    }

    /// Begins with a request, unless it is cancelled already.
    ///
    /// # Errors
    /// It is.
    pub fn begin(&mut self, id: &RequestId) -> Result<(), Error> {
        self.current = Some(id.clone());
        self.go_on()
    }

    /// Whether what is being answered is still wanted.
    ///
    /// # Errors
    /// It is not.
    pub fn go_on(&mut self) -> Result<(), Error> {
        self.poll();
        let is_cancelled = self.current.as_ref().is_some_and(|id| self.cancelled.contains(id));
        if is_cancelled { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Ends with a request.
    pub fn end(&mut self) {
        if let Some(id) = self.current.take() {
            self.cancelled.remove(&id);
        }
    }
}
