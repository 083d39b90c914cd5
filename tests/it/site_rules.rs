//! Rules of a site: the examples of `docs/site-rules.md`, and what is reported of rules that are wrong.

use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::Compilation;
use zrecipe::fix::Which;
use zrecipe::judge::CheckOptions;
use zrecipe::project::{Given, Project};
use zrecipe::settings::Settings;
use zrecipe::source::Source;

/// An example of the page: the rule, and two recipes with the file that each is in.
struct Example {
    rule: String,
    recipes: Vec<(String, String)>,
}

/// The examples below the last heading of the second level.
fn examples(page: &str) -> Vec<Example> {
    let (_, part) = page.rsplit_once("\n## ").expect("the page has headings");
    let sections = part.split("\n### ").skip(1);
    let blocks = |section: &str| -> Vec<(String, String)> {
        let blocks = section.split("\n```").skip(1).step_by(2);
        blocks
            .map(|block| block.split_once('\n').expect("a block has lines"))
            .map(|(a, b)| (a.into(), b.into()))
            .collect()
    };
    let read = |section: &str| {
        let mut blocks = blocks(section);
        let (kind, rule) = blocks.remove(0);
        assert_eq!(kind, "toml", "{section}");
        let file = |kind: String| kind.strip_prefix("json ").unwrap_or("recipes/r.json").to_owned();
        Example { rule, recipes: blocks.into_iter().map(|(kind, text)| (file(kind), text)).collect() }
    };
    sections.map(read).collect()
}

fn project(directory: &Path, settings: &str) -> Project {
    std::fs::write(directory.join("zrecipe.toml"), settings).expect("is written");
    let project = Project::of_directory(directory, Given::default(), None);
    assert!(project.unsettled().is_none(), "{:?}", project.unsettled());
    project
}

fn judge(project: &Project, path: &Path, text: &str) -> Compilation {
    let source = Arc::new(Source::from_text(path.to_string_lossy(), text));
    project.judge(source, CheckOptions { path: Some(path), ..CheckOptions::default() })
}

#[test]
fn the_page_of_site_rules_is_true() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/site-rules.md"));
    let examples = examples(&page.expect("is there"));
    assert_eq!(examples.len(), 10);
    for Example { rule, recipes } in examples {
        assert!(rule.lines().count() <= 6, "at most five lines and the header:\n{rule}");
        let folder = tempfile::tempdir().expect("a directory");
        let project = project(folder.path(), &rule);
        let name = project.settings.all_site_rules().next().expect("is a rule").name;
        let [(bad_path, bad), (good_path, good)] = &recipes[..] else { panic!("two recipes:\n{rule}") };
        let own = |compilation: &Compilation| {
            compilation.diagnostics.iter().filter(|found| found.rule == name).cloned().collect::<Vec<_>>()
        };
        let (bad_path, good_path) = (folder.path().join(bad_path), folder.path().join(good_path));
        let found = own(&judge(&project, &bad_path, bad));
        assert_eq!(found.len(), 1, "{rule}\n{bad}{found:?}");
        assert!(found[0].primary.span.end > found[0].primary.span.start, "{name} has a place");
        assert!(!found[0].message.contains("{value}") && !found[0].message.contains("{step}"), "{:?}", found[0]);
        assert_eq!(own(&judge(&project, &good_path, good)), [], "{rule}\n{good}");
        let allowed = format!("{rule}\n[rules]\n\"{name}\" = \"allow\"\n");
        let settings = self::project(folder.path(), &allowed);
        assert_eq!(own(&judge(&settings, &bad_path, bad)), [], "{allowed}");
        if found[0].fix.is_some() {
            let source = Arc::new(Source::from_text("r.json", bad.as_str()));
            let request = CheckOptions { path: Some(&bad_path), ..CheckOptions::default() };
            let fixed = project.fix(source, Which::All, request);
            assert_eq!(own(&fixed.compilation), [], "{rule}\n{}", fixed.compilation.source.text());
        }
    }
}

#[test]
fn a_rule_can_be_suppressed_where_it_is_not_wanted() {
    let folder = tempfile::tempdir().expect("a directory");
    let rule =
        "[site-rules.named]\nselect = \"steps\"\nhas = \"service\"\nmessage = \"step {step} has no `{missing}`\"\n";
    let project = project(folder.path(), rule);
    let text = r#"{"1": "zrecipe: allow(site/named) our own", "1": {"queue": "a", "output": 2},
        "2": "zrecipe: allow(site/nmaed)", "2": {"queue": "b"}, "start": [[1, []]]}"#;
    let found = judge(&project, &folder.path().join("r.json"), text);
    let said: Vec<(&str, &str)> = found.diagnostics.iter().map(|found| (found.rule, found.message.as_str())).collect();
    assert_eq!(
        said,
        [
            ("unused-suppression", "there is no rule `site/nmaed` to suppress"),
            ("site/named", "step 2 has no `service`")
        ]
    );
    assert_eq!(found.silenced.len(), 1);
}

#[test]
fn placeholders_are_judged_when_their_values_are_known() {
    let folder = tempfile::tempdir().expect("a directory");
    let rule = "[site-rules.queues]\nselect = \"steps.queue\"\nmatches = \"^em[.]\"\nmessage = \"queue `{value}`\"\n";
    let project = project(folder.path(), rule);
    let text = r#"{"1": {"queue": "{team}.images"}, "start": [[1, []]]}"#;
    let path = folder.path().join("r.json");
    let own =
        |compilation: Compilation| compilation.diagnostics.iter().filter(|found| found.rule == "site/queues").count();
    assert_eq!(own(judge(&project, &path, text)), 0);
    for (team, expected) in [("em", 0), ("mx", 1)] {
        let parameters = [("team".to_owned(), zrecipe::value::Value::from(team))].into_iter().collect();
        let request = CheckOptions { path: Some(&path), parameters: Some(&parameters), ..CheckOptions::default() };
        let source = Arc::new(Source::from_text("r.json", text));
        assert_eq!(own(project.judge(source, request)), expected, "{team}");
    }
}

#[test]
fn rules_that_are_wrong_are_reported_with_the_place_and_the_way_out() {
    let folder = tempfile::tempdir().expect("a directory");
    let head = "[site-rules.r]\n";
    for (text, expected) in [
        (
            "select = \"step.queue\"\nhas = \"x\"\nmessage = \"m\"",
            "2:10: a path begins with `recipe`, `steps` or `start`, not with `step`; did you mean `steps`?",
        ),
        ("select = \"steps\"\nhsa = \"x\"\nmessage = \"m\"", "3:1: `site-rules.r` has the unknown key `hsa`"),
        (
            "select = \"steps\"\nmessage = \"m\"",
            "1:13: rule `r` has no condition: add `matches`, `not-matches`, `one-of`, `has`, `lacks` or `uses`",
        ),
        ("select = \"steps.queue\"\nmatches = \"(\"\nmessage = \"m\"", "3:11: the regular expression is malformed: "),
        (
            "select = \"steps\"\nhas = \"x\"\nmessage = \"{valu}\"",
            "4:11: there is no `{valu}` for messages; did you mean `{value}`?",
        ),
        (
            "select = \"steps\"\nhas = \"x\"\nmessage = \"m\"\nlevel = \"allow\"",
            "5:9: `allow` is not one of `note`, `warning` and `error`",
        ),
        (
            "select = \"steps\"\nhas = \"x\"\nmessage = \"m\"\nfix = \"y\"",
            "5:7: a fix replaces a text: it needs `matches`, `not-matches` or `one-of`",
        ),
        ("select = \"steps\"\nhas = \"a..b\"\nmessage = \"m\"", "1:13: `has`: a part of the path `a..b` is empty"),
        (
            "select = \"steps\"\nhas = \"x\"\nmessage = \"m\"\n[rules]\n\"site/q\" = \"note\"",
            "6:1: there is no rule `site/q`",
        ),
    ] {
        let path = folder.path().join("zrecipe.toml");
        std::fs::write(&path, format!("{head}{text}\n")).expect("is written");
        let error = Settings::find(folder.path()).expect_err(text).to_string();
        let place = format!("{}:{expected}", path.display());
        assert!(error.starts_with(&place), "{error}\n{place}");
    }
}
