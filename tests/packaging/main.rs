//! What users install and include: the wheel, the container image, hooks and templates of CI systems.
//! `tests/packaging/setup` installs what is needed. Nothing here compiles the program again.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod image;
mod jobs;
mod layout;
mod project;
mod wheel;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_zrecipe");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or directory that `setup` made.
fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    assert!(path.exists(), "{} is missing: run tests/packaging/setup", path.display());
    path
}

/// A tool of the Python environment.
fn tool(name: &str) -> PathBuf {
    installed("packaging-python").join("bin").join(name)
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A command with nothing of the user's configuration, in a directory that is its home, without the network for pip.
fn command(program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", directory).env("LANG", "C.UTF-8").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command.env("PIP_NO_INDEX", "1").env("PIP_NO_CACHE_DIR", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.org");
    }
    command
}

/// `PATH` with a directory before the others.
fn path_with(directory: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(directories).expect("no directory holds a colon")
}

fn output(mut command: Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/packaging/setup installs it"))
}

/// Runs a command that must succeed. Returns its standard output.
fn succeed(command: Command) -> String {
    let described = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{described}\n{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard output and error.
fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("the directory can be made");
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A YAML file of the repository, as PyYAML reads it.
fn yaml(path: &str) -> Value {
    let mut python = command(tool("python"), root());
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    python.args(["-c", script, path]);
    json(&succeed(python))
}

/// The version in Cargo.toml.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The program, wrapped into a wheel, beside the packages that installing needs: what `PIP_FIND_LINKS` names.
struct Packages {
    directory: TempDir,
    wheel: PathBuf,
}

impl Packages {
    fn new() -> Self {
        let directory = scratch();
        let mut wrap = command(tool("python"), directory.path());
        // maturin asks cargo about the project.
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            wrap.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        wrap.arg(root().join("ci/wrap_wheel.py")).arg(PROGRAM).arg(directory.path());
        let wheel = PathBuf::from(succeed(wrap).trim_end());
        for entry in std::fs::read_dir(installed("packaging-wheels")).expect("setup made it") {
            let path = entry.expect("can be read").path();
            std::fs::copy(&path, directory.path().join(path.file_name().expect("is a file"))).expect("can be copied");
        }
        Self { directory, wheel }
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}
