//! Facts about services, each with the place at which it was read.

use serde_json::Value;

/// A line of a source file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Evidence {
    /// The file, as it was given.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// A mapping that a service is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The recipe step.
    Step,
    /// The payload.
    Payload,
    /// The recipe environment.
    Environment,
    /// The options that the service was started with.
    Service,
}

/// A step on the way into a mapping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of an object.
    Key(String),
    /// Any item of a list, or any value of an object.
    Item,
}

/// A place in what a service is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where the path begins.
    pub root: Root,
    /// The way from there.
    pub path: Vec<Segment>,
    /// How many segments lead to the mapping that was merged with others, or to the parameters as a whole.
    pub base: usize,
}

impl Place {
    /// The mapping, as contracts name it: `payload`, `parameters.ispyb_parameters`; nothing for other parts of a step.
    pub fn mapping(&self) -> Option<String> {
        match self.root {
            Root::Step => {
                let keys = self.base_keys();
                matches!(keys.first(), Some(&"parameters" | &"job_parameters")).then(|| keys.join("."))
            }
            Root::Payload => {
                let mut all = vec!["payload"];
                all.extend(self.base_keys());
                Some(all.join("."))
            }
            Root::Environment => Some("environment".to_owned()),
            Root::Service => None,
        }
    }

    /// The segments that lead to the mapping; any item is `*`.
    fn base_keys(&self) -> Vec<&str> {
        let base = self.path.iter().take(self.base);
        base.map(|segment| if let Segment::Key(key) = segment { key.as_str() } else { "*" }).collect()
    }

    /// The way from the mapping on.
    pub fn tail(&self) -> &[Segment] {
        self.path.get(self.base..).unwrap_or_default()
    }
}

/// A type that a use of a value shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// `int(x)`.
    Integer,
    /// `float(x)`.
    Number,
    /// `pathlib.Path(x)`, a method of text.
    Text,
    /// `json.loads(x)`, `ast.literal_eval(x)`.
    Parsed,
    /// A method of mappings.
    Object,
    /// A method of lists.
    Array,
    /// `isinstance(x, …)`: several types are taken.
    Any,
}

/// The choice under which something is read or sent: the parameter that decides, and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// The parameter.
    pub by: String,
    /// The object inside of which it stands, from the mapping on.
    pub inside: Vec<Segment>,
    /// Its value.
    pub value: String,
}

/// A key that is read.
#[derive(Debug, Clone)]
pub struct Read {
    /// Where the value may be; of several the first that has it.
    pub places: Vec<Place>,
    /// Whether the service cannot succeed without it.
    pub required: bool,
    /// Whether the service cannot succeed where the mapping that it is read from is none.
    pub mapping: bool,
    /// What counts in its absence.
    pub default: Option<Value>,
    /// The JSON Schema that a model states.
    pub schema: Option<Value>,
    /// What is done with the value, and whether always.
    pub uses: Vec<(Use, bool)>,
    /// The type without which the message is refused: `if not isinstance(x, list): …nack(…)`.
    pub insisted: Option<Use>,
    /// The choices under which it is read, the outermost first.
    pub choices: Vec<Choice>,
    /// Where.
    pub evidence: Evidence,
}

/// What is known of something that is sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Keys, whether they are always there, and their schemas; nothing if it is no mapping or not known.
    pub keys: Option<Vec<(String, bool, Value)>>,
    /// Whether there may be more keys.
    pub open: bool,
    /// The mappings that are sent on.
    pub forwards: Vec<String>,
    /// A schema, if it is no mapping.
    pub schema: Option<Value>,
}

/// A message that a service sends.
#[derive(Debug, Clone)]
pub struct Send {
    /// The channel; nothing for the default one.
    pub channel: Option<String>,
    /// What is sent.
    pub sent: Sent,
    /// Whether it is sent for every message.
    pub always: bool,
    /// The choices under which it is sent.
    pub choices: Vec<Choice>,
    /// Where.
    pub evidence: Evidence,
}

/// A queue that a service consumes.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name; `*` stands for a part that is not known.
    pub name: String,
    /// Whether the service can be started with another one.
    pub other: bool,
    /// Whether messages without a recipe are taken.
    pub plain: bool,
    /// The method that handles the messages.
    pub handler: Option<String>,
    /// Where.
    pub evidence: Evidence,
}

/// A parameter whose value decides what else is read.
#[derive(Debug, Clone)]
pub struct Selector {
    /// The parameter.
    pub by: String,
    /// The values.
    pub values: Vec<String>,
    /// Whether these are all.
    pub complete: bool,
    /// Parameters that hold an object or a list of objects with the same choice.
    pub also_in: Vec<String>,
    /// Where.
    pub evidence: Evidence,
}

/// What is known of a service or a wrapper.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Names that recipes may give: the first is shown.
    pub names: Vec<String>,
    /// The first line of its documentation.
    pub description: Option<String>,
    /// Whether it is a wrapper.
    pub wrapper: bool,
    /// Where its class is.
    pub evidence: Option<Evidence>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// What it reads.
    pub reads: Vec<Read>,
    /// What it sends.
    pub sends: Vec<Send>,
    /// The default channels, and where they are set.
    pub default_channels: Vec<(String, Evidence)>,
    /// Whether the name of a channel is computed.
    pub other_channels: bool,
    /// Mappings of which more may be read than was found.
    pub open: Vec<Place>,
    /// What decides.
    pub selectors: Vec<Selector>,
    /// Whether `$name` in text is replaced from the environment: `text` or `whole`.
    pub replaces: Option<&'static str>,
    /// Parameters that hold a name under which a value is stored in the environment.
    pub stored_by: Vec<String>,
    /// Names that are stored in the environment.
    pub stores: Vec<(String, Evidence)>,
    /// Whether a model refuses unknown keys.
    pub closed: bool,
    /// Mappings that are read as one, in order of precedence.
    pub merged: Vec<Vec<String>>,
}

/// Whether two places are the same for a reader of a merged mapping.
pub(super) fn same(one: &Place, other: &Place) -> bool {
    one.root == other.root && one.path == other.path
}
