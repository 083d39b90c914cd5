//! What refusals of ActiveMQ and errors of a connection to it mean.
//!
//! Decisions go by kinds and types of errors. Where ActiveMQ has only words, [`is_full`] and [`of_login`] read them.

use std::io;

use super::frame::Frame;
use crate::failure::{Denial, Failure, Outage};
use crate::trust::distrust;

/// Words of refusals for want of memory or of space on the disk.
const FULL: [&str; 3] = ["Usage Manager", "is Full", "is full"];
/// The class of ActiveMQ's exceptions for a wrong user or password.
const LOGIN_CLASS: &str = "SecurityException";
/// The words of its text, where the class is not sent.
const LOGIN: [&str; 4] = ["assword", "uthentic", "redential", "ser name"];

/// Whether the broker takes no messages for now, because it is short of memory or disk.
pub(super) fn is_full(reason: &str) -> bool {
    FULL.iter().any(|words| reason.contains(words))
}

/// Why the broker does not let us in: its `ERROR` frame, and what that says.
pub(super) fn of_login(frame: &Frame, text: &str) -> Failure {
    let body = String::from_utf8_lossy(&frame.body);
    let first = body.lines().next().unwrap_or_default();
    if first.contains(LOGIN_CLASS) || LOGIN.iter().any(|word| text.contains(word)) {
        return Failure::denied(Denial::Credentials, format!("the user or the password is wrong ({text})"));
    }
    // STOMP 1.2: the frame lists the versions that the broker has when it has none of ours.
    let denial = if frame.get("version").is_some() { Denial::Protocol } else { Denial::Other };
    Failure::denied(denial, format!("the broker refuses the connection ({text})"))
}

/// What kind of outage an error of a connection is.
pub(super) fn outage(error: &io::Error) -> Outage {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outage::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => {
            Outage::HungUp
        }
        io::ErrorKind::TimedOut => Outage::NoAnswer,
        _ => Outage::Other,
    }
}

/// Why there is no encrypted connection.
pub(super) fn of_tls(error: &io::Error) -> Failure {
    match distrust(error) {
        Some((denial, why)) => Failure::denied(denial, format!("{why} ({error})")),
        None => {
            let reason = format!("TLS failed: {error}; remove `ssl`, or set the TLS port");
            Failure::unavailable(outage(error), reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Cause;

    #[test]
    fn refused_logins_have_causes() {
        let frame = |header: (&str, &str), body: &str| {
            let mut frame = Frame::new("ERROR").with(header.0, header.1);
            frame.body = body.as_bytes().to_vec();
            frame
        };
        let class = "java.lang.SecurityException: no";
        for (frame, text, denial) in [
            (frame(("version", "1.0,1.1"), ""), "qqq", Denial::Protocol),
            (frame(("message", "qqq"), class), "qqq", Denial::Credentials),
            (frame(("message", "User name or password is invalid."), ""), "password is invalid", Denial::Credentials),
            (frame(("message", "qqq"), ""), "qqq", Denial::Other),
        ] {
            assert_eq!(of_login(&frame, text).cause, Cause::Denied(denial), "{frame:?}");
        }
    }
}
