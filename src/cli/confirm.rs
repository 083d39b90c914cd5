//! Asking before something is done that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::Error;

/// Asks on the terminal, unless `--yes` has answered already.
///
/// # Errors
/// The answer is not `yes`, or there is no terminal to ask at.
pub fn confirm(question: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::new("confirmation needed, but standard input is not a terminal; nothing was done")
            .hint("use `--yes` to confirm"));
    }
    let _ = write!(io::stderr().lock(), "{question} Type `yes`: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Error::new("nothing was done")) }
}
