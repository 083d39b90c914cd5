//! Patterns with wildcards, as users write them. The only reader of these.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Maximum length of a pattern, in bytes.
const MAX_LENGTH: usize = 4096;

/// Maximum depth of `{…}` in one another; the library's readers are recursive.
const MAX_DEPTH: usize = 32;

/// Whether a text has a wildcard.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// A pattern: `*`, `?`, `[abc]`, `{one,two}`, and `**` for any directories.
#[derive(Debug, Clone)]
pub struct Pattern {
    set: GlobSet,
}

impl Pattern {
    /// A pattern of paths: `*` stops at `/`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of_path(text: &str) -> Result<Self, String> {
        Self::new(text, true)
    }

    /// A pattern of names, in which `/` is a character as any other.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of_name(text: &str) -> Result<Self, String> {
        Self::new(text, false)
    }

    fn new(text: &str, is_path: bool) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("the pattern has {} bytes; {MAX_LENGTH} are the maximum", text.len()));
        }
        let mut depth = 0_usize;
        for character in text.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(format!("the pattern has more than {MAX_DEPTH} levels of `{{`"));
            }
        }
        let glob = GlobBuilder::new(text).literal_separator(is_path).build().map_err(|error| error.to_string())?;
        // `compile_matcher` panics where the pattern becomes too large; a set says so.
        let set = GlobSetBuilder::new().add(glob).build();
        Ok(Self { set: set.map_err(|error| format!("the pattern is too complex: {}", error.kind()))? })
    }

    /// Whether a path or a name matches.
    pub fn is_match(&self, path: impl AsRef<Path>) -> bool {
        self.set.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_or_are_refused() {
        for (pattern, path, expected) in [
            ("recipes/*.json", "recipes/a.json", true),
            ("recipes/*.json", "recipes/more/a.json", false),
            ("recipes/**/*.json", "recipes/more/a.json", true),
            ("{a,b}.json", "b.json", true),
        ] {
            assert_eq!(Pattern::of_path(pattern).expect("is one").is_match(path), expected, "{pattern} {path}");
        }
        assert!(Pattern::of_name("a*").expect("is one").is_match("a/b"));
        let nested = |depth: usize| "{".repeat(depth) + "a" + &"}".repeat(depth);
        assert!(Pattern::of_path(&nested(MAX_DEPTH)).expect("is one").is_match("a"));
        for text in ["[", "{a", &nested(250), &nested(200_000), &"{a,b}".repeat(800), &"[^a]".repeat(1_024)] {
            // Whatever comes of it, it is no fault of zrecipe.
            let _ = Pattern::of_path(text);
        }
        assert!(Pattern::of_path("[").is_err());
        assert!(Pattern::of_path(&nested(250)).is_err_and(|why| why.contains("32 levels")));
        assert!(Pattern::of_path(&nested(200_000)).is_err_and(|why| why.contains("4096")));
    }
}
