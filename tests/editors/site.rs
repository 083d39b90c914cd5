//! The documentation site: it builds without a warning, every link leads somewhere, and a browser asks no other server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::{chromium, installed, root, run, said, workspace};

/// The values of an attribute in HTML, with the name of the element.
fn attributes<'t>(html: &'t str, name: &str) -> Vec<(&'t str, &'t str)> {
    let mark = format!(" {name}=\"");
    let mut found = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let element = tag.split_whitespace().next().unwrap_or_default();
        for value in tag.split(mark.as_str()).skip(1) {
            found.push((element, value.split('"').next().unwrap_or_default()));
        }
    }
    found
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

fn pages(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).expect("can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let text = std::fs::read_to_string(&path).expect("is UTF-8");
            found.insert(path, text);
        }
    }
}

fn check_links(site: &Path) {
    let mut all = BTreeMap::new();
    pages(site, &mut all);
    assert!(all.len() > 150, "{} pages", all.len());
    let ids =
        |html: &str| -> BTreeSet<String> { attributes(html, "id").into_iter().map(|(_, id)| id.to_owned()).collect() };
    let anchors: BTreeMap<&PathBuf, BTreeSet<String>> = all.iter().map(|(path, html)| (path, ids(html))).collect();
    let mut dead = Vec::new();
    let mut links = 0;
    for (page, html) in all.iter().filter(|(page, _)| !page.ends_with("404.html")) {
        let wanted = attributes(html, "href").into_iter().chain(attributes(html, "src"));
        for (element, link) in wanted {
            let is_foreign = link.contains("://") || link.starts_with("//");
            if is_foreign && element != "a" {
                dead.push(format!("{}: <{element}> asks another server for {link}", page.display()));
            }
            if is_foreign || link.starts_with("data:") || link.starts_with("mailto:") || link.starts_with("javascript:")
            {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = file.split('?').next().unwrap_or_default();
            let target =
                if file.is_empty() { page.clone() } else { normal(&page.parent().expect("a folder").join(file)) };
            let target = if target.is_dir() { target.join("index.html") } else { target };
            if !target.is_file() {
                dead.push(format!("{}: `{link}` leads nowhere", page.display()));
            } else if !anchor.is_empty() && anchors.get(&target).is_some_and(|known| !known.contains(anchor)) {
                dead.push(format!("{}: `{link}` has no such heading", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(links > 2_000, "{links} links");
}

#[test]
fn the_site_is_whole_and_asks_no_other_server() {
    let folder = workspace(&[]);
    let site = folder.path().join("site");
    let mkdocs = installed("site-python").join("bin/mkdocs");
    let configuration = root().join("mkdocs.yml");
    let text = |path: &Path| path.to_str().expect("is UTF-8").to_owned();
    let arguments =
        ["build", "--strict", "--quiet", "-f", &text(&configuration), "-d", &text(&site)].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(
        &mkdocs,
        &arguments,
        folder.path(),
        &[("NO_MKDOCS_2_WARNING", Path::new("1")), ("PYTHONDONTWRITEBYTECODE", Path::new("1"))],
    );
    assert!(output.status.success(), "{}", said(&output));
    check_links(&site);

    let script = root().join("tests/editors/site.mjs");
    let variables = [("SITE", site.as_path()), ("CHROMIUM", &chromium()), ("PACKAGES", &installed("browser"))];
    let output = run(Path::new("node"), &["--test", &text(&script)], folder.path(), &variables);
    assert!(output.status.success(), "{}", said(&output));
}
