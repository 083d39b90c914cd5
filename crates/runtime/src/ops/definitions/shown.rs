//! How the changes of a broker are shown: a line for each, with what to do about those that are not made.

use super::{Action, Change, Hold, Kind, Lack, Progress, Thing};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::secret::hidden;
use zrecipe_language::value::{Object, Value};

/// One change, for people.
pub fn line(change: &Change) -> String {
    let Thing { kind, vhost, name, .. } = &change.thing;
    let sign = match (&change.hold, change.action) {
        (Some(_), _) => '!',
        (None, Action::Create) => '+',
        (None, Action::Update) => '~',
        (None, Action::Recreate) => '±',
        (None, Action::Remove) => '-',
    };
    let place = if vhost.is_empty() { String::new() } else { format!(" in {vhost}") };
    let mut text = format!("{sign} {} {name}{place}", kind.name());
    let what = match (&change.before, change.action) {
        (_, Action::Remove) => String::new(),
        (Some(before), _) => differences(before, change),
        (None, _) => shown(change),
    };
    if !what.is_empty() {
        text.push_str(&format!(": {what}"));
    }
    // What the broker lacks has been said before, once for all that needs it.
    let hold = change.hold.as_ref().filter(|hold| !matches!(hold, Hold::NoVhost | Hold::NoType));
    if let Some(hold) = hold {
        let [why, help] = remarks(change, hold);
        text.push_str(&format!("\n    not done: {why}\n    help: {help}"));
    }
    text
}

/// What a broker lacks for many changes, and what to do about it.
pub fn lack(lack: &Lack) -> [String; 2] {
    let (what, changes) = (&lack.what, counted(lack.changes, "change"));
    let [why, help] = match lack.hold {
        Hold::NoType => no_type(what),
        _ => no_vhost(what),
    };
    let need = if lack.changes == 1 { "needs" } else { "need" };
    [format!("{why}; {changes} {need} it"), help]
}

fn no_vhost(name: &str) -> [String; 2] {
    [
        format!("the broker has no virtual host `{name}`"),
        format!("add `vhosts: [{{name: {name}}}]` to the file, or run `rabbitmqctl add_vhost {name}`"),
    ]
}

fn no_type(kind: &str) -> [String; 2] {
    const DELAYED: &str = "x-delayed-message";
    let why = format!("the broker has no exchanges of type `{kind}`");
    if kind == DELAYED {
        let plug_in = "rabbitmq_delayed_message_exchange";
        return [
            format!("{why}: the plug-in `{plug_in}` is not enabled"),
            format!("install its file, then run `rabbitmq-plugins enable {plug_in}` on each node"),
        ];
    }
    [why, "enable the plug-in that provides it (`rabbitmq-plugins list`), or correct its name".to_owned()]
}

/// Why a change is not made, and what to do about it.
fn remarks(change: &Change, hold: &Hold) -> [String; 2] {
    let (kind, name) = (change.thing.kind, &change.thing.name);
    match hold {
        Hold::Immutable if kind == Kind::Queue => [
            "a queue cannot be changed".to_owned(),
            format!(
                "move its messages to another queue (`zrecipe drain`), stop its services, and apply with \
                 `--recreate {name}`"
            ),
        ],
        Hold::Immutable => [
            format!("{} {} cannot be changed", article(kind), kind.name()),
            format!("apply with `--recreate {name}` when no service publishes to it; its bindings are recreated"),
        ],
        Hold::InUse { messages, consumers } => {
            let count = |count: i64, what: &str| match count {
                0 => None,
                1 => Some(format!("1 {what}")),
                count => Some(format!("{count} {what}s")),
            };
            let held: Vec<String> =
                count(*messages, "message").into_iter().chain(count(*consumers, "consumer")).collect();
            let option = if change.action == Action::Recreate { "--recreate" } else { "--remove" };
            [
                format!("it has {}", held.join(" and ")),
                format!(
                    "move the messages away (`zrecipe drain`) and stop its services; or discard them with `{option} \
                     {name} --discard-messages`"
                ),
            ]
        }
        Hold::NoVhost | Hold::NoType => {
            let [why, help] = match hold {
                Hold::NoVhost => no_vhost(&change.thing.vhost),
                _ if kind == Kind::Exchange => {
                    no_type(change.thing.settings.get("type").and_then(Value::as_str).unwrap_or("?"))
                }
                _ => ["its exchange cannot be created".to_owned(), "see the finding for the exchange".to_owned()],
            };
            [why, help]
        }
        Hold::Needed { kind: Kind::Vhost, name: vhost } => [
            format!("virtual host `{vhost}` stays, and the user has permissions in it"),
            format!("apply again when `{vhost}` can be removed"),
        ],
        Hold::Needed { name: queue, .. } => [
            format!("queue `{queue}` needs it for its dead letters"),
            format!("apply again when `{queue}` can be removed or changed, or keep both in the file"),
        ],
        Hold::Own => [
            "the management API is queried as this user".to_owned(),
            "describe it in a file of a user, or name another user in plugin `rabbitmqapi`".to_owned(),
        ],
    }
}

fn article(kind: Kind) -> &'static str {
    if kind == Kind::Exchange { "an" } else { "a" }
}

/// What a new thing is like.
fn shown(change: &Change) -> String {
    // A binding's name says it all.
    if change.thing.kind == Kind::Binding {
        return String::new();
    }
    flat(&change.thing.settings).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// What is otherwise than it should be.
fn differences(before: &Thing, change: &Change) -> String {
    let (old, new) = (flat(&before.settings), flat(&change.thing.settings));
    let find = |among: &[(String, String)], key: &str| {
        among.iter().find(|(found, _)| found == key).map_or("nothing".to_owned(), |(_, value)| value.clone())
    };
    let mut keys: Vec<&String> = old.iter().chain(&new).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    let mut parts: Vec<String> = Vec::new();
    for key in keys {
        let (old, new) = (find(&old, key), find(&new, key));
        if old != new {
            parts.push(format!("{key} {old} -> {new}"));
        }
    }
    if change.password {
        parts.push("another password".to_owned());
    }
    parts.join(", ")
}

/// Settings, those within arguments and definitions as if they stood beside the others.
fn flat(settings: &Object) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in settings {
        match value {
            Value::Object(inner) => found.extend(flat(inner)),
            value => {
                let text = match hidden(key, value.clone()) {
                    Value::String(text) if !text.is_empty() && !text.contains([' ', ',']) => text,
                    other => other.to_json(),
                };
                found.push((key.clone(), text));
            }
        }
    }
    // What most have.
    let usual = [("durable", "true"), ("auto_delete", "false"), ("internal", "false")];
    found.retain(|(key, value)| !usual.contains(&(key.as_str(), value.as_str())));
    found
}

/// How many changes there are of each kind.
pub fn summary(changes: &[Change]) -> String {
    let count = |what: &str, is_it: &dyn Fn(&Change) -> bool| {
        let count = changes.iter().filter(|change| is_it(change)).count();
        (count > 0).then(|| format!("{count} {what}"))
    };
    let makes = |action| move |change: &Change| change.hold.is_none() && change.action == action;
    let parts = [
        count("to create", &makes(Action::Create)),
        count("to change", &makes(Action::Update)),
        count("to recreate", &makes(Action::Recreate)),
        count("to remove", &makes(Action::Remove)),
        count("unchanged", &|change| change.hold.is_some()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no difference".to_owned() } else { parts.join(", ") }
}

/// One change, for programs.
pub fn json(change: &Change) -> Value {
    let Thing { kind, vhost, name, settings, .. } = &change.thing;
    let text = |text: &str| Value::from(text);
    let mut object = Object::new();
    let mut put = |key: &str, value: Value| _ = object.insert(key.to_owned(), value);
    put("action", text(change.action.name()));
    put("kind", text(kind.name()));
    put("vhost", if vhost.is_empty() { Value::Null } else { text(vhost) });
    put("name", text(name));
    put("settings", Value::Object(settings.clone()));
    put("before", change.before.as_ref().map_or(Value::Null, |before| Value::Object(before.settings.clone())));
    put("password_differs", Value::Bool(change.password));
    put("done", Value::Bool(change.progress == Progress::Made));
    if let Progress::Failed(why) = &change.progress {
        put("not_done", text(why));
    }
    if change.progress == Progress::Undone {
        put("not_done", text("it was undone: an object that stays needs it"));
    }
    put("is_repair", Value::Bool(change.is_repair));
    if let Some(hold) = &change.hold {
        let [why, help] = remarks(change, hold);
        put("not_done", Value::from(why));
        put("help", Value::from(help));
    }
    hidden("", Value::Object(object))
}
