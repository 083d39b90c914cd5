//! The process of the client: the server ends with it.

use std::time::Duration;

use crossbeam_channel::Sender;
use gen_lsp_types as lsp;

use super::server::Event;
use zrecipe_project::platform::is_running;

/// The number of the client's process, if it can be seen from here: it may be on another machine, or in a container.
pub(super) fn process(params: &lsp::InitializeParams) -> Option<i64> {
    let number = serde_json::to_value(params).ok()?.get("processId")?.as_i64()?;
    Some(number).filter(|&process| is_running(process) == Some(true))
}

/// Reports when a process has ended: one that is killed may leave its end of the pipe to another.
pub(super) fn watch_process(process: i64, events: &Sender<Event>) {
    const BETWEEN: Duration = Duration::from_secs(2);
    while is_running(process) != Some(false) {
        std::thread::sleep(BETWEEN);
    }
    let _ = events.send(Event::Orphaned);
}
