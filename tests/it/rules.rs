//! The documentation of every rule is true: its example makes this rule speak and no other, and what it says to
//! write instead is silent under all rules.
//!
//! Words after `json` at the head of a code block: `with k=v …` gives parameters that are texts (`k:=v`: JSON), `rules=<name>` runs
//! only that rule, `in-latin-1` and `with-byte-order-mark` say how the text is stored, and `600-deep` and
//! `5000-digits` put in what nobody wants to read. `beside-<n> <recipe>` checks it together with so many copies of
//! another recipe. `recipes=a,b` names the recipes that there are, and `used=a,b` the parameters that they use, which
//! this is a document of.
//!
//! `missing=<path>` says that a file is not there, `faulty=<path>` that zrecipe panics at it, and a block that begins with `file <path>` holds one that is.
//!
//! A block that begins with `contract` instead holds a contract that is in force in the other blocks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::contract::{self, Contracts};
use zrecipe::document::DocumentKind;
use zrecipe::evidence::Set;
use zrecipe::lint::{self, Rule};
use zrecipe::source::Source;
use zrecipe::syntax::json::{parse, read_value};
use zrecipe::syntax::yaml;
use zrecipe::topology::{self, Topology};
use zrecipe::value::{Object, Value};

use crate::files::Folder;

/// The documentation as it is written, with the words for tests.
fn documentation(rule: &Rule) -> String {
    rule.documentation.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// The headings that each page has.
const SECTIONS: [&str; 4] = ["Why", "Example", "Instead", "When not to follow it"];

/// The headings of the sections and what stands under them.
fn sections(text: &str) -> Vec<(&str, &str)> {
    let mut sections = Vec::new();
    for section in text.split("# ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
        sections.push((heading, body));
    }
    sections
}

/// The one `json` or `yaml` block of a section: the words at its head with the notation, and its text.
fn block(section: &str) -> Result<(&str, &str), String> {
    let mut blocks = section.split("```").skip(1).step_by(2).filter(|block| block.starts_with(['j', 'y', 't', 'i']));
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err("has no `json` block, or several".to_owned());
    };
    let (words, text) = block.split_once('\n').ok_or("has a block without lines")?;
    Ok((words.trim(), text))
}

/// The names of the rules that speak about a block, each once.
fn speaking(
    words: &str,
    text: &str,
    contracts: &Contracts,
    mut files: Folder,
    topology: Option<&Topology>,
) -> Result<Vec<&'static str>, String> {
    let mut parameters = None;
    let mut only = None;
    let mut recipes: Option<BTreeSet<String>> = None;
    let mut used: Option<BTreeSet<String>> = None;
    let (mut mark, mut latin, mut set) = (false, false, false);
    let mut others = Set::default();
    let mut text = text.to_owned();
    let mut words = words.split_whitespace();
    let name = format!("example.{}", words.next().unwrap_or_default());
    while let Some(word) = words.next() {
        match word {
            "with" => {
                let pairs = words.by_ref().map(|pair| pair.split_once('=').ok_or(format!("`{pair}` is not k=v")));
                let pairs = pairs.map(|pair| {
                    let (key, value) = pair?;
                    match key.strip_suffix(':') {
                        Some(key) => Ok((key.to_owned(), read_value(value.as_bytes())?)),
                        None => Ok((key.to_owned(), Value::from(value))),
                    }
                });
                parameters = Some(pairs.collect::<Result<Object, String>>()?);
            }
            "in-latin-1" => latin = true,
            beside if beside.starts_with("beside-") => {
                let count: usize =
                    beside["beside-".len()..].parse().map_err(|_| format!("`{beside}` has no number"))?;
                let other = words.next().ok_or("names no recipe beside it")?;
                let source = Arc::new(Source::from_text("other", other));
                let other = compile(source, Options::default()).facts();
                (0..count).for_each(|_| others.add(&other));
                set = true;
            }
            missing if missing.starts_with("missing=") => files.add_other(&missing["missing=".len()..], "missing")?,
            faulty if faulty.starts_with("faulty=") => files.add_other(&faulty["faulty=".len()..], "faulty")?,
            "with-byte-order-mark" => mark = true,
            "600-deep" => text = replace(&text, "\"DEEP\"", &format!("{}{}", "[".repeat(600), "]".repeat(600)))?,
            "5000-digits" => text = replace(&text, "DIGITS", &"7".repeat(5000))?,
            names if names.starts_with("recipes=") => {
                recipes = Some(names["recipes=".len()..].split(',').map(str::to_owned).collect());
            }
            names if names.starts_with("used=") => {
                used = Some(names["used=".len()..].split(',').map(str::to_owned).collect());
            }
            other => match other.strip_prefix("rules=").map(lint::rule) {
                Some(Some(rule)) => only = Some(rule),
                _ => return Err(format!("has a block with `{other}`, which nobody knows")),
            },
        }
    }
    let mut bytes = if mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    if latin {
        let latin = text.chars().map(|character| u8::try_from(u32::from(character)));
        bytes.extend(latin.collect::<Result<Vec<u8>, _>>().map_err(|_| "has a block that is not Latin-1")?);
    } else {
        bytes.extend(text.bytes());
    }
    let only = only.map(|rule| [rule]);
    let rules = only.as_ref().map_or(lint::RULES, |only| only.as_slice());
    files.add(&name, &text, false);
    let source = Arc::new(Source::from_bytes(name, bytes));
    others.add(&compile(Arc::clone(&source), Options::default()).facts());
    let set = set.then_some(&others);
    let options = Options {
        rules,
        parameters: parameters.as_ref(),
        set,
        contracts,
        files: &files,
        topology,
        recipes: recipes.as_ref(),
        kind: used.is_some().then_some(DocumentKind::Parameters),
        used: used.as_ref(),
        ..Options::default()
    };
    let compilation = compile(source, options);
    let mut names: Vec<_> = compilation.diagnostics.iter().map(|found| found.rule).collect();
    names.dedup();
    Ok(names)
}

/// The contracts in a rule's documentation, and the built-in ones.
fn contracts(documentation: &str) -> Result<Contracts, String> {
    let contract = |block: &str| {
        let text = block.split("```").next().unwrap_or_default();
        let reading = contract::read(&parse(Arc::new(Source::from_text("contract", text))));
        reading.contract.map(Arc::new).ok_or_else(|| format!("has a contract with faults: {:?}", reading.faults))
    };
    let found: Result<Vec<_>, _> = documentation.split("```contract\n").skip(1).map(contract).collect();
    Ok(Contracts::with_built_in(found?))
}

/// The files in a rule's documentation.
fn files(documentation: &str) -> Folder {
    let mut folder = Folder::default();
    for block in documentation.split("```file ").skip(1) {
        let (path, text) = block.split("```").next().and_then(|block| block.split_once('\n')).unwrap_or_default();
        folder.add(path, text, false);
    }
    folder
}

/// The broker in a rule's documentation.
fn topology(documentation: &str) -> Option<Topology> {
    let block = documentation.split("```broker\n").nth(1)?.split("```").next()?;
    Some(topology::read(&yaml::parse(Arc::new(Source::from_text("broker.yml", block)))))
}

fn replace(text: &str, word: &str, with: &str) -> Result<String, String> {
    if text.contains(word) { Ok(text.replace(word, with)) } else { Err(format!("has a block without {word}")) }
}

/// What is not true about a rule's documentation.
fn untruths(name: &'static str, documentation: &str) -> Vec<String> {
    let sections = sections(documentation);
    let headings: Vec<&str> = sections.iter().map(|(heading, _)| *heading).collect();
    if headings != SECTIONS {
        return vec![format!("`{name}` has the sections {headings:?} instead of {SECTIONS:?}")];
    }
    let mut found = Vec::new();
    if sections[0].1.trim().is_empty() {
        found.push(format!("`{name}` does not say why"));
    }
    let contracts = match contracts(documentation) {
        Ok(contracts) => contracts,
        Err(why) => return vec![format!("`{name}` {why}")],
    };
    let topology = topology(documentation);
    if sections[3].1.trim().is_empty() {
        found.push(format!("`{name}` does not say when not to follow it"));
    }
    for ((heading, body), expect) in sections[1..].iter().zip([vec![name], vec![]]) {
        let files = files(documentation);
        match block(body).and_then(|(words, text)| speaking(words, text, &contracts, files, topology.as_ref())) {
            Ok(speaking) if speaking == expect => {}
            Ok(speaking) => found.push(format!("`{name}`: under {heading} {speaking:?} speak, and {expect:?} should")),
            Err(why) => found.push(format!("`{name}`: its section {heading} {why}")),
        }
    }
    found
}

#[test]
fn documentation_is_true() {
    let found: Vec<String> = lint::RULES.iter().flat_map(|rule| untruths(rule.name, &documentation(rule))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn untruths_are_found() {
    let good = "{ \"1\": { \"queue\": \"a\" }, \"start\": [[1, []]] }";
    let bad = "{ \"1\": { \"queue\": \"a\", \"output\": 1 }, \"start\": [[1, []]] }";
    let worse = "{ \"1\": { \"queue\": \"a\", \"output\": 1 }, \"start\": [] }";
    let text = |why: &str, words: &str, example: &str, instead: &str| {
        format!(
            "# Why\n{why}\n\n# Example\n```json {words}\n{example}\n```\n\n# Instead\n```json\n{instead}\n```\n\n\
             # When not to follow it\nNever.\n"
        )
    };
    for (documentation, expect) in [
        (text("So.", "", bad, good), ""),
        (text("So.", "", good, good), "under Example [] speak"),
        (text("So.", "", worse, good), "under Example [\"cycle\", \"empty-start\"] speak"),
        (text("So.", "rules=cycle", worse, good), ""),
        (text("So.", "", bad, bad), "under Instead [\"cycle\"] speak"),
        (text("", "", bad, good), "does not say why"),
        (text("So.", "backwards", bad, good), "`backwards`, which nobody knows"),
        (text("So.", "600-deep", bad, good), "a block without \"DEEP\""),
        ("# Why\nSo.\n".to_owned(), "has the sections [\"Why\"]"),
        (
            "# Why\nSo.\n# Example\n# Instead\n# When not to follow it\nNever.\n".to_owned(),
            "its section Example has no `json` block",
        ),
    ] {
        let found = untruths("cycle", &documentation).join("\n");
        assert!(if expect.is_empty() { found.is_empty() } else { found.contains(expect) }, "{documentation}: {found}");
    }
}

/// What people see first of a rule is short, and nothing that they see is meant for tests.
#[test]
fn pages_are_for_people() {
    for rule in lint::RULES {
        let summary = rule.summary();
        assert!(summary.chars().count() <= 70 && summary.ends_with('.'), "{}: {summary}", rule.name);
        assert!(!summary.starts_with('#') && !rule.why().is_empty(), "{}: {summary}", rule.name);
        let page = rule.markdown();
        for head in page.lines().filter(|line| line.starts_with("```") && line.len() > 3) {
            assert!(["```json", "```yaml", "```toml", "```ini"].contains(&head), "{}: {head}", rule.name);
        }
    }
}

/// A rule's name is its file's, so that whoever reads one finds the other.
#[test]
fn names_are_those_of_the_files() {
    for rule in lint::RULES {
        let kebab = rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(kebab, "`{}` is not kebab-case", rule.name);
        let file = format!("crates/language/src/lint/rules/{}.rs", rule.name.replace('-', "_"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        let code = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("`{}`: {file}: {error}", rule.name));
        let declared = code.lines().any(|line| line.trim().starts_with(&format!("\"{}\", ", rule.name)));
        assert!(declared, "{file} does not declare the rule `{}`", rule.name);
    }
}
