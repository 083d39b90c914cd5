//! Patterns with wildcards, as users write them. The only reader of these.

use std::path::Path;

use globset::{Candidate, Glob, GlobBuilder, GlobSet, GlobSetBuilder};

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
    glob: Glob,
    set: GlobSet,
}

/// Many patterns, each with what it stands for: to find those that match costs little more than to ask one of them.
#[derive(Debug, Clone)]
pub struct Patterns<T> {
    /// Each with the place of its first pattern.
    sets: Vec<(usize, GlobSet)>,
    values: Vec<T>,
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
        let set = GlobSetBuilder::new().add(glob.clone()).build();
        let set = set.map_err(|error| format!("the pattern is too complex: {}", error.kind()))?;
        Ok(Self { glob, set })
    }

    /// Whether a path or a name matches.
    pub fn is_match(&self, path: impl AsRef<Path>) -> bool {
        self.set.is_match(path)
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self { sets: Vec::new(), values: Vec::new() }
    }
}

impl<T> FromIterator<(Pattern, T)> for Patterns<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(patterns: I) -> Self {
        let (patterns, values): (Vec<Pattern>, Vec<T>) = patterns.into_iter().unzip();
        let mut sets = Vec::new();
        add_sets(&patterns, 0, &mut sets);
        Self { sets, values }
    }
}

/// Adds one set of all patterns, or several if one would be too large.
fn add_sets(patterns: &[Pattern], first: usize, sets: &mut Vec<(usize, GlobSet)>) {
    if let [only] = patterns {
        sets.push((first, only.set.clone()));
        return;
    }
    let mut builder = GlobSetBuilder::new();
    patterns.iter().for_each(|pattern| _ = builder.add(pattern.glob.clone()));
    match builder.build() {
        Ok(set) => sets.push((first, set)),
        Err(_) => {
            let (front, back) = patterns.split_at(patterns.len() / 2);
            add_sets(front, first, sets);
            add_sets(back, first + front.len(), sets);
        }
    }
}

impl<T> Patterns<T> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What the patterns that match stand for, in their order.
    pub fn matches(&self, path: impl AsRef<Path>) -> impl DoubleEndedIterator<Item = &T> {
        let path = Candidate::new(path.as_ref());
        let places = |(first, set): &(usize, GlobSet)| {
            let mut places = set.matches_candidate(&path);
            places.iter_mut().for_each(|place| *place += first);
            places
        };
        let mut found: Vec<usize> = self.sets.iter().flat_map(places).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|place| &self.values[place])
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

    #[test]
    fn many_patterns_match_as_each_by_itself() {
        let texts = ["a.json", "*.json", "b/*.json", "a.json", "{a,b}.json", "b/**", "[ab].json", "c"];
        let pattern = |text: &&str| Pattern::of_path(text).expect("is one");
        let all: Patterns<usize> = texts.iter().map(pattern).zip(0..).collect();
        for path in ["a.json", "b.json", "b/a.json", "b/c/a.json", "c", "d"] {
            let single = (0..texts.len()).filter(|&place| pattern(&texts[place]).is_match(path));
            assert!(all.matches(path).copied().eq(single), "{path}");
        }
        // What is too large for one set makes several.
        let complex = (0..40).map(|number| format!("{}{number}", "[^a]".repeat(250)));
        let all: Patterns<usize> = complex.map(|text| Pattern::of_path(&text).expect("is one")).zip(0..).collect();
        assert!(all.matches("b".repeat(250) + "17").eq([&17]), "of {} sets", all.sets.len());
    }
}
