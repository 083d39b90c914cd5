//! How a service uses the environment of a recipe: names that stand for values, and names that are stored.

use std::ops::Range;

/// How a service uses the environment of a recipe.
#[derive(Debug, Default)]
pub struct Environment {
    /// Whether `$name` in a parameter stands for a value of the environment.
    pub replaces: bool,
    /// Whether it does so only where the parameter is nothing else.
    pub whole_only: bool,
    /// Parameters whose value is a name under which a result is stored.
    pub stored_by: Vec<String>,
    /// Names that are stored whatever the parameters are.
    pub stores: Vec<String>,
    /// Names that the service reads itself.
    pub reads: Vec<String>,
}

impl Environment {
    /// The names in a text that stand for values of the environment, and where they are.
    pub fn variables<'t>(&self, text: &'t str) -> Vec<(&'t str, Range<usize>)> {
        if !self.replaces {
            return Vec::new();
        }
        let found = variables(text);
        let is_whole = |(_, range): &(&str, Range<usize>)| *range == (0..text.len());
        if self.whole_only && !found.iter().all(is_whole) { Vec::new() } else { found }
    }
}

/// The names after `$` in a text, also in braces, and where they are, the `$` included. `$$` is a dollar sign.
pub fn variables(text: &str) -> Vec<(&str, Range<usize>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find('$').map(|start| at + start) {
        let rest = &text[start + 1..];
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let in_braces = inner.len() < rest.len();
        let name = &inner[..inner.find(|c| !is_word(c)).unwrap_or(inner.len())];
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_closed = !in_braces || inner[name.len()..].starts_with('}');
        let end = start + 1 + name.len() + if in_braces { 2 } else { 0 };
        at = match (rest.starts_with('$'), is_name && is_closed) {
            (true, _) => start + 2,
            (false, true) => {
                found.push((name, start..end));
                end
            }
            (false, false) => start + 1,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_dollars_are_found() {
        let names = |text| variables(text).into_iter().map(|(name, range)| (name, &text[range])).collect::<Vec<_>>();
        assert_eq!(names("$a ${b}$c_1"), [("a", "$a"), ("b", "${b}"), ("c_1", "$c_1")]);
        assert_eq!(names("$$a $1 ${x $ ${} 5$"), []);
        let whole = Environment { replaces: true, whole_only: true, ..Environment::default() };
        assert_eq!(whole.variables("$a").len(), 1);
        assert!(whole.variables("$a/b").is_empty());
    }
}
