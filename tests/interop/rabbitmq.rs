//! Starts nodes of RabbitMQ on free ports, with data of their own, and ends them with the test however it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::contract::Fate;
use crate::port::Port;
use crate::wait::PATIENCE;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Waits for the end of its input, which comes with the end of whoever started it, and then ends the node.
const KEEPER: &str = r#"
set -m
"$0" </dev/null >"$RABBITMQ_LOG_BASE/out" 2>&1 &
node=$!
read -r _
kill -9 -- "-$node"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    epmd -port "$ERL_EPMD_PORT" -kill >/dev/null 2>&1 && break
    sleep 0.2
done
"#;

/// A running node.
pub struct Node {
    /// The port of AMQP.
    pub port: u16,
    /// The port of AMQP in TLS.
    pub tls_port: u16,
    /// The port of the management API.
    pub api_port: u16,
    name: String,
    environment: Vec<(&'static str, String)>,
    directory: Directory,
    keeper: Option<Child>,
    /// Its ports are its own even while it does not run.
    _ports: [Port; 5],
}

/// Where a node has its files: in a directory of its own, or in that of the node that it joins.
enum Directory {
    Own(TempDir),
    Of(PathBuf),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Directory::Own(directory) => directory.path(),
            Directory::Of(path) => path,
        }
    }
}

/// The programs, not the wrappers of the packages, which want to be root and change the user.
fn program(name: &str) -> String {
    let packaged = format!("/usr/lib/rabbitmq/bin/{name}");
    if Path::new(&packaged).exists() { packaged } else { name.to_owned() }
}

impl Node {
    /// Starts a node and waits until it answers; with `beside`, as another one of the same cluster to be.
    pub async fn start(name: &str, beside: Option<&Node>) -> Self {
        let directory = match beside {
            None => Directory::Own(tempfile::tempdir().expect("a directory")),
            Some(node) => Directory::Of(node.directory.path().to_owned()),
        };
        let home = directory.path();
        let own = home.join(name);
        for folder in [own.join("data"), own.join("log")] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        let ports = std::array::from_fn(|_| Port::reserved());
        let [port, tls_port, api_port, distribution_port, mapper_port] = ports.each_ref().map(Port::number);
        if beside.is_none() {
            crate::tls::write_certificates(home);
        }
        let file = |name: &str| home.join(name).display().to_string();
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             listeners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             ssl_cert_login_from = common_name\n\
             auth_mechanisms.1 = PLAIN\n\
             auth_mechanisms.2 = EXTERNAL\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {api_port}\n\
             collect_statistics_interval = 1000\n\
             log.console = false\n\
             vm_memory_high_watermark.absolute = 512MiB\n\
             disk_free_limit.absolute = 50MB\n",
            file("authority.pem"),
            file("server.pem"),
            file("server.key"),
        );
        std::fs::write(own.join("rabbitmq.conf"), configuration).expect("write");
        std::fs::write(own.join("plugins"), "[rabbitmq_auth_mechanism_ssl,rabbitmq_management].\n").expect("write");
        std::fs::write(own.join("none"), "").expect("write");
        let at = |name: &str| own.join(name).display().to_string();
        let mappers = beside.and_then(|node| node.environment.iter().find(|(name, _)| *name == "ERL_EPMD_PORT"));
        let mapper = mappers.map_or_else(|| mapper_port.to_string(), |(_, port)| port.clone());
        let node_name = format!("zrecipe-{name}-{port}@localhost");
        let environment = vec![
            // The cookie that nodes of a cluster share lies there.
            ("HOME", home.display().to_string()),
            ("RABBITMQ_NODENAME", node_name.clone()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", at("none")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
            ("RABBITMQ_PID_FILE", at("pid")),
            ("RABBITMQ_DIST_PORT", distribution_port.to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
            ("ERL_EPMD_PORT", mapper),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ];
        let keeper = None;
        let mut node =
            Self { port, tls_port, api_port, name: node_name, environment, directory, keeper, _ports: ports };
        node.run().await;
        node
    }

    /// Ends the node as a power failure would, and starts it again with what it has on its disk.
    pub async fn restart(&mut self) {
        self.kill();
        self.run().await;
    }

    async fn run(&mut self) {
        let keeper = Command::new("bash")
            .args(["-c", KEEPER, &program("rabbitmq-server")])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.keeper = Some(keeper.expect("bash starts"));
        self.wait().await;
    }

    fn setting(&self, wanted: &str) -> &str {
        let setting = self.environment.iter().find(|(name, _)| *name == wanted);
        setting.map(|(_, value)| value.as_str()).expect("it is set")
    }

    /// Waits until the node answers, or fails with what it said.
    async fn wait(&self) {
        let out = Path::new(self.setting("RABBITMQ_LOG_BASE")).join("out");
        let said = || {
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            format!("RabbitMQ does not start: {}\n`tests/interop/setup` installs it if it is missing", text.trim())
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = format!("amqp://guest:guest@127.0.0.1:{}", self.port);
            // A connection that is made while the node starts may never be answered.
            let connecting = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
            if tokio::time::timeout(ANSWER, connecting).await.is_ok_and(|connected| connected.is_ok()) {
                return;
            }
            let is_gone = std::fs::read_to_string(&out).is_ok_and(|text| text.contains("not found"));
            assert!(!is_gone && Instant::now() < deadline, "{}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the files of the cluster lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `rabbitmqctl`; its output.
    pub fn control(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("rabbitmqctl"))
            .args(["--node", &self.name])
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("rabbitmqctl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes programs for those who read a page: `rabbitmqctl` and `rabbitmq-plugins` of this node, a `sudo` that changes no
    /// user, and an `apt-get` that installs nothing.
    pub fn write_programs(&self, folder: &Path) {
        let variables: String =
            self.environment.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let own = |tool: &str| format!("{variables}exec {} --node {} \"$@\"\n", program(tool), self.name);
        let programs = [
            ("sudo", "exec \"$@\"\n".to_owned()),
            ("apt-get", String::new()),
            ("rabbitmqctl", own("rabbitmqctl")),
            ("rabbitmq-plugins", own("rabbitmq-plugins")),
        ];
        std::fs::create_dir_all(folder).expect("a folder");
        for (name, script) in programs {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}")).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("can be run");
        }
    }

    /// How often the node has refused a user something, by its log.
    pub fn refusals(&self, user: &str) -> usize {
        let folder = std::fs::read_dir(self.setting("RABBITMQ_LOG_BASE")).expect("a folder");
        let logs = folder.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
        logs.map(|log| log.matches(&format!("refused for user '{user}'")).count()).sum()
    }

    /// Makes this node one of the cluster of another.
    pub fn join(&self, other: &Node) {
        self.control(&["stop_app"]);
        self.control(&["join_cluster", &other.name]);
        self.control(&["start_app"]);
    }

    /// Stops the node, lets it go on, or ends it as a power failure would.
    pub fn meet(&mut self, fate: Fate) {
        let signal = match fate {
            Fate::Freezes => Signal::STOP,
            Fate::Thaws => Signal::CONT,
            Fate::Dies => return self.kill(),
        };
        let text = std::fs::read_to_string(self.setting("RABBITMQ_PID_FILE")).expect("it is running");
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }

    fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
