//! `docs/rules.md` says what the rules say.

use std::fmt::Write as _;
use std::path::Path;

use zrecipe::diagnostic::Level;
use zrecipe::lint::{RULES, Rule};

/// The documentation of a rule as it stands under the heading of the rule.
fn section(rule: &Rule) -> String {
    let mut text = String::new();
    let mut in_code = false;
    for line in rule.markdown().lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        match line.strip_prefix("# ") {
            Some(heading) if !in_code => {
                let _ = writeln!(text, "### {heading}\n");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text.trim_end().to_owned()
}

fn page() -> String {
    let mut page = String::from(
        "# Rules\n\n\
         What `zrecipe check` finds. `zrecipe explain <rule>` shows the same on the command line. This page is made from \
         the rules' own documentation; every example is checked by a test.\n\n\
         - **error**: the runtime would reject the recipe or lose messages.\n\
         - **warning**: it runs and is probably wrong.\n\
         - **note**: style, or something worth knowing.\n",
    );
    for level in [Level::Error, Level::Warning, Level::Note] {
        let rules: Vec<_> = RULES.iter().filter(|rule| rule.level == level).collect();
        if rules.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n| {level} | in short |\n| --- | --- |");
        for rule in rules {
            let first = rule.summary().replace('|', "\\|");
            let _ = writeln!(page, "| [`{0}`](#{0}) | {first} |", rule.name);
        }
    }
    for rule in RULES {
        let _ = writeln!(page, "\n## {}\n\n*{}*\n\n{}", rule.name, rule.level, section(rule));
    }
    page
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("can be made");
        std::fs::write(&path, &page).expect("can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(page.lines()).position(|(found, expected)| found != expected);
    assert!(
        found == page,
        "docs/rules.md is not what the rules say{}: run `UPDATE_DOCS=1 cargo test --test it rules_page` and commit it",
        differs.map_or(String::new(), |line| format!(" from line {} on", line + 1)),
    );
}

/// Every link of the tables has its heading, and every rule stands in a table with a whole sentence.
#[test]
fn the_page_is_whole() {
    let page = page();
    for rule in RULES {
        assert_eq!(page.matches(&format!("](#{})", rule.name)).count(), 1, "{}", rule.name);
        assert_eq!(page.matches(&format!("\n## {}\n", rule.name)).count(), 1, "{}", rule.name);
        let first = rule.summary();
        assert!(first.ends_with('.') && !first.contains('\n'), "the first sentence of `{}`: {first}", rule.name);
    }
    assert_eq!(page.matches("```").count() % 2, 0);
}
