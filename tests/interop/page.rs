//! The pages about brokers are played: every command in its order, but for the installation of packages and the ports.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::port::Port;
use crate::rabbitmq::Node;
use crate::wait::wait_until;

/// Who reads a page: a directory, what was exported, and the groups of what was started.
struct Reader {
    /// What is on the page, and what stands for it here.
    ports: Vec<(&'static str, String)>,
    directory: tempfile::TempDir,
    exported: String,
    groups: Vec<u32>,
    services: Option<Child>,
}

impl Reader {
    fn new(ports: Vec<(&'static str, String)>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { ports, directory, exported: String::new(), groups: Vec::new(), services: None }
    }

    fn home(&self) -> &Path {
        self.directory.path()
    }

    /// A text of the page with the ports of the node.
    fn adapted(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (place, here)| text.replace(place, here))
    }

    fn shell(&self, commands: &str) -> Command {
        let zrecipe = Path::new(env!("CARGO_BIN_EXE_zrecipe")).parent().expect("a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-ec", &format!("{}{commands}", self.exported)]).current_dir(self.home()).env_clear();
        shell.env("PATH", format!("{}:{}:{path}", self.home().join(".programs").display(), zrecipe.display()));
        shell.env("HOME", self.home()).env("ZRECIPE_STATE", self.home().join(".state")).env("LANG", "C.UTF-8");
        shell.stdin(Stdio::null()).process_group(0);
        shell
    }

    /// Runs commands that must succeed. Returns all that they print.
    fn run(&mut self, commands: &str) -> String {
        let commands = self.adapted(commands);
        let mut shell = self.shell(&format!("exec 2>&1\n{commands}"));
        let shell = shell.stdout(Stdio::piped()).spawn().expect("a shell starts");
        let group = shell.id();
        let output = shell.wait_with_output().expect("it ends");
        // What it has left running; the number of a group that is empty may become somebody else's.
        if signal(group, "-0") {
            self.groups.push(group);
        }
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{commands}\n{printed}");
        for line in commands.lines().filter(|line| line.starts_with("export ")) {
            self.exported.push_str(&line.replace("$PWD", &self.home().to_string_lossy()));
            self.exported.push('\n');
        }
        printed
    }

    /// Starts services that go on while the page is read.
    fn serve(&mut self, command: &str) {
        let log: PathBuf = self.home().join("services.log");
        let file = std::fs::File::create(&log).expect("a log");
        let child = self.shell(command).stdout(Stdio::null()).stderr(file).spawn().expect("it starts");
        self.groups.push(child.id());
        self.services = Some(child);
        wait_until("the services are there", || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Runner is"))
        });
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for group in &self.groups {
            signal(*group, "-KILL");
        }
        if let Some(services) = &mut self.services {
            let _ = services.wait();
        }
    }
}

/// Sends a signal to a group of processes; whether there is one.
fn signal(group: u32, name: &str) -> bool {
    let sent = Command::new("kill").args([name, "--", &format!("-{group}")]).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}

/// Plays a block of a page in which commands and what they print take turns.
fn converse(reader: &mut Reader, text: &str) {
    for part in text.split("$ ").skip(1) {
        let (command, shown) = part.split_once('\n').expect("lines");
        if let Some(file) = command.strip_prefix("cat ") {
            let path = reader.home().join(file);
            wait_until("the run has ended", || std::fs::metadata(&path).is_ok_and(|file| file.len() > 0));
        }
        let printed = reader.run(command);
        let shown = reader.adapted(shown);
        // The last line of `go` is the recipe ID.
        let (shown, printed) = (shown.lines().next(), printed.lines().next());
        assert_eq!(shown, printed, "{command}");
    }
}

/// The blocks of a page: language and text.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').expect("a block has lines"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_about_rabbitmq_works() {
    let node = Node::start("page", None).await;
    // The ports of the node may end like those of RabbitMQ.
    let mut reader = Reader::new(vec![
        ("15672", node.api_port.to_string()),
        ("port: 5672", format!("port: {}", node.port)),
        ("localhost:5672", format!("localhost:{}", node.port)),
    ]);
    node.write_programs(&reader.home().join(".programs"));
    let mut played = 0;
    for (language, text) in blocks(include_str!("../../docs/rabbitmq.md")) {
        match language {
            "sh" if text.starts_with("zrecipe service") => reader.serve(text),
            "sh" => _ = reader.run(text),
            "console" => converse(&mut reader, text),
            "yaml" => {
                let site = reader.home().join("site.yml");
                let written = std::fs::read_to_string(&site).expect("the page makes it");
                let written = written.replace("[broker, places]", "[broker, places, management]");
                std::fs::write(&site, written + &reader.adapted(&format!("{text}\n"))).expect("write");
            }
            other => panic!("a block of {other:?} is not played"),
        }
        played += 1;
    }
    assert_eq!(played, 6, "blocks of the page");
    // What the page has set up is complete, but for what only an administrator may see.
    let report = reader.run("zrecipe doctor || true");
    assert!(!report.contains("error ") && report.contains("ok       queues"), "{report}");
    reader.run("zrecipe check site.yml recipes/greet.json && zrecipe queues && zrecipe dlq check && zrecipe dlq list");
}

#[test]
fn every_command_that_tries_activemq_works() {
    let page = include_str!("../../docs/activemq.md");
    let (_, section) = page.split_once("\n## Try it\n").expect("the page has this section");
    let section = section.split("\n## ").next().expect("text");
    let port = Port::reserved();
    let mut reader = Reader::new(vec![("61613", port.number().to_string())]);
    let mut played = Vec::new();
    for (language, text) in blocks(section) {
        // The packages are there.
        let text: String =
            text.lines().filter(|line| !line.starts_with("sudo apt-get")).map(|line| format!("{line}\n")).collect();
        match language {
            "sh" => _ = reader.run(&text),
            "console" => converse(&mut reader, &text),
            other => panic!("a block of {other:?} is not played"),
        }
        played.push(language);
    }
    assert_eq!(played, ["sh", "sh", "console"]);
    let report = reader.run("zrecipe doctor || true");
    assert!(!report.contains("error ") && report.contains("ok       dead letters"), "{report}");
    reader.run("zrecipe check site.yml recipes/greet.json");
}
