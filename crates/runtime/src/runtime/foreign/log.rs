//! What a program writes while it deals with a message: followed in its files, logged by lines, and its end kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::runtime::said::{lines, pieces, reason, whole_lines};

/// How many lines of what a program says are logged for a message.
const MOST_LOGGED: usize = 1_000;

/// How much of what it writes is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// A line that is longer counts as several, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// How much of what a failed program has written to standard error goes into a payload, in bytes.
const TAIL: usize = 4096;

/// What a program has said.
#[derive(Default)]
pub(super) struct Log {
    /// The last line.
    pub(super) last: String,
    end: String,
    /// How many lines were logged.
    said: usize,
}

impl Log {
    fn line(&mut self, line: &[u8]) {
        for piece in pieces(line).take(MOST_LOGGED - self.said) {
            tracing::info!("{piece}");
            self.said += 1;
            if self.is_full() {
                tracing::warn!("further output is not logged");
            }
        }
        self.end.push_str(&String::from_utf8_lossy(line));
        self.end.push('\n');
        let excess = self.end.len().saturating_sub(TAIL);
        self.end.drain(..self.end.ceil_char_boundary(excess));
        self.last = reason(line);
    }

    /// Whether no more is logged, and only the end of the rest is of interest.
    pub(super) fn is_full(&self) -> bool {
        self.said == MOST_LOGGED
    }

    pub(super) fn tail(&self) -> &str {
        &self.end
    }
}

/// A file that grows.
pub(super) struct Tail {
    file: File,
    /// How much has been read, in bytes.
    pub(super) read: u64,
    /// A line that has not ended.
    rest: Vec<u8>,
}

impl Tail {
    pub(super) fn new(file: File) -> Self {
        Self { file, read: 0, rest: Vec::new() }
    }

    /// Reads what there is by now. What comes meanwhile is for the next time, so that this ends.
    pub(super) fn follow(&mut self, log: &mut Log, is_over: bool) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut piece = vec![0; PIECE];
        while self.read < size {
            if log.is_full() && size - self.read > PIECE as u64 {
                self.read = size - PIECE as u64;
                self.rest.clear();
            }
            // Whoever writes it has a place of their own in it.
            let read = self.file.read_at(&mut piece, self.read)?;
            if read == 0 {
                break;
            }
            self.read += read as u64;
            let whole = match whole_lines(&piece[..read]) {
                0 if self.rest.len() >= LONGEST_LINE => self.rest.len() + read,
                0 => 0,
                whole => self.rest.len() + whole,
            };
            self.rest.extend_from_slice(&piece[..read]);
            self.say(log, whole);
        }
        if is_over {
            self.say(log, self.rest.len());
        }
        Ok(())
    }

    /// Logs what has come, up to there.
    fn say(&mut self, log: &mut Log, up_to: usize) {
        let text: Vec<u8> = self.rest.drain(..up_to).collect();
        lines(&text).for_each(|line| log.line(line));
    }
}
