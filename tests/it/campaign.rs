//! How many mistakes of people `check` finds: recipes are spoilt in many ways, and what is reported is counted.
//!
//! `tests/campaign/figures.txt` holds the figures of each kind of mistake: how many mutants there are, and how many are
//! found at the place of the mistake and anywhere, with the recipes alone and with contracts extracted from the source of
//! the services. A figure may rise; a test fails when one falls. `ZRECIPE_BLESS=1` writes today's figures.
//!
//! The recipes and services in `tests/campaign` describe a site that does not exist. They are typical: 20 recipes, few
//! contracts' worth of services, steps that receive parameters by messages.

mod kinds;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use kinds::{KINDS, Mutant};
use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::{BuiltIn, Contract, Contracts};
use zrecipe::diagnostic::{Diagnostic, Level};
use zrecipe::evidence::{Facts, Set};
use zrecipe::source::{Source, Span};
use zrecipe::syntax::{Kind, NodeRef};

/// Recipes of one site.
struct Site {
    recipes: Vec<(String, Value)>,
    /// Without contracts, and with those of its services if there are any.
    contracts: Vec<Contracts>,
}

/// What was found of one kind of mistake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Figures {
    mutants: usize,
    /// With the recipes alone, and with contracts: at the place, and anywhere.
    found: [(usize, usize); 2],
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sites() -> Vec<Site> {
    let read = |folder: &str| -> Vec<(String, Value)> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
            .expect("is there")
            .map(|entry| entry.expect("is read").path())
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).expect("is read");
            (
                path.file_name().expect("has a name").to_string_lossy().into_owned(),
                serde_json::from_str(&text).expect("is JSON"),
            )
        };
        paths.into_iter().map(read).collect()
    };
    let none = || Contracts::assemble([], BuiltIn::Advice);
    let extracted = zrecipe::python::files::contracts(&root().join("tests/campaign/services")).expect("is read");
    let extracted = extracted.iter().map(|(file, text)| Arc::new(Contract::parse(file, text).expect("is a contract")));
    let extracted = Contracts::assemble(extracted, BuiltIn::Advice);
    vec![
        Site { recipes: read("tests/campaign/recipes"), contracts: vec![none(), extracted] },
        Site { recipes: read("tests/facility/recipes/microscopy"), contracts: vec![none()] },
    ]
}

fn facts(source: Arc<Source>) -> Facts {
    compile(source, Options { rules: &[], ..Options::default() }).facts()
}

/// Checks a text in place of one of the recipes of a site.
fn check(name: &str, text: Vec<u8>, set: &Set, own: &Facts, contracts: &Contracts) -> Compilation {
    let source = Arc::new(Source::from_bytes(name, text));
    let mut set = set.clone();
    set.remove(own);
    set.add(&facts(Arc::clone(&source)));
    compile(source, Options { set: Some(&set), contracts, ..Options::default() })
}

/// The findings that are no notes.
fn serious(compilation: &Compilation) -> impl Iterator<Item = &Diagnostic> {
    compilation.diagnostics.iter().filter(|found| found.level > Level::Note)
}

/// The place that a JSON pointer names, with its key.
fn place(root: NodeRef<'_>, pointer: &str) -> Option<Span> {
    let (mut node, mut span) = (root, root.span());
    for part in pointer.split('/').skip(1) {
        if node.kind() == Kind::Array {
            node = node.items().nth(part.parse().ok()?)?;
            span = node.span();
        } else {
            let member = node.members().filter(|member| member.key.is(part)).last()?;
            (node, span) = (member.value, Span { start: member.key.span().start, end: member.value.span().end });
        }
    }
    Some(span)
}

/// Whether a mutant is found: at its place, and anywhere.
fn judge(mutant: &Mutant, before: &Compilation, after: &Compilation) -> (bool, bool) {
    let mut known: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for found in serious(before) {
        *known.entry((found.rule, &found.message)).or_default() += 1;
    }
    let mut new: Vec<&Diagnostic> = Vec::new();
    for found in serious(after) {
        match known.get_mut(&(found.rule, found.message.as_str())) {
            Some(count) if *count > 0 => *count -= 1,
            _ => new.push(found),
        }
    }
    let spans: Vec<Span> = mutant.places.iter().filter_map(|pointer| place(after.tree.root(), pointer)).collect();
    let is_there = |found: &&Diagnostic| {
        let at = found.primary.span;
        spans.iter().any(|span| span.start <= at.start && at.start <= span.end)
    };
    (new.iter().any(is_there) || mutant.places.is_empty() && !new.is_empty(), !new.is_empty())
}

/// A number that depends on a text only.
fn hash(text: &str) -> usize {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        as usize
}

/// The mutants of a recipe: of those of a kind one.
fn mutants(name: &str, recipe: &Value) -> Vec<(&'static str, Mutant)> {
    let chosen = KINDS.iter().filter_map(|(kind, spoil)| {
        let mut all = spoil(recipe);
        (!all.is_empty()).then(|| (*kind, all.swap_remove(hash(&format!("{name} {kind}")) % all.len())))
    });
    chosen.collect()
}

#[expect(clippy::print_stderr, reason = "is shown where the test fails")]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// The figures by kind, and how many findings there are of recipes that are as they should be.
fn campaign() -> (BTreeMap<&'static str, Figures>, usize) {
    let mut figures: BTreeMap<&'static str, Figures> = BTreeMap::new();
    let mut unmutated = 0;
    for site in sites() {
        let sources: Vec<(String, Vec<u8>)> = site
            .recipes
            .iter()
            .map(|(name, recipe)| (name.clone(), serde_json::to_vec_pretty(recipe).expect("is JSON")))
            .collect();
        let all: Vec<Facts> =
            sources.iter().map(|(name, text)| facts(Arc::new(Source::from_bytes(name, text.clone())))).collect();
        let mut set = Set::default();
        all.iter().for_each(|facts| set.add(facts));
        for ((name, recipe), own) in site.recipes.iter().zip(&all) {
            let text = serde_json::to_vec_pretty(recipe).expect("is JSON");
            let before: Vec<Compilation> =
                site.contracts.iter().map(|contracts| check(name, text.clone(), &set, own, contracts)).collect();
            for compilation in &before {
                for found in serious(compilation) {
                    tell(&format!("unmutated {name}: {} {}", found.rule, found.message));
                    unmutated += 1;
                }
            }
            for (kind, mutant) in mutants(name, recipe) {
                let figures = figures.entry(kind).or_default();
                figures.mutants += 1;
                for mode in 0..2 {
                    // A site without contracts counts the same with them.
                    let contracts = site.contracts.get(mode).or(site.contracts.last()).expect("one at least");
                    let before = before.get(mode).or(before.last()).expect("one at least");
                    let after = check(mutant.name, mutant.text.clone(), &set, own, contracts);
                    let (at_place, anywhere) = judge(&mutant, before, &after);
                    figures.found[mode].0 += usize::from(at_place);
                    figures.found[mode].1 += usize::from(anywhere);
                    if !at_place && std::env::var("CAMPAIGN").is_ok_and(|wanted| wanted == kind) {
                        let said: Vec<_> = serious(&after).map(|found| (found.rule, &found.message)).collect();
                        tell(&format!("missed {kind} in {name} (mode {mode}) at {:?}: {said:?}", mutant.places));
                    }
                }
            }
        }
    }
    (figures, unmutated)
}

/// Figures as text: a line for each kind, and the sum.
fn table(figures: &BTreeMap<&str, Figures>, unmutated: usize) -> String {
    let mut out = String::from(
        "# Mutants, and how many of them are found: recipes alone (at the place, anywhere), with contracts (the same).\n",
    );
    let mut sum = Figures::default();
    for (kind, found) in figures {
        let _ = writeln!(out, "{}", line(kind, *found));
        sum.mutants += found.mutants;
        for (sum, found) in sum.found.iter_mut().zip(found.found) {
            *sum = (sum.0 + found.0, sum.1 + found.1);
        }
    }
    let _ = writeln!(out, "{}", line("all", sum));
    let _ = writeln!(out, "unmutated {unmutated}");
    out
}

fn line(kind: &str, Figures { mutants, found: [alone, under] }: Figures) -> String {
    format!("{kind:<28} {mutants:>5}   {:>5} {:>5}   {:>5} {:>5}", alone.0, alone.1, under.0, under.1)
}

fn read(text: &str) -> (BTreeMap<String, Figures>, usize) {
    let mut all = BTreeMap::new();
    let mut unmutated = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let kind = words.next().expect("a line has a kind");
        let numbers: Vec<usize> = words.map(|word| word.parse().expect("is a number")).collect();
        match numbers[..] {
            [count] => unmutated = count,
            [mutants, a, b, c, d] => _ = all.insert(kind.to_owned(), Figures { mutants, found: [(a, b), (c, d)] }),
            _ => panic!("{line}"),
        }
    }
    (all, unmutated)
}

#[test]
fn what_was_found_once_is_found_for_ever() {
    let (figures, unmutated) = campaign();
    let path = root().join("tests/campaign/figures.txt");
    let now = table(&figures, unmutated);
    if std::env::var_os("ZRECIPE_BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(&path, &now).expect("is written");
    }
    let (known, known_unmutated) = read(&std::fs::read_to_string(&path).unwrap_or_default());
    let mut fallen = Vec::new();
    for (kind, before) in known.iter().filter(|(kind, _)| *kind != "all") {
        let Some(today) = figures.get(kind.as_str()) else {
            fallen.push(format!("{kind}: there are no mutants any more"));
            continue;
        };
        let pairs = before.found.iter().zip(&today.found);
        let falls = pairs.into_iter().any(|(before, today)| today.0 < before.0 || today.1 < before.1);
        if falls || today.mutants != before.mutants {
            fallen.push(format!("- {}\n+ {}", line(kind, *before), line(kind, *today)));
        }
    }
    fallen.extend(figures.keys().filter(|kind| !known.contains_key(**kind)).map(|kind| format!("{kind}: it is new")));
    if unmutated > known_unmutated {
        fallen.push(format!("false findings: {known_unmutated} before, {unmutated} now"));
    }
    tell(&now);
    assert!(fallen.is_empty(), "ZRECIPE_BLESS=1 writes figures that are meant to fall:\n{}", fallen.join("\n"));
}

/// The recipe with other numbers, its steps in the opposite order.
fn renumbered(recipe: &Value) -> Value {
    let number = |id: i64| id * 7 + 3;
    let mut out = serde_json::Map::new();
    for (key, value) in recipe.as_object().expect("is an object").iter().rev() {
        let mut value = value.clone();
        match key.parse::<i64>() {
            Ok(id) => {
                match value.get_mut("output") {
                    Some(Value::Object(channels)) => channels.values_mut().for_each(|target| {
                        let targets =
                            if let Value::Array(items) = target { items.iter_mut().collect() } else { vec![target] };
                        for target in targets {
                            *target = target.as_i64().map_or(target.clone(), |id| number(id).into());
                        }
                    }),
                    Some(target) => {
                        if let Some(id) = target.as_i64() {
                            *target = number(id).into();
                        }
                    }
                    None => {}
                }
                out.insert(number(id).to_string(), value);
            }
            Err(_) => {
                for entry in value.as_array_mut().expect("start is a list") {
                    entry[0] = number(entry[0].as_i64().expect("is a number")).into();
                }
                out.insert(key.clone(), value);
            }
        }
    }
    Value::Object(out)
}

fn difference(old: &Compilation, new: &Compilation) -> Vec<String> {
    let contracts = Contracts::built_in();
    let difference = zrecipe::change::recipes(
        zrecipe::change::Side { reading: &old.reading, contracts },
        zrecipe::change::Side { reading: &new.reading, contracts },
    );
    difference.changes.into_iter().map(|change| change.text).collect()
}

fn structure(name: &str, text: Vec<u8>) -> Compilation {
    compile(Arc::new(Source::from_bytes(name, text)), Options { rules: &[], ..Options::default() })
}

#[test]
fn other_numbers_and_another_order_are_no_change() {
    for (name, recipe) in sites().into_iter().flat_map(|site| site.recipes) {
        let old = structure(&name, recipe.to_string().into_bytes());
        let new = structure(&name, renumbered(&recipe).to_string().into_bytes());
        assert_eq!(difference(&old, &new), Vec::<String>::new(), "{name}");
        let written = structure("r.yml", yaml::write(&recipe).into_bytes());
        assert_eq!(difference(&old, &written), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_mistake_is_a_change() {
    // What these do is nothing that a reader of the recipe sees.
    const SAME: [&str; 4] = ["link-as-text", "byte-order-mark", "key-twice", "comment"];
    let mut tried = 0;
    for (name, recipe) in sites().into_iter().flat_map(|site| site.recipes) {
        let old = structure(&name, recipe.to_string().into_bytes());
        for (kind, mutant) in mutants(&name, &recipe) {
            let new = structure(mutant.name, mutant.text);
            if new.tree.is_broken() || SAME.contains(&kind) || !new.recipe.is_object() {
                continue;
            }
            tried += 1;
            assert!(!difference(&old, &new).is_empty(), "{name}: {kind}\n{}", new.source.text());
        }
    }
    assert!(tried > 500, "{tried}");
}
