//! How the embedded broker is found: in a state directory, or by an `embedded:` URL with its path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, Options};
use crate::address::Fault;
use crate::transport::{Capabilities, Creation, Endpoint, Entry, Environment, Error, Transport};

/// How a broker of this kind is found, and what it can do.
pub const TRANSPORT: Entry = Entry {
    name: "embedded",
    product: "the embedded broker",
    plugin: None,
    class: None,
    options: &[],
    file_option: None,
    namespace: None,
    schemes: &["embedded"],
    secrets: &[],
    secret_files: &[],
    public_secrets: &[],
    own_prefix: None,
    grant: "`chmod` on the state directory",
    permissions: "`ls -l` on the state directory",
    capabilities: Capabilities {
        is_remote: false,
        creation: Creation::BySubscribing,
        is_atomic: true,
        keeps_spelling: true,
        releases_uncounted: true,
        releases_in_place: true,
        is_exact: true,
        browses: true,
        management: None,
        definitions: false,
        dead_letters_by_itself: true,
        blocks: false,
    },
    open,
};

/// The file of the database in a state directory.
pub const DATABASE: &str = "zrecipe.db";

/// The namespace that stands for a facility's broker.
const NAMESPACE: &str = "zocalo";

/// The broker of a state directory, and the namespace.
struct Directory(PathBuf, String);

fn open(environment: &Environment<'_>) -> Result<Arc<dyn Endpoint>, Fault> {
    let (path, namespace) = match environment {
        Environment::Directory(path, namespace) => (path.to_path_buf(), namespace.unwrap_or(NAMESPACE)),
        Environment::Url(url) => match url.split_once(':') {
            Some((_, path)) if !path.trim_start_matches('/').is_empty() => {
                (PathBuf::from(path.strip_prefix("//").unwrap_or(path)), NAMESPACE)
            }
            _ => return Err(Fault::Url("the address has no path: `embedded:///path/of/directory`".to_owned())),
        },
        Environment::Site(settings) => {
            return Err(Fault::Incomplete(format!("plugin `{}` names no directory", settings.plugin)));
        }
    };
    Ok(Arc::new(Directory(path, namespace.to_owned())))
}

#[async_trait]
impl Endpoint for Directory {
    fn entry(&self) -> &'static Entry {
        &TRANSPORT
    }

    fn place(&self) -> String {
        format!("the embedded broker in {}", self.0.display())
    }

    fn namespace(&self) -> &str {
        &self.1
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.0)
    }

    async fn connect(&self, _who: &str) -> Result<Arc<dyn Transport>, Error> {
        let broker = Broker::open(&self.0.join(DATABASE), Options::default()).await?;
        Ok(Arc::new(broker.namespace(&self.1)))
    }

    async fn connect_to_read(&self, who: &str) -> Result<(Arc<dyn Transport>, Option<Error>), Error> {
        let error = match self.connect(who).await {
            Ok(transport) => return Ok((transport, None)),
            Err(error) => error,
        };
        match Broker::open_to_read(&self.0.join(DATABASE)).await {
            Ok(broker) => Ok((Arc::new(broker.namespace(&self.1)), Some(error))),
            Err(_) => Err(error),
        }
    }

    fn remedy(&self, _error: &Error) -> &'static str {
        "use another directory with `--state DIR` or `state-directory` in zrecipe.toml"
    }
}
