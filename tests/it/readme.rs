//! `README.md`: its size, its pictures, and the links of all pages. Its commands are played by the test of pages.

use std::process::Command;

use crate::lists::root;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_is_short() {
    assert!((5_000..8_500).contains(&README.len()), "{} bytes", README.len());
}

/// `UPDATE_DOCS=1` writes them.
#[test]
fn pictures_are_what_the_program_draws() {
    for recipe in ["channels", "failures"] {
        let path = root().join(format!("docs/pictures/{recipe}.svg"));
        let mut draw = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        draw.args(["graph", recipe, "--format", "svg"]).current_dir(root()).env_remove("ZOCALO_CONFIG");
        let drawn = String::from_utf8(draw.output().expect("starts").stdout).expect("is UTF-8");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &drawn).expect("can be written");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), drawn, "UPDATE_DOCS=1 writes docs/pictures");
    }
    assert!(README.contains("docs/pictures/failures.svg"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("SECURITY.md")];
    for folder in ["docs", "docs/adr", "docs/commands", "docs/rules"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("can be read");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let anchors = |text: &str| -> Vec<String> {
        let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let anchor =
            |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().chars().filter(is_kept).collect();
        headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
    };
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("can be read");
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
            if link.contains("://") || link.contains(' ') || link.is_empty() {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("has one").join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", page.display());
            if !anchor.is_empty() && target.extension().is_some_and(|ending| ending == "md") {
                let known = anchors(&std::fs::read_to_string(&target).expect("can be read"));
                assert!(known.iter().any(|known| known == anchor), "{}: `{link}` has no such heading", page.display());
            }
        }
    }
}
