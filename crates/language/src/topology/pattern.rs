//! Regular expressions as RabbitMQ reads them: what they match, and what is certainly wrong with one.
//!
//! RabbitMQ has PCRE, of which no implementation in Rust knows everything. A pattern that only PCRE understands is
//! taken as right, and nobody knows what it matches.

use std::ops::Range;

use fancy_regex::{Regex, RegexBuilder};

/// A regular expression that names of queues and exchanges, or of anything, are held against.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Option<Regex>,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where, in bytes of the pattern.
    pub range: Range<usize>,
    /// What: a clause about that place.
    pub message: &'static str,
}

/// How far a match may go back before nobody can tell: names are short.
const MOST_STEPS: usize = 10_000;

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { regex: RegexBuilder::new(&text).backtrack_limit(MOST_STEPS).build().ok(), text }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in a name; nothing when nobody can tell.
    pub fn matches(&self, name: &str) -> Option<bool> {
        self.regex.as_ref()?.is_match(name).ok()
    }

    /// Why RabbitMQ refuses it, if it certainly does: the first reason.
    pub fn flaw(&self) -> Option<Flaw> {
        Scanner { text: &self.text, at: 0, open: Vec::new() }.flaw()
    }
}

/// What the next quantifier would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing: the beginning of an alternative.
    Nothing,
    /// Something.
    Item,
    /// A repeated item; `?` and `+` still say how.
    Repeated,
    /// A repeated item of which everything is said.
    Done,
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Where the open groups begin.
    open: Vec<usize>,
}

impl<'t> Scanner<'t> {
    fn flaw(mut self) -> Option<Flaw> {
        let mut before = Before::Nothing;
        while let Some(character) = self.rest().chars().next() {
            let start = self.at;
            self.at += character.len_utf8();
            before = match character {
                '\\' => match self.rest().chars().next() {
                    None => return self.found(start, "nothing follows the `\\`"),
                    Some('Q') => {
                        let end = self.rest().find("\\E").map_or(self.text.len(), |end| self.at + end + 2);
                        self.at = end;
                        Before::Item
                    }
                    Some(escaped) => {
                        self.at += escaped.len_utf8();
                        Before::Item
                    }
                },
                '[' => match self.class(start) {
                    Some(flaw) => return Some(flaw),
                    None => Before::Item,
                },
                '(' => {
                    let rest = self.rest();
                    if let Some(inside) = rest.strip_prefix("?#") {
                        match inside.find(')') {
                            Some(end) => self.at += end + 3,
                            None => return self.found(start, "the comment is not closed"),
                        }
                        before
                    } else if rest.starts_with('*')
                        && rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == ':')
                    {
                        self.at += rest.find(')').map_or(rest.len(), |end| end + 1);
                        Before::Item
                    } else {
                        let options = rest.strip_prefix('?').map(|rest| {
                            let end = rest.find(|c: char| !c.is_ascii_alphabetic() && !"-^".contains(c));
                            &rest[..end.unwrap_or(rest.len())]
                        });
                        // With the option `x`, white space and `#` mean something else from here on.
                        if options.is_some_and(|options| options.contains('x')) {
                            return None;
                        }
                        self.open.push(start);
                        if rest.starts_with('?') {
                            // What stands behind `(?` up to the first character that is no part of it.
                            let head = rest
                                .find(|c: char| !"?:=!<>|P&'-^".contains(c) && !c.is_ascii_alphanumeric() && c != '_');
                            let end = [rest.find(['=', '!', ':', '>', '|']).map(|end| end + 1), head]
                                .into_iter()
                                .flatten()
                                .min();
                            self.at += end.unwrap_or(rest.len());
                        }
                        Before::Nothing
                    }
                }
                ')' if self.open.pop().is_none() => return self.found(start, "the `)` closes nothing"),
                ')' => Before::Item,
                '|' => Before::Nothing,
                '*' | '+' | '?' => match before {
                    Before::Nothing => return self.found(start, "there is nothing to repeat"),
                    Before::Item => Before::Repeated,
                    Before::Repeated if character != '*' => Before::Done,
                    Before::Repeated | Before::Done => return self.found(start, "what it repeats is repeated already"),
                },
                '{' => match self.bounds() {
                    Some((least, most, length)) => {
                        self.at += length;
                        if most.is_some_and(|most| most < least) {
                            return self.found(start, "the bounds are reversed");
                        }
                        Before::Repeated
                    }
                    None => Before::Item,
                },
                _ => Before::Item,
            };
        }
        let start = self.open.pop()?;
        Some(Flaw { range: start..start + 1, message: "the `(` is not closed" })
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn found(&self, start: usize, message: &'static str) -> Option<Flaw> {
        Some(Flaw { range: start..self.at, message })
    }

    /// Reads `[…]`, of which the first character has been read.
    fn class(&mut self, start: usize) -> Option<Flaw> {
        self.at += usize::from(self.rest().starts_with('^'));
        let first = self.at;
        // The character before a `-`, if both are plain.
        let mut range: Option<(usize, char)> = None;
        let mut previous: Option<(usize, char)> = None;
        while let Some(character) = self.rest().chars().next() {
            let at = self.at;
            self.at += character.len_utf8();
            match character {
                ']' if at > first => return None,
                '\\' => {
                    if self.rest().starts_with('Q') {
                        // Rare enough, and everything in it is plain.
                        self.at += self.rest().find("\\E").map_or(self.rest().len(), |end| end + 2);
                    } else {
                        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                    }
                    (range, previous) = (None, None);
                }
                '[' if self.rest().starts_with([':', '.', '=']) => {
                    let kind = &self.rest()[..1];
                    let end = self.rest()[1..].find(&format!("{kind}]"));
                    self.at += end.filter(|&end| !self.rest()[1..=end].contains(']')).map_or(0, |end| end + 3);
                    (range, previous) = (None, None);
                }
                '-' if previous.is_some() && range.is_none() => range = previous.take(),
                _ => {
                    if let Some((from, low)) = range.take() {
                        if character < low {
                            return Some(Flaw { range: from..self.at, message: "the range is reversed" });
                        }
                        previous = None;
                    } else {
                        previous = Some((at, character));
                    }
                }
            }
        }
        Some(Flaw { range: start..start + 1, message: "the `[` is not closed" })
    }

    /// The least and the most of `{…}`, of which the first character has been read, and the bytes to its end.
    fn bounds(&self) -> Option<(u32, Option<u32>, usize)> {
        let (inside, _) = self.rest().split_once('}')?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (least, most) = match inside.split_once(',') {
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
            None => (number(inside)?, Some(number(inside)?)),
        };
        Some((least, most, inside.len() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certainly_wrong_is_found() {
        // What Erlang's `re:compile` says to each: an empty message is for what it takes, or what only some of its
        // versions refuse.
        let rows = [
            (".*", ""),
            ("^xrc.*", ""),
            ("^(?!amq\\.).*", ""),
            ("(?<name>a)\\k<name>", ""),
            ("(?P<name>a)(?P=name)", ""),
            ("a{,3}{x}{", ""),
            ("[]a]", ""),
            ("[[:alpha:]-]", ""),
            ("[[]", ""),
            ("[a\\]]", ""),
            ("\\Q(*\\E", ""),
            ("(?#*)a", ""),
            ("(*ACCEPT)", ""),
            ("(?i)a", ""),
            ("(?x) a # (", ""),
            ("a?+b??c{2}+", ""),
            ("()*", ""),
            ("(?=a)*", ""),
            ("(?:a|)", ""),
            ("*", "`*` there is nothing to repeat"),
            ("dlq|*", "`*` there is nothing to repeat"),
            ("(*)", "`*` there is nothing to repeat"),
            ("(?:+)", "`+` there is nothing to repeat"),
            ("a**", "`*` what it repeats is repeated already"),
            ("a???", "`?` what it repeats is repeated already"),
            ("a(b", "`(` the `(` is not closed"),
            ("a)b", "`)` the `)` closes nothing"),
            ("a[b", "`[` the `[` is not closed"),
            ("[]", "`[` the `[` is not closed"),
            ("[[:alpha:]", "`[` the `[` is not closed"),
            ("[z-a]", "`z-a` the range is reversed"),
            ("a{2,1}", "`{2,1}` the bounds are reversed"),
            ("a\\", "`\\` nothing follows the `\\`"),
            ("(?#", "`(` the comment is not closed"),
        ];
        for (text, expected) in rows {
            let flaw = Pattern::new(text).flaw();
            let found = flaw.map_or(String::new(), |flaw| format!("`{}` {}", &text[flaw.range], flaw.message));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_matches() {
        for (text, name, expected) in [
            (".*", "images", Some(true)),
            ("^xrc.*", "xrc.i03", Some(true)),
            ("^xrc.*", "dlq.xrc.i03", Some(false)),
            ("xrc", "dlq.xrc.i03", Some(true)),
            ("^(?!amq\\.)", "images", Some(true)),
            ("^(?!amq\\.)", "amq.gen", Some(false)),
            ("(*", "images", None),
            ("^(?=(a|a)*$)(a|a)*(?=b)$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", None),
        ] {
            assert_eq!(Pattern::new(text).matches(name), expected, "{text} on {name}");
        }
    }
}
