//! The plug-in for upstream's own tests of services; `tests/interop/upstream/run` runs those against the bridge.

use std::path::PathBuf;
use std::process::Command;

use crate::python::{directory_of_scripts, program};

#[test]
fn the_plug_in_passes_its_tests() {
    let directory = directory_of_scripts().join("upstream");
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python");
    let paths = std::env::join_paths([package, directory.clone()]).expect("paths");
    let mut command = Command::new(program("python"));
    command.args(["-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", "own"]).current_dir(&directory);
    let done = command.env("PYTHONPATH", paths).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("Python starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
