//! Slurm by its REST API, which `slurmrestd` serves over TCP or a Unix socket.
//!
//! A job's mark is its comment. Format: `/openapi/v3` of the server. Up to version 0.0.38 numbers are numbers and the
//! environment is an object; later ones have `{"number": 1, "set": true}` and a list of `NAME=value`.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::super::surroundings::Surroundings;
use super::super::why::Why;
use super::{Entry, Made};
use super::{Fault, Job, Scheduler, pattern};
use crate::http::{self, Answer, Client, Method, StatusCode};
use zrecipe_language::site::{Plugins, Setting};
use zrecipe_language::value::{Object, Value};

/// The last version with plain numbers.
const PLAIN: u32 = 38;

/// The numbers of errors that are about the job that is submitted, and those of them that go away by themselves.
const OF_JOB: std::ops::Range<i64> = 2000..3000;
const NOT_NOW: [i64; 5] = [2009, 2018, 2036, 2050, 2059];

/// That the question could not be read: the number of the error.
const UNREADABLE: i64 = 9001;

/// The servers of a site, by the names of their plugins.
pub struct Slurmrestd {
    servers: Vec<Server>,
}

struct Server {
    name: String,
    client: Client,
    version: String,
    user: Option<String>,
    /// A token, or the file that has it.
    token: Option<String>,
}

impl Slurmrestd {
    /// The servers that a site names with the plugins `slurm` and `iris`; nothing where it names none.
    ///
    /// # Errors
    /// One cannot be reached by what is said.
    pub fn of_site(plugins: &Plugins<'_>) -> Result<Option<Self>, String> {
        let ours = plugins.iter().filter(|(plugin, _)| ["slurm", "iris"].contains(&plugin.as_ref()));
        let servers = ours.map(|(plugin, settings)| Server::new(plugin, settings)).collect::<Result<Vec<_>, _>>()?;
        Ok((!servers.is_empty()).then_some(Self { servers }))
    }

    /// Waits so long for an answer.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        for server in &mut self.servers {
            server.client.wait(patience);
        }
        self
    }

    fn server(&self, cluster: Option<&str>) -> Result<&Server, Fault> {
        let found = match cluster {
            None => self.servers.first(),
            Some(name) => self.servers.iter().find(|server| server.name == name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
            let name = cluster.unwrap_or_default();
            Fault::Job(format!("there is no cluster `{name}`; the site names `{}`", names.join("`, `")))
        })
    }
}

impl Server {
    fn new(plugin: &str, settings: &[Setting<'_>]) -> Result<Self, String> {
        let text = |name: &str| {
            let setting = settings.iter().find(|setting| setting.name == name)?;
            Some(setting.node.text().into_owned()).filter(|text| !text.is_empty())
        };
        let missing = |name: &str| format!("plugin `{plugin}` has no `{name}`");
        let client = Client::new(&text("url").ok_or_else(|| missing("url"))?);
        Ok(Self {
            name: plugin.to_owned(),
            client: client.map_err(|reason| format!("`url` of plugin `{plugin}` cannot be used: {reason}"))?,
            version: text("api_version").ok_or_else(|| missing("api_version"))?,
            user: text("user"),
            token: text("user_token"),
        })
    }

    /// Whether numbers and environments are written the old way.
    fn is_plain(&self) -> bool {
        let number = self.version.rsplit('.').next().and_then(|number| number.parse::<u32>().ok());
        number.is_some_and(|number| number <= PLAIN)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Fault> {
        // Tokens are short-lived: the file is read each time.
        let token = match &self.token {
            Some(token) if token.starts_with('/') || Path::new(token).exists() => {
                let text = zrecipe_project::regular::read_text(Path::new(token))
                    .map_err(|error| Fault::World(format!("the file of Slurm's token cannot be read: {error}")))?;
                Some(text.trim().to_owned())
            }
            other => other.clone(),
        };
        let login = [("x-slurm-user-name", self.user.clone()), ("x-slurm-user-token", token)];
        let login: Vec<(&'static str, String)> =
            login.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let path = format!("slurm/{}/{path}", self.version);
        let answer = self.client.ask(method, &path, &login, body).await;
        let answer = answer.map_err(|http::Error { place, reason }| {
            Fault::unreachable("Slurm", format!("Slurm's API at {place}: {reason}"))
        })?;
        // A proxy before it says so, or it says that its controller is away.
        if matches!(
            answer.status(),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ) {
            let reason = self.wrong(&format!("it answers {}", answer.status()));
            return Err(Fault::unreachable("Slurm", reason));
        }
        Ok(answer)
    }

    fn wrong(&self, reason: &str) -> String {
        format!("Slurm's API at {}: {reason}", self.client.base())
    }

    /// The body of a submission.
    fn order(&self, job: &Job) -> Value {
        let needs = &job.needs;
        let plain = self.is_plain();
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let integer = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
        let number = |number: Option<u64>| {
            let value = integer(number?);
            Some(if plain {
                value
            } else {
                Value::from([("number", value), ("set", true.into()), ("infinite", false.into())])
            })
        };
        let nodes = needs.nodes.map(|nodes| {
            if plain { Value::Array(vec![integer(nodes), integer(nodes)]) } else { Value::from(nodes.to_string()) }
        });
        let variables = job.environment.iter();
        let environment = if plain {
            Value::Object(variables.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect())
        } else {
            Value::Array(variables.map(|(name, value)| Value::from(format!("{name}={value}"))).collect())
        };
        let gpus = |gpus: &Option<String>| {
            let gpus = gpus.as_ref()?;
            Some(Value::from(if plain { gpus.clone() } else { format!("gres/gpu:{gpus}") }))
        };
        let (per_job, per_node) = if plain { ("gpus", "gpus_per_node") } else { ("tres_per_job", "tres_per_node") };
        let (alone, exclusive) =
            if plain { ("exclusive", Value::from("exclusive")) } else { ("shared", Value::from(vec!["none"])) };
        let members = [
            ("comment", Some(Value::from(job.mark.as_str()))),
            ("name", Some(Value::from(job.name.as_str()))),
            ("environment", Some(environment)),
            ("current_working_directory", Some(Value::from(job.directory.to_string_lossy().into_owned()))),
            ("standard_output", Some(Value::from(pattern(&job.output)))),
            ("standard_error", Some(Value::from(pattern(&job.errors)))),
            ("partition", text(&needs.partition)),
            ("constraints", text(&needs.constraints)),
            ("prefer", text(&needs.prefer)),
            ("account", text(&needs.account)),
            ("qos", text(&needs.qos)),
            ("nodes", nodes),
            ("tasks", needs.tasks.map(integer)),
            ("cpus_per_task", needs.cpus_per_task.map(integer)),
            ("memory_per_node", number(needs.memory_per_node)),
            ("memory_per_cpu", number(needs.memory_per_cpu)),
            ("time_limit", number(needs.minutes())),
            (per_job, gpus(&needs.gpus)),
            (per_node, gpus(&needs.gpus_per_node)),
            (alone, needs.exclusive.then_some(exclusive)),
        ];
        let members: Object = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Value::from([("script", Value::from(job.script.as_str())), ("job", Value::Object(members))])
    }

    /// What an answer says went wrong: the numbers, and the words.
    fn errors(answer: &Value) -> (Vec<i64>, String) {
        let errors = answer.get("errors").and_then(Value::as_array).unwrap_or_default();
        let number = |error: &Value| error.get("error_code").or(error.get("error_number")).and_then(Value::as_i64);
        let words = |error: &Value| {
            let said = ["error", "description"].map(|key| error.get(key).and_then(Value::as_str).unwrap_or_default());
            said.iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join(": ")
        };
        let words: Vec<String> = errors.iter().map(words).filter(|text| !text.is_empty()).collect();
        (errors.iter().filter_map(number).filter(|number| *number != 0).collect(), words.join("; "))
    }
}

/// The entry in the list of schedulers.
pub(super) const SCHEDULER: Entry = Entry { name: "slurmrestd", make, is_default: true };

fn make(surroundings: &Surroundings<'_>) -> Made {
    let found = Slurmrestd::of_site(&surroundings.plugins);
    let found = found.map_err(|reason| Why::new(format!("the site's Slurm cannot be used: {reason}")))?;
    Ok(found.map(|slurm| Box::new(slurm) as Box<dyn Scheduler>))
}

#[async_trait]
impl Scheduler for Slurmrestd {
    async fn find(&self, mark: &str, cluster: Option<&str>) -> Result<Option<i64>, Fault> {
        let server = self.server(cluster)?;
        let answer = server.ask(Method::GET, "jobs", None).await?;
        let value = answer.value().unwrap_or_default();
        let jobs = value.get("jobs").and_then(Value::as_array).filter(|_| answer.is_success());
        let jobs = jobs.ok_or_else(|| {
            Fault::World(server.wrong(&format!("it answers {} and does not list its jobs", answer.status())))
        })?;
        let ours = jobs.iter().find(|job| job.get("comment").and_then(Value::as_str) == Some(mark));
        Ok(ours.and_then(|job| job.get("job_id")?.as_i64()))
    }

    async fn submit(&self, job: &Job) -> Result<i64, Fault> {
        let server = self.server(job.needs.cluster.as_deref())?;
        let answer = server.ask(Method::POST, "job/submit", Some(&server.order(job))).await?;
        let value = answer
            .value()
            .map_err(|reason| Fault::World(server.wrong(&format!("it answers {}, and {reason}", answer.status()))));
        let value = match value {
            Err(_) if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Value::Null,
            value => value?,
        };
        let (numbers, words) = Server::errors(&value);
        let number = value.get("job_id").and_then(Value::as_i64).filter(|number| *number > 0);
        if let Some(number) = number.filter(|_| answer.is_success()) {
            if !words.is_empty() {
                tracing::warn!("job {number} waits: {words}");
            }
            return Ok(number);
        }
        let is_of_job = |number: &i64| *number == UNREADABLE || (OF_JOB.contains(number) && !NOT_NOW.contains(number));
        let words = if words.is_empty() { format!("it answers {}", answer.status()) } else { words };
        if !numbers.is_empty() && numbers.iter().all(|number| is_of_job(number) || *number < 0) {
            return Err(Fault::Job(format!("Slurm rejected the job: {words}")));
        }
        Err(Fault::World(server.wrong(&words)))
    }
}
