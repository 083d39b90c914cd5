//! The host: takes messages from queues, hands them to services, and settles them with what they led to.
//!
//! A delivery is settled once, last, and together with everything it led to. A service that fails on a message
//! (by returning so, or by a panic) does not take its neighbours with it.
//!
//! | file | contents |
//! |---|---|
//! | `ask` | programs that are asked something: filters, readiness |
//! | `cluster` | jobs on a cluster; one file per scheduler in `cluster/` |
//! | `consumer` | takes the messages of one queue, has the service deal with them, and sees each of them through |
//! | `ending` | how a program ended: exit status, signal, limit |
//! | `facts` | the pod or the cluster job that this process runs in, for its status |
//! | `foreign` | services in any language: the contract's `run` |
//! | `handover` | files that a service writes for the commands of a step (`RECIPEWRAP` and the like) |
//! | `health` | how a process of services is, over HTTP: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever starts it |
//! | `host` | services on a transport |
//! | `instance` | one instance of a service beside others on a broker |
//! | `journal` | what a service has done for a message, on disk before it is settled |
//! | `kept` | outcomes that the broker has not confirmed, kept so that the work is not repeated |
//! | `lines` | how many lines about messages that went well are logged |
//! | `metrics` | numbers about services for Prometheus |
//! | `order` | the order of one consumer's messages while several are dealt with |
//! | `outcome` | what a service makes of a message, and what a host tells of it |
//! | `pressure` | back-pressure: what holds a service up, and how long it pauses |
//! | `process` | one program with its limits: time, silence, output |
//! | `python` | services, wrappers and filters that are Python classes and functions |
//! | `roots` | directories where services may write on behalf of a message |
//! | `run` | runs of recipes on the embedded broker: begin, resume, show |
//! | `said` | what programs print, cut and masked for logs |
//! | `service` | what a service is, and the messages it deals with |
//! | `services` | built-in services; one file each in `services/` |
//! | `status` | what an instance of a service tells all who listen about how it is, in the form of `workflows` 3.3 |
//! | `stem` | the process that becomes the command, when it is told to |
//! | `supervisor` | a process between a service and its commands, so that a command ends with all it started |
//! | `supervisors` | the pool of supervisors of this process |
//! | `surroundings` | what services and schedulers are made from |
//! | `why` | why a service, a scheduler or an interpreter cannot be had, and what to do about it |
//! | `workers` | programs that stay and take one message after another |

pub mod ask;
pub mod cluster;
mod consumer;
pub mod ending;
pub mod facts;
pub mod foreign;
pub mod handover;
pub mod health;
mod host;
pub mod instance;
pub mod journal;
mod kept;
mod lines;
pub mod metrics;
pub mod order;
mod outcome;
pub mod pressure;
pub mod process;
pub mod python;
pub mod roots;
pub mod run;
pub mod said;
mod service;
pub mod services;
pub mod status;
pub mod stem;
pub mod supervisor;
pub mod supervisors;
pub mod surroundings;
pub mod why;
pub mod workers;

pub use self::consumer::Room;
pub use self::host::Host;
pub use self::outcome::{DEAD_LETTERED, Event, Outcome, RETRY, StepResult, Traffic};
pub use self::service::{Job, Service};

/// Setting of plugin `storage` that names the directory of the dispatcher's logbook.
pub const LOGBOOK: &str = "zocalo.dispatcher.logbook_location";
