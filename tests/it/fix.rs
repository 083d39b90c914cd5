//! Fixes: what `check --fix` writes, what it leaves alone, and what it says.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use zrecipe::compile::{Options, compile};
use zrecipe::diagnostic::Edit;
use zrecipe::fix::{Fixed, MOST_ROUNDS, Reason, Which, apply, fix};
use zrecipe::source::{Source, Span};

/// A directory with files, and the program in it.
pub(super) struct Place(tempfile::TempDir);

/// What a program said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) code: i32,
}

impl Place {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory can be made"));
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("can be written");
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("can be read")
    }

    /// Runs `zrecipe` with these arguments, `input` on standard input.
    pub(super) fn run(&self, arguments: &str, input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
        command.args(arguments.split_whitespace()).current_dir(self.path()).env_clear().env("HOME", self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // A program that does not read closes it.
            let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        });
        let Output { status, stdout, stderr } = child.wait_with_output().expect("ends");
        writer.join().expect("does not panic");
        let text = |bytes| String::from_utf8(bytes).expect("is UTF-8");
        Said { out: text(stdout), err: text(stderr), code: status.code().expect("is not killed") }
    }

    /// The names of everything in it.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("can be read");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("is read").file_name().into_string().expect("is UTF-8")).collect();
        names.sort();
        names
    }
}

const BROKEN: &str =
    "\u{feff}{\r\n  \"1\": {\"queue\": \"a\" \"output\": \"2\",},\r\n\t\"2\": {'queue': \"b\"},\n  \"start\": 1}  ";
const FIXED: &str =
    "{\r\n  \"1\": {\"queue\": \"a\", \"output\": 2},\r\n\t\"2\": {\"queue\": \"b\"},\n  \"start\": [[1, []]]}  ";
const GOOD: &str = "{\"1\": {\"queue\": \"a\"}, \"start\": [[1, []]]}";
/// What these are meant to be can only be guessed at.
const UNSAFE: &str = "{\"1\": {\"queue\": \"{\"}, \"start\": [1]}";
/// From the quote that is missing on, texts and what is between them have changed places.
const ODD_QUOTES: &str = "{\"3\": {\"queue\": \"c\",},\n\"1\": {\"queue: \"a\", \"output\": 2,}, \"2\": {\"queue\": \"b\"},\n\"start\": [[1, []],]}";
/// Both keys must have been `output`; both cannot be.
const TWICE: &str = "{\"1\":{\"queue\":\"a\",\"outptu\":2,\"ouptut\":3},\"2\":{\"queue\":\"b\"},\"3\":{\"queue\":\"c\"},\"start\":[[1,[]],[2,[]],[3,[]]]}";
/// As `output` the key would lead to a step that is not there, and the recipe runs as it is.
const WORSE: &str = "{\"1\": {\"queue\": \"a\", \"outptu\": 7}, \"start\": [[1, []]]}";

fn fixed(text: &str, which: Which) -> Fixed {
    fix(Arc::new(Source::from_text("recipe", text)), Options::default(), which)
}

#[test]
fn fixes_go_together() {
    for (text, which, expect, applied, undone) in [
        (BROKEN, Which::Safe, FIXED, 6, vec![]),
        (GOOD, Which::All, GOOD, 0, vec![]),
        ("", Which::All, "", 0, vec![]),
        (UNSAFE, Which::Safe, UNSAFE, 0, vec![]),
        (WORSE, Which::All, WORSE, 0, vec![Reason::Refused]),
        (TWICE, Which::All, &TWICE.replace("outptu", "output"), 1, vec![Reason::Replaces]),
    ] {
        let fixed = fixed(text, which);
        assert_eq!(fixed.compilation.source.text(), expect);
        assert_eq!(fixed.applied, applied, "{text}");
        assert_eq!(fixed.undone.iter().map(|undone| undone.reason).collect::<Vec<_>>(), undone, "{text}");
        assert!(!fixed.unfinished, "{text}");
    }
    let all = fixed(UNSAFE, Which::All);
    assert!(all.applied > 0 && !all.compilation.is_refused(), "{:?}", all.compilation.source.text());
}

#[test]
fn what_follows_an_open_string_stays() {
    let fixed = fixed(ODD_QUOTES, Which::All);
    assert_eq!(fixed.compilation.source.text(), ODD_QUOTES.replace("\"c\",", "\"c\""));
    assert!(fixed.undone.len() > 2 && fixed.undone.iter().all(|undone| undone.reason == Reason::OpenString));
}

/// Where a fix was undone is a place in the text as it is afterwards.
#[test]
fn undone_fixes_are_found_again() {
    let text = format!("\u{feff}{}", TWICE.replace(",\"2\"", ",  \"2\"").replace("\"a\",", "\"a\" "));
    let fixed = fixed(&text, Which::All);
    assert_eq!(fixed.applied, 3, "{:?}", fixed.undone);
    let text = fixed.compilation.source.text();
    let [undone] = &*fixed.undone else { panic!("{:?}", fixed.undone) };
    assert!(text[undone.at as usize..].starts_with("\"ouptut\""), "{} of {text}", undone.at);
}

/// Thousands of mistakes of one kind are more than one round finds.
#[test]
fn many_fixes() {
    let recipe = |comma: &str| {
        format!("{{\"1\": {{\"queue\": \"a\", \"x\": [{}1]}}, \"start\": [[1, []]]}}", comma.repeat(3000))
    };
    let all = fixed(&recipe("1 "), Which::Safe);
    assert_eq!(all.compilation.source.text(), recipe("1, "));
    assert_eq!((all.applied, all.unfinished), (3000, false));
    let most = 1000 * MOST_ROUNDS + 1;
    let text = format!("{{\"1\": {{\"queue\": \"a\", \"x\": [{}1]}}, \"start\": [[1, []]]}}", "1 ".repeat(most));
    let all = fixed(&text, Which::Safe);
    assert_eq!((all.applied, all.unfinished), (most - 1, true));
}

#[test]
fn edits_outside_are_refused() {
    let edit =
        |start: usize, end: usize, with: &str| Edit { span: Span::new(start, end), replacement: with.to_owned() };
    for (edits, expect) in [
        (vec![], Some("aéb")),
        (vec![edit(3, 4, ""), edit(0, 1, "x")], Some("xé")),
        (vec![edit(4, 4, "!"), edit(0, 0, "?")], Some("?aéb!")),
        (vec![edit(0, 3, "x"), edit(1, 3, "y")], None),
        (vec![edit(2, 3, "x")], None),
        (vec![edit(4, 9, "x")], None),
        (vec![edit(3, 1, "x")], None),
    ] {
        assert_eq!(apply("aéb", &edits).as_deref(), expect, "{edits:?}");
    }
}

#[test]
fn files_are_fixed() {
    let place = Place::new(&[
        ("bad.json", BROKEN),
        ("good.json", GOOD),
        ("two.json", "{\"1\": {\"queue\": \"a\",}, \"start\": [[1, []]]}"),
    ]);
    let said = place.run("check --diff bad.json good.json two.json", "");
    assert_eq!(said.code, 1);
    assert_eq!(said.err, "would fix 7 findings in 2 files\n");
    assert!(said.out.contains("\n-  \"1\": {\"queue\": \"a\" \"output\": \"2\",},\r\n"), "{}", said.out);
    assert!(said.out.contains("\n+  \"1\": {\"queue\": \"a\", \"output\": 2},\r\n"), "{}", said.out);
    assert!(!said.out.contains("good.json") && !said.out.contains('\u{1b}'), "{}", said.out);
    assert_eq!(place.read("bad.json"), BROKEN);
    let said = place.run("check --diff --color always two.json", "");
    assert!(said.out.contains("\u{1b}[32m+"), "{}", said.out);

    let said = place.run("check --fix --format concise .", "");
    assert_eq!((said.code, &*said.out), (0, ""), "{}", said.err);
    assert_eq!(said.err, "checked 3 recipes: nothing found\nfixed 7 findings in 2 files\n");
    assert_eq!(place.read("bad.json"), FIXED);
    assert_eq!(place.read("good.json"), GOOD);
    assert_eq!(place.names(), ["bad.json", "good.json", "two.json"]);

    let again = place.run("check --fix --format concise .", "");
    assert_eq!(again.err, "checked 3 recipes: nothing found\n");
    assert_eq!(place.run("check --diff .", ""), Said { out: String::new(), err: String::new(), code: 0 });
}

#[test]
fn what_is_left_decides() {
    let place = Place::new(&[("worse.json", WORSE), ("unsafe.json", UNSAFE)]);
    let said = place.run("check --unsafe-fixes --format concise worse.json", "");
    assert_eq!(said.code, 0);
    assert!(
        said.err
            .starts_with("worse.json:1:22: not fixed, because the dispatcher would refuse the recipe: key `outptu`"),
        "{}",
        said.err
    );
    assert_eq!(place.read("worse.json"), WORSE);
    let said = place.run("check --fix --format concise unsafe.json", "");
    assert_eq!((said.code, place.read("unsafe.json").as_str()), (1, UNSAFE), "{}", said.out);
    let said = place.run("check --diff --unsafe-fixes --format concise unsafe.json", "");
    assert_eq!((said.code, place.read("unsafe.json").as_str()), (1, UNSAFE), "{}", said.err);
    let said = place.run("check --unsafe-fixes --format concise unsafe.json", "");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(place.read("unsafe.json").contains("[[1, []]]"));
}

#[test]
fn standard_input_is_fixed() {
    let place = Place::new(&[]);
    let said = place.run("check --fix --format concise -", BROKEN);
    assert_eq!((&*said.out, said.code), (FIXED, 0));
    let said = place.run("check --fix --format concise -", "{\"1\": {\"queue\": \"a\",}}");
    assert_eq!((&*said.out, said.code), ("{\"1\": {\"queue\": \"a\"}}", 1));
    assert!(said.err.contains("[missing-start]"), "{}", said.err);
    assert_eq!(place.run("check --fix --format concise -", GOOD).out, GOOD);
    assert_eq!(place.run("check --diff -", "x").code, 0);
}

#[test]
fn files_keep_what_they_are() {
    let place = Place::new(&[("bad.json", BROKEN), ("locked.json", BROKEN)]);
    let path = |name: &str| place.path().join(name);
    let mode = |name: &str| path(name).metadata().expect("is there").permissions().mode() & 0o7777;
    let set_mode = |name: &str, mode: u32| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).expect("can be set");
    };
    set_mode("bad.json", 0o640);
    symlink("bad.json", path("link.json")).expect("can be made");
    let said = place.run("check --fix link.json", "");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(path("link.json").is_symlink());
    assert_eq!((place.read("bad.json").as_str(), mode("bad.json")), (FIXED, 0o640));

    set_mode("locked.json", 0o444);
    for command in ["check --fix locked.json", "check --fix . bad.json"] {
        let said = place.run(command, "");
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(
            said.err.contains("cannot write") && said.err.contains("locked.json: it is read-only\n"),
            "{}",
            said.err
        );
    }
    assert_eq!((place.read("locked.json").as_str(), mode("locked.json")), (BROKEN, 0o444));

    let latin = b"{\"1\": {\"queue\": \"\xe9\",}, \"start\": [[1, []]]}";
    fs::write(path("latin.json"), latin).expect("can be written");
    let said = place.run("check --fix latin.json", "");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("cannot fix latin.json: it is not UTF-8"), "{}", said.err);
    assert_eq!(fs::read(path("latin.json")).expect("can be read"), latin);
    assert_eq!(place.names(), ["bad.json", "latin.json", "link.json", "locked.json"]);
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Of any bytes at all.
    #[test]
    fn fixes_come_to_an_end(bytes in super::properties::any_bytes(), all in any::<bool>(), yaml in any::<bool>()) {
        let which = if all { Which::All } else { Which::Safe };
        let source = Arc::new(Source::from_bytes(if yaml { "recipe.yml" } else { "recipe.json" }, bytes));
        let before = compile(Arc::clone(&source), Options::default());
        let fixed = fix(Arc::clone(&source), Options::default(), which);
        let after = &fixed.compilation;
        if !source.undecodable().is_empty() {
            prop_assert_eq!(source.text(), after.source.text());
            return Ok(());
        }
        let errors = |compilation: &zrecipe::compile::Compilation| {
            compilation.tree.mistakes().count()
        };
        prop_assert!(errors(after) <= errors(&before));
        prop_assert!(before.is_refused() || !after.is_refused(), "{:?} to {:?}", source.text(), after.source.text());
        prop_assert_eq!(fixed.applied > 0, source.text() != after.source.text());
        for found in after.diagnostics.iter().filter(|found| found.fix.as_ref().is_some_and(|fix| fix.safe || all)) {
            let is_undone = fixed.undone.iter().any(|undone| undone.message == found.message && undone.at == found.primary.span.start);
            prop_assert!(is_undone || fixed.unfinished, "{:?} is left in {:?}", found, after.source.text());
        }
        prop_assert!(!fixed.unfinished, "{:?} to {:?}", source.text(), after.source.text());
        // What was undone may go well once everything else is as it should be.
        if fixed.undone.is_empty() {
            let again = fix(Arc::clone(&after.source), Options::default(), which);
            prop_assert_eq!(again.applied, 0, "{:?} to {:?}", after.source.text(), again.compilation.source.text());
        }
        for undone in &fixed.undone {
            prop_assert!(after.source.text().is_char_boundary(undone.at as usize), "{:?}", undone);
        }
    }

    /// What lies between the edits stays.
    #[test]
    fn edits_stay_within_their_spans(text in "[a-zé中😀\\r\\n]{0,40}", cuts in vec((any::<prop::sample::Index>(), "[A-Z]{0,3}"), 0..10)) {
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut places: Vec<usize> = cuts.iter().map(|(index, _)| *index.get(&boundaries)).collect();
        places.sort_unstable();
        let edits: Vec<Edit> = places.chunks_exact(2).zip(&cuts)
            .map(|(pair, (_, with))| Edit { span: Span::new(pair[0], pair[1]), replacement: with.clone() })
            .collect();
        let fixed = apply(&text, edits.iter().rev()).expect("they are apart");
        let removed: usize = edits.iter().map(|edit| edit.span.range().len()).sum();
        let added: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
        prop_assert_eq!(fixed.len(), text.len() - removed + added);
        // Capitals come from edits only.
        let kept: String = fixed.chars().filter(|character| !character.is_ascii_uppercase()).collect();
        let mut expect = text.clone();
        edits.iter().rev().for_each(|edit| expect.replace_range(edit.span.range(), ""));
        prop_assert_eq!(kept, expect);
    }
}
