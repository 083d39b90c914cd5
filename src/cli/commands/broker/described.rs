//! A broker configuration and the users beside it, read and without a fault.

use std::path::{Path, PathBuf};

use crate::cli::{Error, Session, say, say_error};
use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::Level;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::source::{Source, Unit};
use zrecipe_language::topology::Topology;
use zrecipe_language::topology::users::{self, User};
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::{self, read};

#[derive(Debug, clap::Args)]
pub struct Described {
    /// The configuration file, in the format of `zocalo.configure_rabbitmq`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Files that describe one user each, or directories with such `*.ini` files.
    #[arg(value_name = "USERS")]
    users: Vec<PathBuf>,
}

impl Described {
    /// The configuration without a fault, and the users; or else its faults have been told.
    pub fn read(&self, session: &Session) -> Result<(Compilation, Vec<(User, String)>), Error> {
        let compilation = configuration(&self.file, session)?;
        let (users, are_sound) = read_users(&self.users, session)?;
        let Some(topology) = compilation.document.broker().filter(|_| !compilation.has_errors()) else {
            session.explain_from(Level::Error, &[compilation]);
            return Err(Error::findings());
        };
        let are_known = users.is_empty() || know_all(&users, topology);
        if are_sound && are_known { Ok((compilation, users)) } else { Err(Error::findings()) }
    }
}

fn configuration(file: &Path, session: &Session) -> Result<Compilation, Error> {
    let source = read(file, &file.to_string_lossy(), session.settings.max_bytes())?;
    let request = CheckOptions { path: Some(file), kind: Some(DocumentKind::Broker), ..CheckOptions::default() };
    session.judge(source, request)
}

/// The users in files, in the order of their names, and whether the files are as they should be.
///
/// What is wrong is told without the line that it is in, which may hold a password.
fn read_users(paths: &[PathBuf], session: &Session) -> Result<(Vec<(User, String)>, bool), Error> {
    let mut found: Vec<(User, String)> = Vec::new();
    let mut are_sound = true;
    let mut files = Vec::new();
    for path in paths {
        files.extend(if path.is_dir() { library::matching(&path.join("**/*.ini"))? } else { vec![path.clone()] });
    }
    for path in files {
        let name = path.to_string_lossy().into_owned();
        let source: Source = read(&path, &name, session.settings.max_bytes())?;
        let reading = users::read(&source);
        for fault in &reading.faults {
            let line = source.position(fault.span.start, Unit::Char).line;
            say(&format!("{name}:{line}: error: {}", fault.message));
            are_sound = false;
        }
        let Some(user) = reading.user else { continue };
        if let Some((_, other)) = found.iter().find(|(known, _)| known.name == user.name) {
            say(&format!("{name}: error: user `{}` is also described in {other}", user.name));
            are_sound = false;
        }
        found.push((user, name));
    }
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok((found, are_sound))
}

/// Whether all who have permissions are among the users, which replace all others.
fn know_all(users: &[(User, String)], topology: &Topology) -> bool {
    let is_unknown = |name: &str| users.iter().all(|(user, _)| user.name != name);
    let mut names: Vec<&str> = topology.permissions.iter().map(|rights| rights.user.text.as_str()).collect();
    names.retain(|name| is_unknown(name));
    names.sort_unstable();
    names.dedup();
    for name in &names {
        say_error(&format!("error: user `{name}` has permissions, but no file describes this user"));
    }
    names.is_empty()
}
