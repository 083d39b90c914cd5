//! What errors of the client library and of RabbitMQ mean.
//!
//! Decisions go by kinds and types of errors. Where RabbitMQ has only words, [`is_missing`] reads them, as RabbitMQ 3.8 to
//! 4.3 writes them; tests of both transports' contract ask a real one.

use std::io;

use crate::failure::{Denial, Failure, Outage};
use crate::trust::distrust;
use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// Why a connection was not made.
pub(super) fn refused(error: &lapin::Error) -> Failure {
    let denied = |denial| Failure::denied(denial, explain(error));
    match error.kind() {
        ErrorKind::IOError(fault) if let Some((denial, _)) = distrust(fault) => denied(denial),
        ErrorKind::ParsingError(_) => denied(Denial::Protocol),
        ErrorKind::ProtocolError(found) => match found.kind() {
            // Before there is a channel only the login can be refused so.
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Failure::denied(
                Denial::Credentials,
                format!("the user or the password is wrong ({})", found.get_message()),
            ),
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => denied(Denial::VirtualHost),
            _ => Failure::unavailable(outage(error), explain(error)),
        },
        _ => Failure::unavailable(outage(error), explain(error)),
    }
}

/// What kind of outage an error is.
pub(super) fn outage(error: &lapin::Error) -> Outage {
    match error.kind() {
        ErrorKind::ChannelsLimitReached => Outage::NoChannel,
        ErrorKind::MissingHeartbeatError => Outage::Lost,
        ErrorKind::IOError(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outage::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Outage::HungUp,
            io::ErrorKind::TimedOut => Outage::NoAnswer,
            _ => Outage::Other,
        },
        _ => Outage::Other,
    }
}

/// Whether the other side has broken off.
pub(super) fn is_reset(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::IOError(error) => distrust(error).is_none() && error.kind() == io::ErrorKind::ConnectionReset,
        _ => false,
    }
}

/// Why there is no connection, in words that help.
pub(super) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) => match said.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                format!("this user may not do it ({})", said.get_message())
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                format!("this user may not use this virtual host, or there is none ({})", said.get_message())
            }
            _ => said.get_message().to_string(),
        },
        ErrorKind::IOError(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused: no broker listens there".to_owned(),
            std::io::ErrorKind::ConnectionAborted => {
                "the broker closed the connection during the handshake; it may require TLS (`ssl: true`) on this port"
                    .to_owned()
            }
            _ => distrust(error).map_or_else(|| error.to_string(), |(_, why)| format!("{why} ({error})")),
        },
        ErrorKind::ParsingError(_) => {
            "the server does not speak AMQP 0-9-1; it may require TLS (`ssl: true`) on this port".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Whether the broker has closed the channel or the connection over something that we sent.
pub(super) fn is_our_fault(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(said) => !matches!(said.kind(), AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED)),
        _ => false,
    }
}

/// Whether what we asked for does not exist. A queue whose node is down does.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    // 404 also stands for a durable queue whose node is down ("NOT_FOUND - home node … is down or inaccessible") and for one
    // whose process fails; only these words tell that there is none.
    const NONE: &str = "NOT_FOUND - no ";
    match error.kind() {
        ErrorKind::ProtocolError(found) => {
            matches!(found.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
                && found.get_message().as_str().starts_with(NONE)
        }
        _ => false,
    }
}

/// Whether the broker will not have such a message, now or later.
pub(super) fn is_malformed(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(said) => {
            matches!(said.kind(), AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
        }
        _ => false,
    }
}
