//! Starts nodes of ActiveMQ on free ports, with data of their own, and ends them with the test however it ends.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::port::Port;
use crate::wait::PATIENCE;

/// Waits until its input ends, which comes with the end of whoever started it, and then ends the node.
const KEEPER: &str = r#"
set -m
"$@" </dev/null >"$OUT" 2>&1 &
node=$!
read -r how
[ "$how" = stop ] && kill -TERM "$node" && wait "$node"
kill -9 -- "-$node" 2>/dev/null
"#;

/// Jars that Debian has outside of ActiveMQ's own directory: the HTTP server, and the API of management.
const JARS: [&str; 10] = [
    "jolokia-core",
    "json-simple",
    "servlet-api",
    "jetty9-server",
    "jetty9-servlet",
    "jetty9-http",
    "jetty9-io",
    "jetty9-util",
    "jetty9-util-ajax",
    "jetty9-security",
];

/// Jetty with Jolokia at `/api/jolokia`, as beans of the broker's own file.
const JETTY: &str = r#"
<bean id="jetty" class="org.eclipse.jetty.server.Server" init-method="start" destroy-method="stop"><constructor-arg>
<bean class="java.net.InetSocketAddress"><constructor-arg value="127.0.0.1"/><constructor-arg value="${amq.http}" type="int"/>
</bean></constructor-arg><property name="handler"><bean class="org.eclipse.jetty.servlet.ServletContextHandler">
<property name="contextPath" value="/"/><property name="servletHandler"><bean class="org.eclipse.jetty.servlet.ServletHandler">
<property name="servlets"><list><bean class="org.eclipse.jetty.servlet.ServletHolder"><property name="name" value="jolokia"/>
<property name="className" value="org.jolokia.http.AgentServlet"/><property name="initParameters"><map>
<entry key="discoveryEnabled" value="false"/></map></property></bean></list></property>
<property name="servletMappings"><list><bean class="org.eclipse.jetty.servlet.ServletMapping">
<property name="servletName" value="jolokia"/><property name="pathSpec" value="/api/jolokia/*"/></bean></list></property>
</bean></property></bean></property></bean>
"#;

/// How a node is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Whether it has a scheduler, without which nothing is delayed.
    pub scheduler: bool,
    /// Whether each queue has dead letters of its own; else all are in `ActiveMQ.DLQ`.
    pub individual: bool,
    /// Whether it syncs its journal before it answers.
    pub syncs: bool,
    /// Limit of the store in MB.
    pub store: u32,
    /// Limit of the memory for messages in MB.
    pub memory: u32,
    /// Whether senders to queues wait for memory; else only the store limits what they send.
    pub flow_control: bool,
    /// Whether a message that does not fit into the memory or the store is refused; else its sender waits.
    pub refuses: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            scheduler: true,
            individual: true,
            syncs: true,
            store: 256,
            memory: 64,
            flow_control: false,
            refuses: false,
        }
    }
}

/// A running node. Users are `guest` and `monitor`, each with the name as password.
pub struct Node {
    /// The port of STOMP.
    pub port: u16,
    /// The port of Jolokia.
    pub api_port: u16,
    directory: TempDir,
    keeper: Option<Child>,
    _ports: [Port; 2],
}

impl Node {
    /// Starts a node and waits until it answers.
    pub async fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ports = std::array::from_fn(|_| Port::reserved());
        let [port, api_port] = ports.each_ref().map(Port::number);
        for folder in ["conf", "data", "tmp", "lib"] {
            std::fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        for jar in JARS {
            let target = PathBuf::from(format!("/usr/share/java/{jar}.jar"));
            assert!(target.exists(), "{} is missing: `tests/interop/setup` installs it", target.display());
            let link = directory.path().join("lib").join(format!("{jar}.jar"));
            std::os::unix::fs::symlink(target, link).expect("a link");
        }
        std::fs::write(directory.path().join("conf/activemq.xml"), configuration(setup)).expect("write");
        let mut node = Self { port, api_port, directory, keeper: None, _ports: ports };
        node.run().await;
        node
    }

    /// Ends the node as a power failure would, and starts it again with what it has on its disk.
    pub async fn restart(&mut self) {
        self.kill();
        self.run().await;
    }

    /// Ends the node in order; it keeps its ports.
    pub fn stop(&mut self) {
        use std::io::Write as _;
        if let Some(mut keeper) = self.keeper.take() {
            let _ = keeper.stdin.take().map(|mut how| how.write_all(b"stop\n"));
            let _ = keeper.wait();
        }
    }

    /// Sets a limit, in bytes: `MemoryLimit` or `StoreLimit`.
    pub async fn limit(&self, limit: &str, bytes: u64) {
        let path = format!("/api/jolokia/write/org.apache.activemq:type=Broker,brokerName=localhost/{limit}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.api_port)).await.expect("connects");
        let request = format!("GET {path}/{bytes} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        assert!(answer.contains("\"status\":200"), "{answer}");
    }

    /// Starts it again with what it has on its disk.
    pub async fn start_again(&mut self) {
        self.run().await;
    }

    fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    async fn run(&mut self) {
        let home = self.directory.path().display().to_string();
        let mut command = Command::new("bash");
        command.args([
            "-c",
            KEEPER,
            "keeper",
            "java",
            "-Xms64m",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]);
        for setting in [
            format!("java.io.tmpdir={home}/tmp"),
            "activemq.home=/usr/share/activemq".to_owned(),
            format!("activemq.base={home}"),
            format!("activemq.conf={home}/conf"),
            format!("activemq.data={home}/data"),
            format!("amq.stomp={}", self.port),
            format!("amq.http={}", self.api_port),
        ] {
            command.arg(format!("-D{setting}"));
        }
        for package in
            ["java.base/java.lang", "java.base/java.util", "java.base/java.net", "java.base/java.util.concurrent"]
        {
            command.args(["--add-opens", &format!("{package}=ALL-UNNAMED")]);
        }
        command.args(["-jar", "/usr/share/activemq/bin/activemq.jar", "start"]);
        command.arg(format!("xbean:file:{home}/conf/activemq.xml")).env("OUT", format!("{home}/out"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What the one before has said is not that of this one.
        let _ = std::fs::remove_file(self.directory.path().join("out"));
        self.keeper = Some(command.spawn().expect("bash starts"));
        self.wait().await;
    }

    /// Waits until the node answers, or fails with what it said.
    async fn wait(&self) {
        let out = self.directory.path().join("out");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = async {
                let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
                let frame = b"CONNECT\naccept-version:1.2\nhost:localhost\nlogin:guest\npasscode:guest\n\n\0";
                stream.write_all(frame).await.ok()?;
                let mut begin = [0; 9];
                stream.read_exact(&mut begin).await.ok()?;
                (begin == *b"CONNECTED").then_some(())
            };
            let api = TcpStream::connect(("127.0.0.1", self.api_port));
            if tokio::time::timeout(Duration::from_secs(5), answer).await == Ok(Some(())) && api.await.is_ok() {
                return;
            }
            let said = || std::fs::read_to_string(&out).unwrap_or_default();
            let is_gone = said().contains("not found") || said().contains("ERROR:");
            assert!(
                !is_gone && Instant::now() < deadline,
                "ActiveMQ does not start: {}\n`tests/interop/setup` installs it if it is missing",
                said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(setup: Setup) -> String {
    let Setup { scheduler, individual, syncs, store, memory, flow_control, refuses } = setup;
    let refusing = if refuses { r#" sendFailIfNoSpaceAfterTimeout="500""# } else { "" };
    let strategy = if individual {
        r#"<deadLetterStrategy><individualDeadLetterStrategy queuePrefix="DLQ." useQueueForQueueMessages="true"/></deadLetterStrategy>"#
    } else {
        ""
    };
    format!(
        r#"<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
<bean class="org.springframework.beans.factory.config.PropertyPlaceholderConfigurer"/>
<broker xmlns="http://activemq.apache.org/schema/core" brokerName="localhost" dataDirectory="${{activemq.data}}" useJmx="true"
 schedulerSupport="{scheduler}">
<managementContext><managementContext createConnector="false"/></managementContext>
<persistenceAdapter><kahaDB directory="${{activemq.data}}/kahadb" journalMaxFileLength="1mb" checkpointInterval="200"
 cleanupInterval="400" enableJournalDiskSyncs="{syncs}"/></persistenceAdapter>
<destinationPolicy><policyMap><policyEntries><policyEntry queue="&gt;" producerFlowControl="{flow_control}"
 expireMessagesPeriod="500">{strategy}</policyEntry>
</policyEntries></policyMap></destinationPolicy>
<plugins><simpleAuthenticationPlugin><users><authenticationUser username="guest" password="guest" groups="users"/>
<authenticationUser username="user" password="12345" groups="users"/>
<authenticationUser username="monitor" password="monitor" groups="users"/></users></simpleAuthenticationPlugin></plugins>
<systemUsage><systemUsage{refusing}><memoryUsage><memoryUsage limit="{memory} mb"/></memoryUsage><storeUsage><storeUsage limit="{store} mb"/></storeUsage>
<tempUsage><tempUsage limit="64 mb"/></tempUsage><jobSchedulerUsage><jobSchedulerUsage limit="64 mb"/></jobSchedulerUsage>
</systemUsage></systemUsage>
<transportConnectors><transportConnector name="stomp" uri="stomp://127.0.0.1:${{amq.stomp}}"/></transportConnectors></broker>{JETTY}</beans>
"#
    )
}
