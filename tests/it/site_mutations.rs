//! Every site configuration there is, broken in the way a rule is about: the rule speaks, at that place; unbroken, it is
//! silent.

use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::document::DocumentKind;
use zrecipe::source::Source;

use crate::files::Folder;

/// A broken configuration, and the text that the finding must point at.
type Broken = (String, &'static str);

type Mutation = fn(&str) -> Vec<Broken>;

/// A rule and the ways to break a configuration that it is about.
pub(super) const MUTATIONS: &[(&str, Mutation)] = &[
    ("absent-setting", |text| {
        let mail = add(text, "zz: {plugin: smtp, host: h, port: 25}");
        let cluster = add(text, "zz: {plugin: slurm, url: u, api_version: v}");
        vec![(mail, "zz"), (cluster, "zz")]
    }),
    ("alias-cycle", |text| vec![(environments(text, "  zz: zy\n  zy: zz\n"), "zy")]),
    ("deprecated-plugin", |text| {
        vec![(add(text, "zz: {plugin: graylog, protocol: TCP, host: h, port: 1}"), "graylog")]
    }),
    ("endless-include", |text| vec![(include(text, "loop.yml"), "loop.yml")]),
    ("exposed-secret", |text| vec![(add(text, "zz: public.yml"), "public.yml")]),
    ("incomplete-environment", |text| {
        let without = |plugin: &str| {
            let text = text.replace("  default: live", "  default: [zz]");
            let blocks = format!("zz: {{plugin: {plugin}}}\nzy: {{plugin: storage}}\nzx: {{plugin: pika}}");
            add(&text, &blocks)
        };
        vec![(without("pika"), "default"), (without("storage"), "default")]
    }),
    ("malformed-hosts", |text| {
        vec![
            (add(text, "zz: {plugin: pika, host: \"a, b\", port: 5672}"), "a, b"),
            (add(text, "zz: {plugin: pika, host: \"a,b\", port: \"1,2,3\"}"), "1,2,3"),
        ]
    }),
    ("malformed-plugin", |text| {
        let mut broken = each(text, " port: ", " port: no-", "no-");
        broken.push((add(text, "zz: {plugin: slurm}"), "zz"));
        broken.push((add(text, "zz: {plugin: logging, loggers: {zocalo: {level: LOUD}}}"), "LOUD"));
        broken.push((add(text, "zz: {plugin: logging, verbose: [{handlers: {}}]}"), "{}"));
        broken
    }),
    ("malformed-site", |text| {
        let mut broken = each(text, "version: 1", "version: 2", "2");
        broken.extend(each(text, "  default: live", "  default: 7", "7"));
        broken.push((add(text, "zz: 5"), "5"));
        broken.push((add(text, "zz: {host: h}"), "zz"));
        broken.push((environments(text, "  zz: {plugins: 9}\n"), "9"));
        broken.push((environments(text, "  zz: [include]\n"), "include"));
        broken
    }),
    ("missing-file", |text| {
        vec![(add(text, "zz: nosuch.yml"), "nosuch.yml"), (include(text, "nosuch.yml"), "nosuch.yml")]
    }),
    ("missing-recipe-directory", |text| {
        vec![(add(text, "zz: {plugin: storage, zocalo.recipe_directory: /nosuch/recipes}"), "/nosuch/recipes")]
    }),
    ("number-as-text", |text| {
        vec![
            (add(text, "zz: {plugin: graylog, protocol: UDP, host: h, port: \"1234\"}"), "1234"),
            (add(text, "zz: {plugin: opentelemetry, host: h, port: 1, timeout: \"15\"}"), "15"),
        ]
    }),
    ("shadowed-block", |text| {
        let text = environments(text, "  zz: {b: zz-one, a: zz-two}\n");
        vec![(add(&text, "zz-one: {plugin: stomp}\nzz-two: {plugin: stomp}"), "zz-two")]
    }),
    ("unusable-setting", |text| {
        let api = "zz: {plugin: rabbitmqapi, base_url: \"http://host:15672\", username: u, password: p}";
        let version = "zz: {plugin: slurm, url: \"https://host\", api_version: 0.0.40}";
        vec![(add(text, api), "http://host:15672"), (add(text, version), "0.0.40")]
    }),
    ("undefined-block", |text| vec![(environments(text, "  zz: [nowhere-at-all]\n"), "nowhere-at-all")]),
    ("undefined-environment", |text| vec![(environments(text, "  zz: nowhere-at-all\n"), "nowhere-at-all")]),
    ("undefined-logging-part", |text| {
        let mut broken = each(text, "handlers: [", "handlers: [zz-handler, ", "zz-handler");
        broken.push((add(text, "zz: {plugin: logging, root: {handlers: [zz-handler]}}"), "zz-handler"));
        broken
    }),
    ("unknown-plugin", |text| each(text, "plugin: ", "plugin: zzz", "zzz")),
    ("unknown-setting", |text| {
        let mut broken = each(text, "zocalo.recipe_directory:", "zocalo.recipe_directry:", "zocalo.recipe_directry");
        broken.push((add(text, "zz: {plugin: pika, hostt: h}"), "hostt"));
        broken
    }),
    ("unknown-transport", |text| {
        let mut broken = each(text, "StompTransport", "StompTransprot", "StompTransprot");
        broken.push((add(text, "zz: {plugin: transport, default: Pika}"), "Pika"));
        broken
    }),
    ("unused-block", |text| vec![(add(text, "zz: {plugin: storage}"), "zz")]),
    ("unused-logging-part", |text| {
        let mut broken = each(text, "handlers: {console:", "handlers: {zz: {class: x}, console:", "zz");
        broken.push((add(text, "zz: {plugin: logging, filters: {zz-filter: {}}}"), "zz-filter"));
        broken
    }),
];

fn add(text: &str, lines: &str) -> String {
    format!("{text}\n{lines}\n")
}

fn environments(text: &str, lines: &str) -> String {
    text.replacen("\nenvironments:\n", &format!("\nenvironments:\n{lines}"), 1)
}

fn include(text: &str, path: &str) -> String {
    let (from, to) = ("\ninclude:\n", format!("\ninclude:\n  - {path}\n"));
    if text.contains(from) { text.replacen(from, &to, 1) } else { format!("{text}{to}") }
}

/// One broken configuration for every place outside of comments where `from` stands in the text.
fn each(text: &str, from: &str, to: &str, place: &'static str) -> Vec<Broken> {
    let places = text.match_indices(from).filter(|(at, _)| {
        let line = text[..*at].rfind('\n').map_or(0, |end| end + 1);
        !text[line..*at].contains('#')
    });
    places.map(|(at, _)| (format!("{}{to}{}", &text[..at], &text[at + from.len()..]), place)).collect()
}

/// What the configurations name.
fn folder() -> Folder {
    let mut folder = Folder::default();
    folder.add("secrets/broker.yml", "{plugin: pika, host: h, port: 1, username: u, password: p, vhost: /}", false);
    folder.add("secrets/monitor.yml", "{plugin: jmx, host: h, port: 1, base_url: b, username: u, password: p}", false);
    folder.add("/path/secrets.yml", "{plugin: stomp, host: h, port: 1, username: u, password: p, prefix: z}", false);
    folder.add("/local/site/common_configuration.yml", "version: 1", false);
    folder.add("public.yml", "{plugin: stomp, host: h, port: 1, username: u, password: p, prefix: z}", true);
    folder.add("loop.yml", "version: 1\ninclude: [loop.yml]", false);
    folder.add_other("nosuch.yml", "missing").expect("is a state");
    folder.add_other("/site/recipes", "directory").expect("is a state");
    folder.add_other("/nosuch/recipes", "missing").expect("is a state");
    folder
}

fn check(text: &str) -> Compilation {
    let source = Arc::new(Source::from_text("site.yml", text));
    compile(source, Options { kind: Some(DocumentKind::Site), files: &folder(), ..Options::default() })
}

/// Configurations in several styles, each with its name.
fn configurations() -> [(&'static str, String); 3] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["tests/site/flat.yml", "tests/site/grouped.yml", COMMENTED].map(|name| {
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, text)
    })
}

/// A configuration in the style of the public example, with findings of its own.
const COMMENTED: &str = "tests/site/commented.yml";

fn told(compilation: &Compilation) -> Vec<(&'static str, String)> {
    let text = |found: &zrecipe::diagnostic::Diagnostic| compilation.source.slice(found.primary.span).to_owned();
    compilation.diagnostics.iter().map(|found| (found.rule, text(found))).collect()
}

#[test]
fn every_configuration_broken_in_every_way_is_found_out() {
    let configurations = configurations();
    let mut wrong = Vec::new();
    for (rule, mutate) in MUTATIONS {
        let mut tried = 0;
        for (name, text) in &configurations {
            let before = told(&check(text));
            for (broken, place) in mutate(text) {
                tried += 1;
                let after = told(&check(&broken));
                let hit = |found: &&(&str, String)| found.0 == *rule && found.1.contains(place);
                if after.iter().filter(hit).count() <= before.iter().filter(hit).count() {
                    wrong.push(format!("{rule} does not point at {place} in {name}: {after:?}\n{broken}"));
                }
            }
        }
        assert!(tried > 0, "{rule} is tried on something");
    }
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(5)].join("\n"));
}

#[test]
fn unbroken_configurations_are_silent() {
    for (name, text) in configurations() {
        let told = told(&check(&text));
        let told: Vec<(&str, &str)> = told.iter().map(|(rule, text)| (*rule, text.as_str())).collect();
        let expected: &[(&str, &str)] = match name {
            COMMENTED => &[
                ("deprecated-plugin", "graylog"),
                ("unused-block", "logs-spare"),
                ("deprecated-plugin", "graylog"),
                ("malformed-plugin", "20310"),
                ("unused-block", "badge-reader"),
                ("unknown-plugin", "badges-at-the-door"),
            ],
            _ => &[],
        };
        assert_eq!(told, expected, "{name}");
    }
}
