//! Settings and users of the broker, broken in the way the rules about them are about: they speak, at that place;
//! unbroken, they are silent.

use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::source::Source;

use crate::mutations::missed;

/// The rules that are tried.
pub const RULES: [&str; 2] = ["malformed-settings", "malformed-user"];

fn check(name: &str, text: String) -> Compilation {
    compile(Arc::new(Source::from_text(name, text)), Options::default())
}

/// The text of a fixture in which nothing is found.
fn sound(path: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint").join(path));
    let text = text.expect("is there");
    assert_eq!(check(path, text.clone()).diagnostics, []);
    text
}

#[test]
fn every_line_broken_in_every_way_is_found_out() {
    let sound = sound("malformed-settings/ok.toml");
    let mut wrong = Vec::new();
    for line in sound.lines().filter(|line| line.contains('=')) {
        let (key, value) = line.split_once('=').expect("has one");
        let mut broken = vec![
            (line.replace(value, " 2026-11-24"), "2026-11-24"),
            (line.replace(value, " @"), ""),
            (line.replace('=', ""), ""),
        ];
        // The names of parameters and of wrappers are free.
        if !["ispyb_dcid", "other", "phasing"].contains(&key.trim()) {
            broken.push((format!("zz{line}"), "zz"));
        }
        for (broken, place) in broken {
            wrong.extend(missed(RULES[0], &check("zrecipe.toml", sound.replace(line, &broken)), place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_line_of_a_user_broken_in_every_way_is_found_out() {
    let sound = sound("malformed-user/ok.ini");
    let mut wrong = Vec::new();
    for line in sound.lines() {
        let without = line.replace(['=', '[', ']'], "");
        let twice = format!("{line}\n{line}");
        for (broken, place) in [(without.clone(), ""), (twice, line), (format!("zz{line}"), "")] {
            wrong.extend(missed(RULES[1], &check("user.ini", sound.replace(line, &broken)), place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
