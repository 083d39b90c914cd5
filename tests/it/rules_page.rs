//! `docs/rules.md` lists the rules, and `docs/rules/` has a page of each, with what the rule says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zrecipe::diagnostic::Level;
use zrecipe::lint::{RULES, Rule};

use crate::pages::keep;

/// The documentation of a rule, below the title of its page.
fn section(rule: &Rule) -> String {
    let mut text = String::new();
    let mut in_code = false;
    for line in rule.markdown().lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        match line.strip_prefix("# ") {
            Some(heading) if !in_code => {
                let _ = writeln!(text, "## {heading}\n");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text.trim_end().to_owned()
}

fn list() -> String {
    let mut page = String::from(
        "# Rules\n\n\
         Findings of `zrecipe check`, by level. `zrecipe explain RULE` prints the page of a rule. The pages are derived \
         from the\nrules, and a test checks each of their examples.\n\n\
         - **error**: a service would reject the recipe, or messages would be lost.\n\
         - **warning**: the recipe runs, and is probably wrong.\n\
         - **note**: style, or a fact worth knowing.\n",
    );
    for level in [Level::Error, Level::Warning, Level::Note] {
        let rules: Vec<_> = RULES.iter().filter(|rule| rule.level == level).collect();
        if rules.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n| {level} | summary |\n| --- | --- |");
        for rule in rules {
            let first = rule.summary().replace('|', "\\|");
            let _ = writeln!(page, "| [`{0}`](rules/{0}.md) | {first} |", rule.name);
        }
    }
    page
}

/// All pages, by their paths in `docs`.
fn pages() -> BTreeMap<String, String> {
    let page = |rule: &Rule| {
        let text = format!("# {}\n\n*{}* · [all rules](../rules.md)\n\n{}\n", rule.name, rule.level, section(rule));
        (format!("rules/{}.md", rule.name), text)
    };
    let mut pages: BTreeMap<String, String> = RULES.iter().copied().map(page).collect();
    pages.insert("rules.md".to_owned(), list());
    pages
}

#[test]
fn the_pages_are_up_to_date() {
    keep(&pages(), Some("rules"));
}

/// Every rule is in one table, with a whole sentence.
#[test]
fn the_list_is_whole() {
    let list = list();
    for rule in RULES {
        assert_eq!(list.matches(&format!("](rules/{}.md)", rule.name)).count(), 1, "{}", rule.name);
        let first = rule.summary();
        assert!(first.ends_with('.') && !first.contains('\n'), "the first sentence of `{}`: {first}", rule.name);
    }
    for (path, page) in pages() {
        assert_eq!(page.matches("```").count() % 2, 0, "{path}");
    }
}
