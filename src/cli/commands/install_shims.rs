//! `zrecipe install-shims`: programs with the names of the Python commands.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::shims::{SHIMS, Shim, WORD, find};
use crate::cli::table::align;
use crate::cli::{Error, Session, print, say};
use zrecipe_language::diagnostic::{counted, nearest};
use zrecipe_project::durable::NewFile;
use zrecipe_project::regular;

/// Install programs with the names and options of the Python commands
///
/// Each program is a shell script that runs a command of zrecipe: `zocalo.go` runs `zrecipe go`. Put the directory
/// before that of the Python commands in PATH, and scripts of a site use zrecipe without a change. `NAME --help` prints
/// the options of a program and what differs from the Python command. To go back, remove the files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the programs; it is created if it does not exist.
    #[arg(value_name = "DIR", required_unless_present = "list")]
    directory: Option<PathBuf>,
    /// Python commands; defaults to all of them.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Replace files that are not shims, such as the Python commands themselves.
    #[arg(long)]
    force: bool,
    /// Print the Python commands and the commands that run instead, without installing anything.
    #[arg(long, conflicts_with_all = ["directory", "names", "force"])]
    list: bool,
}

/// The second line of a shim, by which it is recognised.
const MARK: &str = "# Shim of zrecipe, written by `zrecipe install-shims`.";

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, _: &Session) -> Result<(), Error> {
    let Some(directory) = args.directory.as_deref().filter(|_| !args.list) else {
        let row = |shim: &Shim| [shim.name.to_owned(), format!("zrecipe {}", shim.command.join(" "))];
        return print(&align(&SHIMS.iter().map(row).collect::<Vec<_>>()));
    };
    let shims = chosen(&args.names)?;
    let cannot = |path: &Path, error: io::Error| Error::new(format!("cannot write {}: {error}", path.display()));
    std::fs::create_dir_all(directory).map_err(|error| cannot(directory, error))?;
    let program = std::env::current_exe().map_err(|error| Error::new(format!("cannot find this program: {error}")))?;
    let program = program.to_str().ok_or_else(|| {
        Error::new(format!("the path of this program is not UTF-8: {}", program.display()))
            .hint("install zrecipe in another directory")
    })?;
    let files: Vec<(PathBuf, &Shim)> = shims.iter().map(|shim| (directory.join(shim.name), *shim)).collect();
    let others: Vec<String> =
        files.iter().filter(|(path, _)| !may_replace(path)).map(|(path, _)| path.display().to_string()).collect();
    if !others.is_empty() && !args.force {
        return Err(Error::new(format!("not a shim of zrecipe: `{}`", others.join("`, `")))
            .hint("choose another directory, or use `--force` to replace these files"));
    }
    for (path, shim) in &files {
        let write = || {
            let mut new = NewFile::program(path)?;
            new.write_all(script(program, shim.name).as_bytes())?;
            new.replace()
        };
        write().map_err(|error| cannot(path, error))?;
        print(&format!("{}\n", path.display()))?;
    }
    say(&format!("installed {}", counted(files.len(), "shim")));
    if !is_in_path(directory) {
        say(&format!("note: {} is not in PATH", directory.display()));
    }
    Ok(())
}

/// The shims of these names.
fn chosen(names: &[String]) -> Result<Vec<&'static Shim>, Error> {
    if names.is_empty() {
        return Ok(SHIMS.iter().collect());
    }
    let shim = |name: &String| {
        find(name).ok_or_else(|| {
            let error = Error::new(format!("there is no shim `{name}`"));
            match nearest(name, SHIMS.iter().map(|shim| shim.name)) {
                Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                None => error.hint("`zrecipe install-shims --list` lists them"),
            }
        })
    };
    names.iter().map(shim).collect()
}

/// Whether there is nothing at this path, or a shim.
fn may_replace(path: &Path) -> bool {
    match path.symlink_metadata() {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        // What a link leads to may belong to somebody else.
        Ok(found) if found.is_symlink() => false,
        Ok(_) => {
            regular::read_all(path).is_ok_and(|text| text.split(|byte| *byte == b'\n').nth(1) == Some(MARK.as_bytes()))
        }
    }
}

/// The script of a shim. The program may have moved since it was written; then the one in PATH runs.
fn script(program: &str, name: &str) -> String {
    let quoted = program.replace('\'', r"'\''");
    format!(
        "#!/bin/sh\n{MARK}\nprogram='{quoted}'\n[ -x \"$program\" ] || program=zrecipe\nexec \"$program\" {WORD} {name} \
         \"$@\"\n"
    )
}

fn is_in_path(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|known| known.canonicalize().is_ok_and(|known| known == directory))
}
