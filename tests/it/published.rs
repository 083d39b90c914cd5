//! Recipes in the shapes that facilities have published: their findings are those that their authors would act on.
//!
//! `tests/facility/recipes` imitates the shapes: wrappers on a cluster, chains of services, a first step that stores a
//! number for later ones, first attempts with fixed paths, and keys that occur twice because JSON has no comments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zrecipe::compile::{Options, compile};
use zrecipe::source::{Source, Unit};

/// What is found: the end of the file's path, the rule, and the text it points at.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("commented/powder-fitter", "duplicate-key", "\"pattern\""),
    // A value with a space or a `;` in it does what nobody meant.
    ("first-steps/commands", "parameter-in-command", "{sample}"),
    ("first-steps/commands", "parameter-in-command", "{visit}"),
    ("microscopy/refine-wrapper", "parameter-in-command", "{settings_file}"),
    ("microscopy/refine-wrapper", "parameter-in-command", "{settings_file}"),
    ("microscopy/segment-wrapper", "parameter-in-command", "{settings_file}"),
    ("microscopy/stitch-wrapper", "parameter-in-command", "{settings_file}"),
];

fn recipes(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("can be read").path();
        if path.is_dir() {
            recipes(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

#[test]
fn recipes_in_published_shapes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facility/recipes");
    let mut paths = Vec::new();
    recipes(&folder, &mut paths);
    paths.sort();
    assert!(paths.len() > 10, "{} has recipes", folder.display());
    let mut missing: Vec<_> = EXPECTED.to_vec();
    let mut unexpected = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(&folder).expect("lies in the folder").display().to_string();
        let bytes = std::fs::read(path).expect("can be read");
        let compilation = compile(Arc::new(Source::from_bytes(&*name, bytes)), Options::default());
        for found in &compilation.diagnostics {
            let text = compilation.source.slice(found.primary.span);
            let is_expected = |expected: &(&str, &str, &str)| {
                name.starts_with(expected.0) && found.rule == expected.1 && text == expected.2
            };
            match missing.iter().position(is_expected) {
                Some(place) => {
                    missing.remove(place);
                }
                None => {
                    let at = compilation.source.position(found.primary.span.start, Unit::Char);
                    unexpected.push(format!("{name}:{}:{} {}: {}", at.line, at.column, found.rule, found.message));
                }
            }
        }
    }
    assert!(unexpected.is_empty(), "found and not expected:\n{}", unexpected.join("\n"));
    assert!(missing.is_empty(), "expected and not found: {missing:?}");
}
