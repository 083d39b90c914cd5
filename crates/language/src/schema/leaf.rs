//! Errors of the validator, taken apart into facts about single values.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError};

use super::{Flaw, SchemaValue, Segment};
use crate::diagnostic::counted;

pub(super) fn flaw(root: &SchemaValue, error: &ValidationError<'_>) -> Flaw {
    let path = segments(error);
    let message = match error.kind() {
        ValidationErrorKind::Referencing(_) => "the schema contains an unresolved `$ref`".to_owned(),
        _ => {
            let mut leaves = Vec::new();
            flatten(error, &|_| false, &mut leaves);
            let shown = path.iter().try_fold(root, |at, segment| match segment {
                Segment::Key(key) => at.get(key),
                Segment::Index(index) => at.get(index),
            });
            let shown = shown.map_or_else(String::new, |value| format!("`{}` ", shorten(&value.to_string())));
            format!("{shown}is not valid in a JSON Schema")
        }
    };
    Flaw { path, message }
}

pub(super) fn segments(error: &ValidationError<'_>) -> Vec<Segment> {
    let convert = |segment: LocationSegment<'_>| match segment {
        LocationSegment::Property(name) => Segment::Key(name.into_owned()),
        LocationSegment::Index(index) => Segment::Index(index),
    };
    error.instance_path().segments().map(convert).collect()
}

/// What is at the bottom of an error: a fact about one value.
pub(super) struct Leaf {
    pub(super) path: Vec<Segment>,
    pub(super) schema_path: String,
    pub(super) kind: LeafKind,
    /// What else the value around it may be, if it is a scalar.
    pub(super) instead: Option<(Vec<Segment>, Vec<JsonType>)>,
}

pub(super) enum LeafKind {
    Types(Vec<JsonType>),
    Options(Vec<SchemaValue>),
    Missing(String),
    Unknown(Vec<String>),
    /// About the number of items or members: a predicate.
    Size(String),
    /// What the value is: a predicate without its `is`.
    Is(String),
    /// It does not match a pattern: a predicate.
    Pattern(String),
    /// It has none of several forms: a predicate.
    Form(String),
    /// It may not be there at all: a predicate.
    Forbidden(String),
    /// Another predicate.
    Other(String),
}

pub(super) fn flatten(error: &ValidationError<'_>, is_undecided: &dyn Fn(&Leaf) -> bool, leaves: &mut Vec<Leaf>) {
    use ValidationErrorKind as K;
    let kind = match error.kind() {
        K::Type { kind: TypeKind::Single(only) } => LeafKind::Types(vec![*only]),
        K::Type { kind: TypeKind::Multiple(several) } => LeafKind::Types(several.iter().collect()),
        K::Enum { options } => LeafKind::Options(options.as_array().cloned().unwrap_or_default()),
        K::Constant { expected_value } => LeafKind::Options(vec![(**expected_value).clone()]),
        K::Required { property } => LeafKind::Missing(property.as_str().unwrap_or_default().to_owned()),
        K::AdditionalProperties { unexpected } | K::UnevaluatedProperties { unexpected } => {
            LeafKind::Unknown(unexpected.clone())
        }
        K::AnyOf { context } | K::OneOfNotValid { context } => {
            return flatten_branches(error, context, is_undecided, leaves);
        }
        K::OneOfMultipleValid { .. } => LeafKind::Other("matches more than one of the alternative forms".to_owned()),
        K::Minimum { limit } => LeafKind::Is(format!("less than {limit}")),
        K::Maximum { limit } => LeafKind::Is(format!("more than {limit}")),
        K::ExclusiveMinimum { limit } => LeafKind::Is(format!("not above {limit}")),
        K::ExclusiveMaximum { limit } => LeafKind::Is(format!("not below {limit}")),
        K::MultipleOf { multiple_of } => LeafKind::Is(format!("not a multiple of {multiple_of}")),
        K::MinLength { limit: 1 } => LeafKind::Is("empty".to_owned()),
        K::MinLength { limit } => LeafKind::Other(format!("has fewer than {}", counted(*limit, "character"))),
        K::MaxLength { limit } => LeafKind::Other(format!("has more than {}", counted(*limit, "character"))),
        K::MinItems { limit: 1 } => LeafKind::Size("is empty".to_owned()),
        K::MinItems { limit } => LeafKind::Size(format!("has fewer than {}", counted(*limit, "item"))),
        K::MaxItems { limit } => LeafKind::Size(format!("has more than {}", counted(*limit, "item"))),
        K::AdditionalItems { limit } => LeafKind::Size(format!("has more than {}", counted(*limit as u64, "item"))),
        K::MinProperties { limit: 1 } => LeafKind::Size("is empty".to_owned()),
        K::MinProperties { limit } => LeafKind::Size(format!("has fewer than {}", counted(*limit, "key"))),
        K::MaxProperties { limit } => LeafKind::Size(format!("has more than {}", counted(*limit, "key"))),
        K::Pattern { pattern } if pattern == "\\S" => LeafKind::Is("empty".to_owned()),
        K::BacktrackLimitExceeded { .. } => {
            LeafKind::Other("cannot be matched against a pattern: the limit for backtracking is reached".to_owned())
        }
        K::Pattern { pattern } => LeafKind::Pattern(format!("does not match the pattern `{}`", shorten(pattern))),
        K::Format { format } => LeafKind::Is(format!("not in the form of `{}`", shorten(format))),
        K::UniqueItems => LeafKind::Other("has an item more than once".to_owned()),
        K::Contains => LeafKind::Other("lacks a required item".to_owned()),
        K::UnevaluatedItems { .. } => LeafKind::Other("has an item that is not allowed".to_owned()),
        K::PropertyNames { error } => match error.instance().as_str() {
            Some(name) => LeafKind::Unknown(vec![name.to_owned()]),
            None => LeafKind::Other("has a key of a form that is not allowed".to_owned()),
        },
        K::FalseSchema => LeafKind::Forbidden("is not allowed".to_owned()),
        K::Not { .. } => LeafKind::Is("a value that is not allowed".to_owned()),
        _ => LeafKind::Other("does not fit".to_owned()),
    };
    let schema_path = error.schema_path().as_str().to_owned();
    leaves.push(Leaf { path: segments(error), schema_path, kind, instead: None });
}

/// Of several forms a value may have, the one it was meant to have: that whose type it has.
fn flatten_branches(
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    is_undecided: &dyn Fn(&Leaf) -> bool,
    leaves: &mut Vec<Leaf>,
) {
    let path = segments(error);
    let mut types = Vec::new();
    let mut options = Vec::new();
    let mut meant = Vec::new();
    for branch in branches {
        let mut found = Vec::new();
        branch.iter().for_each(|error| flatten(error, is_undecided, &mut found));
        // All that is in the way of this form depends on a placeholder: it may be the one.
        if !found.is_empty() && found.iter().all(is_undecided) {
            return;
        }
        let mismatch = found.iter().find_map(|leaf| match &leaf.kind {
            LeafKind::Types(types) if leaf.path == path => Some(types.clone()),
            _ => None,
        });
        match mismatch {
            Some(more) => types.extend(more),
            None => meant.push(found),
        }
    }
    let all_options = !meant.is_empty()
        && meant.iter().all(
            |found| matches!(found.as_slice(), [Leaf { kind: LeafKind::Options(_), path: at, .. }] if *at == path),
        );
    let schema_path = error.schema_path().as_str().to_owned();
    if all_options {
        for leaf in meant.into_iter().flatten() {
            if let LeafKind::Options(more) = leaf.kind {
                options.extend(more);
            }
        }
        let instead = path.clone();
        leaves.push(Leaf {
            path,
            schema_path,
            kind: LeafKind::Options(options),
            instead: (!types.is_empty()).then_some((instead, types)),
        });
        return;
    }
    if meant.len() > 1 {
        meant = told_apart(meant, &path);
    }
    match meant.len() {
        0 => {
            types.dedup();
            leaves.push(Leaf { path, schema_path, kind: LeafKind::Types(types), instead: None });
        }
        1 => {
            let instead = |leaf: Leaf| match leaf.instead {
                None if !types.is_empty() => Leaf { instead: Some((path.clone(), types.clone())), ..leaf },
                _ => leaf,
            };
            leaves.extend(meant.pop().unwrap_or_default().into_iter().map(instead));
        }
        _ => {
            let kind = LeafKind::Form("matches none of the alternative forms".to_owned());
            let instead = (!types.is_empty()).then(|| (path.clone(), types));
            leaves.push(Leaf { path, schema_path, kind, instead });
        }
    }
}

/// Of several forms of an object the one that is meant: by a key whose value names the form, or because only the types
/// of values are in its way. If the value names none, that is what is wrong.
fn told_apart(mut forms: Vec<Vec<Leaf>>, path: &[Segment]) -> Vec<Vec<Leaf>> {
    let names = |leaf: &Leaf| matches!(leaf.kind, LeafKind::Options(_)) && leaf.path.len() == path.len() + 1;
    let is_named = forms.iter().any(|form| !form.iter().any(names));
    if !is_named {
        let mut named: Vec<Leaf> =
            forms.iter_mut().filter_map(|form| form.drain(..).find(|leaf| names(leaf))).collect();
        let mut first = named.remove(0);
        let is_same = named.iter().all(|leaf| leaf.path == first.path);
        if let LeafKind::Options(all) = &mut first.kind
            && is_same
        {
            all.extend(named.into_iter().flat_map(|leaf| match leaf.kind {
                LeafKind::Options(more) => more,
                _ => Vec::new(),
            }));
            return vec![vec![first]];
        }
        return vec![vec![first], named];
    }
    forms.retain(|form| !form.iter().any(names));
    let only_types = |form: &Vec<Leaf>| form.iter().all(|leaf| matches!(leaf.kind, LeafKind::Types(_)));
    if forms.iter().filter(|form| only_types(form)).count() == 1 {
        forms.retain(only_types);
    }
    forms
}

/// As much of a text as fits into a message.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.chars().count() {
        0..=MOST => text,
        _ => format!("{}…", text.chars().take(MOST - 1).collect::<String>()),
    }
}
