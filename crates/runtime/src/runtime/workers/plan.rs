//! Which workers there are to be, and how one is started.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::process::{self, Held, Streams};

/// Which workers there are to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to call them; none: the program.
    pub name: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// How many there are.
    pub count: u16,
    /// How many questions each takes at a time.
    pub prefetch: u16,
    /// How long it may take to answer a question.
    pub time_limit: Duration,
    /// How long it may take to start.
    pub start_limit: Duration,
    /// How often it is asked whether it is well, and how long the answer may take.
    pub health: Duration,
}

impl Plan {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| process::name(&self.command, &self.directory))
    }

    pub(super) fn unstartable(&self, reason: &str) -> String {
        process::unstartable(&self.command, &self.directory, reason)
    }

    /// Starts the program; one that is a path is found from where we are, not from where it runs.
    pub(super) async fn start(&self) -> std::io::Result<(Held, Streams)> {
        let mut command = self.command.clone();
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = std::path::absolute(self.directory.join(&*program))?.to_string_lossy().into_owned();
        }
        Held::start(&command, &self.directory).await
    }
}
