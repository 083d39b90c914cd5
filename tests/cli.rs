//! Cases of the command line: `tests/cli/<command>/<case>/` is what a user has, types and sees.
//!
//! | file | meaning |
//! |---|---|
//! | `args` | what is typed behind `zrecipe`, one argument a line |
//! | `before` | commands to run first, in the same form, with an empty line between two; what they print is not looked at |
//! | `env` | further variables, `NAME=value` a line |
//! | `stdin` | standard input; without it, there is none |
//! | `stdout`, `stderr` | what is printed; without the file, nothing |
//! | `code` | the exit code; without the file, 0 |
//!
//! All other files are copied into the working directory, which is new and gone afterwards. The environment holds
//! nothing but `PATH` and what stands in [`ENVIRONMENT`]; there is no terminal. What differs from run to run is
//! replaced by a [`VOLATILE`] word. `ZRECIPE_BLESS=1 cargo test --test corpus` writes what is printed now: look at the
//! difference before you keep it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The files that say what to run and what to expect.
const RESERVED: [&str; 7] = ["args", "before", "env", "stdin", "stdout", "stderr", "code"];

/// The environment beside `PATH`.
const ENVIRONMENT: [(&str, &str); 3] = [("ZRECIPE_STATE", ".state"), ("COLUMNS", "100"), ("TZ", "UTC")];

/// What differs from run to run: `x` is a hexadecimal digit, `#` a digit, `*` some digits, `…` all up to a comma.
const VOLATILE: [(&str, &str); 6] = [
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<uuid>"),
    ("####-##-## ##:##:##", "<date>"),
    ("\"begun\": …", "\"begun\": <date>"),
    ("\"seconds\": …", "\"seconds\": <seconds>"),
    ("* ms", "<time>"),
    ("*.# s", "<time>"),
];

/// What a program has printed, and how it ended.
struct Ended {
    stdout: String,
    stderr: String,
    code: String,
}

/// Runs a case; the error says what is not as expected.
pub fn case(args: &Path) -> Result<(), String> {
    let folder = args.parent().ok_or("a case is a folder")?;
    let place = tempfile::tempdir().map_err(|error| format!("no working directory: {error}"))?;
    copy(folder, place.path(), true)?;
    for before in read(folder, "before")?.split("\n\n").filter(|lines| !lines.trim().is_empty()) {
        let ended = run(folder, place.path(), before, "")?;
        if ended.code == "2\n" {
            return Err(format!("what comes before does not work:\n{before}\n{}", ended.stderr));
        }
    }
    let ended = run(folder, place.path(), &read(folder, "args")?, &read(folder, "stdin")?)?;
    let bless = std::env::var_os("ZRECIPE_BLESS").is_some_and(|value| !value.is_empty());
    let mut wrong = String::new();
    let code = if ended.code == "0\n" { "" } else { &ended.code };
    for (name, now) in [("code", code), ("stderr", &ended.stderr), ("stdout", &ended.stdout)] {
        let expected = read(folder, name)?;
        if expected == now {
            continue;
        }
        if bless {
            let path = folder.join(name);
            let written = if now.is_empty() { fs::remove_file(&path) } else { fs::write(&path, now) };
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        } else {
            let lines = super::changed_lines(&expected, now).join("\n");
            wrong.push_str(&format!("{name} (- expected, + printed)\n{lines}\n"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{wrong}if this is right, `ZRECIPE_BLESS=1 cargo test --test corpus` writes it to {}",
        folder.display()
    ))
}

/// A file of a case; none is empty.
fn read(folder: &Path, name: &str) -> Result<String, String> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn copy(from: &Path, to: &Path, top: bool) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).map_err(failed)?;
            copy(&entry.path(), &target, false)?;
        } else if !(top && RESERVED.iter().any(|name| entry.file_name() == *name)) {
            fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}

fn run(folder: &Path, place: &Path, args: &str, stdin: &str) -> Result<Ended, String> {
    let failed = |error: std::io::Error| format!("the program cannot be run: {error}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(args.lines()).current_dir(place).env_clear().envs(ENVIRONMENT);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(read(folder, "env")?.lines().filter_map(|line| line.split_once('=')));
    command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let writer = child.stdin.take().map(|mut pipe| {
        let stdin = stdin.to_owned();
        // A program that does not want its input may close it.
        std::thread::spawn(move || pipe.write_all(stdin.as_bytes()).is_ok())
    });
    let output = child.wait_with_output().map_err(failed)?;
    drop(writer.map(std::thread::JoinHandle::join));
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).map_err(|_| "something is printed that is not UTF-8".to_owned())?;
        Ok::<_, String>(steady(&text.replace(&*place.to_string_lossy(), "<dir>")))
    };
    let code = output.status.code().map_or_else(|| format!("{}\n", output.status), |code| format!("{code}\n"));
    Ok(Ended { stdout: text(output.stdout)?, stderr: text(output.stderr)?, code })
}

/// The text with everything volatile replaced. Columns move with the length of times, so two spaces part all.
fn steady(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside = false;
    while let Some(next) = rest.chars().next() {
        let found =
            VOLATILE.iter().filter(|_| !inside).find_map(|(pattern, word)| Some((length(rest, pattern)?, word)));
        let taken = match found {
            Some((taken, word)) => {
                out.push_str(word);
                taken
            }
            None => {
                out.push(next);
                next.len_utf8()
            }
        };
        inside = next.is_ascii_alphanumeric() || next == '.';
        rest = &rest[taken..];
    }
    if !out.contains("<time>") && !out.contains("<date>") {
        return out;
    }
    let line = |line: &str| {
        let (margin, words) = line.split_at(line.len() - line.trim_start().len());
        let words: Vec<&str> = words.split("  ").map(str::trim).filter(|words| !words.is_empty()).collect();
        format!("{margin}{}\n", words.join("  "))
    };
    out.lines().map(line).collect()
}

/// How much of the beginning of a text is what the pattern says.
fn length(text: &str, pattern: &str) -> Option<usize> {
    let mut at = 0;
    for sign in pattern.chars() {
        let rest = &text[at..];
        let next = rest.chars().next()?;
        at += match sign {
            'x' => usize::from(next.is_ascii_hexdigit() && !next.is_ascii_uppercase()),
            '#' => usize::from(next.is_ascii_digit()),
            '*' => rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len(),
            '…' => rest.find(',')?,
            literal if literal == next => next.len_utf8(),
            _ => 0,
        };
        if at == text.len() - rest.len() {
            return None;
        }
    }
    let ends = !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric());
    ends.then_some(at)
}
