//! Why a message is dead-lettered: a code, by which programs decide, and a text for people.

use super::headers::{REASON, REASON_CODE};
use zrecipe_language::value::{Object, Value};

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident $text:literal,)+) => {
        /// Why a message is dead-lettered. The wire has its text in kebab-case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])+ $name,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as the wire has it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// A service rejects it, or a reason of which no more is known.
    Rejected "rejected",
    /// It is no message that the service can read.
    Malformed "malformed",
    /// Its parameters or its payload do not meet the service's contract.
    Contract "contract",
    /// A message that it led to goes to a queue that does not exist.
    NoSuchQueue "no-such-queue",
    /// A message that it led to goes to a topic that does not exist.
    NoSuchTopic "no-such-topic",
    /// A message that it led to can never be sent for another reason.
    Unsendable "unsendable",
    /// The step failed, and the recipe has no step for the failure.
    Failed "failed",
    /// The step reached its time limit, and the recipe has no step for the failure.
    TimedOut "timed-out",
    /// Attempts failed as often as is allowed.
    RetriesExhausted "retries-exhausted",
    /// Processes that held it died as often as is allowed.
    ConsumerDied "consumer-died",
    /// It expired before a consumer took it.
    Expired "expired",
}

impl Code {
    /// Reads a code; nothing for one that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// The code of a text that zrecipe wrote before it wrote codes. These texts are those of that version, whatever today's
    /// messages say.
    fn of_old_text(text: &str) -> Self {
        const OLD: [(&str, Code); 2] =
            [("there is no queue `", Code::NoSuchQueue), ("there is no topic `", Code::NoSuchTopic)];
        OLD.iter().find(|(start, _)| text.starts_with(start)).map_or(Self::Rejected, |(_, code)| *code)
    }
}

/// Why a message is dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What programs decide by.
    pub code: Code,
    /// What people read.
    pub text: String,
}

impl Reason {
    /// A reason.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The reason of a service for recipe steps that gets a message without a recipe.
    pub fn no_recipe() -> Self {
        Self::new(Code::Malformed, "the message carries no recipe")
    }

    /// The reason in the headers of a dead letter; nothing where zrecipe gave none.
    pub fn read(headers: &Object) -> Option<Self> {
        let text = headers.get(REASON)?.as_str()?.to_owned();
        let code = headers.get(REASON_CODE).and_then(Value::as_str);
        let code = code.map_or_else(|| Code::of_old_text(&text), |code| Code::parse(code).unwrap_or(Code::Rejected));
        Some(Self { code, text })
    }

    /// Writes the reason into the headers of a dead letter.
    pub fn write(&self, headers: &mut Object) {
        headers.insert(REASON.to_owned(), Value::from(self.text.as_str()));
        headers.insert(REASON_CODE.to_owned(), Value::from(self.code.as_str()));
    }
}

/// A service's own words: it rejects the message.
impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::new(Code::Rejected, text)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self::new(Code::Rejected, text)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
