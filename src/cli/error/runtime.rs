//! Errors of brokers, services and runs as a command shows them.

use super::Error;
use crate::cli::causes;
use zrecipe_broker::address::Fault as AddressFault;
use zrecipe_broker::transport;
use zrecipe_runtime::connection;
use zrecipe_runtime::ops::{drop_files, management};
use zrecipe_runtime::runtime::run;
use zrecipe_runtime::runtime::why::Why;

impl From<transport::Error> for Error {
    fn from(error: transport::Error) -> Self {
        let shown = Self::new(error.to_string());
        match causes::hint(&error) {
            Some(hint) => shown.hint(hint),
            None => shown,
        }
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            connection::Error::Broker(AddressFault::ClearText { ref place, .. }) if place.starts_with("--") => said
                .hint("encrypt with `ssl = true` in the file of `--rabbit-conf` or `--stomp-conf`")
                .hint(
                    "or allow it with `clear-text = true` there, on trusted networks only; the Python packages always use \
                     clear text",
                ),
            // The options show what is wrong.
            connection::Error::Broker(AddressFault::Setting { ref place, .. }) if place.starts_with("--") => said,
            connection::Error::Broker(AddressFault::ClearText { .. }) => {
                said.hint("encrypt with `ssl: true` beside `host` (and usually port 5671)").hint(
                    "or allow it with `clear-text: true` beside `host`, on trusted networks only; the Python packages \
                     always use clear text, and ignore both settings",
                )
            }
            connection::Error::NoBroker(_)
            | connection::Error::Broker(AddressFault::Setting { .. } | AddressFault::Incomplete(_)) => {
                said.hint("show the resolved settings with `zrecipe config show -e ENV`")
            }
            connection::Error::Site(_) | connection::Error::Broker(_) => said,
        }
    }
}

impl From<drop_files::Error> for Error {
    fn from(error: drop_files::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Why> for Error {
    fn from(why: Why) -> Self {
        why.hints.into_iter().fold(Self::new(why.message), Self::hint)
    }
}

impl From<run::Error> for Error {
    fn from(error: run::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            run::Error::NoSuchRun(_) | run::Error::Ambiguous(_) => said.hint("list them with `zrecipe runs`"),
            run::Error::Exists(id) => said.hint(format!(
                "show it with `zrecipe show {id}`, resume it with `zrecipe resume {id}`, or leave out `guid` for a \
                 new ID"
            )),
            run::Error::Directory { .. } => said.hint("use another one with `--state DIR`"),
            _ => said,
        }
    }
}

impl From<management::Error> for Error {
    fn from(error: management::Error) -> Self {
        let said = Self::new(error.to_string());
        match error.remedy() {
            Some(remedy) => said.hint(remedy),
            None => said,
        }
    }
}
