//! `zrecipe explain`: the documentation of a rule.

use std::fmt::Write as _;

use crate::cli::{Error, Session, print};
use zrecipe_language::lint::{RULES, nearest, rule};

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
                let _ = writeln!(text, "{:<24} {:<8} {}", rule.name, rule.level, rule.summary());
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
            for line in found.markdown() {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    print(&text)
}
