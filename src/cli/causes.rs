//! What to do about a broker that cannot be used: hints by the cause of an error, never by its words.

use zrecipe_broker::transport::{Denial, Error};

/// The hint of an error, where its text does not say enough.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Denied {
            cause: Denial::Credentials | Denial::VirtualHost | Denial::ClearText | Denial::Other, ..
        } => Some(
            "`username` and `password` are settings of the broker's plugin; `zrecipe doctor` says how to test them",
        ),
        Error::NoSuchQueue(_) => Some("`zrecipe queues` lists all queues"),
        _ => None,
    }
}
