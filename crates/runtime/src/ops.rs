//! What an operator does to messages between programs and brokers.
//!
//! | file | contents |
//! |---|---|
//! | `apis` | the management APIs, by the plugin of a site that says where one is |
//! | `checkup` | what is wrong with a broker, and what to do about it |
//! | `dead_letters` | dead letters in queues and in files of the Python tools |
//! | `definitions` | what a broker has, what it should have, and the steps from the one to the other |
//! | `drain` | draining a queue into another, one message at a time, so that none is ever in neither |
//! | `drop_files` | requests kept in files while the broker is away |
//! | `jolokia` | ActiveMQ's management API: JMX over HTTP, by Jolokia |
//! | `logbook` | the dispatcher's logbook: which requests it has dealt with |
//! | `management` | RabbitMQ's management API: what AMQP does not tell |
//! | `prospects` | whether sending a dead letter back can help, and what else there is to do about it |
//! | `rebase` | a dead letter on the corrected recipe, at the same step |
//! | `services` | the services that somebody hears of |

pub mod apis;
pub mod checkup;
pub mod dead_letters;
pub mod definitions;
pub mod drain;
pub mod drop_files;
pub mod jolokia;
pub mod logbook;
pub mod management;
pub mod prospects;
pub mod rebase;
pub mod services;
