//! Files of a git revision, read by the program `git`.
//!
//! The working tree, the index and the repository stay as they are: files of the revision are written into a temporary
//! directory, which is deleted with its [`Checkout`].

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::paths::plain;
use crate::platform::path_from_bytes;

/// The files of a revision that can matter.
pub struct Checkout {
    directory: tempfile::TempDir,
    /// The top level of the working tree.
    top: PathBuf,
    /// The revision as it was given.
    revision: String,
    /// The commit that it names.
    commit: String,
}

/// Why the files of a revision are not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Git cannot be started.
    #[error("cannot start `git`: {0}")]
    NoGit(io::Error),
    /// The directory is not in a repository.
    #[error("{} is not in a git repository", .0.display())]
    NoRepository(PathBuf),
    /// Nothing has this name.
    #[error("`{0}` is neither a path nor a git revision")]
    NoRevision(String),
    /// A file of the revision is not in the clone.
    #[error("git has no content of `{path}` in `{revision}`")]
    NoContent {
        /// The file.
        path: String,
        /// The revision.
        revision: String,
    },
    /// Git failed in another way.
    #[error("`git {command}` failed: {reason}")]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// What git printed.
        reason: String,
    },
    /// The temporary directory cannot be written.
    #[error("cannot write the files of `{revision}`: {source}")]
    Unwritable {
        /// The revision.
        revision: String,
        /// Why.
        source: io::Error,
    },
}

/// The largest file that is taken: bytes.
const MAX_BYTES: u64 = 64 << 20;

impl Checkout {
    /// The files of a revision of the repository that `here` is in. Of each file `is_wanted` decides by its path in
    /// the working tree.
    ///
    /// # Errors
    /// Git or the revision is not there, or its files cannot be read.
    pub fn new(here: &Path, revision: &str, is_wanted: &dyn Fn(&Path) -> bool) -> Result<Self, Error> {
        let (top, commit) = resolve(here, revision)?;
        Self::of(top, revision, commit, is_wanted)
    }

    /// The same of the common ancestor of a revision with `HEAD`, if they have one: what changed on the branch of the
    /// revision since then is not there.
    ///
    /// # Errors
    /// See [`Checkout::new`].
    pub fn at_base(here: &Path, revision: &str, is_wanted: &dyn Fn(&Path) -> bool) -> Result<Self, Error> {
        let (top, commit) = resolve(here, revision)?;
        let base = git(&top, "merge-base", &[&commit, "HEAD"])?.ok();
        let base = base.map(|base| String::from_utf8_lossy(trimmed(&base)).into_owned());
        Self::of(top, revision, base.unwrap_or(commit), is_wanted)
    }

    fn of(top: PathBuf, revision: &str, commit: String, is_wanted: &dyn Fn(&Path) -> bool) -> Result<Self, Error> {
        let unwritable = |source| Error::Unwritable { revision: revision.to_owned(), source };
        let directory = tempfile::Builder::new().prefix("zrecipe-").tempdir().map_err(unwritable)?;
        let checkout = Self { directory, top, revision: revision.to_owned(), commit };
        checkout.fill(is_wanted)?;
        Ok(checkout)
    }

    /// The commit, as git abbreviates it.
    pub fn commit(&self) -> &str {
        self.commit.get(..10).unwrap_or(&self.commit)
    }

    /// The top level of the working tree.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The directory that stands for the top level of the working tree.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The place in the revision of a path in the working tree; nothing for one outside of it.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path);
        let below = path.strip_prefix(&self.top).ok().map(Path::to_owned);
        // The working tree may be reached by a link.
        let below = below.or_else(|| {
            let real =
                path.ancestors().find_map(|part| Some((part.canonicalize().ok()?, path.strip_prefix(part).ok()?)));
            let (real, rest) = real?;
            Some(real.join(rest).strip_prefix(self.top.canonicalize().ok()?).ok()?.to_owned())
        })?;
        Some(self.directory.path().join(below))
    }

    fn fill(&self, is_wanted: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
        let listed = git(&self.top, "ls-tree", &["-r", "-z", "--long", "--full-tree", &self.commit])?;
        let listed = listed.map_err(|reason| Error::Failed { command: "ls-tree", reason })?;
        let entries = listed.split(|&byte| byte == 0).filter_map(Entry::read);
        let entries: Vec<Entry<'_>> = entries.filter(|entry| is_wanted(&self.top.join(&entry.path))).collect();
        let mut child = command(&self.top, "cat-file", &["--batch"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.as_mut().map_err(|error| Error::NoGit(io::Error::new(error.kind(), error.to_string())))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else { return Ok(()) };
        let filled = std::thread::scope(|scope| {
            // Git answers while it is asked: with one thread both sides could wait.
            scope.spawn(|| {
                let _ = entries.iter().try_for_each(|entry| writeln!(input, "{}", entry.object));
                drop(input);
            });
            self.write_all(&entries, &mut BufReader::new(output))
        });
        let _ = child.wait();
        filled
    }

    fn write_all(&self, entries: &[Entry<'_>], output: &mut impl BufRead) -> Result<(), Error> {
        let unwritable = |source| Error::Unwritable { revision: self.revision.clone(), source };
        for entry in entries {
            let mut header = String::new();
            output.read_line(&mut header).map_err(unwritable)?;
            let size = header.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
            let Some(size) = size else {
                let path = entry.path.to_string_lossy().into_owned();
                return Err(Error::NoContent { path, revision: self.revision.clone() });
            };
            let path = self.directory.path().join(&entry.path);
            let folder = path.parent().unwrap_or(self.directory.path());
            std::fs::create_dir_all(folder).map_err(unwritable)?;
            let mut file = std::fs::File::create(&path).map_err(unwritable)?;
            io::copy(&mut Read::by_ref(output).take(size), &mut file).map_err(unwritable)?;
            output.read_line(&mut String::new()).map_err(unwritable)?;
        }
        Ok(())
    }
}

/// The top level of the working tree that a path is in, and the commit that a revision names.
fn resolve(here: &Path, revision: &str) -> Result<(PathBuf, String), Error> {
    let here = plain(here);
    let here = if here.is_dir() { here } else { here.parent().unwrap_or(&here).to_owned() };
    let top = git(&here, "rev-parse", &["--show-toplevel"])?.map_err(|reason| no_repository(&here, reason))?;
    let top = path_from_bytes(trimmed(&top).to_vec()).unwrap_or_default();
    // It would be an option.
    if revision.is_empty() || revision.starts_with('-') {
        return Err(Error::NoRevision(revision.to_owned()));
    }
    let name = format!("{revision}^{{commit}}");
    let commit = git(&here, "rev-parse", &["--verify", "--quiet", &name])?;
    let commit = commit.map_err(|_| Error::NoRevision(revision.to_owned()))?;
    Ok((top, String::from_utf8_lossy(trimmed(&commit)).into_owned()))
}

/// A file of a revision.
struct Entry<'l> {
    object: &'l str,
    path: PathBuf,
}

impl<'l> Entry<'l> {
    /// Reads `100644 blob 0123…  42\tpath`. Links, submodules, large files and paths that leave the tree are skipped.
    fn read(line: &'l [u8]) -> Option<Self> {
        let tab = line.iter().position(|&byte| byte == b'\t')?;
        let mut words = std::str::from_utf8(&line[..tab]).ok()?.split_ascii_whitespace();
        let (mode, kind, object, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let path = path_from_bytes(line[tab + 1..].to_vec())?;
        let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
        let is_small = size.parse::<u64>().is_ok_and(|size| size <= MAX_BYTES);
        (kind == "blob" && mode != "120000" && is_small && is_below).then_some(Self { object, path })
    }
}

fn command(here: &Path, subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(here).arg(subcommand).args(arguments);
    // Messages in English, and no lock that a commit could meet.
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null());
    command
}

/// Runs git; the inner error is what it printed.
fn git(here: &Path, subcommand: &str, arguments: &[&str]) -> Result<Result<Vec<u8>, String>, Error> {
    let output = command(here, subcommand, arguments).output().map_err(Error::NoGit)?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(said.trim().trim_start_matches("fatal: ").to_owned()))
}

fn no_repository(here: &Path, reason: String) -> Error {
    match reason.contains("not a git repository") {
        true => Error::NoRepository(here.to_owned()),
        // A repository of another user, for example.
        false => Error::Failed { command: "rev-parse", reason },
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(here: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(here).args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]);
        let output = command.args(arguments).output().expect("git is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn files_of_a_revision_are_those_that_were_committed() {
        let place = tempfile::tempdir().expect("a directory");
        let top = place.path();
        run(top, &["init", "--quiet"]);
        std::fs::create_dir(top.join("a dir")).expect("a directory");
        std::fs::write(top.join("a dir/r.json"), "{\"1\": 1}\n").expect("is written");
        std::fs::write(top.join("empty.json"), "").expect("is written");
        std::fs::write(top.join("large.bin"), "x").expect("is written");
        let linked = Command::new("ln").args(["-s", "/etc/passwd"]).arg(top.join("link.json")).status();
        assert!(linked.expect("can be run").success());
        run(top, &["add", "."]);
        run(top, &["commit", "--quiet", "-m", "one"]);
        std::fs::write(top.join("a dir/r.json"), "{}").expect("is written");
        let is_wanted = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
        let checkout = Checkout::new(&top.join("a dir"), "HEAD", &is_wanted).expect("is a revision");
        let read = |path: &str| std::fs::read_to_string(checkout.inside(&top.join(path)).expect("is inside")).ok();
        assert_eq!(read("a dir/r.json").as_deref(), Some("{\"1\": 1}\n"));
        assert_eq!(read("empty.json").as_deref(), Some(""));
        assert_eq!((read("large.bin"), read("link.json")), (None, None));
        assert_eq!(checkout.inside(Path::new("/etc/passwd")), None);
        let error = |revision| Checkout::new(top, revision, &is_wanted).err().map(|error| error.to_string());
        let unknown = "`HEAD~5` is neither a path nor a git revision";
        assert_eq!(error("HEAD~5").as_deref(), Some(unknown));
        assert_eq!(error("--help").as_deref(), Some("`--help` is neither a path nor a git revision"));
        let outside = tempfile::tempdir().expect("a directory");
        let error = Checkout::new(outside.path(), "HEAD", &is_wanted).err().map(|error| error.to_string());
        assert_eq!(error, Some(format!("{} is not in a git repository", outside.path().display())));
    }
}
