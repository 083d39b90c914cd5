//! What to do about a broker that cannot be used: hints by the cause of an error, never by its words.

use zrecipe_broker::transport::{Denial, Error};

/// The hint of an error, where its text does not say enough.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Denied {
            cause: Denial::Credentials | Denial::VirtualHost | Denial::ClearText | Denial::Other, ..
        } => Some(
            "check `username` and `password` in the settings of the broker's plugin; `zrecipe doctor` shows how to \
             test them",
        ),
        Error::NoSuchQueue(_) => Some("list all queues with `zrecipe queues`"),
        _ => None,
    }
}
