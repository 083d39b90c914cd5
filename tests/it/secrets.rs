//! What is secret is never shown: every command and every report, over documents with secrets in all places.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::secret::{hidden, hidden_text};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::value::Value;

/// The secret. Of a part of it the rest could be guessed, so that no part of it is shown either.
pub const CANARY: &str = "kanarienvogel";
/// The same, as a number.
pub const NUMBER: &str = "8675309421";

/// Documents, and something that a report must say about each, so that there is something to leak.
pub const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "right.yml",
        "version: 1\nrabbit: {plugin: pika, password: CANARY, mode: 0755}\nenvironments: {default: [rabbit]}\n",
        "0755",
    ),
    (
        "comma.yml",
        "version: 1\nb: {plugin: pika, host: h, port: 1, username: u, password: abc,CANARY, vhost: v, mode: 0755}\nenvironments: {default: [b]}\n",
        "0755",
    ),
    ("hash.yml", "version: 1\nrabbit:\n  plugin: pika\n  password: #CANARY\n  mode: 0755\n", "0755"),
    (
        "flow-anchor.yml",
        "version: 1\nb: {plugin: pika, host: h, port: 1, username: u, password: &CANARY, vhost: v, mode: 0755}\nenvironments: {default: [b]}\n",
        "0755",
    ),
    (
        "flow-comma.yml",
        "version: 1\nb: {plugin: pika, host: h, port: 1, username: u, password: ,CANARY, vhost: v, mode: 0755}\n",
        "0755",
    ),
    (
        "command.json",
        "{\"1\": {\"queue\": \"a\", \"topic\": \"mysql -u me -pCANARY\", \"parameters\": {\"x\": \"Authorization: Bearer CANARY\"}}, \"start\": [[1, []]]}",
        "two-destinations",
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
        "version: 1\na: {plugin: x, pasword: CANARY, passwrod: CANARY, passcode: CANARY, pwd: CANARY, rabbit_pass: CANARY, x: 012}\n",
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
    for (site, said) in
        [("address.yml", "`host` must be a host name"), ("nobody.yml", "connection refused: no broker listens there")]
    {
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

/// A message with secrets in every place in which messages of a site have been seen to hold them.
pub const MESSAGE: &str = r#"{
  "header": {"authorization": "Bearer CANARY", "cookie": "session=CANARY; theme=x", "x-api-key": "CANARY"},
  "message": {"parameters": {
    "password": "CANARY", "passwd": "CANARY", "secret": "CANARY", "token": "CANARY", "user_token": "CANARY",
    "api_key": "CANARY", "apikey": "CANARY", "client_secret": "CANARY", "private_key": "CANARY",
    "aws_secret_access_key": "CANARY", "credentials": {"user": "CANARY"}, "url": "amqp://me:CANARY@host/",
    "Authorization": "Basic CANARY", "bearer": "CANARY", "pw": "CANARY", "auth": ["me", "CANARY"], "pass": "CANARY",
    "environment": {"SLURM_JWT": "CANARY"}, "jwt": "CANARY",
    "commands": ["mysql -u ispyb -pCANARY ispyb", "curl -H 'Authorization: Bearer CANARY' http://host/"]
  }}
}"#;

/// Texts with a secret in them by its form, or beside a name or an option.
pub const SHAPES: &[&str] = &[
    "mysql -h db -u me -pCANARY ispyb",
    "mysqldump --password=CANARY db",
    "tool --password CANARY run",
    "tool --password \"CANARY\" run",
    "tool --api-key=CANARY",
    "sshpass -p CANARY ssh host",
    "curl -u me:CANARY https://host/",
    "curl --user me:CANARY https://host/",
    "curl -H 'Cookie: id=CANARY; b=c' http://host/",
    "curl -H \"X-Auth-Token: CANARY\" http://host/",
    "curl 'https://host/x?token=CANARY&y=1'",
    "curl 'https://host/x?a=1&sig=CANARY&y=1'",
    "redis-cli -a CANARY ping",
    "mosquitto_pub -P CANARY -t x",
    "ldapsearch -w CANARY -b x",
    "unzip -P CANARY file.zip",
    "smbclient -U me%CANARY //host/share",
    "rabbitmqadmin -u me -p CANARY list queues",
    "PGPASSWORD=CANARY psql -h db",
    "export SLURM_JWT=CANARY; srun x",
    "env AWS_SECRET_ACCESS_KEY=CANARY aws s3 ls",
    "psql 'host=db user=me password=CANARY'",
    "openssl rsa -passin pass:CANARY -in x",
    "password: CANARY",
    "the password is in password=CANARY here",
    "{\"password\": \"CANARY\"}",
    "{\\\"token\\\": \\\"CANARY\\\"}",
    "Authorization: Token CANARY",
    "Proxy-Authorization: Basic CANARY",
    "Set-Cookie: sid=CANARY; Path=/",
    "Bearer CANARY",
    "postgres://me:CANARY@db/ispyb",
    "https://CANARY@host/repo.git",
    "redis://:CANARY@host:6379/0",
    "-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=CANARY;EndpointSuffix=x",
    "Server=db;User Id=me;Pwd=CANARY;",
    "spring.datasource.password = CANARY",
    "wget --http-password=CANARY http://host/",
];

/// Tokens of known forms: nothing beside them tells that they are secret. Made up; the parts are joined here so that
/// no scanner takes them for real ones.
pub const TOKENS: &[(&str, &str)] = &[
    ("AKIA", "IOSFODNN7EXAMPLE"),
    ("ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"),
    ("github_pat_", "11AAAAAAA0aaaaaaaaaaaa_bbbbbbbbbbbbbbbb"),
    ("glpat-", "1a2b3c4d5e6f7g8h9i0j"),
    ("xoxb-", "123456789012-1234567890123-abcdef"),
    ("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
    ("AIza", "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"),
    ("npm_", "abcdefghijklmnopqrstuvwxyz0123456789"),
    ("hvs.", "CAESIJ1a2b3c4d5e6f7g8h9i0jklmn"),
    ("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
    ("SG.", "ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr"),
    ("hf_", "abcdefghijklmnopqrstuvwxyz12345678"),
    ("$6$", "rounds=5000$saltsalt$abcdefghijklmnop"),
    ("dop_v1_", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
];

#[test]
fn secrets_of_a_message_are_not_shown() {
    let message = read_value(MESSAGE.replace("CANARY", CANARY).as_bytes()).expect("is JSON");
    assert_eq!(MESSAGE.matches("CANARY").count(), 24, "the message has all places");
    let shown = hidden("", message).to_json_pretty();
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(lines.is_empty(), "shown:\n{}", lines.join("\n"));
}

#[test]
fn secrets_are_found_by_their_form() {
    let shapes = SHAPES.iter().map(|text| (text.replace("CANARY", CANARY), CANARY.to_owned()));
    let tokens = TOKENS.iter().map(|(start, rest)| (format!("value {start}{rest} here"), format!("{start}{rest}")));
    let mut shown = Vec::new();
    for (text, secret) in shapes.chain(tokens) {
        // As a text, as the text of an error, and as the words of a command in a list.
        let words = Value::Array(text.split(' ').map(Value::from).collect());
        for shown_text in [hidden_text(&text), hidden("message", Value::from(text.as_str())).to_json()] {
            if shown_text.contains(&secret) {
                shown.push(shown_text);
            }
        }
        let listed = hidden("commands", words).to_json();
        if listed.contains(&secret) {
            shown.push(listed);
        }
    }
    assert!(shown.is_empty(), "shown:\n{}", shown.join("\n"));
}

/// Words of ordinary recipes, messages and findings are not taken for secrets.
#[test]
fn what_is_no_secret_is_shown() {
    for text in [
        "mkdir -p /dls/i03/data",
        "Basic statistics of the data collection",
        "the bearer token of the service",
        "pass_through",
        "first pass over images",
        "author: me",
        "i_over_sig_i=2.5",
        "ispyb_session_id 27464088",
        "port -p 5672",
        "http://host:15672/api",
        "queue=images key-of-the-first-detector-element",
        "--password $PASSWORD",
        "password={password}",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "123e4567-e89b-12d3-a456-426614174000",
        "-----BEGIN CERTIFICATE-----",
    ] {
        assert_eq!(hidden_text(text), text);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("reads").map(|entry| entry.expect("reads").path()) {
        if entry.extension().is_some_and(|ending| ending == "json") {
            let recipe = read_value(&std::fs::read(&entry).expect("reads")).expect("is JSON");
            assert_eq!(hidden("", recipe.clone()), recipe, "{}", entry.display());
            count += 1;
        }
    }
    assert!(count > 0, "there are recipes");
}
