//! Outages of a broker, reported while a command waits for it.

use tokio::sync::watch;

use super::terminal::say;
use zrecipe_broker::transport::{Connection, Transport};

/// Tells when the broker is away, until it is dropped: whoever waits is to know what for.
pub struct Outages(tokio::task::JoinHandle<()>);

impl Outages {
    /// Tells of a transport's broker from now on.
    pub fn of(transport: &dyn Transport) -> Self {
        Self(tokio::spawn(tell(transport.connection(), say)))
    }
}

impl Drop for Outages {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells when a connection is lost or blocked, and when it is as it was.
async fn tell(mut connection: watch::Receiver<Connection>, say: impl Fn(&str)) {
    let mut before = Connection::Up;
    while connection.changed().await.is_ok() {
        let now = connection.borrow_and_update().clone();
        news(&before, &now).iter().for_each(|line| say(line));
        before = now;
    }
}

/// What there is to tell of the state of a connection after the one before.
fn news(before: &Connection, now: &Connection) -> Option<String> {
    if std::mem::discriminant(before) == std::mem::discriminant(now) {
        return None;
    }
    Some(match (now, before) {
        (Connection::Lost { reason, .. }, _) => format!("the broker is unavailable, waiting for it: {reason}"),
        (Connection::Blocked { reason, .. }, _) => format!("waiting: {reason}"),
        (Connection::Up, Connection::Blocked { .. }) => "the broker accepts messages again".to_owned(),
        (Connection::Up, _) => "the broker is available again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_outage_is_told_once_and_its_end() {
        let lost = |reason: &str| Connection::Lost { reason: reason.to_owned(), since: SystemTime::UNIX_EPOCH };
        let blocked = Connection::Blocked { reason: "no memory".to_owned(), since: SystemTime::UNIX_EPOCH };
        let states = [
            Connection::Up,
            lost("it hung up"),
            lost("connection refused: no broker listens there"),
            Connection::Up,
            blocked,
            Connection::Up,
        ];
        let pairs = std::iter::once(&Connection::Up).chain(&states).zip(&states);
        let said: Vec<String> = pairs.filter_map(|(before, now)| news(before, now)).collect();
        assert_eq!(
            said,
            [
                "the broker is unavailable, waiting for it: it hung up",
                "the broker is available again",
                "waiting: no memory",
                "the broker accepts messages again"
            ]
        );
    }
}
