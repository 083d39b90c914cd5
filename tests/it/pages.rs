//! `README.md` and the pages in `docs/`: every command does what the page shows.
//!
//! A page is played in an empty directory. A block of JSON, YAML, TOML or Python behind "Save this as `NAME`" becomes that
//! file. A block `sh` is run as a whole and must succeed. In a block `console`, each line that begins with `$ ` is run, and
//! the lines below it are what it prints: `...` stands for any lines, and times and ids are not compared. Variables that
//! `export` sets, and `cd`, hold for the rest of the page. `UPDATE_DOCS=1` writes what commands print into the pages.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lists::root;

/// Commands that are not run: the page, the beginning of the command (all of the page if it is empty), and the reason.
#[rustfmt::skip]
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run --release", "builds the program"),
    ("README.md", "pip install zrecipe", "the suite packaging installs the wheel"),
    ("README.md", "tests/run", "runs all tests"),
    ("activemq.md", "", "needs ActiveMQ: tests/interop/page.rs"),
    ("bridge.md", "zrecipe service -s Bridge", "needs two brokers: tests/interop/bridge.rs"),
    ("ci.md", "docker run", "needs a container engine: tests/packaging/image.rs"),
    ("cluster.md", "zrecipe wrap --wrap phasing", "stands for a program of the site: tests/it/wrap.rs"),
    ("cluster.md", "echo '{\"channel\": \"updates\"", "runs inside of a job: tests/it/wrap.rs"),
    ("dead-letters.md", "zrecipe dlq rebase", "needs a dead letter: tests/it/dlq.rs"),
    ("delivery.md", "tests/interop/setup", "runs tests for hours"),
    ("from-zocalo.md", "zrecipe check \"$ZOCALO_CONFIG\"", "needs the configuration of a site: tests/interop/submit.rs"),
    ("install.md", "pip install zrecipe", "the suite packaging installs the wheel"),
    ("install.md", "docker run", "needs a container engine: tests/packaging/image.rs"),
    ("install.md", "cargo install", "builds the program"),
    ("operating.md", "zrecipe doctor -e live", "needs RabbitMQ: tests/interop/operator.rs"),
    ("operating.md", "sudo rabbitmqctl", "needs RabbitMQ"),
    ("operating.md", "zrecipe pickup", "needs RabbitMQ: tests/interop/submit.rs"),
    ("rabbitmq.md", "sudo apt-get", "needs RabbitMQ: tests/interop/page.rs"),
    ("rabbitmq.md", "mkdir -p recipes waiting", "needs RabbitMQ: tests/interop/page.rs"),
    ("rabbitmq.md", "zrecipe service -s Dispatcher", "needs RabbitMQ: tests/interop/page.rs"),
    ("rabbitmq.md", "zrecipe go -n -r greet", "needs RabbitMQ: tests/interop/page.rs"),
    ("rabbitmq.md", "cat hello.txt", "needs RabbitMQ: tests/interop/page.rs"),
    ("rabbitmq.md", "sudo rabbitmq-plugins", "needs RabbitMQ: tests/interop/page.rs"),
    ("running-services.md", "zrecipe shutdown -s Runner -e live", "needs RabbitMQ: tests/interop/services.rs"),
    ("services.md", "pip install zrecipe", "the suite packaging installs the wheel"),
    ("services.md", "zrecipe run my-recipe", "needs workflows: tests/interop/python.rs"),
    ("services.md", "zrecipe wrap --wrap phasing", "needs zocalo: tests/interop/python.rs"),
    ("services.md", "python3 -m zrecipe.services", "needs pydantic: tests/interop/python.rs"),
    ("services.md", "cat services/*.json", "needs the file that pydantic makes"),
    ("tutorial.md", "pip install zrecipe", "the suite packaging installs the wheel"),
];

/// Pages that are derived from the program; other tests compare them.
const DERIVED: [&str; 4] = ["rules.md", "settings.md", "contract-format.md", "python-api.md"];

/// Languages of blocks that hold commands.
const COMMANDS: [&str; 2] = ["sh", "console"];

/// A fenced block, and where it is in its page.
struct Block<'t> {
    language: &'t str,
    text: &'t str,
    before: &'t str,
    start: usize,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(fence) = page[at..].find("\n```").map(|fence| at + fence) {
        let start = fence + 4 + page[fence + 4..].find('\n').expect("a block has lines") + 1;
        let end = start + page[start - 1..].find("\n```").expect("a block ends");
        let before = page[..fence].trim_end().rsplit("\n\n").next().unwrap_or_default();
        let text = &page[start..end.max(start)];
        found.push(Block { language: page[fence + 4..start - 1].trim(), text, before, start });
        at = end + 3;
    }
    found
}

fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("docs")).expect("can be read");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".md") && !DERIVED.contains(&name.as_str())).collect();
    names.push("README.md".to_owned());
    names.sort();
    names
}

fn path(page: &str) -> PathBuf {
    if page == "README.md" { root().join(page) } else { root().join("docs").join(page) }
}

fn reason(page: &str, command: &str) -> Option<usize> {
    NOT_RUN.iter().position(|(of, begin, _)| *of == page && command.starts_with(begin))
}

/// Compares derived pages, by their paths in `docs`, with the files. Other pages in `folder` are of what does not exist any
/// more. `UPDATE_DOCS=1` writes and removes files instead.
pub fn keep(pages: &BTreeMap<String, String>, folder: Option<&str>) {
    let docs = root().join("docs");
    let entries = folder.into_iter().flat_map(|folder| std::fs::read_dir(docs.join(folder)).into_iter().flatten());
    let files = entries.map(|entry| entry.expect("an entry").path());
    let old: Vec<PathBuf> = files.filter(|file| !pages.keys().any(|page| *file == docs.join(page))).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        old.iter().for_each(|file| std::fs::remove_file(file).expect("can be removed"));
        for (page, text) in pages {
            let file = docs.join(page);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("can be made");
            std::fs::write(file, text).expect("can be written");
        }
        return;
    }
    assert!(old.is_empty(), "pages of what does not exist: {old:?}; `tests/bless --test it` removes them");
    for (page, text) in pages {
        let found = std::fs::read_to_string(docs.join(page)).unwrap_or_default();
        assert!(found == *text, "docs/{page} is not up to date: `tests/bless --test it` writes it");
    }
}

/// A page that is played: its directory, what holds for all commands, and the groups of processes in the background.
struct Stage {
    directory: tempfile::TempDir,
    prelude: String,
    groups: Vec<u32>,
}

impl Stage {
    /// Runs commands of a shell, for 90 seconds at most. Returns all that they print, and whether they succeed.
    fn shell(&mut self, commands: &str) -> (String, bool) {
        let home = self.directory.path();
        let bin = Path::new(env!("CARGO_BIN_EXE_zrecipe")).parent().expect("has a directory");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("timeout");
        shell
            .args(["90", "sh", "-ec", &format!("{}exec 2>&1\n{commands}", self.prelude)])
            .current_dir(home)
            .env_clear();
        shell.env("PATH", path).env("HOME", home).env("COLUMNS", "80").env("LANG", "C.UTF-8");
        shell.env("ZRECIPE_STATE", home.join(".state")).env("PYTHONPATH", root().join("python"));
        shell.env("PYTHONDONTWRITEBYTECODE", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.org");
        }
        shell.env("GIT_CONFIG_GLOBAL", "/dev/null").stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let child = shell.spawn().expect("a shell starts");
        if commands.contains(" &") {
            self.groups.push(child.id());
        }
        let output = child.wait_with_output().expect("ends");
        for line in commands.lines().filter(|line| line.starts_with("export ") || line.starts_with("cd ")) {
            self.prelude.push_str(line);
            self.prelude.push('\n');
        }
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for group in &self.groups {
            let _ = Command::new("kill").args(["-TERM", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
        }
    }
}

/// The commands of a block `console`, each with what is shown below it. `> ` continues a command.
fn session(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
            continue;
        }
        let (command, shown) = commands.last_mut().expect("a console begins with a command");
        match line.strip_prefix("> ") {
            Some(more) if shown.is_empty() => {
                command.push('\n');
                command.push_str(more);
            }
            _ => {
                shown.push_str(line);
                shown.push('\n');
            }
        }
    }
    commands
}

/// Text without what differs from run to run: ids, times, process numbers and the widths of columns.
fn steady(text: &str, home: &Path) -> Vec<String> {
    let is_id = |word: &str| {
        word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && !word.starts_with('-')
    };
    let is_number = |word: &str| {
        word.chars().any(|c| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || ".:-".contains(c))
    };
    let text = text.replace(&*home.to_string_lossy(), "/home/you/work");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let steady = words.iter().enumerate().map(|(at, word)| {
            let bare = word.trim_matches(|c: char| "`,;:()[]\"".contains(c));
            let is_time = words.get(at + 1).is_some_and(|unit| {
                ["ms", "s", "min", "h", "MiB", "GiB", "GB"].contains(&unit.trim_end_matches([',', ';', ':', ')']))
            });
            let is_instance = bare.rsplit_once('.').is_some_and(|(host, process)| {
                host.contains(|c: char| c.is_alphabetic())
                    && process.len() > 2
                    && process.starts_with(|c: char| c.is_ascii_digit())
            });
            if is_instance || word.ends_with('%') || word.contains("/msg-") {
                "#".to_owned()
            } else if is_id(bare) || is_number(bare) && (is_time || bare.len() >= 8) {
                word.replace(bare, "#")
            } else {
                (*word).to_owned()
            }
        });
        steady.collect::<Vec<_>>().join(" ").replace("# ms", "# s")
    };
    text.trim_end().lines().map(line).collect()
}

/// Whether lines are those that are shown; `...` stands for any number of lines.
fn fits(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "..." => (0..=printed.len()).any(|skip| fits(rest, &printed[skip..])),
        Some((first, rest)) => printed.first() == Some(first) && fits(rest, &printed[1..]),
    }
}

/// Plays a page. Returns what is wrong, and the page as it should be.
fn play(name: &str) -> (Vec<String>, String) {
    let page = std::fs::read_to_string(path(name)).expect("can be read");
    let mut stage =
        Stage { directory: tempfile::tempdir().expect("a directory"), prelude: String::new(), groups: Vec::new() };
    let home: PathBuf = stage.directory.path().to_owned();
    let mut wrong = Vec::new();
    let mut written = String::new();
    let mut end = 0;
    if page.lines().any(|line| line.starts_with(' ') && line.trim_start().starts_with("```")) {
        wrong.push(format!("{name}: a block is indented, and is not run"));
    }
    for block in blocks(&page) {
        written.push_str(&page[end..block.start]);
        end = block.start + block.text.len();
        match block.language {
            "sh" if block.text.lines().any(|line| reason(name, line).is_some()) => {}
            "sh" => {
                let (printed, succeeded) = stage.shell(block.text);
                if !succeeded {
                    wrong.push(format!("{name}: failed:\n{}{printed}", block.text));
                }
            }
            "console" => {
                for (command, shown) in session(block.text) {
                    written.push_str(&format!("$ {}\n", command.replace('\n', "\n> ")));
                    if reason(name, &command).is_some() {
                        written.push_str(&shown);
                        continue;
                    }
                    let (printed, _) = stage.shell(&command);
                    if fits(&steady(&shown, &home), &steady(&printed, &home)) {
                        written.push_str(&shown);
                    } else {
                        let printed = printed.trim_end().replace(&*home.to_string_lossy(), "/home/you/work");
                        wrong.push(format!(
                            "{name}: $ {command}\n--- the page shows\n{shown}--- it prints\n{printed}\n"
                        ));
                        written.push_str(&printed);
                        written.push_str(if printed.is_empty() { "" } else { "\n" });
                    }
                }
                continue;
            }
            _ => {
                if block.text.lines().any(|line| line.starts_with("$ ")) && reason(name, "").is_none() {
                    wrong
                        .push(format!("{name}: a command in a block {:?} is not run:\n{}", block.language, block.text));
                }
                let before = block.before.replace('\n', " ");
                if let Some((_, file)) = before.rsplit_once("Save this as `") {
                    let file = home.join(file.split('`').next().expect("a name"));
                    std::fs::create_dir_all(file.parent().expect("a directory")).expect("can be made");
                    std::fs::write(file, block.text).expect("can be written");
                }
            }
        }
        written.push_str(block.text);
    }
    written.push_str(&page[end..]);
    (wrong, written)
}

/// `UPDATE_DOCS=1` writes what commands print. `ZRECIPE_PAGE=tutorial.md` plays one page only.
#[test]
fn every_command_does_what_its_page_shows() {
    let only = std::env::var("ZRECIPE_PAGE").ok();
    let pages: Vec<String> = pages().into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)).collect();
    let pages: Vec<String> = pages.into_iter().filter(|name| reason(name, "").is_none()).collect();
    let mut wrong = Vec::new();
    for some in pages.chunks(4) {
        let played: Vec<_> = std::thread::scope(|scope| {
            let plays: Vec<_> = some.iter().map(|name| scope.spawn(move || (name, play(name)))).collect();
            plays.into_iter().map(|play| play.join().expect("is played")).collect()
        });
        for (name, (faults, written)) in played {
            if !faults.is_empty() && std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::write(path(name), written).expect("can be written");
            }
            wrong.extend(faults);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of the commands differ; UPDATE_DOCS=1 writes them\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn commands_that_are_not_run_are_in_their_pages() {
    for (name, begin, reason) in NOT_RUN {
        let page = std::fs::read_to_string(path(name)).unwrap_or_default();
        let is_there = |block: &Block<'_>| {
            block.text.lines().any(|line| line.strip_prefix("$ ").unwrap_or(line).starts_with(begin))
        };
        let has = |block: &Block<'_>| (begin.is_empty() || COMMANDS.contains(&block.language)) && is_there(block);
        assert!(blocks(&page).iter().any(has), "docs/{name} has no command `{begin}` ({reason})");
    }
}

/// Minutes that a person reads: 230 words a minute; what is in blocks is looked through at twice that speed.
#[test]
fn no_page_takes_longer_than_twelve_minutes() {
    let mut paths = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/adr", "docs/commands", "docs/rules"] {
        paths.extend(
            std::fs::read_dir(root().join(folder)).expect("can be read").map(|entry| entry.expect("is there").path()),
        );
    }
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let page = std::fs::read_to_string(path).expect("can be read");
        let in_blocks: usize = blocks(&page).iter().map(|block| block.text.split_whitespace().count()).sum();
        let words = page.split_whitespace().count() - in_blocks + in_blocks / 2;
        assert!(words <= 12 * 230, "{} takes {} minutes", path.display(), words / 230);
    }
}

/// Commands in sentences and tables exist, with their options, by the pages of commands.
#[test]
fn commands_in_sentences_exist() {
    let docs = root().join("docs");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let list = read(&docs.join("commands.md"));
    let mut names: Vec<PathBuf> = pages().iter().map(|name| path(name)).collect();
    names.extend(["CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    let mut wrong = Vec::new();
    let mut found = 0;
    for path in names {
        let page = read(&path);
        let name = path.display();
        let mut prose = page.clone();
        blocks(&page).iter().for_each(|block| prose = prose.replace(block.text, ""));
        // What is in single back-ticks is every second part.
        for code in prose.replace("```", "").split('`').skip(1).step_by(2) {
            let mut words = code.split_whitespace();
            if words.next() != Some("zrecipe") {
                continue;
            }
            let Some(command) = words.next().filter(|word| !word.starts_with('-')) else { continue };
            let help = read(&docs.join(format!("commands/{command}.md")));
            if help.is_empty() && !["help", "…"].contains(&command) {
                wrong.push(format!("{name}: there is no command in `{code}`"));
            }
            let options = code.split_whitespace().skip(2).take_while(|word| *word != "--");
            for option in options.filter(|word| word.starts_with('-') && word.len() > 1) {
                let option = option.split(['=', '[']).next().unwrap_or_default();
                if !help.is_empty() && ![&help, &list].iter().any(|text| text.contains(option)) {
                    wrong.push(format!("{name}: there is no option {option} in `{code}`"));
                }
            }
            found += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 100, "{found} commands");
}
