//! What a service has done for a message, on disk before it is settled: a message that comes back after a crash is
//! not worked on twice, and its output is not written twice.
//!
//! One directory per message: `output` (what its commands print), `result.json` (how it ended, there once it has) and
//! `append.json` (from where on the output stands in the user's file). It is removed when the message is settled.
//!
//! For files to which many messages add a line each there is a ledger: one file that names the last of the messages and
//! holds the last lines, written before these are.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zrecipe_broker::message::message_id;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_project::{durable, regular};

/// How many messages a ledger remembers: far more than can be under way at a time.
const REMEMBERED: usize = 2000;

/// After this time no broker delivers a message again whose entry has no mark of the embedded broker.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The file of an entry whose message is one of the embedded broker.
const EMBEDDED: &str = "embedded";

/// Entries that may be left over from a crash.
#[derive(Debug, Default)]
pub struct Leftovers {
    embedded: Vec<PathBuf>,
    old: Vec<PathBuf>,
}

impl Leftovers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.embedded.is_empty() && self.old.is_empty()
    }

    /// Removes those of messages that the embedded broker does not have; how many.
    pub fn remove<'i>(self, messages: impl Iterator<Item = &'i String>) -> usize {
        let known: HashSet<String> = messages.map(|id| entry_name(id)).collect();
        let is_known = |directory: &PathBuf| {
            directory.file_name().and_then(|name| name.to_str()).is_some_and(|name| known.contains(name))
        };
        let left = self.embedded.iter().filter(|directory| !is_known(directory)).chain(&self.old);
        left.filter(|directory| is_removed(directory)).count()
    }

    /// Removes those that are so old that no broker delivers their messages again; how many.
    pub fn remove_old(self) -> usize {
        self.old.iter().filter(|directory| is_removed(directory)).count()
    }
}

/// Removes an entry; what cannot be removed costs space only.
fn is_removed(directory: &Path) -> bool {
    fs::remove_dir_all(directory).is_ok()
}

/// The name of a message's entry: an id comes from outside and is not to be trusted as a file name.
fn entry_name(id: &str) -> String {
    message_id("journal", id)
}

/// The journal of a service.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
    unwritten: Unwritten,
    is_embedded: bool,
}

/// Results that could not be written, by the directory of their entry: what was done is not done again for want of space.
type Unwritten = Arc<Mutex<HashMap<PathBuf, Value>>>;

/// Which messages have added to a file lately.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    name: String,
}

/// The journal's entry for one message.
#[derive(Debug)]
pub struct Entry {
    directory: PathBuf,
    unwritten: Unwritten,
    is_embedded: bool,
}

impl Journal {
    /// A journal in this directory, which is made when needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), unwritten: Unwritten::default(), is_embedded: false }
    }

    /// The same for messages of the embedded broker, which can be asked for every message that there is.
    #[must_use]
    pub fn of_embedded(self, is_embedded: bool) -> Self {
        Self { is_embedded, ..self }
    }

    /// The entries that may be left over from a crash: those of the embedded broker, and those so old that no message of
    /// another broker is behind them. Asked before the broker is asked for its messages: what begins later is not listed.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn leftovers(&self) -> io::Result<Leftovers> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leftovers::default()),
            entries => entries?,
        };
        let mut found = Leftovers::default();
        for entry in entries {
            let directory = entry?.path();
            let changed = fs::metadata(directory.join("output")).and_then(|output| output.modified());
            if directory.join(EMBEDDED).exists() {
                found.embedded.push(directory);
            } else if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > FORGOTTEN)) {
                found.old.push(directory);
            }
        }
        Ok(found)
    }

    /// The entry for the message with this id.
    pub fn entry(&self, id: &str) -> Entry {
        // An id comes from outside and is not to be trusted as a file name.
        let directory = self.directory.join(entry_name(id));
        Entry { directory, unwritten: Arc::clone(&self.unwritten), is_embedded: self.is_embedded }
    }

    /// The ledger of a file.
    pub fn ledger(&self, target: &Path) -> Ledger {
        let name = format!("{}.json", message_id("ledger", &target.to_string_lossy()));
        Ledger { directory: self.directory.clone(), name }
    }
}

impl Entry {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<PathBuf, Value>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the work on the message ended, if it did.
    ///
    /// # Errors
    /// The entry cannot be read, or what could not be written before still cannot be.
    pub fn result(&self) -> io::Result<Option<Value>> {
        let unwritten = self.unwritten().get(&self.directory).cloned();
        if let Some(result) = unwritten {
            self.finish(&result)?;
        }
        read(&self.path("result.json"))
    }

    /// Whether work on the message was begun.
    pub fn is_begun(&self) -> bool {
        self.path("output").exists()
    }

    /// Begins work on the message from nothing; the file takes the output.
    ///
    /// # Errors
    /// The entry cannot be made.
    pub fn begin(&self) -> io::Result<File> {
        self.forget()?;
        regular::create_private_dir(&self.directory)?;
        if self.is_embedded {
            regular::private().create_new(true).write(true).open(self.path(EMBEDDED))?;
        }
        regular::private().create_new(true).append(true).open(self.path("output"))
    }

    /// Records how the work ended.
    ///
    /// # Errors
    /// It cannot be written safely. [`Entry::result`] writes it then, for as long as this process lives.
    pub fn finish(&self, result: &Value) -> io::Result<()> {
        let written = File::open(self.path("output"))
            .and_then(|output| output.sync_all())
            .and_then(|()| write(&self.directory, "result.json", result));
        match &written {
            Ok(()) => self.unwritten().remove(&self.directory),
            Err(_) => self.unwritten().insert(self.directory.clone(), result.clone()),
        };
        written
    }

    /// The end of the output, as text of at most `most` bytes.
    ///
    /// # Errors
    /// The output cannot be read.
    pub fn tail(&self, most: u64) -> io::Result<String> {
        let mut file = File::open(self.path("output"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Appends the output to the user's file, unless that has been done. It is open for reading and appending.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append_to(&self, mut file: File) -> io::Result<()> {
        let output = fs::read(self.path("output"))?;
        // Other steps may append to the same file at the same time.
        file.lock()?;
        let length = file.metadata()?.len();
        let begun = read(&self.path("append.json"))?.and_then(|record| record.get("offset")?.as_i64());
        let written = match begun.and_then(|offset| u64::try_from(offset).ok()) {
            Some(offset) => already_there(&mut file, offset, length, &output)?,
            None => None,
        };
        let rest = match written {
            Some(written) => &output[written..],
            None => {
                write(&self.directory, "append.json", &Value::from([("offset", Value::from(length as i64))]))?;
                &output[..]
            }
        };
        if !rest.is_empty() {
            file.write_all(rest)?;
            file.sync_all()?;
        }
        Ok(())
    }

    /// Keeps what became of the message until the broker has confirmed it.
    ///
    /// # Errors
    /// It cannot be written safely.
    pub fn keep(&self, outcome: &Value) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        write(&self.directory, "outcome.json", outcome)
    }

    /// What was kept of the message.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn kept(&self) -> io::Result<Option<Value>> {
        read(&self.path("outcome.json"))
    }

    /// Removes what was kept, and the entry if nothing else is in it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn drop_kept(&self) -> io::Result<()> {
        match fs::remove_file(self.path("outcome.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        match fs::remove_dir(&self.directory) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Removes the entry.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        self.unwritten().remove(&self.directory);
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Ledger {
    /// Adds lines to a file that is open for reading and appending, those of messages that have added theirs before
    /// left out, and returns when they are on disk.
    ///
    /// # Errors
    /// They cannot be written; once they can, the same call adds what is missing.
    pub fn append(&self, mut file: File, lines: &[(String, String)]) -> io::Result<()> {
        // Other processes may append to the same file at the same time.
        file.lock()?;
        let known = self.recover(&mut file)?;
        let mut seen: HashSet<&str> = known.iter().filter_map(Value::as_str).collect();
        let fresh: Vec<&(String, String)> = lines.iter().filter(|(id, _)| seen.insert(id)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let text: String = fresh.iter().map(|(_, line)| line.as_str()).collect();
        let ids = known.iter().cloned().chain(fresh.iter().map(|(id, _)| Value::from(id.as_str())));
        let forgotten = (known.len() + fresh.len()).saturating_sub(REMEMBERED);
        let record = Value::from([
            ("offset", Value::from(file.metadata()?.len() as i64)),
            ("text", Value::from(text.as_str())),
            ("count", Value::from(fresh.len() as i64)),
            ("ids", Value::Array(ids.skip(forgotten).collect())),
        ]);
        regular::create_private_dir(&self.directory)?;
        write(&self.directory, &self.name, &record)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Writes what a crash has left out of the last lines; the ids of the messages whose lines are in the file.
    fn recover(&self, file: &mut File) -> io::Result<Vec<Value>> {
        let Some(record) = read(&self.directory.join(&self.name))? else { return Ok(Vec::new()) };
        let number = |key: &str| record.get(key).and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok());
        let text = record.get("text").and_then(Value::as_str).unwrap_or_default().as_bytes();
        let mut ids = record.get("ids").and_then(Value::as_array).unwrap_or_default().to_vec();
        let length = file.metadata()?.len();
        match already_there(file, number("offset").unwrap_or_default(), length, text)? {
            Some(written) if written < text.len() => {
                file.write_all(&text[written..])?;
                file.sync_all()?;
            }
            Some(_) => {}
            // Something else stands there, or the file is another one: whether they were written is not known.
            None => ids.truncate(ids.len().saturating_sub(number("count").unwrap_or_default() as usize)),
        }
        Ok(ids)
    }
}

/// What a file holds, if it is there.
pub(crate) fn read(path: &Path) -> io::Result<Option<Value>> {
    match regular::read_all(path) {
        Ok(bytes) => read_value(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write(directory: &Path, name: &str, value: &Value) -> io::Result<()> {
    durable::replace(&directory.join(name), value.to_json().as_bytes())
}

/// How much of `output` stands in the file from `offset` on; nothing when something else stands there.
fn already_there(file: &mut File, offset: u64, length: u64, output: &[u8]) -> io::Result<Option<usize>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut found = Vec::new();
    io::Read::by_ref(file).take(output.len() as u64).read_to_end(&mut found)?;
    let whole = found.len() == output.len();
    let at_the_end = offset + found.len() as u64 == length;
    Ok((output.starts_with(&found) && (whole || at_the_end)).then_some(found.len()))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_left_over_from_a_crash_is_private_and_removed() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("state/journal");
        let embedded = Journal::new(&directory).of_embedded(true);
        let other = Journal::new(&directory);
        for (journal, id) in [(&embedded, "known"), (&embedded, "gone"), (&other, "of another broker"), (&other, "old")]
        {
            journal.entry(id).begin().and_then(|mut file| file.write_all(b"secret")).expect("writes");
            journal.entry(id).finish(&Value::from(true)).expect("writes");
        }
        for (path, mode) in [
            (place.path().join("state"), 0o700),
            (directory.clone(), 0o700),
            (embedded.entry("known").path("output"), 0o600),
            (embedded.entry("known").path("result.json"), 0o600),
        ] {
            let found = fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
        let output = File::options().append(true).open(other.entry("old").path("output")).expect("opens");
        output.set_modified(std::time::SystemTime::now() - 2 * FORGOTTEN).expect("is set");
        let left = embedded.leftovers().expect("reads");
        // One that begins after the list was made.
        embedded.entry("new").begin().expect("writes");
        assert_eq!(left.remove(["known".to_owned()].iter()), 2);
        for (id, is_there) in
            [("known", true), ("gone", false), ("of another broker", true), ("old", false), ("new", true)]
        {
            assert_eq!(embedded.entry(id).is_begun(), is_there, "{id}");
        }
    }

    #[test]
    fn output_is_appended_once_wherever_the_crash_was() {
        let place = tempfile::tempdir().expect("a directory");
        let target = place.path().join("out.txt");
        let entry = Journal::new(place.path().join("journal")).entry("message");
        entry.begin().and_then(|mut file| file.write_all(b"one\ntwo\n")).expect("writes");
        assert_eq!(entry.result().expect("reads"), None);
        entry.finish(&Value::from(true)).expect("writes");
        assert_eq!(entry.result().expect("reads"), Some(Value::from(true)));
        fs::write(&target, "before\n").expect("writes");
        let check = |expected: &str| {
            let file = OpenOptions::new().read(true).append(true).open(&target);
            file.and_then(|file| entry.append_to(file)).expect("appends");
            assert_eq!(fs::read_to_string(&target).expect("reads"), expected);
        };
        check("before\none\ntwo\n");
        check("before\none\ntwo\n");
        // The crash came in the middle of the output, …
        fs::write(&target, "before\none\n").expect("writes");
        check("before\none\ntwo\n");
        // … or before it, and another step has written since.
        fs::write(&target, "before\nother\n").expect("writes");
        check("before\nother\none\ntwo\n");
        check("before\nother\none\ntwo\n");
        assert_eq!(entry.tail(4).expect("reads"), "two\n");
        entry.forget().expect("removes");
        assert_eq!(entry.result().expect("reads"), None);
    }

    #[test]
    fn a_line_is_added_once_wherever_the_crash_was() {
        let place = tempfile::tempdir().expect("a directory");
        let target = place.path().join("out.jsonl");
        let ledger = Journal::new(place.path().join("journal")).ledger(&target);
        let add = |messages: &[&str]| {
            let lines: Vec<(String, String)> = messages.iter().map(|id| (id.to_string(), format!("{id}\n"))).collect();
            let file = OpenOptions::new().create(true).read(true).append(true).open(&target);
            file.and_then(|file| ledger.append(file, &lines)).expect("appends");
        };
        // What the file holds before, what is added, what it holds then.
        let rows: [(Option<&str>, &[&str], &str); 8] = [
            (None, &["one", "two"], "one\ntwo\n"),
            (None, &["two", "three", "three"], "one\ntwo\nthree\n"),
            (None, &["four", "five"], "one\ntwo\nthree\nfour\nfive\n"),
            // The crash came in the middle of a line, …
            (Some("one\ntwo\nthree\nfour\nfi"), &["six"], "one\ntwo\nthree\nfour\nfive\nsix\n"),
            (None, &["five", "four"], "one\ntwo\nthree\nfour\nfive\nsix\n"),
            // … or before it, and somebody else has written since, …
            (Some("one\nother\n"), &["six"], "one\nother\nsix\n"),
            // … or the file was taken away.
            (Some(""), &["seven"], "seven\n"),
            (None, &["seven", "one"], "seven\n"),
        ];
        for (before, messages, expected) in rows {
            if let Some(before) = before {
                fs::write(&target, before).expect("writes");
            }
            add(messages);
            assert_eq!(fs::read_to_string(&target).expect("reads"), expected, "{messages:?}");
        }
    }
}
