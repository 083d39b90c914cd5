//! Short options: a letter means the same in every command, but for the exceptions of `docs/reference.md`.

use std::collections::BTreeMap;

use zrecipe::cli::command;

/// What letters mean.
const MEANINGS: [(char, &[&str]); 16] = [
    ('d', &["destination"]),
    ('e', &["environment"]),
    ('f', &["file"]),
    ('h', &["help"]),
    ('j', &["jobs"]),
    ('n', &["count", "instances", "limit"]),
    ('o', &["output"]),
    ('p', &["param"]),
    ('q', &["quiet"]),
    ('r', &["remove"]),
    ('s', &["service"]),
    ('t', &["transport"]),
    ('v', &["verbose"]),
    ('V', &["version"]),
    ('w', &["wait"]),
    ('y', &["yes"]),
];

/// Commands that keep letters of the Python commands that they stand beside.
const EXCEPTIONS: [(&str, char, &str); 8] = [
    ("dlq check", 'n', "namespace"),
    ("go", 'a', "autoprocscalingid"),
    ("go", 'n', "no-dcid"),
    ("go", 'p', "reprocessing"),
    ("go", 'r', "recipe"),
    ("go", 's', "set"),
    ("pickup", 'd', "delay"),
    ("service", 'r', "restart"),
];

/// Command, letter and long name of each short option.
fn short_options() -> Vec<(String, char, String)> {
    let mut program = command();
    program.build();
    let mut found = Vec::new();
    let mut left = vec![(String::new(), program)];
    while let Some((name, command)) = left.pop() {
        for argument in command.get_arguments() {
            if let (Some(letter), Some(long)) = (argument.get_short(), argument.get_long()) {
                found.push((name.clone(), letter, long.to_owned()));
            }
        }
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        left.extend(below.map(|below| (format!("{name} {}", below.get_name()).trim().to_owned(), below.clone())));
    }
    found
}

#[test]
fn a_letter_means_one_thing() {
    let meanings: BTreeMap<char, &[&str]> = MEANINGS.into_iter().collect();
    let found = short_options();
    let is_exception = |name: &str, letter: char, long: &str| EXCEPTIONS.contains(&(name, letter, long));
    let wrong: Vec<_> = found
        .iter()
        .filter(|(name, letter, long)| {
            let means = meanings.get(letter).is_some_and(|known| known.contains(&long.as_str()));
            !means && !is_exception(name, *letter, long)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for (name, letter, long) in EXCEPTIONS {
        assert!(found.contains(&(name.to_owned(), letter, long.to_owned())), "{name} -{letter} is no exception");
    }
}

#[test]
fn the_reference_lists_the_exceptions() {
    let page = include_str!("../../docs/reference.md");
    let (_, section) = page.split_once("## Short options\n").expect("a section");
    for (letter, meanings) in MEANINGS {
        assert!(section.contains(&format!("| `-{letter}` | `--{}`", meanings[0])), "-{letter} is not in the table");
    }
    for (name, letter, long) in EXCEPTIONS {
        let row = format!("| `{name}` | `-{letter}` | `--{long}` |");
        assert!(section.contains(&row), "the table lacks {row}");
    }
}
