//! Hosts, logins and TLS of brokers, as the plugins of a site configuration state them.
//!
//! Python's transports ignore the settings that only zrecipe has: `ssl`, `ca-file`, `certificate-file` and `key-file`
//! for encryption, `login` to use the certificate instead of a password, and `clear-text` to allow a password to leave
//! the machine without encryption.

use std::net::IpAddr;

use zrecipe_language::site::Setting;
use zrecipe_language::syntax::NodeRef;

/// The settings that only zrecipe has.
pub const OWN_SETTINGS: [&str; 6] = ["ssl", "ca-file", "certificate-file", "key-file", "login", "clear-text"];

/// A password or a key. It has neither `Debug` nor `Display`, so that it gets into no message and no log.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// One node of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Host {
    /// Whether what goes there does not leave this machine.
    pub fn is_here(&self) -> bool {
        self.name == "localhost" || self.name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Who we are.
#[derive(Clone)]
pub enum Login {
    /// A user and the password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Password,
    },
    /// Whom the client certificate names.
    Certificate,
}

impl Login {
    /// The name of the user, where a password proves it.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user),
            Self::Certificate => None,
        }
    }
}

/// How the connection is encrypted. The broker's certificate is always verified, for the host's name and against the
/// system's authorities.
#[derive(Clone, Default)]
pub struct Tls {
    /// More authorities to trust, PEM.
    pub authorities: Option<String>,
    /// Our own certificate.
    pub certificate: Option<Certificate>,
}

/// A client certificate.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate and those that lead to the authority, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Password,
}

/// Why a broker cannot be addressed. No message has a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A setting cannot be used.
    #[error("{place}: {reason}")]
    Setting {
        /// Where: file, line and column.
        place: String,
        /// Why.
        reason: String,
    },
    /// A required setting is missing, and no other setting of its block has a place.
    #[error("{0}")]
    Incomplete(String),
    /// The password would leave the machine in clear text.
    #[error("{place}: the password would be sent to {host} in clear text")]
    ClearText {
        /// Where the host is named.
        place: String,
        /// Whom the password would be sent to.
        host: Host,
    },
    /// A file with a certificate or a key cannot be read.
    #[error("{place}: {reason}")]
    File {
        /// Where it is named.
        place: String,
        /// Why, with the path.
        reason: String,
    },
    /// An address cannot be used; the message does not repeat it.
    #[error("{0}")]
    Url(String),
}

/// Reads the file that a setting names; the error names the path.
pub type ReadFile<'e> = &'e dyn Fn(NodeRef<'_>) -> Result<String, String>;

/// The settings of one plugin.
#[derive(Clone, Copy)]
pub struct Settings<'e> {
    /// Name of the plugin.
    pub plugin: &'e str,
    /// What its blocks set.
    pub settings: &'e [Setting<'e>],
    /// How files are read.
    pub read: ReadFile<'e>,
}

impl<'e> Settings<'e> {
    /// A setting by name.
    pub fn find(&self, name: &str) -> Option<NodeRef<'e>> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.node)
    }

    /// A setting that Python's transport cannot do without.
    ///
    /// # Errors
    /// It is missing.
    pub fn required(&self, name: &str) -> Result<NodeRef<'e>, Fault> {
        let plugin = self.plugin;
        self.find(name).ok_or_else(|| match self.settings.first() {
            Some(other) => wrong(other.node, format!("block `{}` of plugin `{plugin}` has no `{name}`", other.block)),
            None => Fault::Incomplete(format!("the block of plugin `{plugin}` has no `{name}`")),
        })
    }

    /// A setting that is `true` or `false`; `false` where it is missing.
    ///
    /// # Errors
    /// It is neither.
    pub fn switch(&self, name: &str) -> Result<bool, Fault> {
        let Some(node) = self.find(name) else { return Ok(false) };
        node.as_bool().ok_or_else(|| wrong(node, format!("`{name}` must be `true` or `false`")))
    }

    fn file(&self, name: &str) -> Result<Option<String>, Fault> {
        let Some(node) = self.find(name) else { return Ok(None) };
        (self.read)(node).map(Some).map_err(|reason| Fault::File { place: place(node), reason })
    }

    /// Settings `host` and `port`: names and ports between commas, with one port for all hosts or one for each.
    ///
    /// # Errors
    /// One of them is missing or malformed.
    pub fn hosts(&self) -> Result<Vec<Host>, Fault> {
        let (host, port) = (self.required("host")?, self.required("port")?);
        let (names, ports) = (host.text(), port.to_value());
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        // What is not the name of a host may well be a URL with a password, so it is not repeated.
        if names.iter().any(|name| name.is_empty() || name.contains(|c: char| "/@".contains(c) || c.is_whitespace())) {
            return Err(wrong(
                host,
                "`host` must be a host name or address, or several separated by commas".to_owned(),
            ));
        }
        let text = ports.as_str().map_or_else(|| ports.to_json(), str::to_owned);
        // As Python reads numbers.
        let read = |port: &str| port.trim().replace('_', "").parse().ok().filter(|&port| port > 0);
        let ports: Option<Vec<u16>> = text.split(',').map(read).collect();
        let ports = ports.ok_or_else(|| wrong(port, "a port is a number from 1 to 65535".to_owned()))?;
        if ports.len() != 1 && ports.len() != names.len() {
            return Err(wrong(port, "give one port for all hosts, or one for each host".to_owned()));
        }
        let ports = ports.iter().cycle();
        Ok(names.into_iter().zip(ports).map(|(name, &port)| Host { name: name.to_owned(), port }).collect())
    }

    /// Settings `ssl`, `ca-file`, `certificate-file` and `key-file`; nothing without `ssl: true`.
    ///
    /// # Errors
    /// A file cannot be read, or a setting has no effect.
    pub fn tls(&self) -> Result<Option<Tls>, Fault> {
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

    /// Settings `username`, `password` and `login`. A client certificate logs in by itself where no user is named.
    ///
    /// # Errors
    /// A setting is missing or malformed.
    pub fn login(&self, tls: Option<&Tls>) -> Result<Login, Fault> {
        let is_certified = tls.is_some_and(|tls| tls.certificate.is_some());
        // Python's transports require a user and a password all the same.
        let by_certificate = match self.find("login") {
            None => is_certified && self.find("username").is_none(),
            Some(node) => match &*node.text() {
                "certificate" if is_certified => true,
                "certificate" => return Err(wrong(node, "there is no `certificate-file` with `ssl: true`".to_owned())),
                "password" => false,
                _ => return Err(wrong(node, "`login` must be `password` or `certificate`".to_owned())),
            },
        };
        if by_certificate {
            return Ok(Login::Certificate);
        }
        let user = self.required("username")?.text().into_owned();
        Ok(Login::Password { user, password: Password::new(self.required("password")?.text()) })
    }

    /// Refuses to send a password to another machine in clear text, unless `clear-text: true` allows it.
    ///
    /// # Errors
    /// A host is on another machine.
    pub fn check_clear_text(&self, hosts: &[Host], is_clear: bool) -> Result<(), Fault> {
        match hosts.iter().find(|host| is_clear && !host.is_here()) {
            Some(far) => Err(Fault::ClearText { place: place(self.required("host")?), host: far.clone() }),
            None => Ok(()),
        }
    }
}

fn place(node: NodeRef<'_>) -> String {
    let source = node.tree().source();
    // Where an option gives the setting, there is no line.
    if source.name().starts_with("--") { source.name().to_owned() } else { source.place(node.span().start) }
}

/// A fault of the setting at `node`.
pub fn wrong(node: NodeRef<'_>, reason: String) -> Fault {
    Fault::Setting { place: place(node), reason }
}

/// A host and its port, as in the authority of a URL.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_host(text: &str, port: u16) -> Result<Host, String> {
    let (name, given) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a host of the broker's address has `[` without `]`")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if name.is_empty() {
        return Err("a host of the broker's address has no name".to_owned());
    }
    let port = match given.strip_prefix(':') {
        None if given.is_empty() => port,
        given => given
            .and_then(|given| given.parse().ok())
            .ok_or_else(|| format!("the port of host `{name}` is not a number up to 65535"))?,
    };
    Ok(Host { name: name.to_owned(), port })
}

/// Undoes percent-encoding; nothing if it is malformed.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The parts of `SCHEME://[user[:password]@]host[:port][,host[:port]…][/path]`, percent-encoding undone.
pub(crate) struct Url {
    /// Whether the scheme is the encrypted one.
    pub(crate) is_encrypted: bool,
    pub(crate) hosts: Vec<Host>,
    pub(crate) login: Option<Login>,
    /// What follows the hosts, without the slash; nothing if it is empty.
    pub(crate) path: Option<String>,
}

impl Url {
    /// Reads a URL with one of two schemes, the second of which is encrypted; each has its own port. `what` is what the
    /// path names.
    ///
    /// # Errors
    /// What is wrong, in words that never have the URL in them.
    pub(crate) fn read(url: &str, schemes: [&str; 2], ports: [u16; 2], what: &str) -> Result<Self, String> {
        let begins = || format!("the broker's address begins with `{}://` or `{}://`", schemes[0], schemes[1]);
        let (scheme, rest) = url.split_once("://").ok_or_else(begins)?;
        let scheme = scheme.to_ascii_lowercase();
        let chosen = schemes.iter().position(|known| *known == scheme).ok_or_else(begins)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        if authority.contains('?') || path.is_some_and(|path| path.contains(['?', '/'])) {
            return Err(format!(
                "the broker's address ends with the {what}; `/` is written `%2f` in it, and nothing follows"
            ));
        }
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let hosts = hosts.split(',').map(|host| read_host(host, ports[chosen])).collect::<Result<_, _>>()?;
        let path = match path.filter(|path| !path.is_empty()) {
            Some(path) => {
                Some(decode(path).ok_or_else(|| format!("the {what} of the broker's address is badly encoded"))?)
            }
            None => None,
        };
        let login = match user_info {
            Some(user_info) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                let badly = "the user or the password in the broker's address is badly encoded";
                let password = Password::new(decode(password).ok_or(badly)?);
                Some(Login::Password { user: decode(user).ok_or(badly)?, password })
            }
            None => None,
        };
        Ok(Self { is_encrypted: chosen == 1, hosts, login, path })
    }
}
