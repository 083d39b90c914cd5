//! The broker of a site environment: which transport its plugins name, and who can read the credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zrecipe_broker::address::Fault;
use zrecipe_broker::transport::{self, Endpoint, TRANSPORTS};
use zrecipe_language::site::{self, Active, Look, Site};
use zrecipe_language::source::Source;
use zrecipe_language::syntax::NodeRef;
use zrecipe_project::library::{self, beside};
use zrecipe_project::platform::is_public;

/// Why the broker cannot be addressed. No message has a password in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment cannot be activated.
    #[error(transparent)]
    Site(#[from] site::Fault),
    /// It names no broker.
    #[error("{0}")]
    NoBroker(String),
    /// What it says of its broker cannot be used.
    #[error(transparent)]
    Broker(#[from] Fault),
}

/// The broker that these environments of a site use.
///
/// # Errors
/// They name none, or a kind without a transport; or a setting cannot be used.
pub fn of_site(site: &Site, environments: &[&str]) -> Result<Arc<dyn Endpoint>, Error> {
    let plugins = site.resolve(environments)?;
    match transport::of_site(&plugins, &read)? {
        Some(endpoint) => Ok(endpoint),
        None => Err(Error::NoBroker(absent(site, environments)?)),
    }
}

/// The files of these environments that hold a password or a key of a broker and that everyone on the machine can read.
///
/// # Errors
/// An environment cannot be activated.
pub fn exposed(site: &Site, environments: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for (plugin, settings) in &site.resolve(environments)? {
        let Some(entry) = TRANSPORTS.iter().find(|entry| entry.plugin == Some(&**plugin)) else { continue };
        for setting in settings {
            let name = setting.name.as_str();
            if entry.secrets.contains(&name) && !entry.public_secrets.contains(&&*setting.node.text()) {
                files.push(PathBuf::from(setting.node.tree().source().name()));
            } else if entry.secret_files.contains(&name) {
                files.push(named(setting.node));
            }
        }
    }
    files.retain(|path| is_public(path));
    files.dedup();
    Ok(files)
}

/// Why there is no block of a transport's plugin.
fn absent(site: &Site, environments: &[&str]) -> Result<String, Error> {
    let of = match environments {
        [] => "the site configuration has no environments, so it".to_owned(),
        names => format!("the environment `{}`", names.join("`, `")),
    };
    for environment in environments {
        for Active { name, block } in site.activate(environment)? {
            let look = site.block(name).and_then(|(_, block)| block.file.as_ref()).filter(|_| block.is_none());
            let why = match look {
                None | Some(Look::File { .. }) => continue,
                Some(Look::Denied) => "that this user may not read",
                Some(Look::Missing | Look::Elsewhere) => "that does not exist",
                Some(Look::Directory) => "that is a directory",
                Some(Look::Unknown | Look::Unreadable(_)) => "that cannot be read",
            };
            return Ok(format!("{of} names no broker that this user can see: block `{name}` is in a file {why}"));
        }
    }
    let plugins: Vec<&str> = TRANSPORTS.iter().filter_map(|entry| entry.plugin).collect();
    Ok(format!("{of} names no broker: it has no block of plugin `{}`", plugins.join("` or `")))
}

/// The file that a setting names, as the configuration names its own.
fn named(node: NodeRef<'_>) -> PathBuf {
    let path = beside(node.tree().source().name(), &node.text());
    if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path }
}

/// Reads the file that a setting names.
fn read(node: NodeRef<'_>) -> Result<String, String> {
    let path = named(node);
    let source = library::read(&path, &path.to_string_lossy(), Source::MAX_BYTES).map_err(|error| error.to_string())?;
    Ok(source.text().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use zrecipe_language::syntax::yaml;

    /// What the environment `e` with this block comes to.
    fn endpoint(directory: &Path, block: &str) -> Result<Arc<dyn Endpoint>, Error> {
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
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, login: me}", "`login` must be `password` or"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v}", ":2:25: the password would be sent to a:1 in clear text"),
            ("{plugin: pika, host: 'localhost,a', port: 1, U, vhost: v}", ":2:25: the password would be sent to a:1"),
            ("{plugin: pika, host: 'a,b', port: '1,2,3', U, vhost: v}", ":2:38: give one port for all"),
            ("{plugin: pika, host: a, port: many, U, vhost: v}", "a port is a number from 1 to 65535"),
            ("{plugin: pika, host: a, port: 0, U, vhost: v}", "a port is a number from 1 to 65535"),
            (
                "{plugin: pika, host: 'amqp://me:s3cret@a', port: 1, U, vhost: v}",
                ":2:25: `host` must be a host name or address",
            ),
            ("{plugin: pika, host: '', port: 1, U, vhost: v}", ":2:25: `host` must be a host name or address"),
            ("{plugin: pika, host: a, U, vhost: v}", "block `b` of plugin `pika` has no `port`"),
            ("{plugin: pika}", "the block of plugin `pika` has no `host`"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: si}", "`ssl` must be `true` or `false`"),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ca-file: a.pem}", "this has no effect without `ssl: true`"),
            (
                "{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, key-file: k.pem}",
                "there is no `certificate-file`",
            ),
            ("{plugin: pika, host: a, port: 1, U, vhost: v, ssl: on, ca-file: b.pem}", "/b.pem: there is no such file"),
            ("{plugin: transport, default: OddTransport}", "unknown transport `OddTransport`"),
            ("{plugin: storage}", "the environment `e` names no broker: it has no block of plugin `pika`"),
            ("secret.yml", "block `b` is in a file that cannot be read"),
        ] {
            let block = block.replace('U', "username: me, password: s3cret");
            let found = match endpoint(directory.path(), &block) {
                Ok(endpoint) => {
                    let is_encrypted = endpoint.nodes().iter().all(|node| node.title.contains("with TLS"));
                    let tls = if is_encrypted { " tls" } else { "" };
                    format!("{} {}{tls}", endpoint.place(), endpoint.user().unwrap_or("a certificate"))
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
