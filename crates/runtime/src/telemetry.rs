//! What a service tells those who look after it: log lines on the console and to Graylog, and traces.
//!
//! A site says where log lines go in its blocks of the plugins `logging` (Python's dictConfig, as far as it has a
//! meaning here: handlers for the console and for Graylog, levels, and the steps of `verbose`) and `graylog`, and where
//! traces go in `opentelemetry`. Submodules: `console`, `gelf`,
//! `traces`.

mod console;
mod gelf;
pub mod instances;
pub mod traces;

use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};

pub use self::gelf::{Graylog, Protocol};
use zrecipe_language::site::{Plugins, Setting};
use zrecipe_language::syntax::NodeRef;

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// What the console shows.
    pub console: LevelFilter,
    /// The servers, and what each gets.
    pub graylog: Vec<(Graylog, LevelFilter)>,
    /// What was configured and has no meaning here, in words.
    pub ignored: Vec<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Self { console: LevelFilter::INFO, graylog: Vec::new(), ignored: Vec::new() }
    }
}

/// Keeps what is written until it has arrived.
#[must_use]
pub struct Guard {
    senders: Vec<gelf::Sender>,
}

impl Guard {
    /// Waits until what was logged has been sent, but not for long.
    pub fn finish(self) {
        const FAREWELL: Duration = Duration::from_secs(1);
        self.senders.into_iter().for_each(|sender| sender.finish(FAREWELL));
    }
}

impl Logging {
    /// What these plugins of a site say; `verbosity` counts how often the user has asked for more.
    pub fn of_site(plugins: &Plugins<'_>, verbosity: usize) -> Self {
        let settings =
            |name: &str| plugins.iter().find(|(plugin, _)| plugin == name).map(|(_, found)| found.as_slice());
        let mut logging = Self::default();
        if let Some(settings) = settings("graylog") {
            match graylog(|key| find(settings, key)) {
                Ok(server) => logging.graylog.push((server, LevelFilter::INFO)),
                Err(reason) => logging.ignored.push(format!("plugin `graylog`: {reason}")),
            }
        }
        if let Some(settings) = settings("logging") {
            logging.read(settings, verbosity);
        }
        if verbosity > 0 {
            logging.console = logging.console.max(LevelFilter::DEBUG);
        }
        logging
    }

    /// Reads a dictConfig.
    fn read(&mut self, settings: &[Setting<'_>], verbosity: usize) {
        let mut own = own_level(|key| find(settings, key)).unwrap_or(LevelFilter::WARN);
        for step in find(settings, "verbose").into_iter().flat_map(NodeRef::items).take(verbosity) {
            own = own_level(|key| step.get(key)).unwrap_or(own);
        }
        for handler in find(settings, "handlers").into_iter().flat_map(NodeRef::members) {
            let name = handler.key.text();
            let class = handler.value.get("class").or_else(|| handler.value.get("()"));
            let class = class.map(|class| class.text().into_owned()).unwrap_or_default();
            let level = handler.value.get("level").and_then(level).unwrap_or(LevelFilter::TRACE).min(own);
            let class = class.rsplit('.').next().unwrap_or_default().to_owned();
            match class.as_str() {
                "StreamHandler" | "ColorStreamHandler" => self.console = level,
                "GraylogUDPHandler" | "GELFUDPHandler" | "GraylogTCPHandler" | "GELFTCPHandler" => {
                    let protocol = if class.contains("UDP") { Protocol::Udp } else { Protocol::Tcp };
                    match server(protocol, |key| handler.value.get(key)) {
                        Ok(server) => self.graylog.push((server, level)),
                        Err(reason) => self.ignored.push(format!("log handler `{name}`: {reason}")),
                    }
                }
                "NullHandler" => {}
                _ => self.ignored.push(format!("log handler `{name}` of class `{class}` has no counterpart")),
            }
        }
    }

    /// Begins to log. `colour` is for the console; `facts` go into every line for Graylog.
    pub fn start(&self, colour: bool, facts: &[(&'static str, String)]) -> Guard {
        // Libraries write what is theirs, the addresses of brokers with passwords among it.
        // A target begins with the name of its crate, which is that of the package or one of `zrecipe_…`.
        let ours = || filter_fn(|metadata| metadata.target().starts_with("zrecipe"));
        let console = console::layer(std::io::stderr, colour).with_filter(self.console).with_filter(ours());
        let mut senders = Vec::new();
        let mut layers: Vec<Box<dyn Layer<_> + Send + Sync>> = vec![console.boxed()];
        for (server, level) in &self.graylog {
            let (layer, sender) = gelf::layer(server, facts);
            senders.push(sender);
            layers.push(layer.with_filter(*level).with_filter(ours()).boxed());
        }
        let subscriber = tracing_subscriber::registry().with(layers);
        // Somebody else was first, in a test for example: then his is used.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Guard { senders }
    }
}

fn find<'s>(settings: &[Setting<'s>], key: &str) -> Option<NodeRef<'s>> {
    settings.iter().find(|setting| setting.name == key).map(|setting| setting.node)
}

/// The level of the loggers that a service's lines would go to in Python.
fn own_level<'t>(get: impl Fn(&str) -> Option<NodeRef<'t>>) -> Option<LevelFilter> {
    let logger =
        |name: &str| get("loggers").and_then(|loggers| loggers.get(name)).and_then(|logger| logger.get("level"));
    let root = || get("root").and_then(|root| root.get("level"));
    logger("zocalo.service").or_else(|| logger("zocalo")).or_else(root).and_then(level)
}

/// Python's levels, by name or number.
fn level(node: NodeRef<'_>) -> Option<LevelFilter> {
    let number = node.as_integer().or_else(|| match &*node.text() {
        "DEBUG" => Some(10),
        "INFO" => Some(20),
        "WARNING" | "WARN" => Some(30),
        "ERROR" => Some(40),
        "CRITICAL" | "FATAL" => Some(50),
        "NOTSET" => Some(0),
        _ => None,
    })?;
    Some(match number {
        ..10 => LevelFilter::TRACE,
        10..20 => LevelFilter::DEBUG,
        20..30 => LevelFilter::INFO,
        30..40 => LevelFilter::WARN,
        40.. => LevelFilter::ERROR,
    })
}

fn graylog<'t>(get: impl Fn(&str) -> Option<NodeRef<'t>>) -> Result<Graylog, String> {
    let protocol = match get("protocol").map(NodeRef::text).as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("TCP") => Protocol::Tcp,
        _ => return Err("`protocol` is neither UDP nor TCP".to_owned()),
    };
    server(protocol, get)
}

fn server<'t>(protocol: Protocol, get: impl Fn(&str) -> Option<NodeRef<'t>>) -> Result<Graylog, String> {
    let host = get("host").map(|host| host.text().into_owned()).ok_or("it names no host")?;
    let port = get("port").and_then(|port| port.text().trim().parse().ok()).ok_or("it names no port")?;
    Ok(Graylog { protocol, host, port })
}

/// The severity of syslog.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use zrecipe_language::site::Site;
    use zrecipe_language::source::Source;
    use zrecipe_language::syntax::yaml;

    #[test]
    fn a_site_says_where_log_lines_go() {
        let text = "
version: 1
old: {plugin: graylog, protocol: UDP, host: logs.example, port: 12201}
odd: {plugin: graylog, protocol: SMS, host: logs.example, port: 12201}
new:
  plugin: logging
  handlers:
    console: {class: logging.StreamHandler, level: WARNING}
    far: {'()': zocalo.configuration.plugin_logging.GraylogTCPHandler, host: logs.example, port: 12202}
    file: {class: logging.FileHandler, filename: x.log}
  loggers: {zocalo: {level: INFO}}
  root: {level: ERROR, handlers: [console, far]}
  verbose:
    - loggers: {zocalo.service: {level: DEBUG}}
environments: {none: [], old: [old], odd: [odd], new: [new]}
";
        let site = Site::new(Arc::new(yaml::parse(Arc::new(Source::from_text("site.yml", text)))));
        let shown = |environment: &str, verbosity| {
            let logging = Logging::of_site(&site.resolve(&[environment]).expect("is there"), verbosity);
            let servers = logging.graylog.iter().map(|(server, level)| format!("{server} {level}")).collect::<Vec<_>>();
            format!("{} [{}] {}", logging.console, servers.join(", "), logging.ignored.join("; "))
        };
        for (environment, verbosity, expected) in [
            ("none", 0, "info [] "),
            ("none", 1, "debug [] "),
            ("old", 0, "info [udp://logs.example:12201 info] "),
            ("odd", 0, "info [] plugin `graylog`: `protocol` is neither UDP nor TCP"),
            (
                "new",
                0,
                "warn [tcp://logs.example:12202 info] log handler `file` of class `FileHandler` has no counterpart",
            ),
            (
                "new",
                1,
                "debug [tcp://logs.example:12202 debug] log handler `file` of class `FileHandler` has no counterpart",
            ),
        ] {
            assert_eq!(shown(environment, verbosity), expected, "{environment} {verbosity}");
        }
    }
}
