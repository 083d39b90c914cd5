//! The dispatcher's logbook: what was asked for and what came of it, a file for each request.
//!
//! The format is that of the reference's dispatcher (`zocalo` 1.5.0), which ours writes as well: below the directory
//! `<yyyy-mm>/<first two characters of the recipe ID>/<rest>`, and in it titles with JSON under each.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zrecipe_broker::message::Request;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// The shortest beginning of an ID that is looked for.
const SHORTEST: usize = 3;

/// What the logbook says of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The recipe ID.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// Headers of the message that carried the request: who sent it, and from where.
    pub headers: Object,
    /// The request as it came.
    pub asked: Request,
    /// The request as filters have left it: with all parameters.
    pub request: Request,
    /// The recipe with the parameters put in.
    pub recipe: Value,
}

impl Entry {
    /// What was asked for, in a few words.
    pub fn title(&self) -> String {
        if self.request.recipes.is_empty() { "custom_recipe".to_owned() } else { self.request.recipes.join(" + ") }
    }
}

/// An entry in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The recipe ID.
    pub id: String,
    /// What was asked for, or why that cannot be read.
    pub title: String,
    /// When it was dispatched.
    pub dispatched: SystemTime,
}

/// Why there is no entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has none for this ID.
    #[error("the logbook in {} has no run `{id}`", directory.display())]
    NoSuchRun {
        /// The logbook.
        directory: PathBuf,
        /// What was looked for.
        id: String,
    },
    /// It has several.
    #[error("`{id}` matches more than one ID in the logbook: `{}`", found.join("`, `"))]
    Ambiguous {
        /// What was looked for.
        id: String,
        /// Some of them.
        found: Vec<String>,
    },
    /// A file cannot be read, or is no entry.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The entry for an ID, or the beginning of one. Of several with the same ID the latest counts.
///
/// # Errors
/// There is none or more than one, or it cannot be read.
pub fn find(directory: &Path, id: &str) -> Result<Entry, Error> {
    /// So many are named.
    const SHOWN: usize = 4;
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let (first, rest) = match id.split_at_checked(2) {
        Some(parts) if is_plain && id.len() >= SHORTEST && !id.starts_with('.') => parts,
        _ => return Err(Error::NoSuchRun { directory: directory.to_owned(), id: id.to_owned() }),
    };
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for month in entries(directory) {
        for path in entries(&month.join(first)) {
            let name = name(&path);
            if name.starts_with(rest) && !name.starts_with('.') {
                found.retain(|(_, other)| other.file_name() != path.file_name());
                found.push((format!("{first}{name}"), path));
            }
        }
    }
    let exact = found.iter().find(|(full, _)| full == id);
    match (exact, found.as_slice()) {
        (Some((id, path)), _) | (None, [(id, path)]) => read(path, id),
        (None, []) => Err(Error::NoSuchRun { directory: directory.to_owned(), id: id.to_owned() }),
        (None, several) => {
            let found = several.iter().take(SHOWN).map(|(id, _)| id.clone()).collect();
            Err(Error::Ambiguous { id: id.to_owned(), found })
        }
    }
}

/// What was dispatched last, the newest first, at most so many.
///
/// # Errors
/// The directory cannot be read.
pub fn latest(directory: &Path, most: usize) -> Result<Vec<Listed>, Error> {
    let unreadable =
        |error: std::io::Error| Error::Unreadable { path: directory.to_owned(), reason: error.to_string() };
    zrecipe_project::regular::entries(directory).map_err(unreadable)?;
    let mut found: Vec<(SystemTime, String, PathBuf)> = Vec::new();
    for month in entries(directory).into_iter().rev() {
        // A folder changes when an entry comes into it: those that have not since the oldest that counts are passed over,
        // because a logbook has a great many files.
        for (changed, folder) in by_time(&month) {
            if found.len() == most && found.last().is_some_and(|(oldest, ..)| changed < *oldest) {
                break;
            }
            let first = name(&folder);
            for (written, path) in by_time(&folder).into_iter().take(most) {
                let id = format!("{first}{}", name(&path));
                if path.is_file() && found.iter().all(|(_, other, _)| *other != id) {
                    found.push((written, id, path));
                }
            }
            found.sort_by(|(one, ..), (other, ..)| other.cmp(one));
            found.truncate(most);
        }
        if found.len() == most {
            break;
        }
    }
    let listed = found.into_iter().map(|(dispatched, id, path)| {
        let title = read(&path, &id).map_or_else(|error| error.to_string(), |entry| entry.title());
        Listed { id, title, dispatched }
    });
    Ok(listed.collect())
}

/// What is in a directory, by name.
fn entries(path: &Path) -> Vec<PathBuf> {
    let mut paths = zrecipe_project::regular::entries(path).unwrap_or_default();
    paths.sort();
    paths
}

/// What is in a directory, with when it last changed, the newest first.
fn by_time(path: &Path) -> Vec<(SystemTime, PathBuf)> {
    let changed = |path: PathBuf| Some((path.metadata().ok()?.modified().ok()?, path));
    let mut found: Vec<(SystemTime, PathBuf)> = entries(path).into_iter().filter_map(changed).collect();
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    found
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read(path: &Path, id: &str) -> Result<Entry, Error> {
    let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
    let text = zrecipe_project::regular::read_text(path).map_err(|error| unreadable(error.to_string()))?;
    let part = |title: &str, next: Option<&str>| -> Result<Value, Error> {
        let heading = |title: &str| format!("{title}:\n");
        let missing = |title: &str| unreadable(format!("it has no `{title}`, so it is not an entry of a logbook"));
        let (_, part) = text.split_once(&heading(title)).ok_or_else(|| missing(title))?;
        let part = match next.map(|next| (next, part.split_once(&format!("\n{}", heading(next))))) {
            Some((next, None)) => return Err(missing(next)),
            Some((_, Some((part, _)))) => part,
            None => part,
        };
        read_value(part.trim().as_bytes()).map_err(|reason| unreadable(format!("`{title}` is {reason}")))
    };
    let (body, parsed, recipe) = ("Incoming message body", "Parsed message body", "Recipe object");
    let request = |value: Value| Request::read(value.to_json().as_bytes()).map_err(unreadable);
    let headers = part("Incoming message header", Some(body))?;
    Ok(Entry {
        id: id.to_owned(),
        path: path.to_owned(),
        headers: headers.as_object().cloned().unwrap_or_default(),
        asked: request(part(body, Some(parsed))?)?,
        request: request(part(parsed, Some(recipe))?)?,
        recipe: part(recipe, None)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_listed_and_old_folders_are_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        // The number is when it was dispatched.
        for (month, id, time) in [
            ("2026-10", "aa-1", 1),
            ("2026-11", "aa-2", 5),
            ("2026-11", "bb-3", 2),
            ("2026-11", "aa-4", 3),
            ("2026-11", "cc-5", 4),
        ] {
            let folder = directory.path().join(month).join(&id[..2]);
            std::fs::create_dir_all(&folder).expect("a folder");
            let file = std::fs::File::create(folder.join(&id[2..])).expect("is written");
            file.set_modified(at(time)).expect("its time");
            let of_folder = if id.starts_with("aa") { 5 } else { time };
            std::fs::File::open(&folder).expect("opens").set_modified(at(of_folder)).expect("its time");
        }
        let ids = |most| {
            let listed = latest(directory.path(), most).expect("is read");
            assert!(listed.iter().all(|entry| entry.title.contains("it is not an entry of a logbook")), "{listed:?}");
            listed.into_iter().map(|entry| entry.id).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([ids(0), ids(1), ids(3), ids(9)], ["", "aa-2", "aa-2 cc-5 aa-4", "aa-2 cc-5 aa-4 bb-3 aa-1"]);
        assert!(latest(&directory.path().join("nosuch"), 3).is_err());
    }

    #[test]
    fn entries_are_found_by_the_beginning_of_their_id() {
        let directory = tempfile::tempdir().expect("a directory");
        let entry = |month: &str, id: &str, text: &str| {
            let folder = directory.path().join(month).join(&id[..2]);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(&id[2..]), text).expect("is written");
        };
        let whole = |n: u8| {
            format!(
                "Incoming message header:\n{{\n  \"zocalo.go.user\": \"ana\"\n}}\n\nIncoming message body:\n{{\"recipes\": [\"x\"]}}\n\n\
                 Parsed message body:\n{{\"recipes\": [\"x\"], \"parameters\": {{\"n\": {n}}}}}\n\nRecipe object:\n{{\n  \"1\": {{}}\n}}"
            )
        };
        entry("2026-10", "abc-1", &whole(1));
        entry("2026-11", "abc-1", &whole(2));
        entry("2026-11", "abc-12", &whole(3));
        entry("2026-11", "abd", "Incoming message header:\n{}");
        let found = find(directory.path(), "abc-1").expect("is there");
        assert_eq!((found.id.as_str(), found.request.parameters.get("n")), ("abc-1", Some(&Value::from(2))));
        assert_eq!(
            (found.headers.get("zocalo.go.user"), found.asked.recipes),
            (Some(&Value::from("ana")), vec!["x".to_owned()])
        );
        assert_eq!(
            find(directory.path(), "abc-12").expect("is there").request.parameters.get("n"),
            Some(&Value::from(3))
        );
        for (id, expected) in [
            ("abc", "`abc` matches more than one ID in the logbook: `abc-1`, `abc-12`"),
            ("ab", "has no run `ab`"),
            ("nosuch", "has no run `nosuch`"),
            ("../../x", "has no run `../../x`"),
            ("abd", "it has no `Incoming message body`, so it is not an entry of a logbook"),
        ] {
            let said = find(directory.path(), id).expect_err(id).to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
