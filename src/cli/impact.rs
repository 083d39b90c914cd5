//! How changes and those whom they affect are shown: as text, Markdown or JSON.

use std::fmt::Write as _;

use crate::cli::{Error, plain};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::value::Value;
use zrecipe_project::comparison::{Entry, Item, Kind, Report, Victim};

/// The formats, by name.
pub const FORMATS: [&str; 3] = ["text", "markdown", "json"];

/// When a command ends with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExitCode {
    /// If there is any change.
    Any,
    /// If there is a breaking change.
    Breaking,
}

impl ExitCode {
    /// Ends the command with 1 if the report has such changes.
    ///
    /// # Errors
    /// It has.
    pub fn apply(self, report: &Report) -> Result<(), Error> {
        let is_met = match self {
            Self::Any => report.items().next().is_some(),
            Self::Breaking => report.breaking() > 0,
        };
        if is_met { Err(Error::findings()) } else { Ok(()) }
    }
}

/// A report in one of the [`FORMATS`].
pub fn render(report: &Report, format: &str) -> String {
    match format {
        "json" => json(report),
        "markdown" => markdown(report),
        _ => text(report),
    }
}

/// The numbers of a report in one line.
pub fn summary(report: &Report) -> String {
    let compared = match (report.recipes, report.contracts) {
        (recipes, 0) => counted(recipes, "recipe"),
        (0, contracts) => counted(contracts, "contract"),
        (recipes, contracts) => format!("{} and {}", counted(recipes, "recipe"), counted(contracts, "contract")),
    };
    format!("compared {compared}: {}", result(report))
}

fn result(report: &Report) -> String {
    match (report.items().count(), report.breaking()) {
        (0, _) => "no change of meaning".to_owned(),
        (all, 0) => format!("{}, none breaking", counted(all, "change")),
        (all, breaking) => format!("{}, {breaking} breaking", counted(all, "change")),
    }
}

/// What an entry is called.
fn title(entry: &Entry) -> String {
    match (entry.kind, &entry.old_name) {
        (Kind::Recipe, None) => plain(&entry.name),
        (Kind::Recipe, Some(old)) => format!("{} (was {})", plain(&entry.name), plain(old)),
        (kind, _) => format!("{} `{}`", kind.name(), plain(&entry.name)),
    }
}

/// Why and whom a change breaks, without repetitions.
fn reasons(item: &Item) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for found in item.change.breaks.iter().filter(|_| item.is_breaking) {
        match all.iter_mut().find(|known| known.ends_with(&format!(": {}", found.why))) {
            Some(known) => *known = format!("{} and {known}", found.who.name()),
            None => all.push(format!("{}: {}", found.who.name(), found.why)),
        }
    }
    all
}

/// The most places that are shown for one change.
const MAX_PLACES: usize = 20;

fn place_of(victim: &Victim) -> String {
    let place = victim.place.as_ref().map_or_else(String::new, |place| format!("{}: ", plain(place)));
    let group = match victim.who {
        zrecipe_language::change::Affected::RunningRequests => "running requests, ",
        _ => "",
    };
    format!("{group}{place}{}", plain(&victim.what))
}

fn lines(item: &Item) -> Vec<String> {
    let mut lines = reasons(item);
    lines.extend(item.affected.iter().take(MAX_PLACES).map(place_of));
    if item.affected.len() > MAX_PLACES {
        lines.push(format!("and {} more places", item.affected.len() - MAX_PLACES));
    }
    lines
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for entry in &report.entries {
        let _ = writeln!(out, "{}", title(entry));
        for item in &entry.items {
            let mark = if item.is_breaking { '!' } else { ' ' };
            let place = item.place.as_ref().map_or_else(String::new, |place| format!("  [{}]", plain(place)));
            let _ = writeln!(out, "{mark} {} {}{place}", item.change.sign.symbol(), plain(&item.change.text));
            for line in lines(item) {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    out
}

fn markdown(report: &Report) -> String {
    let mut out = format!("### Recipes and services: {}\n", result(report));
    for entry in &report.entries {
        let title = match entry.kind {
            Kind::Recipe => format!("`{}`", title(entry)),
            _ => title(entry),
        };
        let _ = writeln!(out, "\n#### {title}\n");
        // Breaking changes first: a reader of a merge request sees these.
        let (breaking, others): (Vec<&Item>, Vec<&Item>) = entry.items.iter().partition(|item| item.is_breaking);
        for item in breaking.into_iter().chain(others) {
            let mark = if item.is_breaking { "**Breaking:** " } else { "" };
            let _ = writeln!(out, "- {mark}{}", plain(&item.change.text));
            for line in lines(item) {
                let _ = writeln!(out, "  - {line}");
            }
        }
    }
    out
}

fn json(report: &Report) -> String {
    let text = |text: &Option<String>| Value::from(text.clone());
    let victim = |victim: &Victim| {
        Value::from([
            ("who", Value::from(victim.who.name())),
            ("place", text(&victim.place)),
            ("what", Value::from(victim.what.as_str())),
        ])
    };
    let item = |item: &Item| {
        let reasons = item.change.breaks.iter().filter(|_| item.is_breaking).map(|found| {
            Value::from([("who", Value::from(found.who.name())), ("why", Value::from(found.why.as_str()))])
        });
        Value::from([
            ("change", Value::from(item.change.sign.name())),
            ("subject", Value::from(item.change.subject.name())),
            ("name", Value::from(item.change.name.as_str())),
            ("text", Value::from(item.change.text.as_str())),
            ("place", text(&item.place)),
            ("breaking", Value::from(item.is_breaking)),
            ("breaks", Value::from(reasons.collect::<Vec<_>>())),
            ("affected", Value::from(item.affected.iter().map(victim).collect::<Vec<_>>())),
        ])
    };
    let entries = report.entries.iter().map(|entry| {
        Value::from([
            ("kind", Value::from(entry.kind.name())),
            ("name", Value::from(entry.name.as_str())),
            ("old_name", text(&entry.old_name)),
            ("changes", Value::from(entry.items.iter().map(item).collect::<Vec<_>>())),
        ])
    });
    let entries = Value::from(entries.collect::<Vec<_>>());
    let document = [
        ("version", Value::from(1)),
        ("changes", Value::from(i64::try_from(report.items().count()).unwrap_or(i64::MAX))),
        ("breaking", Value::from(i64::try_from(report.breaking()).unwrap_or(i64::MAX))),
        ("entries", entries),
    ];
    Value::from(document).to_json_pretty() + "\n"
}
