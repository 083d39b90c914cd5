//! The client at the standard streams.

use std::io;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::unbounded;
use gen_lsp_types as lsp;
use gen_lsp_types::Notification as _;
use lsp_server::{Connection, Message, Notification};

use super::server::End;
use super::{serve, wire};
use zrecipe_project::project::Given;

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
