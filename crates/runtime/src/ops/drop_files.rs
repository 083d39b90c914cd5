//! Drop files: requests that wait in a directory until the broker can be reached.
//!
//! The format is that of `zocalo.go` and `zocalo.pickup` (`zocalo` 1.5.0): `{"headers": {…}, "message": {…}}`, named by
//! a UUID. A file appears whole or not at all, and is removed only when the broker has confirmed its message.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use uuid::Uuid;

use zrecipe_broker::message::headers::UNCONFIRMED;
use zrecipe_broker::message::{Destination, Outgoing, REQUEST_QUEUE, message_id, read_body};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::durable::NewFile;

/// A request that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct DropFile {
    /// Where it is.
    pub path: PathBuf,
    /// Since when.
    pub since: SystemTime,
    /// The id of the message, so that sending it twice is sending it once.
    pub id: String,
    /// Its headers.
    pub headers: Object,
    /// The request.
    pub message: Value,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else is sending the files of the directory.
    #[error("another process is sending the requests of {}", .0.display())]
    Busy(PathBuf),
    /// The directory cannot be used.
    #[error("cannot use the directory {}: {}", path.display(), describe(source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be read or removed.
    #[error("{}: {}", path.display(), describe(source))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Writes a request into a directory; its path.
///
/// # Errors
/// The directory is not there or cannot be written.
pub fn write(directory: &Path, request: &Outgoing) -> Result<PathBuf, Error> {
    let path = directory.join(&request.id);
    let failed = |source| Error::Directory { path: directory.to_owned(), source };
    let (headers, message) = (Value::Object(request.headers.clone()), read_body(&request.body));
    // The reference's `zocalo.pickup` does not look at what else there is.
    let own = Value::from([("id", request.id.as_str())]);
    let document = Value::from([("headers", headers), ("message", message), ("zrecipe", own)]);
    // Somebody else sends it, under an account of his own; the mask of whoever writes it decides.
    let mut file = NewFile::shared(&path).map_err(failed)?;
    file.write_all((document.to_json_pretty() + "\n").as_bytes()).map_err(failed)?;
    file.create().map_err(failed)?;
    Ok(path)
}

/// The same for a request that the broker has not confirmed: whoever sends it again is to know that it may be the second
/// time.
///
/// # Errors
/// As [`write()`].
pub fn write_unconfirmed(directory: &Path, request: &Outgoing) -> Result<PathBuf, Error> {
    let mut request = request.clone();
    request.headers.insert(UNCONFIRMED.to_owned(), Value::Bool(true));
    write(directory, &request)
}

/// Makes sure that a request could be kept in a directory.
///
/// # Errors
/// The directory is not there or cannot be written.
pub fn try_write(directory: &Path) -> Result<(), Error> {
    let file = NewFile::begin(&directory.join("request"));
    file.map(drop).map_err(|source| Error::Directory { path: directory.to_owned(), source })
}

/// Keeps others from sending the files of a directory, for as long as the result lives.
///
/// # Errors
/// Somebody is at it, or the directory cannot be read.
pub fn lock(directory: &Path) -> Result<File, Error> {
    let file = File::open(directory).map_err(|source| Error::Directory { path: directory.to_owned(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(Error::Busy(directory.to_owned())),
        // Where directories have no locks (NFS) two may send the same request; it has the same ID.
        _ => Ok(file),
    }
}

/// The files of a directory, oldest first; those that cannot be used are in the second list.
///
/// # Errors
/// The directory cannot be read.
pub fn list(directory: &Path) -> Result<(Vec<DropFile>, Vec<Error>), Error> {
    let failed = |source| Error::Directory { path: directory.to_owned(), source };
    let (mut files, mut unusable) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // What is still being written begins with a dot.
        let is_hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden || path.is_dir() {
            continue;
        }
        match read(&path) {
            Ok(file) => files.push(file),
            Err(error) => unusable.push(error),
        }
    }
    files.sort_by(|a, b| (a.since, &a.path).cmp(&(b.since, &b.path)));
    unusable.sort_by_key(ToString::to_string);
    Ok((files, unusable))
}

fn read(path: &Path) -> Result<DropFile, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let since = path.metadata().and_then(|found| found.modified()).map_err(failed)?;
    let malformed = |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned() };
    let text = zrecipe_project::regular::read_all(path).map_err(failed)?;
    let document = read_value(&text).map_err(|reason| malformed(&reason))?;
    let Value::Object(mut document) = document else { return Err(malformed("it is not a drop file")) };
    match (document.shift_remove("headers"), document.shift_remove("message")) {
        (Some(Value::Object(headers)), Some(message)) => {
            let own = document.get("zrecipe").and_then(|own| own.get("id")?.as_str()).map(str::to_owned);
            // Files of our own from before the id was kept inside are named by it.
            let is_named = headers.get(UNCONFIRMED).is_some();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).filter(|_| is_named);
            let id = own.or(name).unwrap_or_else(|| made_id(&text, since));
            Ok(DropFile { path: path.to_owned(), since, id, headers, message })
        }
        _ => Err(malformed("a drop file has `headers` and a `message`")),
    }
}

/// The id of a request that somebody else has kept: it follows from the request and from when it was written.
fn made_id(text: &[u8], since: SystemTime) -> String {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    message_id(&Uuid::new_v5(&Uuid::NAMESPACE_OID, text).to_string(), &format!("kept {since}"))
}

impl DropFile {
    /// Whether the broker may have it already.
    pub fn may_be_sent(&self) -> bool {
        self.headers.get(UNCONFIRMED).is_some_and(Value::is_truthy)
    }

    /// The request as it is sent.
    pub fn to_message(&self) -> Outgoing {
        Outgoing::new(
            self.id.clone(),
            Destination::Queue(REQUEST_QUEUE.to_owned()),
            self.headers.clone(),
            self.message.to_json().into_bytes(),
        )
    }

    /// Forgets the request, when the broker has it.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_broker::message::Request;

    #[test]
    fn requests_of_others_are_told_apart_by_what_they_ask_and_when() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("request.json");
        let written = |text: &str, at: u64| {
            std::fs::write(&path, text).expect("is written");
            let file = File::options().write(true).open(&path).expect("is there");
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at)).expect("can be set");
            list(directory.path()).expect("can be read").0[0].to_message().id
        };
        let request = |word: &str| format!(r#"{{"headers": {{}}, "message": {{"parameters": {{"word": "{word}"}}}}}}"#);
        let first = written(&request("one"), 1);
        assert_eq!(written(&request("one"), 1), first, "the same file");
        assert_ne!(written(&request("two"), 1), first);
        assert_ne!(written(&request("one"), 2), first, "the same request, asked once more");
    }

    #[test]
    fn files_come_back_in_the_order_of_their_age() {
        let directory = tempfile::tempdir().expect("a directory");
        let headers = Object::from_iter([("zocalo.go.user".to_owned(), Value::from("ana"))]);
        let request = |id: &str| Request::default().to_message(id.to_owned(), headers.clone());
        for (id, age) in [("b", 20), ("a", 30), ("c", 10)] {
            let path = write(directory.path(), &request(id)).expect("is written");
            let file = File::options().write(true).open(path).expect("is there");
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).expect("can be set");
        }
        let held = lock(directory.path()).expect("nobody is at it");
        assert!(matches!(lock(directory.path()), Err(Error::Busy(_))));
        drop(held);
        lock(directory.path()).expect("nobody is at it");
        try_write(directory.path()).expect("can be written");
        assert!(try_write(&directory.path().join("nowhere")).is_err());
        assert!(write(directory.path(), &request("a")).is_err(), "nothing is overwritten");
        for (name, text) in [("cut", "{\"headers\": {"), ("list", "[]"), ("half", "{\"headers\": {}}"), (".new", "")] {
            std::fs::write(directory.path().join(name), text).expect("is written");
        }
        let (files, unusable) = list(directory.path()).expect("can be read");
        let ids: Vec<_> = files.iter().map(|file| file.to_message().id).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(files[0].headers, headers);
        assert_eq!(files[0].to_message(), request("a"));
        assert_eq!(unusable.len(), 3, "{unusable:?}");
        std::fs::rename(&files[0].path, directory.path().join("request.json")).expect("is renamed");
        let renamed = list(directory.path()).expect("can be read").0;
        assert_eq!(renamed[0].to_message(), request("a"), "the id is in the file and not its name");
        std::fs::rename(directory.path().join("request.json"), &files[0].path).expect("is renamed");
        files[0].remove().expect("is removed");
        assert_eq!(list(directory.path()).expect("can be read").0.len(), 2);
    }
}
