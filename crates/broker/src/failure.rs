//! What can go wrong between us and a broker. Programs decide by kinds and causes; the texts beside them are for people only.

use crate::message::Code;

/// Why a broker does not accept us. It will be so later, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denial {
    /// The user or the password is wrong.
    Credentials,
    /// There is no such virtual host, or the user may not use it.
    VirtualHost,
    /// The password would travel in clear text, which the site does not allow.
    ClearText,
    /// The certificate of the broker cannot be trusted.
    Certificate,
    /// The broker does not accept our certificate, or there is none.
    ClientCertificate,
    /// There is no TLS at this port.
    NoTls,
    /// What answers is no broker of this kind.
    Protocol,
    /// Another cause; the text says it.
    Other,
}

/// Why a broker is not available now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outage {
    /// The host refuses connections.
    Refused,
    /// The broker has ended the connection while it was made.
    HungUp,
    /// There was no answer in time.
    NoAnswer,
    /// The connection is lost.
    Lost,
    /// The connection has no channel left.
    NoChannel,
    /// The file of the broker cannot be used.
    File,
    /// Another cause; the text says it.
    Other,
}

/// Whether a broker that cannot be used may be usable later, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It will be so later, too.
    Denied(Denial),
    /// It may be there later.
    Unavailable(Outage),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// For people.
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn denied(denial: Denial, reason: impl Into<String>) -> Self {
        Self { cause: Cause::Denied(denial), reason: reason.into() }
    }

    pub(crate) fn unavailable(outage: Outage, reason: impl Into<String>) -> Self {
        Self { cause: Cause::Unavailable(outage), reason: reason.into() }
    }

    /// The failure of a broker with several hosts, from that of each. One that may be there later decides.
    pub(crate) fn of_hosts(failures: Vec<(String, Self)>) -> Self {
        let later = |cause: &Cause| matches!(cause, Cause::Unavailable(_));
        let mut causes = failures.iter().map(|(_, failure)| failure.cause);
        let cause = causes.clone().find(later).or_else(|| causes.next()).unwrap_or(Cause::Unavailable(Outage::Other));
        let is_only = failures.len() == 1;
        let reasons = failures.into_iter().map(|(host, failure)| match is_only {
            true => failure.reason,
            false => format!("{host}: {}", failure.reason),
        });
        let reasons: Vec<String> = reasons.collect();
        let reason = if reasons.is_empty() { "no host is named".to_owned() } else { reasons.join("; ") };
        Self { cause, reason }
    }

    /// The error for users of the transport; `place` is the address, without credentials.
    pub(crate) fn into_error(self, place: String) -> Error {
        let reason = self.reason;
        match self.cause {
            Cause::Denied(cause) => Error::Denied { place, cause, reason },
            Cause::Unavailable(cause) => Error::Unavailable { place, cause, reason },
        }
    }
}

fn why(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// What can go wrong between us and a broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination does not exist, so the message would be lost.
    #[error("there is no queue `{0}`")]
    NoSuchQueue(String),
    /// The topic does not exist, so nobody could ever hear the message.
    #[error("there is no topic `{0}`")]
    NoSuchTopic(String),
    /// The broker did not take the message.
    #[error("the broker refused a message to `{destination}`: {reason}")]
    Refused {
        /// Queue or topic name.
        destination: String,
        /// The broker's words.
        reason: String,
        /// Whether the destination takes no messages for now, whatever they are: its queue is full or has no leader.
        is_full: bool,
    },
    /// Nobody could ever take the message.
    #[error("a message to `{destination}` cannot be sent: {reason}")]
    Unsendable {
        /// Queue or topic name, shortened if it is very long.
        destination: String,
        /// Why.
        reason: String,
    },
    /// Whether the broker has the message is not known; sending it again with the same id is safe.
    #[error("the broker has not confirmed a message to `{destination}` in time{}", why(reason.as_deref()))]
    Unconfirmed {
        /// Queue or topic name.
        destination: String,
        /// Why it may be, if that is known.
        reason: Option<String>,
    },
    /// Some of the messages that belong together were taken before one was not.
    #[error("{error}; {sent} of the {all} messages that belong together were sent")]
    Partly {
        /// How many the broker has.
        sent: usize,
        /// How many there are.
        all: usize,
        /// What became of the one.
        error: Box<Error>,
    },
    /// The delivery is no longer ours: it was settled before, or the connection it came by is gone.
    #[error("this delivery is no longer held")]
    NotHeld,
    /// The broker cannot be reached or opened.
    #[error("cannot open the broker at {place}: {reason}")]
    Unavailable {
        /// File or address, without credentials.
        place: String,
        /// Why.
        cause: Outage,
        /// What to know about it.
        reason: String,
    },
    /// It does not let us in, or we may not try; it will be so later, too.
    #[error("cannot use the broker at {place}: {reason}")]
    Denied {
        /// Address, without credentials.
        place: String,
        /// Why.
        cause: Denial,
        /// What to know about it.
        reason: String,
    },
    /// The broker takes no messages for now, for want of memory or of space on its disk; nothing was sent.
    #[error("{0}")]
    Blocked(String),
    /// The transport was closed while the call was under way.
    #[error("the connection to the broker is closed")]
    Closed,
    /// The store behind the broker failed.
    #[error("the broker's store failed: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether a destination takes no messages for now, because its queue is full or has no leader.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Refused { is_full, .. } => *is_full,
            Self::Partly { error, .. } => error.is_full(),
            _ => false,
        }
    }

    /// Whether sending the same message again can never help, and the code of the dead letter that becomes of what led to it.
    pub fn never(&self) -> Option<Code> {
        match self {
            Self::NoSuchQueue(_) => Some(Code::NoSuchQueue),
            Self::NoSuchTopic(_) => Some(Code::NoSuchTopic),
            Self::Unsendable { .. } => Some(Code::Unsendable),
            Self::Partly { error, .. } => error.never(),
            _ => None,
        }
    }

    /// Whether the broker has certainly not taken the message of which this error speaks.
    pub fn is_rejection(&self) -> bool {
        self.never().is_some() || matches!(self, Self::Refused { .. })
    }

    /// Whether the connection has no channel left; another one has.
    pub fn is_out_of_channels(&self) -> bool {
        matches!(self, Self::Unavailable { cause: Outage::NoChannel, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_may_be_there_later_decides() {
        let host = |failure: Failure| ("h".to_owned(), failure);
        let denied = |denial| host(Failure::denied(denial, "no"));
        let away = || host(Failure::unavailable(Outage::Refused, "away"));
        let cause = |failures| Failure::of_hosts(failures).cause;
        let of_denials = cause(vec![denied(Denial::NoTls), denied(Denial::Credentials)]);
        assert_eq!(of_denials, Cause::Denied(Denial::NoTls));
        assert_eq!(cause(vec![denied(Denial::NoTls), away()]), Cause::Unavailable(Outage::Refused));
        assert_eq!(cause(vec![away(), denied(Denial::NoTls)]), Cause::Unavailable(Outage::Refused));
        assert_eq!(cause(Vec::new()), Cause::Unavailable(Outage::Other));
        assert_eq!(Failure::of_hosts(vec![away()]).reason, "away", "one host needs no name");
        assert_eq!(Failure::of_hosts(vec![away(), away()]).reason, "h: away; h: away");
    }
}
