//! Programs that are asked something: text in on standard input, the answer on standard output.

use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::time::Duration;

use crate::runtime::ending::Ending;
use crate::runtime::process::{Limits, Program, memory, run};
use crate::runtime::said::{lines, reason};

/// The most that is read of an answer, in bytes.
const MOST: u64 = 16 << 20;

/// What a program said.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// The last line that it wrote to standard error.
    pub complaint: String,
}

/// Runs a program on a text and takes its answer; it finds the variables with these names, or all that we have.
///
/// # Errors
/// It cannot be started, or there is no room for its answer.
pub async fn ask(
    arguments: &[String],
    text: &str,
    environment: Option<&[String]>,
    limit: Duration,
) -> io::Result<Answer> {
    let (output, errors) = (memory()?, memory()?);
    let program = Program {
        arguments,
        directory: Path::new("."),
        input: Some(text),
        environment,
        variables: &[],
        output: output.try_clone()?,
        errors: Some(errors.try_clone()?),
        limit,
        limits: &Limits { output: MOST, ..Limits::default() },
    };
    let ending = match run(program).await? {
        Ending::Unstartable(reason) => return Err(io::Error::other(reason)),
        ending => ending,
    };
    let output = read(output)?;
    let errors = read(errors)?;
    let complaint = lines(&errors).next_back().map(reason).unwrap_or_default();
    Ok(Answer { ending, output, complaint })
}

fn read(mut file: std::fs::File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
