//! What a checked directory holds and nobody can read is told, in every format, and reports are whole.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::run::Place;

const GOOD: &str = r#"{ "1": { "queue": "images" }, "start": [[1, []]] }"#;

/// Formats whose output is one document, and what reads it.
fn is_whole(format: &str, text: &str) -> bool {
    match format {
        "junit" => text.trim_end().ends_with("</testsuites>"),
        _ => serde_json::from_str::<Value>(text).is_ok(),
    }
}

#[test]
fn unreadable_files_and_directories_are_findings_and_reports_are_whole() {
    // Root reads everything.
    let is_root = rustix::process::geteuid().is_root();
    let place = Place::new();
    for folder in ["d", "d/closed"] {
        std::fs::create_dir(place.path(folder)).expect("a folder");
    }
    std::fs::write(place.path("d/a.json"), GOOD).expect("written");
    std::fs::write(place.path("d/closed/b.json"), GOOD).expect("written");
    // Larger than the settings allow: nobody reads it, whoever he is.
    std::fs::write(place.path("zrecipe.toml"), "max-file-size = 100\n").expect("written");
    std::fs::write(place.path("d/large.json"), GOOD.replace(' ', "   ").repeat(2)).expect("written");
    let private = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(place.path("d/closed"), private).expect("set");
    for format in ["json", "sarif", "gitlab", "junit"] {
        let ran = place.zrecipe(&["check", "d", "--format", format]).ends(2);
        assert!(is_whole(format, ran.stdout()), "{format}: {}", ran.stdout());
        assert!(ran.stdout().contains("d/large.json"), "{format}: {}", ran.stdout());
        assert!(is_root || ran.stdout().contains("d/closed"), "{format}: {}", ran.stdout());
        ran.says("could not be read");
    }
    let ran = place.zrecipe(&["check", "d", "--format", "concise"]).ends(2);
    assert!(ran.stdout().contains("d/large.json:1:1: error: "), "{}", ran.stdout());
    std::fs::set_permissions(place.path("d/closed"), std::fs::Permissions::from_mode(0o700)).expect("set");
}

#[test]
fn a_report_is_whole_although_parameters_cannot_be_checked() {
    let place = Place::new();
    std::fs::write(place.path("a.json"), GOOD).expect("written");
    for format in ["json", "sarif", "gitlab", "junit"] {
        let ran = place.zrecipe(&["check", "a.json", "--format", format, "--site", "nosuch.yml"]).ends(2);
        assert!(ran.stdout().is_empty() || is_whole(format, ran.stdout()), "{format}: {}", ran.stdout());
    }
}

#[test]
fn patterns_that_no_library_compiles_are_errors() {
    let place = Place::new();
    std::fs::write(place.path("a.json"), GOOD).expect("written");
    for depth in [250, 200_000] {
        let pattern = "{".repeat(depth) + "a" + &"}".repeat(depth);
        let settings = format!("[[overrides]]\npaths = [\"{pattern}\"]\nrules = {{}}\n");
        std::fs::write(place.path("zrecipe.toml"), settings).expect("written");
        place.zrecipe(&["params", "a.json"]).ends(2).says("zrecipe.toml:2:10: ");
        if depth < 1_000 {
            std::fs::remove_file(place.path("zrecipe.toml")).expect("is there");
            place.zrecipe(&["check", &pattern]).ends(2).says("32 levels");
        }
    }
    std::fs::remove_file(place.path("zrecipe.toml")).expect("is there");
    place.zrecipe(&["check", "{a,b}.json"]).ends(0);
}
