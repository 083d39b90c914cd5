//! `zrecipe explain`: the documentation of a rule.

use std::fmt::Write as _;

use crate::cli::{Error, Session, print};
use crate::lint::{RULES, nearest, rule};

/// Explain a rule: why it is there, an example, and what to write instead
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's name, as it stands in brackets behind a finding; without one all rules are listed.
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, _session: &Session) -> Result<(), Error> {
    let mut text = String::new();
    match &args.rule {
        None => {
            for rule in RULES {
                // The first sentence of the documentation says what it is about.
                let lines = rule.documentation.lines().map(str::trim);
                let paragraph: Vec<&str> =
                    lines.skip_while(|line| line.is_empty() || line.starts_with('#')).take_while(|line| !line.is_empty()).collect();
                let paragraph = paragraph.join(" ");
                let why = paragraph.find(". ").map_or(paragraph.as_str(), |end| &paragraph[..=end]);
                let _ = writeln!(text, "{:<24} {:<8} {why}", rule.name, rule.level);
            }
        }
        Some(name) => {
            let found = rule(name).ok_or_else(|| {
                let error = Error::new(format!("there is no rule `{name}`"));
                match nearest(name, RULES.iter().map(|rule| rule.name)) {
                    Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                    None => error.hint("`zrecipe explain` lists all rules"),
                }
            })?;
            let _ = writeln!(text, "{} ({})\n", found.name, found.level);
            for line in found.documentation.lines() {
                let _ = writeln!(text, "{}", line.strip_prefix(' ').unwrap_or(line));
            }
        }
    }
    print(&text)
}
