//! What only the program itself can show: pipes, colours, and that every command has its cases in `tests/cli`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zrecipe::cli::commands::COMMANDS;

use crate::wait::wait_until;

fn zrecipe(args: &[&str], place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(args).current_dir(place).env_clear().env("COLUMNS", "100");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null());
    command
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("can be made")
}

/// A name of a folder below `tests/cli`, and the folders in it.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("can be read").path()).collect();
    folders.sort();
    folders
}

/// Cases of no command in particular are in `tests/cli/zrecipe`.
#[test]
fn every_command_has_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut wrong = Vec::new();
    for command in COMMANDS {
        if !root.join(command).join("help/args").is_file() {
            wrong.push(format!(
                "`{command}` has no case: add tests/cli/{command}/help/args with `{command}` and `--help`"
            ));
        }
    }
    for folder in folders(&root) {
        let command = folder.file_name().and_then(|name| name.to_str()).expect("is UTF-8");
        if command != "zrecipe" && !COMMANDS.contains(&command) {
            wrong.push(format!("tests/cli/{command} is the folder of no command: rename or remove it"));
        }
        for case in folders(&folder).iter().filter(|case| !case.join("args").is_file()) {
            wrong.push(format!("{} has no `args`: it is never run", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the environment gives need not be given again, and what is wrong with it is told all the same.
#[test]
fn how_to_use_a_command_does_not_depend_on_the_environment() {
    let place = place();
    for args in [&["run"][..], &["service"], &["wrap"], &["run", "--jobs", "1", "-e", "x", "a"], &["dlq", "nonsense"]] {
        let said = |command: &mut Command| {
            let output = command.output().expect("can be run");
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            String::from_utf8(output.stderr).expect("is UTF-8")
        };
        let bare = said(&mut zrecipe(args, place.path()));
        let given = said(zrecipe(args, place.path()).env("ZOCALO_CONFIG", "site.yml").env("ZRECIPE_STATE", "state"));
        assert!(bare.contains("\nUsage: zrecipe ") && !bare.contains("--site"), "{bare}");
        assert_eq!(given, bare);
    }
    let output = zrecipe(&["runs"], place.path()).env("ZRECIPE_STATE", "").output().expect("can be run");
    let said = String::from_utf8(output.stderr).expect("is UTF-8");
    assert!(output.status.code() == Some(2) && said.contains("--state <DIR>"), "{said}");
    let output = zrecipe(&["runs", "--help"], place.path()).env("ZRECIPE_STATE", "/here").output().expect("can be run");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ZRECIPE_STATE=/here]"));
}

/// A result that cannot be written is an error that says so.
#[test]
fn a_full_disk_is_an_error() {
    let place = place();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("can be opened");
    let output = zrecipe(&["emit", "example", "-p", "workingdir=."], place.path()).stdout(full).output();
    let output = output.expect("can be run");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot write to standard output: No space"));
}

/// Nobody who pipes into `head` wants to read about it.
#[test]
fn a_closed_pipe_is_no_error() {
    let place = place();
    // More than a pipe holds, so that the program is still writing when the reader goes.
    let step = |n: usize| format!("\"{n}\": {{ \"queue\": \"q\", \"{}\": {{}} }}", "outptu");
    let steps: Vec<String> = (1..4000).map(step).collect();
    let recipe = format!("{{ {}, \"start\": [[1, []]] }}", steps.join(",\n"));
    std::fs::write(place.path().join("large.json"), recipe).expect("can be written");
    let commands: [&[&str]; 6] = [
        &["check", "large.json"],
        &["check", "--format", "concise", "large.json"],
        &["check", "--format", "json", "large.json"],
        &["graph", "large.json"],
        &["explain"],
        &["--help"],
    ];
    for args in commands {
        let mut child = zrecipe(args, place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
        let large = args.contains(&"large.json") && args[0] != "graph";
        if large {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("has a line");
            assert!(!line.is_empty(), "{args:?} prints something");
        }
        drop(stdout);
        let output = child.wait_with_output().expect("ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("pipe") && !stderr.contains("panicked"), "{args:?}: {stderr}");
        let expected: &[i32] = if large { &[0] } else { &[0, 1] };
        assert!(output.status.code().is_some_and(|code| expected.contains(&code)), "{args:?}: {}", output.status);
    }
}

/// Escape codes only where they are asked for: there is no terminal in a test.
#[test]
fn colour_only_when_asked_for() {
    let place = place();
    std::fs::write(place.path().join("bad.json"), "{ \"1\": {}, \"start\": [[2, []]] }").expect("can be written");
    let escapes = |args: &[&str], variable: Option<(&str, &str)>| {
        let output = zrecipe(args, place.path()).envs(variable).output().expect("the program can be run");
        assert_eq!(output.status.code(), Some(i32::from(args[0] == "check")), "{args:?}");
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    for command in ["check", "graph"] {
        assert!(!escapes(&[command, "bad.json"], None), "{command}");
        assert!(!escapes(&[command, "bad.json", "--color", "never"], Some(("CLICOLOR_FORCE", "1"))), "{command}");
        assert!(!escapes(&[command, "bad.json"], Some(("NO_COLOR", "1"))), "{command}");
    }
    for format in ["human", "concise"] {
        assert!(!escapes(&["check", "bad.json", "--format", format], None), "{format}");
    }
    // Asked for on the command line, which is nearer than the environment.
    assert!(escapes(&["check", "bad.json", "--color", "always"], Some(("NO_COLOR", "1"))));
    // A format for programs has no use for them.
    assert!(!escapes(&["check", "bad.json", "--color", "always", "--format", "json"], None));
}

/// Without a home there is no place for runs, unless one is named.
#[test]
fn a_state_directory_is_needed_and_can_be_named() {
    let place = place();
    let outcome = |args: &[&str], variable: Option<(&str, &Path)>| {
        let output = zrecipe(args, place.path()).envs(variable).output().expect("the program can be run");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    let home = place.path().join("home");
    std::fs::create_dir(&home).expect("can be made");
    let (code, stderr) = outcome(&["runs"], Some(("HOME", &home)));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(home.join(".local/state/zrecipe").is_dir(), "the usual place for state is used");
    let named = place.path().join("named");
    for (args, variable) in
        [(&["runs", "--state", "named"][..], None), (&["runs"][..], Some(("ZRECIPE_STATE", named.as_path())))]
    {
        let (code, stderr) = outcome(args, variable);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        assert!(named.is_dir(), "{args:?}");
        std::fs::remove_dir_all(&named).expect("can be removed");
    }
    std::fs::write(place.path().join("zrecipe.toml"), "state-directory = \"named\"\n").expect("can be written");
    let (code, stderr) = outcome(&["runs"], None);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(named.is_dir(), "the settings name it");
}

/// Reads what a program prints until it has printed `what`.
fn wait_for(output: &mut impl std::io::Read, what: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.contains(what) {
        assert!(output.read(&mut byte).is_ok_and(|read| read == 1), "never printed: {what}\n{text}");
        text.push(char::from(byte[0]));
    }
    text
}

/// Waits until a change of the file is sure to be seen in its times, whatever steps its file system counts in.
fn settle(file: &Path) {
    let age = || file.metadata().and_then(|found| found.modified()).ok()?.elapsed().ok();
    wait_until("the file is old enough", || age().is_some_and(|age| age >= std::time::Duration::from_secs(4)));
}

#[test]
fn watched_files_are_checked_again_when_they_change() {
    const GOOD: &str = r#"{"1": {"queue": "q"}, "start": [[1, []]]}"#;
    const BAD: &str = r#"{"1": {"queue": "q", "output": 7}, "start": [[1, []]]}"#;
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str| place.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(file(name), text).expect("writes");
    // As editors do.
    let replace = |name: &str, text: &str| {
        write(".new", text);
        std::fs::rename(file(".new"), file(name)).expect("can be renamed");
    };
    std::fs::create_dir(file("recipes")).expect("can be made");
    write("recipes/a.json", GOOD);
    write("recipes/b.json", BAD);
    settle(&file("recipes/b.json"));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_zrecipe"))
        .args(["check", "--watch", "--format", "human", "recipes", "single.json"])
        .current_dir(place.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdout = child.stdout.take().expect("is piped");
    let mut stderr = child.stderr.take().expect("is piped");
    let mut round = || {
        let said = wait_for(&mut stderr, "watching for changes");
        (wait_for(&mut stdout, "checked ") + &wait_for(&mut stdout, "\n"), said)
    };
    let places =
        |shown: &str| ["recipes/a.json:1:", "recipes/b.json:1:", "single.json:1:"].map(|place| shown.contains(place));
    // One of the files is not there yet.
    let (shown, said) = round();
    assert!(said.contains("cannot read single.json"), "{said}");
    assert_eq!(places(&shown), [false, true, false], "{shown}");
    type Row<'r> = (&'r dyn Fn(), [bool; 3], &'r str);
    let rows: [Row<'_>; 7] = [
        (&|| write("recipes/a.json", BAD), [true, true, false], "2 errors"),
        (&|| replace("recipes/a.json", GOOD), [false, true, false], "1 error"),
        (&|| replace("single.json", BAD), [false, true, true], "2 errors"),
        (&|| std::fs::remove_file(file("recipes/b.json")).expect("can be removed"), [false, false, true], "1 error"),
        (&|| replace("zrecipe.toml", "[rules]\nunknown-step = \"allow\"\n"), [false, false, false], "nothing found"),
        (&|| replace("recipes/b.json", BAD), [false, false, false], "nothing found"),
        (&|| std::fs::remove_file(file("zrecipe.toml")).expect("can be removed"), [false, true, true], "2 errors"),
    ];
    for (number, (change, expected, summary)) in rows.into_iter().enumerate() {
        change();
        // A change can be seen in two parts.
        let seen = std::iter::repeat_with(&mut round)
            .take(4)
            .find(|(shown, _)| places(shown) == expected && shown.contains(summary));
        assert!(seen.is_some(), "change {number} has not led to what it should");
    }
    child.kill().expect("can be killed");
    child.wait().expect("has ended");
}
