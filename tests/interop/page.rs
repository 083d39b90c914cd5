//! `docs/rabbitmq.md` is played on a node: every command in its order, but for the installation of packages and the ports.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::rabbitmq::Node;
use crate::wait::wait_until;

const PAGE: &str = include_str!("../../docs/rabbitmq.md");

/// Who reads the page: a directory, what was exported, and the group of the services.
struct Reader<'n> {
    node: &'n Node,
    directory: tempfile::TempDir,
    exported: String,
    services: Option<Child>,
}

impl Reader<'_> {
    fn home(&self) -> &Path {
        self.directory.path()
    }

    /// A text of the page with the ports of the node.
    fn adapted(&self, text: &str) -> String {
        let text = text.replace("15672", &self.node.api_port.to_string());
        // The ports of the node may end like those of RabbitMQ.
        let port = self.node.port.to_string();
        ["port: 5672", "localhost:5672"]
            .iter()
            .fold(text, |text, place| text.replace(place, &place.replace("5672", &port)))
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
        let output = self.shell(&format!("exec 2>&1\n{commands}")).output().expect("a shell starts");
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
        self.services = Some(child);
        wait_until("the services are there", || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Runner is"))
        });
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(services) = &mut self.services {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", services.id())]).status();
            let _ = services.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_about_rabbitmq_works() {
    let node = Node::start("page", None).await;
    let directory = tempfile::tempdir().expect("a directory");
    node.write_programs(&directory.path().join(".programs"));
    let mut reader = Reader { node: &node, directory, exported: String::new(), services: None };
    let mut played = 0;
    for block in PAGE.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block has lines");
        match language {
            "sh" if text.starts_with("zrecipe service") => reader.serve(text),
            "sh" => _ = reader.run(text),
            "console" => {
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
