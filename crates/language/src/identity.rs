//! The identity of a finding from one version of a file to the next: unchanged when lines move, when the layout
//! changes and when steps get other numbers.

use crate::recipe::Recipe;
use crate::secret;
use crate::source::Span;
use crate::syntax::{Kind, NodeRef};

/// Stands for a number in a message.
const NUMBER: char = '#';

/// A message with `#` in place of each whole number: `fmt --renumber` and findings elsewhere change these.
///
/// ```
/// use zrecipe_language::identity::without_numbers;
///
/// assert_eq!(without_numbers("step `12` of `v2` takes 1.5 s"), "step `#` of `v2` takes 1.5 s");
/// ```
pub fn without_numbers(message: &str) -> String {
    let is_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '-');
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(is_word) {
        let length = rest[start..].find(|character| !is_word(character)).unwrap_or(rest.len() - start);
        let (before, word) = (&rest[..start], &rest[start..start + length]);
        text.push_str(before);
        // A full stop may end a sentence.
        let digits = word.trim_end_matches('.');
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push(NUMBER);
            text.push_str(&word[digits.len()..]);
        } else {
            text.push_str(word);
        }
        rest = &rest[start + length..];
    }
    text + rest
}

/// The keys that lead to a place, separated by `/`. A step is named by its destination, not by its number, and items
/// of arrays are not counted, and a key that is one of the `secrets` is masked.
pub fn place(recipe: &Recipe, span: Span, secrets: &[Span]) -> String {
    let mut path = String::new();
    let mut node = recipe.tree().root();
    loop {
        path.push('/');
        match node.kind() {
            Kind::Object => {
                // Of repeated keys, only the last may be a step; each is a place of its own.
                let Some(member) = node.member_over(span.start) else { return path };
                match destination(recipe, member.key) {
                    Some(name) => path.push_str(&name),
                    None if secret::covers(secrets, member.key.span()) => path.push_str(secret::MASK),
                    None => path.push_str(&member.key.text()),
                }
                if span.start < member.value.span().start {
                    return path;
                }
                node = member.value;
            }
            Kind::Array => {
                let Some(item) = node.item_over(span.start) else { return path };
                node = item;
            }
            _ => return path,
        }
    }
}

/// The destination of the step with this key; empty if it has none.
fn destination(recipe: &Recipe, key: NodeRef<'_>) -> Option<String> {
    let steps = recipe.steps();
    let step = &steps[steps.binary_search_by_key(&key.id(), |step| step.key).ok()?];
    let name = recipe.text(step.queue.or(step.topic).or(step.service));
    Some(name.map(std::borrow::Cow::into_owned).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::lower;
    use crate::source::Source;

    #[test]
    fn only_whole_numbers_are_replaced() {
        for (message, expected) in [
            ("steps 1, 2 and 10", "steps #, # and #"),
            ("`/3/queue` is -5 or 1.25", "`/#/queue` is -5 or 1.25"),
            ("`image_3` and `2d`, 7", "`image_3` and `2d`, #"),
            ("schön 4. Ende", "schön #. Ende"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(message), expected);
        }
    }

    #[test]
    fn a_place_is_the_same_under_other_step_numbers_and_layouts() {
        let place_of = |text: &str| {
            let source = std::sync::Arc::new(Source::from_text("r.json", text));
            let recipe = lower(std::sync::Arc::new(crate::syntax::parse(source)));
            let at = text.find("BAD").expect("has the mark") as u32;
            place(&recipe, Span { start: at, end: at + 3 }, &[])
        };
        let before = place_of(r#"{"1":{"queue":"a","parameters":{"x":[1,"BAD"]}},"start":[[1,[]]]}"#);
        let after = place_of(
            "{\n \"7\": {\"queue\": \"a\", \"note\": 1,\n \"parameters\": {\"y\": 2, \"x\": [0, 1, \"BAD\"]}},\n \"start\": [[7, []]]}",
        );
        assert_eq!(before, after);
        let other = place_of(r#"{"1":{"queue":"b","parameters":{"x":[1,"BAD"]}},"start":[[1,[]]]}"#);
        assert_ne!(before, other, "another step");
    }
}
