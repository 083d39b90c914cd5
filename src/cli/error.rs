//! What stops a command: its message, what to do about it, and the exit code.

use std::io;
use std::process::ExitCode;

use super::files::whereabouts;
use super::terminal::say_error;
use zrecipe_language::site::{Fault, Site};
use zrecipe_project::files;
use zrecipe_project::known;
use zrecipe_project::library;
use zrecipe_project::project;
use zrecipe_project::settings;

#[cfg(feature = "runtime")]
mod runtime;

/// What stopped a command.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    hints: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    /// Everything has been said already; only the exit code is left to set.
    Findings,
    /// The same, with the exit code of another program.
    Exit(u8),
    /// Standard output is closed: nobody wants to know.
    ClosedPipe,
    /// Could not do it.
    Failed(String),
}

impl Error {
    /// A command that could not do its work.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed(message.into()), hints: Vec::new() }
    }

    /// What it is, for those who say it in their own way.
    pub fn message(&self) -> &str {
        match &self.kind {
            Kind::Failed(message) => message,
            Kind::Findings | Kind::Exit(_) | Kind::ClosedPipe => "",
        }
    }

    /// What to do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// A command that did its work and found something; it has said what.
    pub fn findings() -> Self {
        Self { kind: Kind::Findings, hints: Vec::new() }
    }

    /// Whether it is about findings, which have been told.
    pub fn is_findings(&self) -> bool {
        matches!(self.kind, Kind::Findings)
    }

    /// A command that ends as the program it has run, or has told all and ends with another code than findings do.
    pub fn exit(code: u8) -> Self {
        Self { kind: Kind::Exit(code), hints: Vec::new() }
    }

    /// Says what it is, for a command that goes on all the same.
    ///
    /// # Errors
    /// Standard output is closed: then there is nobody to go on for.
    pub fn tell(self) -> Result<(), Self> {
        match &self.kind {
            Kind::ClosedPipe => Err(self),
            Kind::Findings | Kind::Exit(_) => Ok(()),
            Kind::Failed(message) => {
                say_error(&format!("error: {message}"));
                self.hints.iter().for_each(|hint| say_error(&format!("  help: {hint}")));
                Ok(())
            }
        }
    }

    /// The exit code of a command that ends with it.
    pub fn code(&self) -> ExitCode {
        match &self.kind {
            Kind::ClosedPipe => ExitCode::SUCCESS,
            Kind::Findings => ExitCode::FAILURE,
            Kind::Exit(code) => ExitCode::from(*code),
            Kind::Failed(_) => ExitCode::from(2),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: Kind::ClosedPipe, hints: Vec::new() },
            _ => Self::new(error.to_string()),
        }
    }
}

impl From<library::Error> for Error {
    fn from(error: library::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            library::Error::NoSuchRecipe { meant, searched, .. } => {
                let said = match meant {
                    Some(meant) => said.hint(format!("did you mean `{meant}`?")),
                    None => said,
                };
                let mut places: Vec<String> =
                    searched.iter().map(|directory| format!("`{}`", directory.display())).collect();
                places.dedup();
                let places = places.join(", ");
                said.hint(format!("searched {places} and the built-in recipes; for a file, give its path"))
            }
            library::Error::TooLarge { .. } => said.hint("the limit is `max-file-size` in zrecipe.toml"),
            library::Error::BadName(_) => {
                said.hint("use letters, digits and `._-` in a name, with `/` between its parts")
            }
            library::Error::Site { .. } => {
                said.hint("the file is named by `--site`, ZOCALO_CONFIG or `site` in zrecipe.toml")
            }
            library::Error::Unreadable { path, .. } => match whereabouts(&path) {
                Some(hint) => said.hint(hint),
                None => said,
            },
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error.help() {
            Some(help) => shown.hint(help),
            None => shown,
        }
    }
}

impl From<known::Error> for Error {
    fn from(error: known::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error {
            known::Error::Library(error) => error.into(),
            known::Error::Malformed { .. } => {
                shown.hint("move this file away, then write a baseline with `zrecipe check --write-baseline FILE`")
            }
        }
    }
}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        let shown = Self::new(error.to_string());
        match error.help() {
            Some(help) => shown.hint(help),
            None => shown,
        }
    }
}

impl From<project::Error> for Error {
    fn from(error: project::Error) -> Self {
        let said = Self::new(error.to_string());
        match error {
            project::Error::Library(error) => error.into(),
            project::Error::Known(error) => error.into(),
            project::Error::Contract { name, .. } => {
                said.hint(format!("`contracts` in zrecipe.toml names it; run `zrecipe check {name}` to see all errors"))
            }
            project::Error::BrokenBroker { name } => said.hint(format!(
                "`--broker` or `broker` in zrecipe.toml names it; run `zrecipe check {name}` to see all errors"
            )),
            project::Error::NotTheBroker { .. } => said.hint("`--broker` or `broker` in zrecipe.toml names it"),
        }
    }
}

/// Why an environment cannot be activated, and what there is.
pub fn of_fault(fault: Fault, site: &Site) -> Error {
    let error = Error::new(fault.to_string());
    match fault {
        Fault::NoEnvironment(_) => match site.environment_names() {
            none if none.is_empty() => error.hint("the configuration has no environments"),
            names => error.hint(format!("there are `{}`", names.join("`, `"))),
        },
        Fault::Circle(names) => error.hint(format!("`{}`", names.join("` → `"))),
        Fault::NoBlock { .. } => error.hint("run `zrecipe check` for details"),
    }
}
