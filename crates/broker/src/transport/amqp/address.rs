//! Where RabbitMQ is: virtual host, hosts and login, as plugin `pika` or an `amqp://` URL states them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Amqp;
use crate::address::{Fault, Host, Login, Password, Settings, Tls, Url};
use crate::books::Clerk;
use crate::failure::{Denial, Failure, Outage};
use crate::message::DELAY_PREFIX;
use crate::message::bounds::DELIVERY_LIMIT;
use crate::transport::{Capabilities, CommandOption, Creation, Endpoint, Entry, Environment, Error, Node, Transport};

/// How a broker of this kind is found, and what it can do.
pub const TRANSPORT: Entry = Entry {
    name: "amqp",
    product: "RabbitMQ",
    plugin: Some("pika"),
    class: Some("PikaTransport"),
    options: &[
        CommandOption::new(
            "rabbit-host",
            "host",
            "HOST",
            "localhost",
            "Host name or address of RabbitMQ; several separated by commas",
        ),
        CommandOption::new(
            "rabbit-port",
            "port",
            "PORT",
            "5672",
            "Port of RabbitMQ; one for each host, or one for all",
        ),
        CommandOption::new("rabbit-user", "username", "USER", "guest", "User of RabbitMQ"),
        CommandOption::new(
            "rabbit-pass",
            "password",
            "PASS",
            "guest",
            "Password of the user; other users of this machine can see it",
        ),
        CommandOption::new("rabbit-vhost", "vhost", "VHOST", "/", "Virtual host of RabbitMQ"),
    ],
    file_option: Some(("rabbit-conf", "rabbit")),
    namespace: Some("vhost"),
    schemes: &["amqp", "amqps"],
    secrets: &["password"],
    secret_files: &["key-file"],
    public_secrets: &["guest"],
    own_prefix: Some(DELAY_PREFIX),
    grant: "`permissions` of the broker's configuration, or `rabbitmqctl set_permissions -p VHOST USER …`",
    permissions: "a user of plugin `rabbitmqapi` with the tag `administrator` may see it; `rabbitmqctl list_user_permissions USER`",
    capabilities: Capabilities {
        is_remote: true,
        creation: Creation::Declared,
        is_atomic: false,
        keeps_spelling: false,
        releases_uncounted: false,
        releases_in_place: false,
        is_exact: false,
        browses: false,
        management: Some("rabbitmqapi"),
        definitions: true,
        dead_letters_by_itself: true,
        blocks: true,
    },
    open,
};

fn open(environment: &Environment<'_>) -> Result<Arc<dyn Endpoint>, Fault> {
    Ok(Arc::new(match environment {
        Environment::Site(settings) => Options::of_site(settings)?,
        Environment::Url(url) => Options::from_url(url).map_err(Fault::Url)?,
        Environment::Directory(..) => return Err(Fault::Incomplete("RabbitMQ is not in a directory".to_owned())),
    }))
}

#[async_trait]
impl Endpoint for Options {
    fn entry(&self) -> &'static Entry {
        &TRANSPORT
    }

    fn place(&self) -> String {
        self.place()
    }

    fn namespace(&self) -> &str {
        &self.vhost
    }

    fn user(&self) -> Option<&str> {
        self.login.user()
    }

    fn nodes(&self) -> Vec<Node> {
        let how = if self.tls.is_some() { "with TLS" } else { "in clear text" };
        let node = |host: &Host| Node {
            title: format!("{host}, {how}, virtual host `{}`", self.vhost),
            endpoint: Arc::new(Self { hosts: vec![host.clone()], ..self.clone() }),
        };
        self.hosts.iter().map(node).collect()
    }

    fn with_clerk(&self, clerk: Arc<dyn Clerk>) -> Option<Arc<dyn Endpoint>> {
        Some(Arc::new(Self { clerk: Some(clerk), ..self.clone() }))
    }

    async fn connect(&self, who: &str) -> Result<Arc<dyn Transport>, Error> {
        Ok(Arc::new(Amqp::connect(Self { name: format!("zrecipe {who}"), ..self.clone() }).await?))
    }

    fn remedy(&self, error: &Error) -> &'static str {
        match error {
            Error::Denied {
                cause: Denial::Certificate | Denial::ClientCertificate | Denial::NoTls | Denial::Protocol,
                ..
            }
            | Error::Unavailable { cause: Outage::HungUp, .. } => {
                "set `ca-file` in the site to the authority of the broker's certificate, and `host` to the name in it"
            }
            Error::Denied { cause: Denial::Credentials | Denial::ClearText, .. } => {
                "check `username` and `password` of plugin `pika` in the site; test them with `rabbitmqctl \
                 authenticate_user USER`"
            }
            Error::Denied { cause: Denial::VirtualHost, .. } => {
                "check `vhost` of plugin `pika` in the site; list virtual hosts with `rabbitmqctl list_vhosts`"
            }
            Error::Blocked(_) => "`rabbitmqctl status` shows its alarms: free memory, or space on its disk",
            Error::Refused { .. } => "the user needs the permission to write to `amq.default`",
            Error::NoSuchQueue(_) => "queues are created when the broker is set up",
            _ => {
                "check that the broker is running (`rabbitmqctl status` on its machine), and check `host` and `port` \
                 in the site"
            }
        }
    }
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
    /// Retries after which a message is dead-lettered: it is handed out once more than this. The queue's own limit, which
    /// counts crashes, is the broker's business.
    pub delivery_limit: u32,
    /// How long the ids of accepted messages are remembered, to drop the same message delivered again.
    pub remember_ids: Duration,
    /// Who keeps books of what becomes of messages.
    pub clerk: Option<Arc<dyn Clerk>>,
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
            delivery_limit: DELIVERY_LIMIT,
            remember_ids: Duration::from_secs(60 * 60),
            clerk: None,
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
        let url = Url::read(url, ["amqp", "amqps"], [PORT, PORT_TLS], "virtual host")?;
        let mut options = Self::new(url.hosts);
        options.tls = url.is_encrypted.then(Tls::default);
        options.vhost = url.path.unwrap_or(options.vhost);
        options.login = url.login.unwrap_or(options.login);
        Ok(options)
    }

    /// Reads the settings of plugin `pika`. The reference is `workflows.transport.pika_transport` (`workflows` 3.3).
    ///
    /// # Errors
    /// A setting is missing, or cannot be used.
    pub fn of_site(settings: &Settings<'_>) -> Result<Self, Fault> {
        let mut options = Self::new(settings.hosts()?);
        options.vhost = settings.required("vhost")?.text().into_owned();
        options.clear_text = settings.switch("clear-text")?;
        options.tls = settings.tls()?;
        options.login = settings.login(options.tls.as_ref())?;
        settings.check_clear_text(&options.hosts, options.tls.is_none() && !options.clear_text)?;
        Ok(options)
    }

    /// Where that is, in words; without user and password.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("{} (virtual host `{}`)", hosts.join(", "), self.vhost)
    }

    /// Why this may not be tried at `host`.
    pub(super) fn objection(&self, host: &Host) -> Option<Failure> {
        let is_clear = self.tls.is_none() && matches!(self.login, Login::Password { .. });
        if is_clear && !host.is_here() && !self.clear_text {
            let reason = "the password would be sent in clear text: use `amqps`, or allow clear text";
            return Some(Failure::denied(Denial::ClearText, reason));
        }
        let is_certain = self.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        if matches!(self.login, Login::Certificate) && !is_certain {
            let reason = "there is neither a user nor a client certificate";
            return Some(Failure::denied(Denial::ClientCertificate, reason));
        }
        let failure = || Failure::denied(Denial::VirtualHost, "the virtual host's name is longer than 255 bytes");
        (self.vhost.len() > 255).then(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Cause;

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
        assert!(
            nobody
                .objection(&nobody.hosts[0])
                .is_some_and(|failure| failure.cause == Cause::Denied(Denial::ClientCertificate))
        );
    }
}
