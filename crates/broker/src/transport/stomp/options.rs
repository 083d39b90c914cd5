//! Where ActiveMQ is: hosts, login and prefix, as plugin `stomp` or a `stomp://` URL states them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Stomp, wire};
use crate::address::{Fault, Host, Login, Password, Settings, Tls, Url};
use crate::books::Clerk;
use crate::failure::{Denial, Failure, Outage};
use crate::message::bounds::{DELIVERY_LIMIT, RETURN_LIMIT};
use crate::transport::{Capabilities, CommandOption, Creation, Endpoint, Entry, Environment, Error, Node, Transport};

/// How a broker of this kind is found, and what it can do.
pub const TRANSPORT: Entry = Entry {
    name: "stomp",
    product: "ActiveMQ",
    plugin: Some("stomp"),
    class: Some("StompTransport"),
    options: &[
        CommandOption::new(
            "stomp-host",
            "host",
            "HOST",
            "localhost",
            "Host name or address of ActiveMQ; several separated by commas",
        ),
        CommandOption::new(
            "stomp-port",
            "port",
            "PORT",
            "61613",
            "Port of ActiveMQ; one for each host, or one for all",
        ),
        CommandOption::new("stomp-user", "username", "USER", "admin", "User of ActiveMQ"),
        CommandOption::new(
            "stomp-pass",
            "password",
            "PASS",
            "password",
            "Password of the user; other users of this machine can see it",
        ),
        CommandOption::new("stomp-prfx", "prefix", "PREFIX", "", "Prefix of all names of queues and topics"),
    ],
    file_option: Some(("stomp-conf", "stomp")),
    namespace: Some("prefix"),
    schemes: &["stomp", "stomps"],
    secrets: &["password"],
    secret_files: &["key-file"],
    public_secrets: &["", "admin", "password"],
    own_prefix: None,
    grant: "`authorizationEntry` in ActiveMQ's configuration gives a user `read`, `write` and `admin` for destinations",
    permissions: "`authorizationEntries` in ActiveMQ's configuration list the permissions of each user",
    capabilities: Capabilities {
        is_remote: true,
        creation: Creation::BySending,
        is_atomic: true,
        keeps_spelling: false,
        releases_uncounted: true,
        releases_in_place: false,
        is_exact: true,
        browses: true,
        management: Some("jmx"),
        definitions: false,
        dead_letters_by_itself: false,
        blocks: true,
    },
    open,
};

/// How to reach the broker, and how to behave there.
#[derive(Clone)]
pub struct Options {
    /// The nodes, tried in random order.
    pub hosts: Vec<Host>,
    /// The namespace: what the names of queues and topics begin with, before a dot; empty for none.
    pub prefix: String,
    /// Who we are; an empty user and password log nobody in.
    pub login: Login,
    /// Encryption; none: clear text.
    pub tls: Option<Tls>,
    /// Whether the password may travel in clear text to another machine.
    pub clear_text: bool,
    /// What the broker's own tools show this connection as.
    pub name: String,
    /// Interval of heart-beats, in both directions.
    pub heartbeat: Duration,
    /// How long a message may take until it is confirmed, a lost connection and a new one included.
    pub patience: Duration,
    /// Retries after which a message is dead-lettered: it is delivered once more than this.
    pub delivery_limit: u32,
    /// Maximum number of times that a message comes back because its consumer was lost or has left.
    pub return_limit: u32,
    /// How long the ids of accepted messages are remembered, to drop the same message delivered again.
    pub remember_ids: Duration,
    /// Who keeps books of what becomes of messages.
    pub clerk: Option<Arc<dyn Clerk>>,
}

/// The ports of ActiveMQ's connectors for STOMP, in clear text and with TLS.
const PORTS: [u16; 2] = [61613, 61614];

impl Options {
    /// A broker at these hosts, in clear text, without prefix and login.
    pub fn new(hosts: Vec<Host>) -> Self {
        Self {
            hosts,
            prefix: String::new(),
            login: Login::Password { user: String::new(), password: Password::new("") },
            tls: None,
            clear_text: false,
            name: format!("zrecipe {}", std::process::id()),
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            delivery_limit: DELIVERY_LIMIT,
            return_limit: RETURN_LIMIT,
            remember_ids: Duration::from_secs(60 * 60),
            clerk: None,
        }
    }

    /// Reads `stomp[s]://[user[:password]@]host[:port][,host[:port]…][/prefix]`. Parts may be percent-encoded.
    ///
    /// ```
    /// use zrecipe_broker::transport::stomp::Options;
    /// let options = Options::from_url("stomps://ana:s3cret@one.example,two.example:61617/zocalo").unwrap();
    /// assert_eq!(options.place(), "one.example:61614, two.example:61617 (prefix `zocalo`)");
    /// ```
    ///
    /// # Errors
    /// What is wrong, in words that never have the URL in them.
    pub fn from_url(url: &str) -> Result<Self, String> {
        let url = Url::read(url, ["stomp", "stomps"], PORTS, "prefix")?;
        let mut options = Self::new(url.hosts);
        options.tls = url.is_encrypted.then(Tls::default);
        options.prefix = url.path.unwrap_or_default();
        options.login = url.login.unwrap_or(options.login);
        Ok(options)
    }

    /// Reads the settings of plugin `stomp`. The reference is `workflows.transport.stomp_transport` (`workflows` 3.3).
    ///
    /// # Errors
    /// A setting is missing, or cannot be used.
    pub fn of_site(settings: &Settings<'_>) -> Result<Self, Fault> {
        let mut options = Self::new(settings.hosts()?);
        options.prefix = settings.required("prefix")?.text().into_owned();
        options.clear_text = settings.switch("clear-text")?;
        options.tls = settings.tls()?;
        options.login = settings.login(options.tls.as_ref())?;
        let is_clear = options.tls.is_none() && !options.clear_text && options.has_password();
        settings.check_clear_text(&options.hosts, is_clear)?;
        Ok(options)
    }

    /// Where that is, in words; without user and password.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("{} (prefix `{}`)", hosts.join(", "), self.prefix.trim_end_matches('.'))
    }

    fn has_password(&self) -> bool {
        matches!(&self.login, Login::Password { password, .. } if !password.reveal().is_empty())
    }

    /// Why this may not be tried at `host`.
    pub(super) fn objection(&self, host: &Host) -> Option<Failure> {
        if self.tls.is_none() && self.has_password() && !host.is_here() && !self.clear_text {
            let reason = "the password would be sent in clear text: use `stomps`, or allow clear text";
            return Some(Failure::denied(Denial::ClearText, reason));
        }
        None
    }
}

fn open(environment: &Environment<'_>) -> Result<Arc<dyn Endpoint>, Fault> {
    Ok(Arc::new(match environment {
        Environment::Site(settings) => Options::of_site(settings)?,
        Environment::Url(url) => Options::from_url(url).map_err(Fault::Url)?,
        Environment::Directory(..) => return Err(Fault::Incomplete("ActiveMQ is not in a directory".to_owned())),
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
        self.prefix.trim_end_matches('.')
    }

    fn queue_name(&self, name: &str) -> String {
        wire::queue(&self.prefix, &format!("/queue/{name}"))
    }

    fn user(&self) -> Option<&str> {
        self.login.user().filter(|user| !user.is_empty())
    }

    fn nodes(&self) -> Vec<Node> {
        let how = if self.tls.is_some() { "with TLS" } else { "in clear text" };
        let node = |host: &Host| Node {
            title: format!("{host}, {how}, prefix `{}`", self.namespace()),
            endpoint: Arc::new(Self { hosts: vec![host.clone()], ..self.clone() }),
        };
        self.hosts.iter().map(node).collect()
    }

    fn with_clerk(&self, clerk: Arc<dyn Clerk>) -> Option<Arc<dyn Endpoint>> {
        Some(Arc::new(Self { clerk: Some(clerk), ..self.clone() }))
    }

    async fn connect(&self, who: &str) -> Result<Arc<dyn Transport>, Error> {
        Ok(Arc::new(Stomp::connect(Self { name: format!("zrecipe {who}"), ..self.clone() }).await?))
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
            Error::Denied { .. } => "check `username` and `password` of plugin `stomp` in the site",
            Error::Blocked(_) => {
                "check the limits of `systemUsage` in ActiveMQ's configuration, and consume or purge messages"
            }
            Error::Refused { .. } => TRANSPORT.grant,
            _ => {
                "check that ActiveMQ is running with a `transportConnector` for STOMP, and check `host` and `port` in \
                 the site"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("stomp://localhost", "localhost:61613 (prefix ``)"),
            ("stomps://me:pw@a,b:1/zocalo", "a:61614, b:1 (prefix `zocalo`)"),
            ("STOMP://a/z%2fy", "a:61613 (prefix `z/y`)"),
        ] {
            assert_eq!(Options::from_url(url).expect("a URL").place(), expected);
        }
        for url in ["amqp://me:s3cret@h", "stomp://me:s3cret@", "stomp://me:s3cret@h:x", "stomp://me:s3cret%4@h"] {
            let said = Options::from_url(url).err().expect("is refused");
            assert!(!said.contains("s3cret"), "{said}");
        }
        let far = Options::from_url("stomp://me:pw@broker").expect("reads");
        assert!(far.objection(&far.hosts[0]).is_some());
        let nobody = Options::from_url("stomp://broker").expect("reads");
        assert!(nobody.objection(&nobody.hosts[0]).is_none(), "there is no password to be seen");
    }
}
