//! What is secret is never shown: every command and every report, over documents with secrets in all places.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::source::Source;

/// The secret. Of a part of it the rest could be guessed, so that no part of it is shown either.
const CANARY: &str = "kanarienvogel";
/// The same, as a number.
const NUMBER: &str = "8675309421";

/// Documents, and something that a report must say about each, so that there is something to leak.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "right.yml",
        "version: 1\nrabbit: {plugin: pika, password: CANARY, mode: 0755}\nenvironments: {default: [rabbit]}\n",
        "0755",
    ),
    ("colon.yml", "version: 1\nrabbit:\n  plugin: pika\n  password: CANARY: bad\n", "malformed-yaml"),
    ("quote.yml", "version: 1\nrabbit:\n  plugin: pika\n  password: \"CANARY\n  host: x\n", "malformed-yaml"),
    ("tag.yml", "version: 1\nrabbit: {plugin: pika, password: !!int CANARY}\n", "malformed-yaml"),
    (
        "anchor.yml",
        "version: 1\nrabbit: {plugin: pika, password: &p CANARY}\nother: {plugin: x, password: &p CANARY}\n",
        "malformed-yaml",
    ),
    ("block.yml", "version: 1\nrabbit:\n  plugin: pika\n  password: |\n    CANARY\n  host: [a\n", "malformed-yaml"),
    ("alias.yml", "version: 1\nrabbit: {plugin: pika, password: *CANARY}\n", "malformed-yaml"),
    (
        "type.yml",
        "version: 1\nrabbit: {plugin: pika, host: h, port: 1, username: u, vhost: v, password: NUMBER, mode: 0755}\n",
        "0755",
    ),
    ("url.yml", "version: 1\napi: {plugin: rabbitmqapi, base_url: 'http://me:CANARY@host/', timeout: 1_0}\n", "1_0"),
    ("octal.yml", "version: 1\nrabbit: {plugin: stomp, password: 0NUMBER, x: 0755}\n", "0755"),
    (
        "digits.yml",
        "version: 1\nrabbit: {plugin: pika, password: 0b1000000101000101101011011101101101, mode: 0755}\n",
        "0755",
    ),
    (
        "names.yml",
        "a: {plugin: x, pasword: CANARY, passwrod: CANARY, passcode: CANARY, pwd: CANARY, rabbit_pass: CANARY, x: 012}\n",
        "012",
    ),
    (
        "label.json",
        "{\"1\": {\"queue\": \"amqp://me:CANARY@host\"}, \"2\": {\"queue\": \"a\"},\n \"start\": [[2, []]]}",
        "unreferenced-step",
    ),
    (
        "start.json",
        "{\"1\": {\"queue\": \"a\", \"outptu\": 2},\n \"start\": [[1, {\"token\": \"CANARY\"}], [1, \"https://me:CANARY@host\"]]}",
        "misspelt-key",
    ),
    (
        "address.yml",
        "version: 1\nrabbit: {plugin: pika, host: 'amqp://me:CANARY@host', port: 1, username: u, password: CANARY, vhost: v, mode: 0755}\nenvironments: {default: [rabbit]}\n",
        "0755",
    ),
    (
        "nobody.yml",
        "version: 1\nrabbit: {plugin: pika, host: localhost, port: 1, username: u, password: CANARY, vhost: v, mode: 0755}\nenvironments: {default: [rabbit]}\n",
        "0755",
    ),
    ("plugin.yml", "plugin: pika\npassword: CANARY\nport: 0755\n", "0755"),
    ("twice.yml", "plugin: pika\npassword: CANARY\npassword: CANARY2\n", "duplicate-key"),
    (
        "broker.yml",
        "vhosts: [{name: z}]\ngroups:\n- names: [a]\n  settings: {mode: 012, uri: 'amqp://me:CANARY@host'}\n",
        "012",
    ),
    (
        "plan.yml",
        "policies: [{name: p, vhost: z, pattern: ^zz, definition: {uri: 'amqp://me:CANARY@host', token: CANARY}}]\nexchanges: []\ngroups: []\n",
        "unmatched-policy",
    ),
    (
        "recipe.json",
        "{\"1\": {\"queue\": \"a\", \"topic\": \"b\", \"parameters\": {\"password\": \"CANARY\", \"url\": \"amqp://me:CANARY@host/\", \"password\": \"CANARY\"}}, \"start\": [[1, []]]}",
        "duplicate-key",
    ),
    (
        "comma.json",
        "{\"1\": {\"queue\": \"a\", \"parameters\": {\"password\": \"CANARY\" \"x\": 1}}, \"start\": [[1, []]]}",
        "syntax-error",
    ),
    (
        "open.json",
        "{\"1\": {\"queue\": \"a\", \"parameters\": {\"password\": \"CANARY\n}}, \"start\": [[1, []]]}",
        "syntax-error",
    ),
    (
        "word.json",
        "{\"1\": {\"queue\": \"a\", \"parameters\": {\"token\": CANARY}}, \"start\": [[1, []]]}",
        "syntax-error",
    ),
    (
        "brace.json",
        "{\"1\": {\"queue\": \"a\", \"parameters\": {\"secret\": \"CANARY{\"}}, \"start\": [[1, []]]}",
        "malformed-placeholder",
    ),
    (
        "recipe.yml",
        "1: {queue: a, topic: b, parameters: {password: CANARY, url: 'amqp://me:CANARY@host/'}}\nstart: [[1, []]]\n",
        "two-destinations",
    ),
];

fn zrecipe(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_zrecipe"))
        .args(arguments)
        .current_dir(place)
        .env_clear()
        .env("ZRECIPE_STATE", place.join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn no_secret_is_ever_shown() {
    let place = tempfile::tempdir().expect("a directory");
    let mut leaks = Vec::new();
    for (name, text, _) in DOCUMENTS {
        std::fs::write(place.path().join(name), text.replace("CANARY", CANARY).replace("NUMBER", NUMBER))
            .expect("writes");
    }
    let formats = ["human", "concise", "json", "sarif", "github", "gitlab", "junit"];
    let mut commands: Vec<(Vec<&str>, Option<&str>)> = Vec::new();
    for (name, _, said) in DOCUMENTS {
        commands.extend(formats.map(|format| (vec!["check", "--deny", "all", "--format", format, name], Some(*said))));
        commands.push((vec!["check", "--diff", "--unsafe-fixes", name], None));
        commands.push((vec!["fmt", "--diff", name], None));
        commands.push((vec!["graph", name], None));
        commands.push((vec!["params", name], None));
        commands.push((vec!["config", "show", "--site", name], None));
        commands.push((vec!["config", "show", "--format", "json", "--site", name], None));
        commands.push((vec!["check", "--site", name, "--broker", name, "recipe.yml"], None));
        commands.push((vec!["go", "-v", "-n", "-f", "recipe.yml", "-s", "token=kanarienvogel", "--site", name], None));
        commands.push((vec!["go", "--drop", "-v", "-n", "-f", name, "--site", "nobody.yml"], None));
        commands.push((vec!["pickup", "--site", name], None));
        commands.push((vec!["run", "example", "-e", "default", "--site", name], None));
        commands.push((vec!["contract", "init", "a", name], None));
        commands.push((vec!["broker", "plan", name], None));
        commands.push((vec!["broker", "plan", "plan.yml", name], None));
    }
    let user = format!("[rabbitmq]\nusername = janeway\npassword = {CANARY}\n");
    std::fs::write(place.path().join("user.ini"), &user).expect("writes");
    std::fs::write(place.path().join("wrong.ini"), format!("{user}{CANARY}\n{CANARY}% = {CANARY}%\n")).expect("writes");
    for format in ["table", "json"] {
        commands.push((vec!["broker", "plan", "--format", format, "plan.yml", "user.ini"], Some("janeway")));
        commands.push((vec!["check", "--format", "human", "wrong.ini"], Some("malformed-user")));
        commands.push((vec!["check", "--format", "sarif", "wrong.ini"], Some("malformed-user")));
        commands.push((vec!["broker", "plan", "--format", format, "plan.yml", "wrong.ini"], Some("wrong.ini:4")));
    }
    for (site, said) in [("address.yml", "`host` is the name"), ("nobody.yml", "nobody listens there")] {
        commands.push((vec!["run", "channels", "-e", "default", "--site", site], Some(said)));
    }
    for (arguments, said) in &commands {
        let shown = zrecipe(place.path(), arguments);
        let is_leak = [CANARY, "kanar", "vogel", NUMBER].iter().any(|secret| shown.contains(secret));
        if is_leak || said.is_some_and(|said| !shown.contains(said)) {
            leaks.push(format!("{arguments:?}:\n{shown}"));
        }
    }
    assert!(leaks.is_empty(), "{} of {}\n{}", leaks.len(), commands.len(), leaks.join("\n"));
}

/// What is known of a document, and the settings of its parts, are printed in a fault or a log without it.
#[test]
fn no_secret_is_in_debug_output() {
    for (name, text, _) in DOCUMENTS {
        let text = text.replace("CANARY", CANARY).replace("NUMBER", NUMBER);
        let compilation = compile(Arc::new(Source::from_text(*name, text)), Options::default());
        let shown = format!("{compilation:?}");
        assert!(![CANARY, NUMBER].iter().any(|secret| shown.contains(secret)), "{name}: {shown}");
    }
}
