//! What became of all messages of a broker.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::{Environment, say_only_read};
use crate::cli::error::Error;
use crate::cli::terminal::say;
use zrecipe_broker::books::Account;
use zrecipe_broker::transport::{self, Transport, Waiting};
use zrecipe_runtime::books::{Counts, Ledger};
use zrecipe_runtime::runtime::run::Runs;

/// How often books and broker are compared, and the pause between.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_secs(1);

impl Environment {
    /// What became of all messages, by recipe ID; for a site, according to the `books` in these directories.
    ///
    /// # Errors
    /// The broker or the books cannot be read, or no books are kept of brokers of this kind.
    pub async fn accounts(&self, books: &[PathBuf]) -> Result<Vec<Account>, Error> {
        let Some(directory) = self.directory() else {
            if self.clerk.is_none() {
                let product = self.endpoint.entry().product;
                return Err(Error::new(format!("no message records are kept for {product}")));
            }
            return self.balance(books).await;
        };
        let (runs, why) = Runs::open_to_read(directory).await?;
        if let Some(why) = why {
            say_only_read(&why.to_string());
        }
        let accounts = runs.accounts().await?;
        runs.close().await?;
        Ok(accounts)
    }

    /// The books in these directories, against what the broker counts. A message counts as missing when it was missing
    /// several times: one that is on its way from one queue to the next is in none for a moment.
    async fn balance(&self, directories: &[PathBuf]) -> Result<Vec<Account>, Error> {
        let transport = self.connect("audit", &[]).await?;
        let mut missing: Option<HashSet<String>> = None;
        let mut looks = 0;
        let balance = loop {
            let mut ledger = Ledger::read_all(directories)
                .map_err(|error| Error::new(format!("cannot read the message records: {error}")))?;
            let counts = self.count(&*transport, ledger.queues()).await?;
            let mut balance = ledger.balance(&counts);
            let found = balance.missing();
            let still: HashSet<String> = match &missing {
                Some(before) => found.intersection(before).cloned().collect(),
                None => found,
            };
            looks += 1;
            if still.is_empty() || looks == LOOKS {
                balance.keep_missing(&still);
                if ledger.has_gaps {
                    say(
                        "warning: the message records are incomplete; the logs of services show when they could not be \
                         written",
                    );
                }
                break balance;
            }
            missing = Some(still);
            sleep(PAUSE).await;
        };
        transport.close().await?;
        if balance.foreign > 0 {
            say(&format!("note: the queues hold {} messages that are not in the message records", balance.foreign));
        }
        Ok(balance.accounts.into_values().collect())
    }

    /// What waits in these queues, exactly: as the management API counts it, where that is exact, or the transport.
    async fn count(&self, transport: &dyn Transport, queues: Vec<String>) -> Result<Counts, Error> {
        let mut counts = Counts::new();
        if self.capabilities().is_exact {
            for queue in self.queues().await? {
                let messages = u64::try_from(queue.ready).unwrap_or_default();
                let consumers = queue.consumers.and_then(|count| u64::try_from(count).ok());
                counts.insert(queue.name, Waiting { messages, consumers });
            }
            return Ok(counts);
        }
        let counted = transport.waiting_in(&queues).await;
        for (queue, counted) in queues.into_iter().zip(counted) {
            match counted {
                Ok(waiting) => _ = counts.insert(queue, waiting),
                Err(transport::Error::NoSuchQueue(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(counts)
    }
}
