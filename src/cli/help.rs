//! The help page of the program, and suggestions for commands and options of other programs.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::commands::GROUPS;
use super::terminal::columns;

/// What people type first, and what it does.
const EXAMPLES: [(&str, &str); 5] = [
    ("zrecipe init", "create a recipe, a service, settings and a CI job"),
    ("zrecipe check", "check everything below this directory"),
    ("zrecipe explain unknown-step", "explain a finding"),
    ("zrecipe graph recipe.json", "draw a recipe"),
    ("zrecipe run example -p workingdir=.", "run a recipe on this machine"),
];

/// Words of other programs, and what they are called here.
const WORDS: [(&str, &str); 34] = [
    ("lint", "check"),
    ("validate", "check"),
    ("verify", "check"),
    ("format", "fmt"),
    ("new", "init"),
    ("create", "init"),
    ("render", "graph"),
    ("draw", "graph"),
    ("plot", "graph"),
    ("dot", "graph"),
    ("parameters", "params"),
    ("bind", "expand"),
    ("submit", "go"),
    ("send", "go"),
    ("trigger", "go"),
    ("execute", "run"),
    ("exec", "run"),
    ("start", "run"),
    ("simulate", "test"),
    ("dry-run", "test"),
    ("list", "runs"),
    ("ls", "runs"),
    ("history", "runs"),
    ("logs", "show"),
    ("log", "show"),
    ("retry", "resume"),
    ("continue", "resume"),
    ("serve", "service"),
    ("worker", "service"),
    ("stop", "shutdown"),
    ("rule", "explain"),
    ("rules", "explain"),
    ("completion", "completions"),
    ("dead-letters", "dlq"),
];

/// The command with its subcommands in groups on the help page.
pub fn grouped(command: clap::Command) -> clap::Command {
    let width = columns().unwrap_or(100).clamp(60, 100);
    let bold = command.get_styles().get_header().to_owned();
    let mut page = String::new();
    // Commands that this build does not have are not shown.
    let shown =
        |name: &str| command.find_subcommand(name.replace('_', "-")).filter(|subcommand| !subcommand.is_hide_set());
    for (group, names) in GROUPS {
        let mut subcommands = names.iter().filter_map(|name| shown(name)).peekable();
        if subcommands.peek().is_none() {
            continue;
        }
        page.push_str(&format!("{bold}{group}:{bold:#}\n"));
        for subcommand in subcommands {
            let about = subcommand.get_about().map(ToString::to_string);
            entry(&mut page, subcommand.get_name(), &about.unwrap_or_default(), 17, width);
        }
        page.push('\n');
    }
    page.push_str(&format!("{bold}Examples:{bold:#}\n"));
    let has_command = |line: &str| line.split(' ').nth(1).is_some_and(|name| shown(name).is_some());
    for (line, meaning) in EXAMPLES.into_iter().filter(|(line, _)| has_command(line)) {
        entry(&mut page, line, meaning, 38, width);
    }
    page.push_str("\n`zrecipe help COMMAND` prints the options of a command.");
    command
        // They are on the page already.
        .mut_subcommands(|subcommand| subcommand.hide(true))
        .override_usage("zrecipe [OPTIONS] <COMMAND>")
        .help_template("{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}")
        .before_help(StyledStr::from(page))
}

/// A name, and its meaning in lines of at most `width` columns from column `indent` on.
fn entry(page: &mut String, name: &str, meaning: &str, indent: usize, width: usize) {
    let mut line = format!("  {name:<0$}", indent.saturating_sub(2));
    let mut is_empty = true;
    for word in meaning.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            page.push_str(line.trim_end());
            page.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    page.push_str(line.trim_end());
    page.push('\n');
}

/// The error with the command or option of this program that was meant, if it is one of another program.
pub fn suggest(mut error: clap::Error) -> clap::Error {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(typed)), _) => {
            let meant = WORDS.iter().find(|(word, _)| word == typed).map(|(_, meant)| *meant);
            if let Some(meant) = meant {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant.to_owned()]));
            }
        }
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(typed))) => {
            let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
            let has_parameters = ["check", "graph", "params", "expand", "emit", "run", "test"]
                .iter()
                .any(|name| usage.contains(&format!("zrecipe {name}")));
            if has_parameters && matches!(typed.as_str(), "-s" | "--set") {
                let tip = StyledStr::from("set a parameter with `-p KEY=VALUE`");
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
                error.remove(ContextKind::SuggestedArg);
                error.remove(ContextKind::TrailingArg);
            }
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::COMMANDS;

    #[test]
    fn words_of_other_programs_lead_to_commands() {
        for (word, meant) in WORDS {
            assert!(COMMANDS.contains(&meant), "there is no command {meant}");
            assert!(!COMMANDS.contains(&word), "{word} is a command");
        }
    }

    #[test]
    fn lines_keep_to_the_width() {
        let mut page = String::new();
        entry(&mut page, "name", "one two three four five six seven", 8, 20);
        assert_eq!(page, "  name  one two\n        three four\n        five six\n        seven\n");
    }
}
