//! A request on its way to the dispatcher of a site: what is checked before it is sent, where it goes, who sends it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::getuid;

use super::broker::EnvironmentArgs;
use super::outages::Outages;
use super::{Error, Session, say, say_error};
use zrecipe_broker::message::headers::{REQUEST_HOST, REQUEST_USER};
use zrecipe_broker::message::{Outgoing, REQUEST_QUEUE, Request, sanitise};
use zrecipe_broker::transport::{self, Endpoint, Transport};
use zrecipe_language::bind::merge;
use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::{Diagnostic, Level};
use zrecipe_language::lint::Levels;
use zrecipe_language::site::Site;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::judge;
use zrecipe_project::library::{self, Library};
use zrecipe_runtime::runtime::status::hostname;

/// The rule about queues and topics whose names are not known.
const UNRESOLVED: &str = "unresolved-destination";

/// The rule about placeholders that have no parameter.
const KEPT: &str = "undefined-placeholder";

/// The environments of a site whose dispatcher is to have a request.
pub struct Target<'s> {
    session: &'s Session,
    site: Site,
    environments: Vec<String>,
}

impl<'s> Target<'s> {
    /// The given environments, or the one that holds when none is.
    ///
    /// # Errors
    /// There is no site configuration, or no such environment.
    pub fn new(session: &'s Session, environment: &EnvironmentArgs) -> Result<Self, Error> {
        let (site, environments) = environment.site(session)?;
        Ok(Self { session, site, environments })
    }

    fn names(&self) -> Vec<&str> {
        self.environments.iter().map(String::as_str).collect()
    }

    /// Where the broker is.
    ///
    /// # Errors
    /// The environments do not say it.
    pub fn broker(&self) -> Result<Arc<dyn Endpoint>, Error> {
        self.session.broker(&self.site, &self.names())
    }

    /// Where requests wait for a broker that cannot be reached.
    ///
    /// # Errors
    /// The environments name no directory for them.
    pub fn fallback(&self) -> Result<PathBuf, Error> {
        let directory = self.session.storage(&self.site, &self.names(), "zocalo.go.fallback_location")?;
        directory.ok_or_else(|| {
            let names = self.names().join("`, `");
            Error::new(format!("the environment `{names}` has no directory for saved requests"))
                .hint("set `zocalo.go.fallback_location` in a block of plugin `storage`")
        })
    }

    /// A request for these recipes: files travel with it, names are for the dispatcher. All that is here is checked.
    ///
    /// # Errors
    /// There is no such file, a name is not that of a recipe, or a recipe has errors.
    pub fn request(
        &self,
        files: &[String],
        names: &[String],
        parameters: Object,
        levels: &Levels,
    ) -> Result<(Request, Vec<Compilation>), Error> {
        let library = self.session.library_of(&self.site, &self.names())?;
        let mut recipes = files.to_vec();
        for name in names {
            match library.find(name) {
                Ok(_) => recipes.push(name.clone()),
                Err(library::Error::NoSuchRecipe { .. }) if !has_directory(&library) => {
                    say(&format!(
                        "note: recipe `{name}` is not checked, because the site's recipes are not on this machine"
                    ));
                }
                // The dispatcher reads its own recipes, and this machine may have others or older ones.
                Err(library::Error::NoSuchRecipe { meant, .. }) => {
                    say(&format!("warning: recipe `{name}` is not on this machine, and is sent without a check"));
                    if let Some(meant) = meant {
                        say_error(&format!("  help: did you mean `{meant}`?"));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // What the dispatcher adds to the parameters is not known, so placeholders are not judged, but for those without
        // which a first message has nowhere to go.
        let mut compiled = self.session.compile_in(
            &library,
            &recipes,
            judge::CheckOptions { levels: Some(levels), ..judge::CheckOptions::default() },
        )?;
        let mut notes = Vec::new();
        let given = judge::CheckOptions {
            levels: Some(levels),
            parameters: Some(&parameters),
            ..judge::CheckOptions::default()
        };
        for (compilation, bound) in compiled.iter_mut().zip(self.session.compile_in(&library, &recipes, given)?) {
            let kept = bound.diagnostics.iter().filter(|found| found.rule == KEPT);
            let kept: BTreeSet<&str> =
                kept.filter_map(|found| bound.source.text().get(found.primary.span.range())).collect();
            if !kept.is_empty() {
                let kept: Vec<&str> = kept.into_iter().collect();
                notes.push(format!(
                    "note: not given for {}, and kept as text unless the site's dispatcher adds it: `{}`; give a \
                     parameter with `-s KEY=VALUE`, or declare parameters of the dispatcher under `[parameters]` in \
                     zrecipe.toml",
                    bound.source.name(),
                    kept.join("`, `"),
                ));
            }
            for found in bound.diagnostics.into_iter().filter(|found| found.refused) {
                if found.rule == UNRESOLVED {
                    compilation.diagnostics.push(Diagnostic {
                        level: Level::Warning,
                        refused: false,
                        help: Some("give it with the request, unless the site's dispatcher adds it".to_owned()),
                        ..found
                    });
                } else if !compilation.diagnostics.contains(&found) {
                    // What is given cannot be put there.
                    compilation.diagnostics.push(found);
                }
            }
        }
        let refused = self.session.refuse(&compiled);
        notes.iter().for_each(|note| say(note));
        refused?;
        if compiled.iter().any(Compilation::has_errors) {
            return Err(Error::findings());
        }
        let custom = compiled[..files.len()].iter().map(|compilation| compilation.recipe.to_value());
        let custom_recipe = (!files.is_empty()).then(|| sanitise(merge(custom)));
        let request = Request { recipes: names.to_vec(), custom_recipe, parameters, rest: Object::new() };
        request.check().map_err(|reason| {
            Error::new(format!("a dispatcher would reject the request: {reason}")).hint("nothing was sent")
        })?;
        Ok((request, compiled))
    }
}

/// Whether any of the directories that somebody has named is on this machine.
fn has_directory(library: &Library) -> bool {
    let named = library.directories.len() - 1;
    library.is_told && library.directories[..named].iter().any(|directory| directory.is_dir())
}

/// How long a broker that takes nothing for want of memory or disk is waited for.
pub const SHORTAGE: Duration = Duration::from_secs(5);

/// Connects; the broker's tools show this command with its user and host.
///
/// # Errors
/// The broker cannot be reached.
pub async fn connect(endpoint: &dyn Endpoint, command: &str) -> Result<Arc<dyn Transport>, transport::Error> {
    let who = format!("{command} of {} at {}, process {}", user(), hostname(), std::process::id());
    endpoint.connect(&who).await
}

/// Sends messages of command `go` to the queue of requests, or only checks that they could be sent. Prints what it waits
/// for.
///
/// # Errors
/// The broker cannot be reached or does not take them.
pub async fn send(endpoint: &dyn Endpoint, messages: Vec<Outgoing>, is_dry_run: bool) -> Result<(), transport::Error> {
    let broker = connect(endpoint, "go").await?;
    let outages = Outages::of(&*broker);
    let sent = match look(endpoint, &*broker).await {
        Ok(()) if !is_dry_run => broker.send(messages).await,
        looked => looked,
    };
    drop(outages);
    // What is confirmed is there, however the connection ends.
    let _ = broker.close().await;
    sent
}

/// Whether the broker would take a request.
///
/// # Errors
/// It would not.
pub async fn look(endpoint: &dyn Endpoint, broker: &dyn Transport) -> Result<(), transport::Error> {
    broker.waiting(REQUEST_QUEUE).await?;
    broker.try_send(SHORTAGE).await.map_err(|error| {
        let remedy = endpoint.remedy(&error);
        match error {
            transport::Error::Refused { reason, is_full, .. } => transport::Error::Refused {
                destination: REQUEST_QUEUE.to_owned(),
                reason: format!("{reason}; {remedy}"),
                is_full,
            },
            error => error,
        }
    })
}

/// What the sender is told when a request is not taken.
pub fn refusal(error: transport::Error) -> Error {
    let is_unset = matches!(&error, transport::Error::NoSuchQueue(queue) if queue == REQUEST_QUEUE);
    let said = Error::from(error);
    if is_unset {
        said.hint(
            "the dispatcher consumes this queue; the operator of the broker must declare it before requests can \
             be sent",
        )
    } else {
        said
    }
}

/// What the reference's tools write about where a request comes from.
pub fn headers() -> Object {
    Object::from_iter([
        (REQUEST_USER.to_owned(), Value::from(user())),
        (REQUEST_HOST.to_owned(), Value::from(hostname())),
    ])
}

/// The user, as Python's `getpass.getuser` finds him: by the environment, else by the list of users, which may be on
/// another machine.
fn user() -> String {
    let mut named = ["LOGNAME", "USER", "LNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    named.find(|name| !name.is_empty()).or_else(listed_user).unwrap_or_else(|| getuid().as_raw().to_string())
}

fn listed_user() -> Option<String> {
    let said = std::process::Command::new("id").arg("-un").output().ok().filter(|said| said.status.success())?;
    String::from_utf8(said.stdout).ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
