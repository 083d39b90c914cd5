//! `docs/commands.md` and `docs/commands/`: the help of every command, as the program prints it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use crate::pages::keep;

/// The help of a command, for 90 columns.
fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    program.args(command).arg("--help").env_clear().env("COLUMNS", "90");
    let output = program.output().expect("it runs");
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The options of all commands that use a broker.
const TRANSPORT: &str = "\nTransport options:\n";

/// The help without the options that all or many commands have.
fn own(help: &str) -> &str {
    let own = help.split("\nGlobal options:").next().unwrap_or(help);
    own.split(TRANSPORT).next().unwrap_or(own).trim_end()
}

/// The names of commands and what they do, from lines such as `  init    Create a recipe`.
fn listed(help: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            inside = line.ends_with(':')
                && !["Options:", "Arguments:", "Examples:", "Transport options:", "Global options:"].contains(&line);
            continue;
        }
        match line.strip_prefix("  ").filter(|_| inside) {
            Some(rest) if rest.starts_with(' ') => {
                if let Some((_, text)) = found.last_mut() {
                    let _ = write!(text, " {}", rest.trim());
                }
            }
            Some(rest) => {
                if let Some((name, text)) = rest.split_once("  ").filter(|(name, _)| !name.contains(' ')) {
                    found.push((name, text.trim().to_owned()));
                }
            }
            None => {}
        }
    }
    found.retain(|(name, _)| *name != "help");
    found
}

/// All pages, by their paths in `docs`.
fn pages() -> BTreeMap<String, String> {
    let whole = help(&[]);
    let mut list = String::from(
        "# Commands\n\nThis page and those of the commands are derived from the program. `zrecipe help COMMAND` prints the \
         same. Options\nthat every command has are [below](#global-options).\n",
    );
    let mut pages = BTreeMap::new();
    for group in own(&whole).split("\n\n") {
        let Some((title, _)) = group.split_once(":\n").filter(|(title, _)| !title.contains('\n')) else { continue };
        let commands = listed(group);
        if commands.is_empty() {
            continue;
        }
        let _ = writeln!(list, "\n## {title}\n\n| command | effect |\n|---|---|");
        for (name, effect) in commands {
            let _ = writeln!(list, "| [`{name}`](commands/{name}.md) | {} |", effect.replace('|', "\\|"));
            let text = help(&[name]);
            let mut page = format!("# zrecipe {name}\n\n```text\n{}\n```\n", own(&text));
            for (inner, _) in listed(own(&text)).iter().filter(|_| text.contains("\nCommands:\n")) {
                let _ = write!(page, "\n## zrecipe {name} {inner}\n\n```text\n{}\n```\n", own(&help(&[name, inner])));
            }
            let inner = listed(own(&text));
            let inner = inner.iter().filter(|_| text.contains("\nCommands:\n"));
            let uses_broker = text.contains(TRANSPORT)
                || inner.into_iter().any(|(inner, _)| help(&[name, inner]).contains(TRANSPORT));
            let transport = if uses_broker { " · [transport options](../commands.md#transport-options)" } else { "" };
            let _ = writeln!(
                page,
                "\n[All commands](../commands.md){transport} · [global options](../commands.md#global-options)"
            );
            pages.insert(format!("commands/{name}.md"), page);
        }
    }
    let (_, global) = whole.split_once("\nGlobal options:\n").expect("global options");
    let _ = write!(list, "\n## Global options\n\n```text\n{}\n```\n", global.trim_end());
    let go = help(&["go"]);
    let (_, transport) = go.split_once(TRANSPORT).expect("transport options");
    let transport = transport.split("\nGlobal options:").next().unwrap_or(transport);
    let _ = write!(
        list,
        "\n## Transport options\n\nCommands that use a broker have these options, with the names and the meaning that \
         they have in Python. They replace\nsettings of the site configuration. With one of them, no site configuration is \
         needed.\n\n```text\n{}\n```\n",
        transport.trim_end()
    );
    pages.insert("commands.md".to_owned(), list);
    pages
}

#[test]
fn the_pages_of_commands_are_what_the_program_prints() {
    let pages = pages();
    assert!(pages.len() > 30, "{:?}", pages.keys());
    keep(&pages, Some("commands"));
}
