//! Which broker an environment of a site uses, as the plugin `pika` says it: where it is, and who we are there.
//!
//! The reference is `workflows.transport.pika_transport` (`workflows` 3.3). It passes over the settings that only we
//! have: `ssl`, `ca-file`, `certificate-file` and `key-file` for encryption, `login` to show the certificate instead of
//! a password, and `clear-text` to allow a password to leave the machine without encryption.

use std::path::{Path, PathBuf};

use zrecipe_broker::transport::amqp::{Certificate, Host, Login, Options, Password, Tls};
use zrecipe_language::site::{Active, Fault, Look, Setting, Site};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::NodeRef;
use zrecipe_project::library::{self, beside, is_public};

/// The only transport of the reference that speaks to RabbitMQ.
const PIKA: &str = "PikaTransport";

/// Why nobody can say how to reach the broker. No message has a password in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment cannot be activated.
    #[error(transparent)]
    Site(#[from] Fault),
    /// It names no broker that we can talk to.
    #[error("{0}")]
    NoBroker(String),
    /// A setting cannot be used.
    #[error("{place}: {reason}")]
    Setting {
        /// Where: file, line and column.
        place: String,
        /// Why.
        reason: String,
    },
    /// The password would leave the machine in clear text.
    #[error("{place}: the password would travel to {host} in clear text")]
    ClearText {
        /// Where the host is named.
        place: String,
        /// Whom the password would be told.
        host: Host,
    },
    /// A file with a certificate or a key cannot be read.
    #[error("{place}: {source}")]
    File {
        /// Where it is named.
        place: String,
        /// Why.
        source: library::Error,
    },
}

/// How to reach the broker that these environments of a site use.
///
/// # Errors
/// They name none, or another kind; or what they say cannot be used.
pub fn of_site(site: &Site, environments: &[&str]) -> Result<Options, Error> {
    let plugins = site.resolve(environments)?;
    let plugin = |name: &str| plugins.iter().find(|(plugin, _)| plugin == name).map(|(_, settings)| settings);
    let chosen = plugin("transport").into_iter().flatten().find(|setting| setting.name == "default");
    let chosen = chosen.map(|setting| setting.node).filter(|node| node.text() != PIKA);
    if let Some(node) = chosen {
        let reason = format!("`{}` is a transport that zrecipe does not have; it has `{PIKA}`", node.text());
        return Err(Error::Setting { place: place(node), reason });
    }
    match plugin("pika") {
        Some(settings) => Pika(settings).options(),
        None => Err(Error::NoBroker(absent(site, environments, plugin("stomp").is_some())?)),
    }
}

/// The files of these environments that hold a password or a key and that everyone on the machine can read.
///
/// # Errors
/// An environment cannot be activated.
pub fn exposed(site: &Site, environments: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let plugins = site.resolve(environments)?;
    let settings = plugins.iter().filter(|(plugin, _)| plugin == "pika").flat_map(|(_, settings)| settings);
    let mut files: Vec<PathBuf> = settings
        .filter_map(|setting| match setting.name.as_str() {
            // Everybody knows it.
            "password" if setting.node.text() == "guest" => None,
            "password" => Some(PathBuf::from(setting.node.tree().source().name())),
            "key-file" => Some(named(setting.node)),
            _ => None,
        })
        .filter(|path| is_public(path))
        .collect();
    files.dedup();
    Ok(files)
}

/// Why there is no block of the plugin `pika`.
fn absent(site: &Site, environments: &[&str], stomp: bool) -> Result<String, Error> {
    let names = environments.join("`, `");
    if stomp {
        return Ok(format!("the environment `{names}` uses ActiveMQ (plugin `stomp`), which zrecipe cannot talk to"));
    }
    for environment in environments {
        for Active { name, block } in site.activate(environment)? {
            let look = site.block(name).and_then(|(_, block)| block.file.as_ref()).filter(|_| block.is_none());
            let why = match look {
                None | Some(Look::File { .. }) => continue,
                Some(Look::Denied) => "that this user may not read",
                Some(Look::Missing | Look::Elsewhere) => "that is not there",
                Some(Look::Directory) => "that is a directory",
                Some(Look::Unknown | Look::Unreadable(_)) => "that cannot be read",
            };
            return Ok(format!(
                "the environment `{names}` names no broker that this user can see: block `{name}` is in a file {why}"
            ));
        }
    }
    Ok(format!("the environment `{names}` names no broker: it has no block of plugin `pika`"))
}

/// The settings of the plugin.
struct Pika<'s>(&'s [Setting<'s>]);

impl<'s> Pika<'s> {
    fn find(&self, name: &str) -> Option<NodeRef<'s>> {
        self.0.iter().find(|setting| setting.name == name).map(|setting| setting.node)
    }

    /// A setting that the reference cannot do without.
    fn required(&self, name: &str) -> Result<NodeRef<'s>, Error> {
        self.find(name).ok_or_else(|| match self.0.first() {
            Some(other) => wrong(other.node, format!("block `{}` of plugin `pika` has no `{name}`", other.block)),
            None => Error::NoBroker(format!("the block of plugin `pika` has no `{name}`")),
        })
    }

    fn switch(&self, name: &str) -> Result<bool, Error> {
        let Some(node) = self.find(name) else { return Ok(false) };
        node.as_bool().ok_or_else(|| wrong(node, format!("`{name}` is `true` or `false`")))
    }

    fn file(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(node) = self.find(name) else { return Ok(None) };
        let path = named(node);
        let source = library::read(&path, &path.to_string_lossy(), Source::MAX_BYTES);
        let source = source.map_err(|source| Error::File { place: place(node), source })?;
        Ok(Some(source.text().to_owned()))
    }

    fn options(&self) -> Result<Options, Error> {
        let host = self.required("host")?;
        let mut options = Options::new(self.hosts(host, self.required("port")?)?);
        options.vhost = self.required("vhost")?.text().into_owned();
        options.clear_text = self.switch("clear-text")?;
        options.tls = self.tls()?;
        let is_certified = options.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        // A certificate says by itself who we are. The reference insists on a user and a password all the same.
        let by_certificate = match self.find("login") {
            None => is_certified && self.find("username").is_none(),
            Some(node) => match &*node.text() {
                "certificate" if is_certified => true,
                "certificate" => return Err(wrong(node, "there is no `certificate-file` with `ssl: true`".to_owned())),
                "password" => false,
                _ => return Err(wrong(node, "`login` is `password` or `certificate`".to_owned())),
            },
        };
        options.login = if by_certificate {
            Login::Certificate
        } else {
            let user = self.required("username")?.text().into_owned();
            Login::Password { user, password: Password::new(self.required("password")?.text()) }
        };
        let is_clear = options.tls.is_none() && !options.clear_text;
        match options.hosts.iter().find(|host| is_clear && !host.is_here()) {
            Some(far) => Err(Error::ClearText { place: place(host), host: far.clone() }),
            None => Ok(options),
        }
    }

    /// Names and ports between commas: one port for all hosts, or one for each.
    fn hosts(&self, host: NodeRef<'_>, port: NodeRef<'_>) -> Result<Vec<Host>, Error> {
        let (names, ports) = (host.text(), port.to_value());
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        // What is not the name of a host may well be a URL with a password, so it is not repeated.
        if names.iter().any(|name| name.is_empty() || name.contains(|c: char| "/@".contains(c) || c.is_whitespace())) {
            return Err(wrong(
                host,
                "`host` is the name or address of a host, or several with commas between".to_owned(),
            ));
        }
        let text = ports.as_str().map_or_else(|| ports.to_json(), str::to_owned);
        // As Python reads numbers.
        let read = |port: &str| port.trim().replace('_', "").parse().ok().filter(|&port| port > 0);
        let ports: Option<Vec<u16>> = text.split(',').map(read).collect();
        let ports = ports.ok_or_else(|| wrong(port, "a port is a number from 1 to 65535".to_owned()))?;
        if ports.len() != 1 && ports.len() != names.len() {
            return Err(wrong(port, "there is neither one port for all hosts nor one for each".to_owned()));
        }
        let ports = ports.iter().cycle();
        Ok(names.into_iter().zip(ports).map(|(name, &port)| Host { name: name.to_owned(), port }).collect())
    }

    fn tls(&self) -> Result<Option<Tls>, Error> {
        if !self.switch("ssl")? {
            let idle = ["ca-file", "certificate-file", "key-file"].into_iter().find_map(|name| self.find(name));
            // Whoever names a certificate believes to be encrypted.
            return match idle {
                Some(node) => Err(wrong(node, "this has no effect without `ssl: true`".to_owned())),
                None => Ok(None),
            };
        }
        let certificate = match (self.file("certificate-file")?, self.file("key-file")?) {
            (Some(chain), Some(key)) => Some(Certificate { chain, key: Password::new(key) }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(wrong(self.required("certificate-file")?, "there is no `key-file`".to_owned()));
            }
            (None, Some(_)) => {
                return Err(wrong(self.required("key-file")?, "there is no `certificate-file`".to_owned()));
            }
        };
        Ok(Some(Tls { authorities: self.file("ca-file")?, certificate }))
    }
}

/// The file that a setting names, as the configuration names its own.
fn named(node: NodeRef<'_>) -> PathBuf {
    let path = beside(node.tree().source().name(), &node.text());
    if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path }
}

fn place(node: NodeRef<'_>) -> String {
    node.tree().source().place(node.span().start)
}

fn wrong(node: NodeRef<'_>, reason: String) -> Error {
    Error::Setting { place: place(node), reason }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use zrecipe_language::syntax::yaml;

    /// What the environment `e` with this block comes to.
    fn read(directory: &Path, block: &str) -> Result<Options, Error> {
        let text = format!("version: 1\nb: {block}\nenvironments: {{e: [b]}}\n");
        let name = directory.join("site.yml");
        let source = Arc::new(Source::from_text(name.to_string_lossy(), text));
        of_site(&Site::new(Arc::new(yaml::parse(source))), &["e"])
    }

    #[test]
    fn brokers_are_found_in_environments() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["a.pem", "k.pem"] {
            std::fs::write(directory.path().join(name), name).expect("is written");
        }
        for (block, expected) in [
            ("{plugin: pika, host: localhost, port: 5673, U, vhost: v}", "localhost:5673 (virtual host `v`) me"),
            (
                "{plugin: pika, host: 'a, b', port: '1,2_0', U, vhost: v, clear-text: true}",
                "a:1, b:20 (virtual host `v`) me",
            ),
            (
                "{plugin: pika, host: 'a,::1', port: 0x10, U, vhost: /, ssl: on}",
                "a:16, [::1]:16 (virtual host `/`) me tls",
            ),
            (
                "{plugin: pika, host: a, port: 1, vhost: /, ssl: yes, certificate-file: a.pem, key-file: k.pem}",
                "a:1 (virtual host `/`) a certificate tls",
            ),
            (
                "{plugin: pika, host: a, port: 1, U, vhost: /, ssl: on, certificate-file: a.pem, key-file: k.pem}",
                "a:1 (virtual host `/`) me tls",
            ),
            (
                "{plugin: pika, host: a, port: 1, U, vhost: /, ssl: on, certificate-file: a.pem, key-file: k.pem, \
                 login: certificate}",
                "a:1 (virtual host `/`) a certificate tls",
            ),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, login: certificate}", "no `certificate-file`"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, login: me}", "`login` is `password` or"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v}", ":2:25: the password would travel to a:1 in clear text"),
            ("{plugin: pika, host: 'localhost,a', port: 1, U, vhost: v}", ":2:25: the password would travel to a:1"),
            ("{plugin: pika, host: 'a,b', port: '1,2,3', U, vhost: v}", ":2:38: there is neither one port for all"),
            ("{plugin: pika, host: a, port: many, U, vhost: v}", "a port is a number from 1 to 65535"),
            ("{plugin: pika, host: a, port: 0, U, vhost: v}", "a port is a number from 1 to 65535"),
            (
                "{plugin: pika, host: 'amqp://me:s3cret@a', port: 1, U, vhost: v}",
                ":2:25: `host` is the name or address",
            ),
            ("{plugin: pika, host: '', port: 1, U, vhost: v}", ":2:25: `host` is the name or address of a host"),
            ("{plugin: pika, host: a, U, vhost: v}", "block `b` of plugin `pika` has no `port`"),
            ("{plugin: pika}", "the block of plugin `pika` has no `host`"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: si}", "`ssl` is `true` or `false`"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ca-file: a.pem}", "this has no effect without `ssl: true`"),
            (
                "{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, key-file: k.pem}",
                "there is no `certificate-file`",
            ),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, ca-file: b.pem}", "/b.pem: there is no such file"),
            ("{plugin: stomp, host: a, port: 61613, U, prefix: z}", "`e` uses ActiveMQ (plugin `stomp`)"),
            ("{plugin: transport, default: StompTransport}", "`StompTransport` is a transport that zrecipe does not"),
            ("{plugin: storage}", "the environment `e` names no broker: it has no block of plugin `pika`"),
            ("secret.yml", "block `b` is in a file that cannot be read"),
        ] {
            let block = block.replace('U', "username: me, password: s3cret");
            let found = match read(directory.path(), &block) {
                Ok(options) => {
                    let user = match &options.login {
                        Login::Password { user, .. } => user,
                        Login::Certificate => "a certificate",
                    };
                    let tls = if options.tls.is_some() { " tls" } else { "" };
                    format!("{} {user}{tls}", options.place())
                }
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected) && !found.contains("s3cret"), "{block}: {found}");
        }
    }

    #[test]
    fn files_that_give_a_password_away_are_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("is set");
        let path = directory.path().join("site.yml");
        for (password, mode, expected) in [("s3cret", 0o644, 1), ("s3cret", 0o640, 0), ("guest", 0o644, 0)] {
            let text =
                format!("version: 1\nb: {{plugin: pika, host: a, password: {password}}}\nenvironments: {{e: [b]}}\n");
            std::fs::write(&path, text).expect("is written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("is set");
            let site = library::site(&path, Source::MAX_BYTES).expect("is a site");
            assert_eq!(exposed(&site, &["e"]).expect("is right").len(), expected, "{password} {mode:o}");
        }
    }
}
