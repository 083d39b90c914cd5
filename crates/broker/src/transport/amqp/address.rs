//! Where the broker is and who we are to it: hosts, virtual host, login, TLS; what an `amqp://` URL says of them.

use std::net::IpAddr;
use std::time::Duration;

/// A password or a key. It has neither `Debug` nor `Display`, so that it gets into no message and no log.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
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
    /// A user and his password.
    Password {
        /// The user.
        user: String,
        /// His password.
        password: Password,
    },
    /// Whom the client certificate says (the broker's `EXTERNAL` mechanism).
    Certificate,
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

/// How to reach the broker, and how to behave there. [`Options::from_url`] or [`Options::new`] begin one.
#[derive(Clone)]
pub struct Options {
    /// The nodes, tried in random order.
    pub hosts: Vec<Host>,
    /// The virtual host: the namespace of queues and topics.
    pub vhost: String,
    /// Who we are.
    pub login: Login,
    /// Encryption; none: clear text.
    pub tls: Option<Tls>,
    /// Whether the password may travel in clear text to another machine.
    pub clear_text: bool,
    /// What the broker's own tools show this connection as.
    pub name: String,
    /// How often either side says that it is there.
    pub heartbeat: Duration,
    /// How long a message may take until it is confirmed, a lost connection and a new one included.
    pub patience: Duration,
    /// How often a message may be retried: with 5 it is handed out 6 times at most and then is a dead letter. The
    /// queue's own limit, which counts crashes, is the broker's business.
    pub delivery_limit: u32,
    /// How long the ids of accepted messages are remembered, to drop the same message delivered again.
    pub remember_ids: Duration,
}

/// The port of `amqp`.
const PORT: u16 = 5672;
/// The port of `amqps`.
const PORT_TLS: u16 = 5671;

impl Options {
    /// A broker at these hosts, in clear text, with the virtual host `/` and the user and password that a new
    /// RabbitMQ has.
    pub fn new(hosts: Vec<Host>) -> Self {
        Self {
            hosts,
            vhost: "/".to_owned(),
            login: Login::Password { user: "guest".to_owned(), password: Password::new("guest") },
            tls: None,
            clear_text: false,
            name: format!("zrecipe {}", std::process::id()),
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            delivery_limit: 5,
            remember_ids: Duration::from_secs(60 * 60),
        }
    }

    /// Reads `amqp[s]://[user[:password]@]host[:port][,host[:port]…][/vhost]`. Parts may be percent-encoded.
    ///
    /// ```
    /// use zrecipe_broker::transport::amqp::Options;
    /// let options = Options::from_url("amqps://ana:s3cret@one.example,two.example:5673/zocalo").unwrap();
    /// assert_eq!(options.place(), "one.example:5671, two.example:5673 (virtual host `zocalo`)");
    /// ```
    ///
    /// # Errors
    /// What is wrong, in words that never have the URL in them.
    pub fn from_url(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the broker's address begins with `amqp://` or `amqps://`")?;
        let encrypted = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err("the broker's address begins with `amqp://` or `amqps://`".to_owned()),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        if authority.contains('?') || path.is_some_and(|path| path.contains(['?', '/'])) {
            return Err("the broker's address ends with the virtual host; `/` is written `%2f` in it, and nothing \
                        follows"
                .to_owned());
        }
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let port = if encrypted { PORT_TLS } else { PORT };
        let mut options = Self::new(hosts.split(',').map(|host| read_host(host, port)).collect::<Result<_, _>>()?);
        options.tls = encrypted.then(Tls::default);
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            options.vhost = decode(path).ok_or("the virtual host of the broker's address is badly encoded")?;
        }
        if let Some(user_info) = user_info {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let badly = "the user or the password in the broker's address is badly encoded";
            let password = Password::new(decode(password).ok_or(badly)?);
            options.login = Login::Password { user: decode(user).ok_or(badly)?, password };
        }
        Ok(options)
    }

    /// Where that is, in words; without user and password.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("{} (virtual host `{}`)", hosts.join(", "), self.vhost)
    }

    /// Why this may not be tried at `host`.
    pub(super) fn objection(&self, host: &Host) -> Option<String> {
        let is_clear = self.tls.is_none() && matches!(self.login, Login::Password { .. });
        if is_clear && !host.is_here() && !self.clear_text {
            return Some("the password would travel in clear text: use `amqps`, or allow clear text".to_owned());
        }
        let is_certain = self.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        if matches!(self.login, Login::Certificate) && !is_certain {
            return Some("there is neither a user nor a client certificate".to_owned());
        }
        (self.vhost.len() > 255).then(|| "the virtual host's name is longer than 255 bytes".to_owned())
    }
}

fn read_host(text: &str, port: u16) -> Result<Host, String> {
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
            .ok_or_else(|| format!("the port of host `{name}` is no number up to 65535"))?,
    };
    Ok(Host { name: name.to_owned(), port })
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// User, password, hosts and virtual host, or what is wrong.
    fn read(url: &str) -> String {
        match Options::from_url(url) {
            Ok(options) => {
                let (user, password) = match &options.login {
                    Login::Password { user, password } => (user.as_str(), password.reveal()),
                    Login::Certificate => ("", ""),
                };
                let tls = if options.tls.is_some() { "tls" } else { "clear" };
                format!("{user} {password} {} {tls}", options.place())
            }
            Err(error) => error,
        }
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("amqp://localhost", "guest guest localhost:5672 (virtual host `/`) clear"),
            ("amqp://localhost/", "guest guest localhost:5672 (virtual host `/`) clear"),
            ("amqps://me:p%40s:s@h/%2fa", "me p@s:s h:5671 (virtual host `/a`) tls"),
            ("AMQP://me@a:1,b,[::1]:3/v", "me  a:1, b:5672, [::1]:3 (virtual host `v`) clear"),
            ("amqp://me:p@ss@h", "me p@ss h:5672 (virtual host `/`) clear"),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
        for (url, expected) in [
            ("me:s3cret@host", "begins with"),
            ("http://me:s3cret@host", "begins with"),
            ("amqp://me:s3cret@", "no name"),
            ("amqp://me:s3cret@h:x", "the port of host `h`"),
            ("amqp://me:s3cret@h:70000", "the port of host `h`"),
            ("amqp://me:s3cret%4@h", "badly encoded"),
            ("amqp://me:s3cret@[::1", "without `]`"),
            ("amqp://me:s3cret@h/a/b", "`/` is written `%2f`"),
            ("amqp://me:s3cret@h?heartbeat=1", "nothing follows"),
        ] {
            let said = read(url);
            assert!(said.contains(expected) && !said.contains("s3cret"), "{url}: {said}");
        }
    }

    #[test]
    fn a_password_leaves_the_machine_only_encrypted_or_when_asked() {
        for (url, clear_text, refused) in [
            ("amqp://me:pw@localhost", false, false),
            ("amqp://me:pw@127.0.0.2", false, false),
            ("amqp://me:pw@[::1]", false, false),
            ("amqp://me:pw@broker", false, true),
            ("amqp://me:pw@localhost.evil.example", false, true),
            ("amqp://me:pw@broker", true, false),
            ("amqps://me:pw@broker", false, false),
        ] {
            let options = Options { clear_text, ..Options::from_url(url).expect("reads") };
            assert_eq!(options.objection(&options.hosts[0]).is_some(), refused, "{url}");
        }
        let nobody = Options { login: Login::Certificate, ..Options::from_url("amqps://broker").expect("reads") };
        assert!(nobody.objection(&nobody.hosts[0]).is_some_and(|said| said.contains("client certificate")));
    }
}
