//! Kinds by positive evidence: files of other programs are skipped, whatever keys they have.

use std::process::Command;

use zrecipe::document::DocumentKind;

/// What other programs have in repositories, in the forms that were once mistaken for ours.
const OTHERS: [(&str, &str); 30] = [
    // RabbitMQ's own export of definitions, empty and not.
    (
        "definitions.json",
        r#"{"rabbit_version":"3.12.1","rabbitmq_version":"3.12.1","users":[],"vhosts":[{"name":"/"}],"permissions":[],"topic_permissions":[],"parameters":[],"policies":[],"queues":[],"exchanges":[],"bindings":[]}"#,
    ),
    (
        "broker.json",
        r#"{"product_version":"3.13","vhosts":[{"name":"a"}],"permissions":[{"user":"u","vhost":"a","configure":".*","write":".*","read":".*"}],"policies":[{"name":"p","pattern":".*","definition":{}}],"queues":[{"name":"q","vhost":"a"}],"exchanges":[{"name":"x","type":"fanout"}],"bindings":[{"source":"x","destination":"q"}]}"#,
    ),
    // Groups without queues: emoji data, IAM policies, build systems.
    (
        "messages.json",
        r#"{"groups":[{"key":"smileys","message":"smileys","order":0}],"skinTones":[{"key":"light"}],"subgroups":[{"key":"face"}]}"#,
    ),
    ("iam.json", r#"{"policies":[{"name":"admin","statement":[]}],"groups":[{"name":"g","members":[]}]}"#),
    ("permissions.json", r#"{"permissions":["storage","tabs"],"name":"extension","manifest_version":3}"#),
    ("vhosts.yml", "vhosts:\n  - domain: example.org\n    root: /srv\n"),
    // Names without queues, queues without names.
    ("countries.json", r#"{"names":["Chad","Chile"],"codes":["td","cl"]}"#),
    ("celery.json", r#"{"queues":["default","mail"],"concurrency":4}"#),
    ("sidekiq.yml", ":concurrency: 5\nqueues:\n  - default\n  - mailers\n"),
    ("queues.json", r#"{"queues":[{"name":"q"}],"names":{"a":1}}"#),
    // Versions and environments of others.
    ("compose.yml", "version: '3.8'\nservices:\n  web:\n    image: nginx\n    environment: {A: b}\n"),
    (
        "deploy.yml",
        "version: 3\nenvironments:\n  prod: {url: https://example.org}\n  test: {url: https://test.example.org}\n",
    ),
    ("environments.json", r#"{"environments":{"dev":{"api":"x"},"prod":{"api":"y"}}}"#),
    ("readthedocs.yml", "version: 2\nbuild: {os: ubuntu-22.04}\n"),
    ("gitlab.yml", "include:\n  - local: a.yml\nstages: [test]\n"),
    // Plugins of others.
    ("babel.json", r#"{"plugin":"transform-runtime","presets":["env"]}"#),
    ("eslint.json", r#"{"plugins":["react"],"rules":{"no-undef":"error"},"env":{"node":true}}"#),
    ("galaxy.yml", "plugin: amazon.aws.aws_ec2\nregions: [eu-west-1]\n"),
    // Numbers as keys, `start` of others.
    ("i18n.json", r#"{"1":"one","2":"two","start":"begin"}"#),
    ("topics.json", r#"{"0":{"label":"background"},"1":{"label":"person"}}"#),
    ("mnist.json", r#"{"1":{"parameters":{"lr":0.1}},"2":{"parameters":{"lr":0.2}}}"#),
    ("package.json", r#"{"name":"app","version":"1.0.0","scripts":{"start":"node ."},"start":"now"}"#),
    ("span.json", r#"{"start":[[0,1],[2,3]],"end":[[4,5]]}"#),
    (
        "line.geojson.json",
        r#"{"type":"Feature","geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]},"properties":{}}"#,
    ),
    ("notebook.json", r#"{"cells":[],"metadata":{"kernelspec":{"name":"python3"}},"nbformat":4,"nbformat_minor":5}"#),
    // Recipes of cooks, requests of others.
    ("cookbook.json", r#"{"recipes":[{"title":"soup","parameters":{"salt":1}}]}"#),
    ("openapi.json", r#"{"openapi":"3.1.0","paths":{"/x":{"get":{"parameters":[]}}},"components":{"parameters":{}}}"#),
    (
        "job.yml",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: []}}}\n---\napiVersion: v1\nkind: Service\n",
    ),
    // Files that say nothing.
    ("empty.yml", ""),
    ("settings.ini", "[core]\nname = x\n"),
];

/// The least that shows each kind.
const OURS: [(&str, &str, DocumentKind); 18] = [
    ("a.json", r#"{"1":{"queue":"a"},"start":[[1,[]]]}"#, DocumentKind::Recipe),
    ("b.json", r#"{"1":{"topic":"a"}}"#, DocumentKind::Recipe),
    ("c.json", r#"{"start":[[1,[]]]}"#, DocumentKind::Recipe),
    ("d.json", r#"{"1":{"service":"A","parameters":{}},"start":[]}"#, DocumentKind::Recipe),
    ("e.yml", "1: {queue: a}\nstart: [[1, {}]]\n", DocumentKind::Recipe),
    ("f.json", r#"{"names":["A"],"queues":["a"]}"#, DocumentKind::Contract),
    ("g.json", r#"{"names":["A"],"wrapper":true}"#, DocumentKind::Contract),
    ("h.json", r#"{"queues":["a"],"parameters":{"type":"object"}}"#, DocumentKind::Contract),
    ("i.yml", "version: 1\nenvironments: {live: [a]}\na: {plugin: pika}\n", DocumentKind::Site),
    ("j.yml", "version: 1\ninclude: [other.yml]\n", DocumentKind::Site),
    ("k.yml", "environments: {live: [a]}\na: {host: h}\n", DocumentKind::Site),
    ("l.yml", "plugin: pika\nhost: h\n", DocumentKind::Plugin),
    (
        "m.yml",
        "groups:\n  - names: [a, b]\n    settings: {queues: {type: quorum}}\npolicies: []\nexchanges: []\n",
        DocumentKind::Broker,
    ),
    ("n.yml", "policies:\n  - {name: p, pattern: '.*', definition: {}}\n", DocumentKind::Broker),
    ("o.json", r#"{"recipes":["a"],"parameters":{"ispyb_dcid":1}}"#, DocumentKind::Request),
    ("p.json", r#"{"custom_recipe":{"1":{"queue":"a"}},"parameters":{}}"#, DocumentKind::Request),
    ("q.json", r#"{"headers":{},"message":{"recipes":["a"],"parameters":{}}}"#, DocumentKind::Request),
    ("zrecipe.toml", "anything = 1\n", DocumentKind::Settings),
];

#[test]
fn a_repository_without_recipes_has_no_findings() {
    let folder = tempfile::tempdir().expect("can be made");
    for (name, text) in OTHERS {
        std::fs::write(folder.path().join(name), text).expect("can be written");
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command.args(arguments).current_dir(folder.path()).env_remove("ZOCALO_CONFIG");
        let output = command.output().expect("starts");
        (String::from_utf8([output.stdout, output.stderr].concat()).expect("is UTF-8"), output.status.code())
    };
    let (text, code) = run(&["check", "--format", "concise"]);
    assert!(code == Some(0) && text.contains(&format!("skipped {} other files", OTHERS.len())), "{code:?} {text}");
    assert!(!text.contains("error") && !text.contains("warning") && !text.contains("note:"), "{text}");
    // Those that cannot be recipes are skipped even if somebody names them.
    let named = ["definitions.json", "countries.json", "compose.yml", "job.yml", "notebook.json", "openapi.json"];
    let (text, code) = run(&[&["check"], named.as_slice()].concat());
    assert!(code == Some(0) && text.matches("skipped").count() == named.len(), "{code:?} {text}");
    let (text, code) = run(&["check", "countries.json", "--kind", "recipe"]);
    assert!(code == Some(1) && text.contains("non-numeric-step"), "{code:?} {text}");
}

/// What is so damaged that it shows no kind is one of ours where recipes are beside it, or words of recipes in it.
#[test]
fn a_damaged_file_is_reported_where_recipes_are() {
    let check = |files: &[(&str, &[u8])]| {
        let folder = tempfile::tempdir().expect("can be made");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
            std::fs::write(path, text).expect("can be written");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        let output = command.args(["check", "."]).current_dir(folder.path()).output().expect("starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("is UTF-8");
        (output.status.code(), text)
    };
    let broken = ("broken.json", &br#"{"a": [1, 2"#[..]);
    let sound = ("ok.json", &br#"{"1": {"queue": "images"}, "start": [[1, []]]}"#[..]);
    let named = ("recipes/broken.json", broken.1);
    let truncated = ("x.json", &br#"{"1": {"queue": "images", "output": "#[..]);
    let wide: Vec<u8> =
        r#"{"1": {"queue": "a"}, "start": [[1, []]]}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for files in [&[broken, sound][..], &[named], &[truncated], &[("wide.json", &wide)]] {
        let (code, text) = check(files);
        assert!(code == Some(1) && text.contains("error"), "{text}");
    }
    let template = ("values.yml", &b"a: {{ .Values.name }}\n{% if b %}\nc: 1\n{% endif %}\n"[..]);
    for files in [&[broken][..], &[template]] {
        let (code, text) = check(files);
        assert!(code == Some(0) && !text.contains("error"), "{text}");
    }
}

#[test]
fn each_kind_is_shown_by_little() {
    for (name, text, kind) in OURS {
        let tree = zrecipe::syntax::parse(std::sync::Arc::new(zrecipe::source::Source::from_text(name, text)));
        assert_eq!(DocumentKind::detect(&tree), Some(kind), "{name}: {text}");
    }
}
