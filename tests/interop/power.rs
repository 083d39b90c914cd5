//! Power cuts: what a run writes to its state directory is recorded, and put together again as a disk may hold it that
//! lost its power.
//!
//! Up to the cut, what was synchronized is there: the bytes of a file after `fsync` of the file, a rename or a removal
//! after `fsync` of the directory. Of the rest any part may be there, and the last write in part. A new directory is there
//! with the first synchronized file in it, as ext4, XFS and btrfs keep it.
//!
//! `ZRECIPE_SEED=N` plays the same cuts again; `ZRECIPE_SOAK=1` plays more of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::soak::{Random, is_soak, seed};

const STEPS: usize = 12;

/// Something that the program did to its state directory, or told the user.
#[derive(Debug, Clone)]
enum Event {
    Write {
        file: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        length: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        file: PathBuf,
    },
    /// Events before number `begun` on this file, or in this directory, are on the disk.
    Sync {
        path: PathBuf,
        begun: usize,
    },
    /// It has told that a step is done: 0 is the dispatcher.
    Told {
        step: usize,
    },
}

/// Bytes that `strace -xx` prints as `\x2f\x74`.
fn hex(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

fn path(argument: &str) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&hex(argument)).into_owned())
}

fn number(argument: &str) -> usize {
    let digits: String = argument.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// The step that a line on stderr says is done.
fn told(line: &[u8]) -> Option<usize> {
    let line = String::from_utf8_lossy(line);
    let (step, rest) = line.split_once(' ')?;
    match step {
        "Dispatcher:" => Some(0),
        "step" if rest.contains("done") => Some(number(rest)),
        _ => None,
    }
}

/// Reads what strace recorded.
struct Recording<'a> {
    state: &'a Path,
    events: Vec<Event>,
    /// By thread: an event whose call has not returned yet.
    waiting: BTreeMap<&'a str, Option<Event>>,
    /// Bytes written to a file so far by calls that give no offset.
    written: BTreeMap<PathBuf, usize>,
}

impl<'a> Recording<'a> {
    /// The events in order; those of a call that waited are where it returned.
    fn read(log: &'a str, state: &'a Path) -> Vec<Event> {
        let mut recording = Self { state, events: Vec::new(), waiting: BTreeMap::new(), written: BTreeMap::new() };
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            let has_failed = call.contains(" = -1 ");
            if call.starts_with("<... ") {
                let event = recording.waiting.remove(thread).flatten();
                recording.events.extend(event.filter(|_| !has_failed));
                continue;
            }
            let event = recording.event(call).filter(|_| !has_failed);
            if call.ends_with("<unfinished ...>") {
                recording.waiting.insert(thread, event);
            } else {
                recording.events.extend(event);
            }
        }
        recording.events
    }

    fn event(&mut self, call: &str) -> Option<Event> {
        let (name, arguments) = call.split_once('(')?;
        let parts: Vec<&str> = arguments.split(", ").collect();
        let part = |number: usize| parts.get(number).copied().unwrap_or_default();
        let inside = |file: PathBuf| file.starts_with(self.state).then_some(file);
        if name == "write" && arguments.starts_with("2<") {
            return told(&hex(part(1))).map(|step| Event::Told { step });
        }
        Some(match name {
            "write" => {
                let (file, bytes) = (inside(path(part(0)))?, hex(part(1)));
                let at = self.written.entry(file.clone()).or_default();
                *at += bytes.len();
                Event::Write { file, at: *at - bytes.len(), bytes }
            }
            "pwrite64" => Event::Write { file: inside(path(part(0)))?, at: number(part(3)), bytes: hex(part(1)) },
            "ftruncate" => Event::Truncate { file: inside(path(part(0)))?, length: number(part(1)) },
            "fsync" | "fdatasync" => Event::Sync { path: inside(path(part(0)))?, begun: self.events.len() },
            "unlink" => Event::Remove { file: inside(path(part(0)))? },
            "unlinkat" => Event::Remove { file: inside(path(part(0)).join(path(part(1))))? },
            "renameat" => Event::Rename { from: inside(path(part(1)))?, to: inside(path(part(3)))? },
            _ => return None,
        })
    }
}

/// Up to which event what happens to this file, or in this directory, is on the disk.
fn synchronized(events: &[Event], place: &Path) -> usize {
    let begun = |event: &Event| match event {
        Event::Sync { path, begun } if path == place => Some(*begun),
        _ => None,
    };
    events.iter().rev().find_map(begun).unwrap_or_default()
}

/// Whether event `number` is on the disk whatever the power does.
fn is_safe(events: &[Event], number: usize) -> bool {
    let place = match &events[number] {
        Event::Write { file, .. } | Event::Truncate { file, .. } => file,
        Event::Remove { file } | Event::Rename { to: file, .. } => file.parent().expect("inside the state directory"),
        Event::Sync { .. } | Event::Told { .. } => return true,
    };
    number < synchronized(events, place)
}

/// The files as a disk may hold them after a cut behind these events.
fn cut(events: &[Event], random: &mut Random) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for (number, event) in events.iter().enumerate() {
        let is_safe = is_safe(events, number);
        if !is_safe && random.below(2) == 0 {
            continue;
        }
        match event {
            Event::Write { file, at, bytes } => {
                let content = files.entry(file.clone()).or_default();
                let is_torn = !is_safe && random.below(4) == 0;
                let length = if is_torn { bytes.len() / 2 / 512 * 512 } else { bytes.len() };
                content.resize(content.len().max(at + length), 0);
                content[*at..at + length].copy_from_slice(&bytes[..length]);
            }
            Event::Truncate { file, length } => files.entry(file.clone()).or_default().resize(*length, 0),
            Event::Rename { from, to } => {
                if let Some(content) = files.remove(from) {
                    files.insert(to.clone(), content);
                }
            }
            Event::Remove { file } => drop(files.remove(file)),
            Event::Sync { .. } | Event::Told { .. } => {}
        }
    }
    files
}

fn is_outcome(event: &Event) -> bool {
    matches!(event, Event::Rename { to, .. } if to.ends_with("result.json"))
}

/// How many commands have an outcome that is on the disk whatever the power does.
fn outcomes(events: &[Event]) -> usize {
    (0..events.len()).filter(|number| is_outcome(&events[*number]) && is_safe(events, *number)).count()
}

fn zrecipe(place: &Path, state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(place).env("ZRECIPE_STATE", state).stdin(Stdio::null());
    command.output().expect("starts")
}

/// The steps whose command ran since the last call, in order.
fn ran(place: &Path) -> Vec<usize> {
    let file = place.join("ran");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    text.lines().map(number).collect()
}

/// A chain of commands, each of which writes its step to the file `ran`.
fn write_recipe(place: &Path) {
    let mut recipe = json!({"start": [[1, []]]});
    for step in 1..=STEPS {
        recipe[step.to_string()] = json!({
            "queue": "runner.submission",
            "parameters": {"workingdir": ".", "commands": [["sh", "-c", format!("echo {step} >> ran")]]},
            "output": if step < STEPS { json!(step + 1) } else { json!([]) },
        });
    }
    std::fs::write(place.join("r.json"), recipe.to_string()).expect("written");
}

fn record(place: &Path, state: &Path) -> Vec<Event> {
    let log = place.join("log");
    let calls = "trace=write,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,renameat";
    let output = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "100000000", "-e", calls, "-o"])
        .arg(&log)
        .args([env!("CARGO_BIN_EXE_zrecipe"), "run", "r.json", "-p", "guid=cut"])
        .current_dir(place)
        .env("ZRECIPE_STATE", state)
        .stdin(Stdio::null())
        .output()
        .expect("`tests/interop/setup` installs strace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Recording::read(&std::fs::read_to_string(&log).expect("recorded"), state)
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
#[test]
fn a_power_cut_loses_nothing_that_was_told_and_repeats_nothing_that_was_recorded() {
    let seed = seed();
    let cuts = if is_soak() { 400 } else { 30 };
    let mut random = Random(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().canonicalize().expect("a directory");
    let state = place.join("state");
    write_recipe(&place);
    let events = record(&place, &state);
    assert_eq!(ran(&place), (1..=STEPS).collect::<Vec<_>>());
    let begun = events.iter().position(|event| matches!(event, Event::Told { .. })).expect("it tells of its steps");
    let told = events.iter().filter(|event| matches!(event, Event::Told { .. })).count();
    assert_eq!((told, outcomes(&events)), (STEPS + 1, STEPS), "what the recording shows of the steps");
    let (mut resumed, mut unknown, mut repeated) = (0, 0, 0);
    for round in 0..cuts {
        let at = usize::try_from(random.below(events.len() as u64)).expect("small");
        let again = || format!("ZRECIPE_SEED={seed}, cut {round}, behind {at} of {} events", events.len());
        let found = place.join(format!("state-{round}"));
        for (file, content) in cut(&events[..at], &mut random) {
            let file = found.join(file.strip_prefix(&state).expect("inside"));
            std::fs::create_dir_all(file.parent().expect("inside")).expect("made");
            std::fs::write(file, content).expect("written");
        }
        std::fs::create_dir_all(&found).expect("made");
        let output = zrecipe(&place, &found, &["resume", "cut"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran = ran(&place);
        if said.contains("there is no run") {
            assert!(at <= begun, "{}: {said}", again());
            assert_eq!(ran, Vec::<usize>::new(), "{}: {said}", again());
            unknown += 1;
            continue;
        }
        assert!(output.status.success() || said.contains("is over"), "{}: {said}", again());
        resumed += 1;
        // What was told is done was recorded before; what was recorded may have reached the disk by luck.
        let is_told = |event: &&Event| matches!(event, Event::Told { step: 1.. });
        let recorded = outcomes(&events[..at]).max(events[..at].iter().filter(is_told).count());
        let written = events[..at].iter().filter(|event| is_outcome(event)).count();
        let done = STEPS - ran.len();
        assert_eq!(ran, (done + 1..=STEPS).collect::<Vec<_>>(), "{}: {said}", again());
        assert!((recorded..=written).contains(&done), "{recorded}, {done}, {written}: {}: {said}", again());
        repeated += ran.len();
        let output = zrecipe(&place, &found, &["audit", "balance", "--json"]);
        assert!(output.status.success(), "{}: {}", again(), String::from_utf8_lossy(&output.stderr));
        let books: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // The request and the steps.
        let expected = json!(STEPS + 1);
        assert_eq!((&books["total"]["accepted"], &books["total"]["finished"]), (&expected, &expected), "{}", again());
        std::fs::remove_dir_all(&found).expect("removed");
    }
    println!(
        "ZRECIPE_SEED={seed}: {cuts} cuts of {} events: {resumed} resumed with {repeated} commands, {unknown} not begun",
        events.len()
    );
}
