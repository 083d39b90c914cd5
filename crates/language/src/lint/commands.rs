//! The commands of a step, and who reads them.

use super::Context;
use crate::contract::Contracts;
use crate::recipe::Step;
use crate::syntax::{Kind, NodeRef};

/// Who reads a command.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reader {
    /// A shell.
    Shell,
    /// The Runner, which splits it at spaces and needs no shell.
    Runner,
    /// A service of which that is not known.
    Unknown,
}

/// The commands of a step that are text, and who reads each; a list of arguments is left out, because nothing splits it.
pub(super) fn commands<'a>(cx: &Context<'a>, step: &Step) -> impl Iterator<Item = (Reader, NodeRef<'a>)> + use<'a> {
    let parameters = step.parameters.map(|node| cx.node(node));
    let own = parameters.and_then(|parameters| parameters.get("commands"));
    let script = parameters.and_then(|parameters| parameters.get("cluster")?.get("commands"));
    let readers = [(own_reader(cx, step), own), (Reader::Shell, script)];
    readers
        .into_iter()
        .flat_map(|(reader, commands)| commands.into_iter().flat_map(lines).map(move |line| (reader, line)))
}

/// Who reads `commands` among the parameters of a step.
fn own_reader(cx: &Context<'_>, step: &Step) -> Reader {
    let queue = cx.recipe.text(step.queue);
    let contract = queue.and_then(|queue| Contracts::built_in().of_queue(&queue));
    if contract.is_some_and(|contract| contract.name() == "Runner") { Reader::Runner } else { Reader::Unknown }
}

fn lines(commands: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    let single = (commands.kind() == Kind::String).then_some(commands);
    single.into_iter().chain(commands.items()).filter(|command| command.kind() == Kind::String)
}
