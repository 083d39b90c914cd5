//! Settings, broken in the way the rule about them is about: it speaks, at that place; unbroken, it is silent.

use std::path::Path;
use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::source::Source;

use crate::mutations::missed;

/// The rule that is tried.
pub const RULE: &str = "malformed-settings";

fn check(text: String) -> Compilation {
    compile(Arc::new(Source::from_text("zrecipe.toml", text)), Options::default())
}

#[test]
fn every_line_broken_in_every_way_is_found_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint/malformed-settings/ok.toml");
    let sound = std::fs::read_to_string(path).expect("is there");
    assert_eq!(check(sound.clone()).diagnostics, []);
    let mut wrong = Vec::new();
    for line in sound.lines().filter(|line| line.contains('=')) {
        let (key, value) = line.split_once('=').expect("has one");
        let mut broken = vec![
            (line.replace(value, " 2026-11-24"), "2026-11-24"),
            (line.replace(value, " @"), ""),
            (line.replace('=', ""), ""),
        ];
        // The names of parameters are free.
        if !["ispyb_dcid", "other"].contains(&key.trim()) {
            broken.push((format!("zz{line}"), "zz"));
        }
        for (broken, place) in broken {
            wrong.extend(missed(RULE, &check(sound.replace(line, &broken)), place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
