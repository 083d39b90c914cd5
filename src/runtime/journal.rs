//! What a service has done for a message, on disk before it is settled: a message that comes back after a crash is
//! not worked on twice, and its output is not written twice.
//!
//! One directory per message: `output` (what its commands print), `result.json` (how it ended, there once it has) and
//! `append.json` (from where on the output stands in the user's file). It is removed when the message is settled.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::message::message_id;
use crate::syntax::json::read_value;
use crate::value::Value;

/// The journal of a service.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

/// The journal's entry for one message.
#[derive(Debug)]
pub struct Entry {
    directory: PathBuf,
}

impl Journal {
    /// A journal in this directory, which is made when needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The entry for the message with this id.
    pub fn entry(&self, id: &str) -> Entry {
        // An id comes from outside and is not to be trusted as a file name.
        Entry { directory: self.directory.join(message_id("journal", id)) }
    }
}

impl Entry {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// How the work on the message ended, if it did.
    ///
    /// # Errors
    /// The entry cannot be read.
    pub fn result(&self) -> io::Result<Option<Value>> {
        self.read("result.json")
    }

    fn read(&self, name: &str) -> io::Result<Option<Value>> {
        match fs::read(self.path(name)) {
            Ok(bytes) => read_value(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins work on the message from nothing; the file takes the output.
    ///
    /// # Errors
    /// The entry cannot be made.
    pub fn begin(&self) -> io::Result<File> {
        self.forget()?;
        fs::create_dir_all(&self.directory)?;
        OpenOptions::new().create_new(true).append(true).open(self.path("output"))
    }

    /// Records how the work ended.
    ///
    /// # Errors
    /// It cannot be written safely.
    pub fn finish(&self, result: &Value) -> io::Result<()> {
        File::open(self.path("output"))?.sync_all()?;
        self.write("result.json", result)
    }

    /// Writes a file that is there whole or not at all.
    fn write(&self, name: &str, value: &Value) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(value.to_json().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
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

    /// Appends the output to the user's file, unless that has been done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append_to(&self, target: &Path) -> io::Result<()> {
        let output = fs::read(self.path("output"))?;
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(target)?;
        // Other steps may append to the same file at the same time.
        file.lock()?;
        let length = file.metadata()?.len();
        let begun = self.read("append.json")?.and_then(|record| record.get("offset")?.as_i64());
        let written = match begun.and_then(|offset| u64::try_from(offset).ok()) {
            Some(offset) => already_there(&mut file, offset, length, &output)?,
            None => None,
        };
        let rest = match written {
            Some(written) => &output[written..],
            None => {
                self.write("append.json", &Value::from([("offset", Value::from(length as i64))]))?;
                &output[..]
            }
        };
        if !rest.is_empty() {
            file.write_all(rest)?;
            file.sync_all()?;
        }
        Ok(())
    }

    /// Removes the entry.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
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
    use super::*;

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
            entry.append_to(&target).expect("appends");
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
}
