//! `zrecipe init`: a directory with a recipe, a service and settings to start from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::{Error, Session, print};
use zrecipe_language::compile::structure;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::source::Source;
use zrecipe_project::project::{is_ours, walk};
use zrecipe_project::regular;

/// Create a recipe, a service with its contract, settings and a CI job to start from
///
/// The new files pass `zrecipe check`, `zrecipe test` and `zrecipe run`. In a directory that has recipes, `init` adds
/// only settings that name their directories, and the CI job. Existing files are never changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory, which is created if needed.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// CI system to add a job for; defaults to GitHub if the directory has `.github`, otherwise GitLab.
    #[arg(long, value_name = "SYSTEM", value_parser = ["gitlab", "github", "none"])]
    ci: Option<String>,
}

/// The files of a new project: path and content.
const STARTER: [(&str, &str); 4] = [
    ("zrecipe.toml", include_str!("init/zrecipe.toml")),
    ("recipes/lines.json", include_str!("init/lines.json")),
    ("services/count_lines.json", include_str!("init/count_lines.json")),
    ("services/count_lines.py", include_str!("init/count_lines.py")),
];

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| cannot("create", directory, &error))?;
    let recipes = recipe_directories(directory, session)?;
    let mut files: Vec<(&str, String)> = Vec::new();
    if recipes.is_empty() {
        files.extend(STARTER.map(|(path, text)| (path, text.to_owned())));
    } else {
        let names = recipes.iter().map(|name| toml_string(name)).collect::<Vec<_>>().join(", ");
        let text = STARTER[0].1.lines().take(2).collect::<Vec<_>>().join("\n");
        files.push((STARTER[0].0, format!("{text}\nrecipe-directories = [{names}]\n")));
    }
    files.extend(ci_file(args));
    let (mut created, mut kept) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let path = directory.join(name);
        if create(&path, &text)? { created.push(path) } else { kept.push(path) }
    }
    let mut lines = String::new();
    created.iter().for_each(|path| lines.push_str(&format!("created {}\n", shown(path))));
    kept.iter().for_each(|path| lines.push_str(&format!("kept {}\n", shown(path))));
    lines.push_str("\nnext:\n");
    if directory != Path::new(".") {
        lines.push_str(&format!("  cd {}\n", directory.display()));
    }
    lines.push_str("  zrecipe check\n");
    if recipes.is_empty() {
        lines.push_str(
            "  zrecipe test lines -p file=zrecipe.toml -p results=out.jsonl\n  zrecipe run lines -p file=$PWD/zrecipe.toml -p \
             results=$PWD/out.jsonl\n",
        );
    } else {
        lines.push_str("  zrecipe check --write-baseline baseline.json    # to accept existing findings\n");
    }
    print(&lines)
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(".").unwrap_or(path).display()
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
        _ => error.to_string(),
    };
    Error::new(format!("cannot {verb} {}: {reason}", path.display())).hint("name another directory: `zrecipe init DIR`")
}

/// Writes a new file; false if there is one.
fn create(path: &Path, text: &str) -> Result<bool, Error> {
    use io::Write as _;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| cannot("create", parent, &error))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true).map_err(|error| cannot("write", path, &error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(cannot("write", path, &error)),
    }
}

/// The directories of the recipes below a directory, relative to it; those below another one are left out.
fn recipe_directories(directory: &Path, session: &Session) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = Vec::new();
    let is_named = |path: &Path| session.kind_of(path).is_some();
    for path in walk(directory, &session.settings.selection, is_named).files {
        let Ok(bytes) = regular::read_all(&path) else { continue };
        let compilation = structure(std::sync::Arc::new(Source::from_bytes(path.to_string_lossy(), bytes)), None);
        if compilation.document.kind() != DocumentKind::Recipe || !is_ours(&compilation) {
            continue;
        }
        let inner = path.parent().and_then(|parent| parent.strip_prefix(directory).ok());
        let name = inner.map_or_else(String::new, |inner| inner.to_string_lossy().into_owned());
        let name = if name.is_empty() { ".".to_owned() } else { name };
        let is_covered = |known: &String| known == "." || Path::new(&name).starts_with(known);
        if !found.iter().any(is_covered) {
            found.push(name);
        }
    }
    Ok(found)
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ci_file(args: &Args) -> Option<(&'static str, String)> {
    let has_github = args.directory.join(".github").is_dir();
    let (path, text) = match args.ci.as_deref() {
        Some("none") => return None,
        Some("github") => (".github/workflows/recipes.yml", include_str!("init/github.yml")),
        None if has_github => (".github/workflows/recipes.yml", include_str!("init/github.yml")),
        _ => (".gitlab-ci.yml", include_str!("init/gitlab.yml")),
    };
    Some((path, text.replace("VERSION", env!("CARGO_PKG_VERSION"))))
}
