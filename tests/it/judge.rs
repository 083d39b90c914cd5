//! One judge: what an option or a setting promises holds in every command that shows it.

use std::path::Path;
use std::process::{Command, Output};

/// Commands that check recipes, with the arguments that they need beside the recipe.
const COMMANDS: [&[&str]; 7] = [
    &["check"],
    &["graph"],
    &["params"],
    &["expand", "-p", "a=1"],
    &["emit", "-p", "a=1"],
    &["run", "-p", "a=1"],
    &["test", "-p", "a=1"],
];

const RECIPE: &str = r#"{"1": {"queue": "imagse", "output": 2}, "2": {"queue": "sink"}, "start": [[1, []]]}"#;

/// The queues of the recipe but one, which is misspelt there.
const BROKER: &str = "policies: []\nexchanges: []\ngroups:\n- names: [images, sink]\n  vhost: zocalo\nbindings: []\n";

/// A project directory with these files.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("can be written");
    }
    folder
}

fn zrecipe(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.current_dir(folder).args(arguments).env_remove("ZOCALO_CONFIG").env("ZRECIPE_STATE", folder.join("state"));
    let output = command.output().expect("can be run");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

/// Runs each command on a recipe, with more options before it.
fn each(files: &[(&str, &str)], options: &[&str], recipe: &str, expect: impl Fn(&str, Option<i32>, &str)) {
    for command in COMMANDS {
        let folder = project(files);
        let mut arguments = options.to_vec();
        arguments.push(command[0]);
        arguments.push(recipe);
        arguments.extend(&command[1..]);
        let (output, text) = zrecipe(folder.path(), &arguments);
        expect(&arguments.join(" "), output.status.code(), &text);
    }
}

#[test]
fn a_broker_configuration_holds_in_every_command() {
    let shown = |command: &str, _: Option<i32>, text: &str| {
        assert!(text.contains("undeclared-queue"), "{command}:\n{text}");
    };
    each(&[("r.json", RECIPE), ("rabbit.yml", BROKER)], &["--broker", "rabbit.yml"], "r.json", shown);
    each(
        &[("r.json", RECIPE), ("rabbit.yml", BROKER), ("zrecipe.toml", "broker = [\"rabbit.yml\"]\n")],
        &[],
        "r.json",
        shown,
    );
}

#[test]
fn a_file_of_an_option_that_does_not_exist_is_an_error() {
    for option in ["--broker", "--site", "--recipe-dir"] {
        each(&[("r.json", RECIPE)], &[option, "/nonexistent/x.yml"], "r.json", |command, code, text| {
            assert_eq!(code, Some(2), "{command}:\n{text}");
            assert!(text.contains("/nonexistent/x.yml"), "{command}:\n{text}");
        });
    }
    for (setting, value) in
        [("broker", "[\"nonexistent.yml\"]"), ("site", "\"nonexistent.yml\""), ("baseline", "\"nonexistent.yml\"")]
    {
        let settings = format!("{setting} = {value}\n");
        each(&[("r.json", RECIPE), ("zrecipe.toml", &settings)], &[], "r.json", |command, code, text| {
            assert_eq!(code, Some(2), "{setting}: {command}:\n{text}");
            assert!(text.contains("nonexistent.yml"), "{setting}: {command}:\n{text}");
        });
    }
    each(
        &[("r.json", RECIPE), ("zrecipe.toml", "contracts = [\"none.json\"]\n")],
        &[],
        "r.json",
        |command, code, text| {
            assert_eq!(code, Some(2), "{command}:\n{text}");
            assert!(text.contains("none.json"), "{command}:\n{text}");
        },
    );
}

/// A file whose kind the settings set is of that kind for each command.
#[test]
fn the_kind_that_the_settings_set_holds_in_every_command() {
    let request = r#"{"recipes": ["example"], "parameters": {}}"#;
    let settings = "[[files]]\npaths = [\"t.json\"]\nkind = \"request\"\n";
    each(&[("t.json", request), ("zrecipe.toml", settings)], &[], "t.json", |command, code, text| {
        assert!(!text.contains("non-numeric-step"), "{command}:\n{text}");
        let is_check = command.starts_with("check");
        assert_eq!(code, Some(if is_check { 0 } else { 2 }), "{command}:\n{text}");
        assert!(is_check || text.contains("its kind is request"), "{command}:\n{text}");
    });
}

/// Levels: defaults, then settings, then overrides, then the command line.
#[test]
fn the_command_line_overrides_the_settings() {
    let recipe = r#"{"1": {"queue": "a", "topic": "b"}, "start": [[1, []]]}"#;
    let settings = "[rules]\ntwo-destinations = \"allow\"\nunused-parameter = \"allow\"\n";
    let folder = project(&[("r.json", recipe), ("zrecipe.toml", settings)]);
    let check = |more: &[&str]| {
        let arguments: Vec<&str> = ["check", "r.json", "-p", "zz=1"].iter().chain(more).copied().collect();
        zrecipe(folder.path(), &arguments)
    };
    let (output, text) = check(&[]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (output, text) = check(&["--deny", "two-destinations", "--deny", "unused-parameter"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for rule in ["two-destinations", "unused-parameter"] {
        assert!(text.contains(rule), "{rule} is missing:\n{text}");
    }
    let overrides =
        format!("{settings}[[overrides]]\npaths = [\"r.json\"]\nrules = {{ two-destinations = \"error\" }}\n");
    std::fs::write(folder.path().join("zrecipe.toml"), overrides).expect("can be written");
    let (output, text) = check(&[]);
    assert!(text.contains("two-destinations"), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (output, text) = check(&["--allow", "two-destinations"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
}

/// `go --deny` closes the gate in front of the broker, whatever the settings allow.
#[test]
fn go_stops_at_a_denied_rule() {
    let recipe = r#"{"1": {"queue": "a", "topic": "b"}, "start": [[1, []]]}"#;
    // A listening socket that never answers: reaching the broker would be a hang or an error, never exit code 1.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let site = format!(
        "version: 1\nenvironments: {{default: [broker]}}\nbroker: {{plugin: pika, host: 127.0.0.1, port: {port}, \
         username: guest, password: guest, vhost: /}}\n"
    );
    let settings = "[rules]\ntwo-destinations = \"allow\"\n";
    let folder = project(&[("r.json", recipe), ("zrecipe.toml", settings), ("site.yml", &site)]);
    let (output, text) =
        zrecipe(folder.path(), &["--site", "site.yml", "go", "-f", "r.json", "1", "--deny", "two-destinations"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("two-destinations"), "{text}");
}

/// What refuses a recipe is shown even when its rule is allowed.
#[test]
fn a_refusal_gives_its_reason() {
    let recipe = r#"{"1": {"queue": "some.{first}"}, "start": [[1, []]]}"#;
    let settings = "[rules]\nunresolved-destination = \"allow\"\n";
    for command in [&["expand"][..], &["emit"], &["emit", "--as", "request"], &["run"], &["test"]] {
        let folder = project(&[("r.json", recipe), ("zrecipe.toml", settings)]);
        let arguments: Vec<&str> = command.iter().copied().chain(["r.json", "-p", "name=x"]).collect();
        let (output, text) = zrecipe(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}:\n{text}");
        assert!(text.contains("unresolved-destination"), "{arguments:?} gives no reason:\n{text}");
    }
}

/// Known findings of the baseline are hidden in every command.
#[test]
fn the_baseline_holds_in_every_command() {
    let recipe = r#"{"1": {"queue": "a", "delay": 10}, "start": [[1, []]]}"#;
    for command in COMMANDS {
        let folder = project(&[("r.json", recipe)]);
        let (_, text) = zrecipe(folder.path(), &["check", "r.json"]);
        assert!(text.contains("misspelt-key"), "{text}");
        zrecipe(folder.path(), &["check", "r.json", "--write-baseline", "known.json"]);
        std::fs::write(folder.path().join("zrecipe.toml"), "baseline = \"known.json\"\n").expect("can be written");
        let arguments: Vec<&str> = [command[0], "r.json"].iter().chain(&command[1..]).copied().collect();
        let (_, text) = zrecipe(folder.path(), &arguments);
        assert!(!text.contains("misspelt-key"), "{arguments:?}:\n{text}");
    }
}
