//! Power cuts: what a run wrote is recorded, and put together again as a disk may hold it that lost its power.
//!
//! Up to the cut, what was synchronised is there; of the rest any part may be, and the last write in part.
//! `ZRECIPE_SEED=N` plays the same cuts again; `ZRECIPE_SOAK=1` plays more of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::soak::{Random, is_soak, seed};

/// Something that the program did to a file of the database, or told the user.
#[derive(Debug, Clone)]
enum Event {
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: u64,
    },
    Sync {
        file: String,
    },
    Remove {
        file: String,
    },
    /// It has told of the run, so the run must be there.
    Told,
}

/// Bytes that `strace -xx` prints as `\x2f\x74`.
fn hex(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

fn path(argument: &str) -> String {
    let inner = argument.split('<').nth(1).unwrap_or_default().split('>').next().unwrap_or_default();
    String::from_utf8_lossy(&hex(inner)).into_owned()
}

/// The events in what strace has recorded, in order. Those of a call that waits are at its end.
fn events(log: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut waiting: BTreeMap<&str, Option<Event>> = BTreeMap::new();
    for line in log.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with("<... ") {
            events.extend(waiting.remove(process).flatten());
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else { continue };
        let parts: Vec<&str> = arguments.split(", ").collect();
        let number = |part: Option<&&str>| -> u64 {
            let digits: String = part.map_or("", |part| part).chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        let file = path(arguments);
        let is_ours = file.contains("zrecipe.db") && !file.ends_with("-shm");
        let text = || hex(parts.get(1).copied().unwrap_or_default());
        let event = match name {
            "pwrite64" if is_ours => Some(Event::Write { file, at: number(parts.get(3)), bytes: text() }),
            "ftruncate" if is_ours => Some(Event::Truncate { file, length: number(parts.get(1)) }),
            "fsync" | "fdatasync" if is_ours => Some(Event::Sync { file }),
            "unlink" => {
                let file = String::from_utf8_lossy(&hex(arguments)).into_owned();
                file.contains("zrecipe.db").then_some(Event::Remove { file })
            }
            "write" if arguments.starts_with("2<") => {
                String::from_utf8_lossy(&text()).contains("step 1").then_some(Event::Told)
            }
            _ => None,
        };
        if arguments.contains("<unfinished") {
            waiting.insert(process, event);
        } else {
            events.extend(event);
        }
    }
    events
}

/// The files as a disk may hold them after a cut behind so many events.
fn cut(events: &[Event], random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let last_sync = |file: &str| {
        events.iter().rposition(|event| matches!(event, Event::Sync { file: synced } if synced == file)).unwrap_or(0)
    };
    for (number, event) in events.iter().enumerate() {
        let (Event::Write { file, .. } | Event::Truncate { file, .. } | Event::Remove { file }) = event else {
            continue;
        };
        let is_safe = number < last_sync(file);
        if !is_safe && random.below(2) == 0 {
            continue;
        }
        match event {
            Event::Write { file, at, bytes } => {
                let content = files.entry(file.clone()).or_default();
                let is_torn = !is_safe && random.below(4) == 0;
                let length = if is_torn { bytes.len() / 2 / 512 * 512 } else { bytes.len() };
                let start = usize::try_from(*at).expect("small");
                content.resize(content.len().max(start + length), 0);
                content[start..start + length].copy_from_slice(&bytes[..length]);
            }
            Event::Truncate { file, length } => {
                files.entry(file.clone()).or_default().resize(usize::try_from(*length).expect("small"), 0);
            }
            Event::Remove { file } => drop(files.remove(file)),
            Event::Sync { .. } | Event::Told => {}
        }
    }
    files
}

fn zrecipe(place: &Path, state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.args(arguments).current_dir(place).env("ZRECIPE_STATE", state).stdin(Stdio::null());
    command.output().expect("starts")
}

#[expect(clippy::print_stdout, reason = "figures for whoever plays it")]
#[test]
fn a_power_cut_loses_nothing_that_was_told() {
    let seed = seed();
    let cuts = if is_soak() { 400 } else { 30 };
    let mut random = Random(seed);
    let place = tempfile::tempdir().expect("a directory");
    let state = place.path().join("state");
    let mut recipe = json!({"start": [[1, []]]});
    for step in 1..=12 {
        recipe[step.to_string()] = json!({
            "queue": "runner.submission", "parameters": {"workingdir": ".", "commands": ["true"]},
            "output": if step < 12 { json!(step + 1) } else { json!([]) },
        });
    }
    std::fs::write(place.path().join("r.json"), recipe.to_string()).expect("written");
    let log = place.path().join("log");
    let recorded = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-xx",
            "-s",
            "100000000",
            "-e",
            "trace=write,pwrite64,fsync,fdatasync,ftruncate,unlink",
            "-o",
        ])
        .arg(&log)
        .args([env!("CARGO_BIN_EXE_zrecipe"), "run", "r.json", "-p", "guid=cut"])
        .current_dir(place.path())
        .env("ZRECIPE_STATE", &state)
        .stdin(Stdio::null())
        .output()
        .expect("`tests/interop/setup` installs strace");
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let events = events(&std::fs::read_to_string(&log).expect("recorded"));
    let told = events.iter().position(|event| matches!(event, Event::Told)).expect("it tells of its steps");
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync { .. })).count();
    assert!(syncs > 10, "{syncs} of {} events", events.len());
    let (mut resumed, mut unknown) = (0, 0);
    for round in 0..cuts {
        let at = usize::try_from(random.below(events.len() as u64)).expect("small");
        let state = place.path().join(format!("state-{round}"));
        std::fs::create_dir(&state).expect("made");
        for (file, content) in cut(&events[..at], &mut random) {
            let name = Path::new(&file).file_name().map(PathBuf::from).expect("a name");
            std::fs::write(state.join(name), content).expect("written");
        }
        let again = || format!("ZRECIPE_SEED={seed}, cut {round}, behind {at} of {} events", events.len());
        let output = zrecipe(place.path(), &state, &["resume", "cut"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("there is no run") {
            assert!(at <= told, "{}: {said}", again());
            unknown += 1;
            continue;
        }
        assert!(output.status.success() || said.contains("is over"), "{}: {said}", again());
        resumed += 1;
        let output = zrecipe(place.path(), &state, &["audit", "balance", "--json"]);
        assert!(output.status.success(), "{}: {}", again(), String::from_utf8_lossy(&output.stderr));
        let books: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // The request and the steps.
        assert_eq!((&books["total"]["accepted"], &books["total"]["finished"]), (&json!(13), &json!(13)), "{}", again());
    }
    println!("ZRECIPE_SEED={seed}: {cuts} cuts of {} events: {resumed} resumed, {unknown} not begun", events.len());
}
