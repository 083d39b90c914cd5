//! What an expression can be during the walk through a service's code.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexMap;
use ruff_python_ast::{ExprLambda, Stmt};
use serde_json::Value;

use super::definitions::{Class, Function};
use super::facts::{Choice, Place, Root, Segment};

/// A value that came with the message: the places where it may have been.
#[derive(Clone, Default)]
pub(super) struct At<'a> {
    pub places: Vec<Place>,
    /// The reads that gave it.
    pub reads: Vec<usize>,
    /// Whether it is nothing where the key is missing.
    pub optional: bool,
    /// The model that it was checked by.
    pub model: Option<Class<'a>>,
    /// Whether it is an instance of that model, which is true in a condition.
    pub instance: bool,
    /// Whether its keys are attributes.
    pub namespace: bool,
    /// Keys that the service itself adds: a literal.
    pub extra: Option<usize>,
}

impl At<'_> {
    pub fn of(root: Root) -> Self {
        Self { places: vec![Place { root, path: Vec::new(), base: 0 }], ..Self::default() }
    }

    /// The same with one more segment on the way.
    pub fn inner(&self, segment: &Segment) -> Self {
        let places = self.places.iter().map(|place| {
            let mut place = place.clone();
            if place.root == Root::Step && place.path.is_empty() {
                place.base = 1;
            }
            place.path.push(segment.clone());
            place
        });
        Self { places: places.collect(), ..Self::default() }
    }

    /// Whether it is a mapping as a whole: the payload, the parameters, or one that is merged with others.
    pub fn is_whole(&self) -> bool {
        self.places.iter().any(|place| place.tail().is_empty())
    }
}

/// A function that the walk can enter.
pub(super) struct Callable<'a> {
    pub code: Code<'a>,
    pub module: usize,
    /// The frame in which it was defined.
    pub frame: Option<usize>,
    /// Whether the first argument is the service.
    pub bound: bool,
    /// The class that has it.
    pub owner: Option<Class<'a>>,
}

#[derive(Clone, Copy)]
pub(super) enum Code<'a> {
    Function(Function<'a>),
    Lambda(&'a ExprLambda),
}

impl Code<'_> {
    /// What tells it from others.
    pub fn id(&self) -> usize {
        match self {
            Self::Function(function) => std::ptr::from_ref(function.node).addr(),
            Self::Lambda(lambda) => std::ptr::from_ref(*lambda).addr(),
        }
    }
}

/// One of several functions or models, chosen by a value of the message.
pub(super) struct Chosen<'a> {
    pub selector: At<'a>,
    pub cases: Vec<(String, Abs<'a>)>,
    /// Whether there are no others.
    pub complete: bool,
}

#[derive(Clone)]
pub(super) enum Abs<'a> {
    Unknown,
    Nothing,
    Json(Rc<Value>),
    At(Rc<At<'a>>),
    /// The recipe wrapper.
    Wrapper,
    Transport,
    /// The service or wrapper itself.
    This,
    Log,
    /// A mapping that the service makes; its place in the heap.
    Dict(usize),
    /// An instance with attributes; its place in the heap.
    Object(usize),
    List(Rc<Vec<Abs<'a>>>),
    Class(Class<'a>),
    Function(Rc<Callable<'a>>),
    /// A function with some of its arguments.
    Partial(Rc<(Abs<'a>, Given<'a>)>),
    Module(usize),
    External(Rc<str>),
    /// `value.name`, to be called.
    Method(Rc<Abs<'a>>, &'a str),
    Chosen(Rc<Chosen<'a>>),
    /// Text that begins with this and goes on with a value.
    Prefixed(Rc<str>, Option<Rc<At<'a>>>),
    /// A name that an option of the service replaces.
    Overridable(Rc<str>),
    OneOf(Rc<Vec<Abs<'a>>>),
}

impl<'a> Abs<'a> {
    pub fn text(text: &str) -> Self {
        Self::Json(Rc::new(Value::from(text)))
    }

    pub fn at(at: At<'a>) -> Self {
        Self::At(Rc::new(at))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Json(value) => value.as_str(),
            _ => None,
        }
    }

    pub fn as_at(&self) -> Option<&At<'a>> {
        match self {
            Self::At(at) => Some(at),
            _ => None,
        }
    }

    /// Whether it is true in a condition, if that is known.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Wrapper | Self::This | Self::Transport | Self::Class(_) | Self::Function(_) => Some(true),
            Self::Nothing => Some(false),
            Self::Json(value) => value.as_bool(),
            Self::At(at) if at.instance => Some(true),
            _ => None,
        }
    }

    /// Whether a function that gets it may learn something of the message.
    pub fn is_of_interest(&self) -> bool {
        match self {
            Self::Unknown | Self::Nothing | Self::Json(_) | Self::Log | Self::Module(_) | Self::External(_) => false,
            Self::List(items) => items.iter().any(Self::is_of_interest),
            Self::Class(_) | Self::Transport | Self::Overridable(_) => false,
            Self::Prefixed(_, at) => at.is_some(),
            _ => true,
        }
    }
}

/// A mapping that the service makes.
#[derive(Clone, Default)]
pub(super) struct Dict<'a> {
    /// Keys, with whether they are always there.
    pub keys: IndexMap<String, (bool, Abs<'a>)>,
    /// Whether there may be more.
    pub open: bool,
    /// Mappings of the message that it was made from.
    pub forwards: Vec<At<'a>>,
    /// How deep in branches it was made.
    pub depth: usize,
}

/// The names of a function that is being walked through.
pub(super) struct Frame<'a> {
    pub vars: HashMap<&'a str, Abs<'a>>,
    pub parent: Option<usize>,
    pub module: usize,
    pub owner: Option<Class<'a>>,
    /// Whether `return False` refuses the message.
    pub entry: bool,
    pub returned: Option<Abs<'a>>,
    /// How often the walk came to a `return` that does not refuse the message.
    pub returns: usize,
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// What follows is reached.
    Next,
    /// It is left, and the message is handled.
    Left,
    /// The message is refused.
    Failed,
}

/// The arguments of a call.
#[derive(Clone)]
pub(super) struct Given<'a> {
    pub args: Vec<Abs<'a>>,
    pub keywords: Vec<(&'a str, Abs<'a>)>,
    /// What is spread as keywords.
    pub spread: Vec<Abs<'a>>,
}

impl<'a> Given<'a> {
    pub fn get(&self, index: usize, name: &str) -> Option<&Abs<'a>> {
        let keyword = self.keywords.iter().find(|(keyword, _)| *keyword == name).map(|(_, value)| value);
        keyword.or_else(|| self.args.get(index))
    }

    pub fn keyword(&self, name: &str) -> Option<&Abs<'a>> {
        self.keywords.iter().find(|(keyword, _)| *keyword == name).map(|(_, value)| value)
    }

    pub fn all(&self) -> impl Iterator<Item = &Abs<'a>> {
        self.args.iter().chain(self.keywords.iter().map(|(_, value)| value)).chain(&self.spread)
    }
}

/// How a key is read.
pub(super) enum How<'a> {
    /// `x["key"]`.
    Index,
    /// `x.get("key", default)`.
    Get(Option<Abs<'a>>),
    /// `"key" in x`.
    Member,
}

/// A branch.
pub(super) struct Arm<'a> {
    pub choice: Option<Choice>,
    pub body: &'a [Stmt],
    /// Whether it goes on where the others leave: what follows an `if` with a `return`, the `else` of a `try`.
    pub is_rest: bool,
    /// Whether it handles an exception.
    pub is_handler: bool,
}

impl<'a> Arm<'a> {
    pub fn new(body: &'a [Stmt]) -> Self {
        Self { choice: None, body, is_rest: false, is_handler: false }
    }

    pub fn of(choice: Choice, body: &'a [Stmt]) -> Self {
        Self { choice: Some(choice), body, is_rest: false, is_handler: false }
    }
}
