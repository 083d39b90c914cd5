//! Rust source as words, and the modules that it names.

use super::{CRATES, File};

/// The code of a file as words, with `::` as one word; comments, texts and characters are left out.
pub(super) fn words(code: &str) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    let at = |place: usize| characters.get(place).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let (mut words, mut place) = (Vec::new(), 0);
    while place < characters.len() {
        match (at(place), at(place + 1)) {
            ('/', '/') => {
                while place < characters.len() && at(place) != '\n' {
                    place += 1;
                }
            }
            ('/', '*') => {
                while place < characters.len() && !(at(place) == '*' && at(place + 1) == '/') {
                    place += 1;
                }
                place += 2;
            }
            ('r', '"' | '#') => {
                let hashes = (place + 1..).take_while(|&place| at(place) == '#').count();
                if at(place + 1 + hashes) != '"' {
                    place += 1;
                    continue;
                }
                place += 2 + hashes;
                let closes = |place: usize| at(place) == '"' && (1..=hashes).all(|more| at(place + more) == '#');
                while place < characters.len() && !closes(place) {
                    place += 1;
                }
                place += 1 + hashes;
            }
            ('"', _) => {
                place += 1;
                while place < characters.len() && at(place) != '"' {
                    place += if at(place) == '\\' { 2 } else { 1 };
                }
                place += 1;
            }
            ('\'', '\\') => {
                place += 3;
                while place < characters.len() && at(place) != '\'' {
                    place += 1;
                }
                place += 1;
            }
            ('\'', _) if at(place + 2) == '\'' => place += 3,
            (':', ':') => {
                words.push("::".to_owned());
                place += 2;
            }
            (first, _) if is_word(first) => {
                let end = (place..).find(|&place| !is_word(at(place))).unwrap_or(place + 1);
                words.push(characters[place..end].iter().collect());
                place = end;
            }
            (other, _) => {
                if !other.is_whitespace() {
                    words.push(other.to_string());
                }
                place += 1;
            }
        }
    }
    words
}

/// The module of a file: `lint/rules/cycle.rs` is `lint`, `rules`, `cycle`.
pub(super) fn module(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// The modules and items of the workspace that a file names: the crate, and the path from its root.
pub(super) fn paths(file: &File, words: &[String]) -> Vec<(String, Vec<String>)> {
    let mut own = module(&file.path);
    let mut found = Vec::new();
    // At which depth of braces each module within the file ends.
    let (mut depth, mut within) = (0i32, Vec::new());
    for (place, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if within.last() == Some(&depth) {
                    within.pop();
                    own.pop();
                }
            }
            "mod" if words.get(place + 2).is_some_and(|next| next == "{") => {
                within.push(depth);
                own.push(words[place + 1].clone());
            }
            _ => {}
        }
        let leads_on = words.get(place + 1).is_some_and(|next| next == "::");
        if !leads_on || (place > 0 && words[place - 1] == "::") {
            continue;
        }
        let (krate, base) = match word.as_str() {
            "crate" => (file.krate, Vec::new()),
            "self" => (file.krate, own.clone()),
            "super" => (file.krate, own[..own.len().saturating_sub(1)].to_vec()),
            other => match CRATES.iter().find(|(name, _)| *name == other) {
                Some((name, _)) => (*name, Vec::new()),
                None => continue,
            },
        };
        let mut paths = Vec::new();
        follow(words, place + 2, base, &mut paths);
        found.extend(paths.into_iter().map(|path| (krate.to_owned(), path)));
    }
    found
}

/// Reads the rest of a path at `place`, and every path of a list in braces; returns where it ends.
fn follow(words: &[String], mut place: usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    loop {
        match words.get(place).map(String::as_str) {
            Some("super") => {
                path.pop();
            }
            Some("{") => {
                place += 1;
                while words.get(place).is_some_and(|word| word != "}") {
                    place = follow(words, place, path.clone(), paths);
                    while words.get(place).is_some_and(|word| word != "," && word != "}") {
                        place += 1;
                    }
                    place += usize::from(words.get(place).is_some_and(|word| word == ","));
                }
                return place + 1;
            }
            Some(word) if word == "*" || word.starts_with(|first: char| first.is_alphabetic() || first == '_') => {
                path.push(word.to_owned());
            }
            _ => break,
        }
        place += 1;
        if words.get(place).is_none_or(|word| word != "::") {
            break;
        }
        place += 1;
    }
    paths.push(path);
    place
}
