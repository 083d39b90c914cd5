//! `zrecipe explain`: the documentation of a rule.

use std::fmt::Write as _;

use crate::cli::{Error, Session, print};
use zrecipe_language::lint::{RULES, SITE_PREFIX, nearest, rule};

/// Explain a rule: its purpose, an example, and how to fix a finding
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the rule, as shown in brackets after a finding; without it, list all rules.
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut text = String::new();
    match &args.rule {
        None => {
            for rule in RULES {
                let _ = writeln!(text, "{:<24} {:<8} {}", rule.name, rule.level, rule.summary());
            }
            for rule in session.settings.all_site_rules() {
                let _ = writeln!(text, "{:<24} {:<8} {}", rule.name, rule.level, rule.definition.message);
            }
        }
        Some(name)
            if let Some(own) = session
                .settings
                .all_site_rules()
                .find(|rule| rule.name == name || rule.name.strip_prefix(SITE_PREFIX) == Some(name.as_str())) =>
        {
            let _ = writeln!(text, "{} ({})\n\n{}", own.name, own.level, own.page());
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
            text.push_str(&found.markdown());
        }
    }
    print(&text)
}
