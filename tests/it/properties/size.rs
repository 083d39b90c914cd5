//! Shapes that would overflow a stack or take for ever.

use super::*;

/// Compiles on a stack on which nothing can recurse once for every step, and passes on what came of it.
fn on_a_small_stack<T: Send + 'static>(text: String, look: impl FnOnce(&Compilation) -> T + Send + 'static) -> T {
    let run = move || look(&compiled(text.as_bytes(), Some(&Object::new())));
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).expect("starts");
    thread.join().expect("does not panic")
}

/// Steps `1` to `count` with what `output` says.
fn steps(count: usize, output: impl Fn(usize) -> String) -> String {
    let steps: Vec<String> =
        (1..=count).map(|id| format!("\"{id}\":{{\"queue\":\"q\",\"output\":{}}}", output(id))).collect();
    format!("{{{},\"start\":[[1,[]]]}}", steps.join(","))
}

/// Recipes on which a reader that follows every path, or calls itself for every step, does not come back.
#[test]
fn large_recipes_are_read() {
    let layers = steps(20_000, |id| {
        if id > 19_998 { "[]".to_owned() } else { format!("[{},{}]", id.div_ceil(2) * 2 + 1, id.div_ceil(2) * 2 + 2) }
    });
    let started = |text: String| text.replace("[[1,[]]]", "[[1,[]],[2,[]]]");
    let chain = |count: usize| steps(count, |id| if id == count { "[]".to_owned() } else { (id + 1).to_string() });
    let circle = steps(100_000, |id| (id % 100_000 + 1).to_string());
    for (what, text, expect) in [
        ("ten thousand layers of two", started(layers), vec!["copied-step"]),
        ("a chain", chain(100_000), vec![]),
        ("a circle", circle, vec!["cycle"]),
        ("lists in lists", "[".repeat(100_000), vec!["not-a-recipe", "syntax-error", "too-deep"]),
        ("objects in objects", "{\"a\":".repeat(100_000), vec!["non-numeric-step", "syntax-error", "too-deep"]),
        ("closing brackets", "]".repeat(100_000), vec!["syntax-error"]),
        ("commas", format!("[{}]", ",".repeat(100_000)), vec!["not-a-recipe", "syntax-error"]),
        ("quotes", "\"".repeat(100_001), vec!["not-a-recipe", "syntax-error"]),
    ] {
        let mut names = on_a_small_stack(text, |compilation| {
            compilation.diagnostics.iter().map(|found| found.rule).collect::<Vec<_>>()
        });
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, expect, "{what}");
    }
}

/// What takes the square of its length does not come to an end, either.
#[test]
fn repetitive_recipes_are_read() {
    let many = |count: usize, piece: &dyn Fn(usize) -> String| (0..count).map(piece).collect::<Vec<_>>().join(",");
    let recipe = |step: String, more: String| format!("{{\"1\":{{\"queue\":\"a\",{step}}}{more},\"start\":[[1,[]]]}}");
    let text = |text: String| recipe(format!("\"parameters\":{{\"a\":\"\\u00e9{text}\"}}"), String::new());
    let unknown = many(20_000, &|id| format!("{}", id + 100_000));
    let known = many(20_000, &|id| format!(",\"{}\":{{\"queue\":\"q\"}}", id + 2)).replace(",,", ",");
    for (what, text, expect) in [
        (
            "links to steps that are not there",
            recipe(format!("\"output\":[{unknown}]"), known),
            vec!["unknown-step", "unreferenced-step"],
        ),
        ("a long key", recipe(format!("\"{}\":1", "k".repeat(2_000_000)), String::new()), vec![]),
        (
            "a misspelt key, often",
            recipe(many(10_000, &|_| "\"outptu\":1".to_owned()), String::new()),
            vec!["duplicate-key", "misspelt-key"],
        ),
        ("replacements in a text", text(" {$REPLACE:x}".repeat(10_000)), vec!["partial-replace"]),
        ("placeholders in a text", text("{x[a]} ".repeat(10_000)), vec!["undefined-placeholder"]),
        ("escapes", text("\\x".repeat(100_000)), vec!["syntax-error"]),
    ] {
        let mut names = on_a_small_stack(text, |compilation| {
            compilation.diagnostics.iter().map(|found| found.rule).collect::<Vec<_>>()
        });
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, expect, "{what}");
    }
}

/// The text of a message is read on a small stack, too.
#[test]
fn deep_messages_are_refused() {
    let read = || ["[", "{\"a\":"].map(|open| read_value(open.repeat(1_000_000).as_bytes()).is_err());
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(read).expect("starts");
    assert_eq!(thread.join().expect("does not panic"), [true, true]);
}
