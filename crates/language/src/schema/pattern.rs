//! Regular expressions of a schema: which text can match one, told from its parsed form.

use std::sync::{Arc, OnceLock};

use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Whether a pattern lets through only text in which every part of it fits; what it says of characters beyond ASCII
/// does not count.
pub fn pattern_is_made_of(pattern: &str, fits: impl Fn(&str) -> bool + Copy) -> bool {
    fn consists(hir: &Hir, fits: impl Fn(&str) -> bool + Copy) -> bool {
        let fits_range = |start: u32, end: u32| {
            (start..=end.min(127)).filter_map(char::from_u32).all(|c| fits(c.encode_utf8(&mut [0; 4])))
        };
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => true,
            HirKind::Literal(text) => str::from_utf8(&text.0).is_ok_and(fits),
            HirKind::Class(Class::Unicode(class)) => {
                class.ranges().iter().all(|range| fits_range(range.start().into(), range.end().into()))
            }
            HirKind::Class(Class::Bytes(class)) => {
                class.ranges().iter().all(|range| fits_range(range.start().into(), range.end().into()))
            }
            HirKind::Repetition(repeated) => consists(&repeated.sub, fits),
            HirKind::Capture(group) => consists(&group.sub, fits),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(|part| consists(part, fits)),
        }
    }
    regex_syntax::parse(pattern).is_ok_and(|hir| {
        let (prefix, suffix) = (hir.properties().look_set_prefix(), hir.properties().look_set_suffix());
        prefix.contains(Look::Start) && suffix.contains(Look::End) && consists(&hir, fits)
    })
}

/// A regular expression that text must match. Copies share what has been found out about it.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<(String, OnceLock<[Ends; 2]>)>);

/// How text that matches begins, or how it ends; nothing if that is hard to tell.
type Ends = Option<Vec<Literal>>;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(Arc::new((text.to_owned(), OnceLock::new())))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0.0
    }

    fn ends(&self) -> &[Ends; 2] {
        self.0.1.get_or_init(|| {
            let Ok(hir) = regex_syntax::parse(self.text()) else { return [None, None] };
            let properties = hir.properties();
            let extract = |is_bound: bool, kind| {
                let found = is_bound.then(|| Extractor::new().kind(kind).extract(&hir));
                found.and_then(|found| found.literals().map(<[Literal]>::to_vec))
            };
            [
                extract(properties.look_set_prefix().contains(Look::Start), ExtractKind::Prefix),
                extract(properties.look_set_suffix().contains(Look::End), ExtractKind::Suffix),
            ]
        })
    }

    /// Whether text that starts and ends like this can match; where that is hard to tell, it can.
    pub fn may_match(&self, start: &str, end: &str) -> bool {
        let any = |ends: &Ends, fits: &dyn Fn(&str) -> bool| {
            let fits = |literal: &Literal| str::from_utf8(literal.as_bytes()).map_or(true, fits);
            ends.as_ref().is_none_or(|literals| literals.iter().any(fits))
        };
        let [begins, ends] = self.ends();
        any(begins, &|literal| literal.starts_with(start) || start.starts_with(literal))
            && any(ends, &|literal| literal.ends_with(end) || end.ends_with(literal))
    }
}
