//! The process of the client: the server ends with it.

use std::time::Duration;

use crossbeam_channel::Sender;
use gen_lsp_types as lsp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::server::Event;

/// The process of the client, if it can be seen from here: it may be on another machine, or in a container.
pub(super) fn process(params: &lsp::InitializeParams) -> Option<Pid> {
    let number = serde_json::to_value(params).ok()?.get("processId")?.as_i64()?;
    Pid::from_raw(number.try_into().ok()?).filter(|&process| test_kill_process(process).is_ok())
}

/// Says when a process has ended: one that is killed may leave its end of the pipe to another.
pub(super) fn watch_process(process: Pid, events: &Sender<Event>) {
    const BETWEEN: Duration = Duration::from_secs(2);
    while test_kill_process(process) != Err(Errno::SRCH) {
        std::thread::sleep(BETWEEN);
    }
    let _ = events.send(Event::Orphaned);
}
