//! Contracts found by queue and by service, and those that a recipe step is under.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::{BUILT_IN, Contract, Part, read};
use crate::diagnostic::Level;
use crate::recipe::{Recipe, Step};
use crate::schema::Derived;
use crate::source::Source;
use crate::syntax::{Kind, NodeRef, json};

/// What the contracts that come with zrecipe count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuiltIn {
    /// They describe the services that run: what does not fit is an error.
    Strict,
    /// Other services may listen on these queues: what does not fit is a warning.
    #[default]
    Advice,
    /// They do not count.
    Off,
}

/// Contracts, found by queue and by service.
#[derive(Debug, Default, Clone)]
pub struct Contracts {
    list: Vec<Arc<Contract>>,
    by_queue: Named,
    /// Queues with a `*`.
    patterns: Vec<(String, usize)>,
    by_name: Named,
    /// Whether there are wrappers, so that commands have to be searched for their names.
    has_wrappers: bool,
    /// Whether the contracts that come with zrecipe are only advice.
    is_advice: bool,
    /// What has been worked out of them.
    pub derived: Derived,
}

/// Places in the list, by name: every step asks.
type Named = HashMap<String, Vec<usize>, foldhash::fast::RandomState>;

/// The contracts that a step is under.
#[derive(Debug, Clone, Copy, Default)]
pub struct Under<'c> {
    /// That of the service on its queue, which takes `parameters`.
    pub service: Option<&'c Contract>,
    /// That of the program in the job that the service starts, which takes `job_parameters`.
    pub wrapper: Option<&'c Contract>,
    /// Whether the step is a job: a program in it sends on the channels.
    pub is_job: bool,
    /// Two contracts of one queue, where the step does not name the service that is meant.
    pub overlap: Option<(&'c Contract, &'c Contract)>,
}

impl<'c> Under<'c> {
    /// The contract that says what the step takes in this part.
    pub fn of(&self, part: Part) -> Option<&'c Contract> {
        match part {
            Part::Parameters => self.service,
            Part::JobParameters => self.wrapper.or(self.service),
        }
    }

    /// The contract of whatever sends on the channels of the step.
    pub fn sender(&self) -> Option<&'c Contract> {
        self.wrapper.or(self.service)
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = &'c Contract> {
        self.service.into_iter().chain(self.wrapper)
    }
}

static BUILT_IN_CONTRACTS: LazyLock<Contracts> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        read::read_built_in(&json::parse(Arc::new(Source::from_text(*name, *text)))).map(Arc::new)
    };
    Contracts::new(BUILT_IN.iter().filter_map(read))
});

impl Contracts {
    /// These contracts.
    pub fn new(contracts: impl IntoIterator<Item = Arc<Contract>>) -> Self {
        let mut all = Self::default();
        for contract in contracts {
            // A file may be named twice.
            let is_known = |known: &Arc<Contract>| {
                (&known.names, &known.queues) == (&contract.names, &contract.queues)
                    && (&known.parameters, &known.job_parameters) == (&contract.parameters, &contract.job_parameters)
            };
            if all.list.iter().any(is_known) {
                continue;
            }
            let index = all.list.len();
            for queue in &contract.queues {
                if queue.contains('*') {
                    all.patterns.push((queue.clone(), index));
                } else {
                    all.by_queue.entry(queue.clone()).or_default().push(index);
                }
            }
            for name in &contract.names {
                all.by_name.entry(name.clone()).or_default().push(index);
            }
            all.has_wrappers |= contract.wrapper;
            all.list.push(contract);
        }
        all
    }

    /// The contracts of the services that come with zrecipe.
    pub fn built_in() -> &'static Self {
        &BUILT_IN_CONTRACTS
    }

    /// These contracts, and after them the built-in ones.
    pub fn with_built_in(contracts: impl IntoIterator<Item = Arc<Contract>>) -> Self {
        Self::assemble(contracts, BuiltIn::Strict)
    }

    /// These contracts, and after them the built-in ones as far as they count.
    pub fn assemble(contracts: impl IntoIterator<Item = Arc<Contract>>, built_in: BuiltIn) -> Self {
        let own = Self::built_in().list.iter().filter(|_| built_in != BuiltIn::Off).cloned();
        Self { is_advice: built_in == BuiltIn::Advice, ..Self::new(contracts.into_iter().chain(own)) }
    }

    /// Whether a contract is only advice: other services may serve its queues.
    pub fn is_advice(&self, contract: &Contract) -> bool {
        self.is_advice && contract.built_in
    }

    /// The level of a finding about what a contract says, if it is an error where the contract holds.
    pub fn level(&self, contract: &Contract) -> Level {
        if self.is_advice(contract) { Level::Warning } else { Level::Error }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Contract> {
        self.list.iter().map(|contract| &**contract)
    }

    /// The contract of the service that listens on a queue; of several the first.
    pub fn of_queue(&self, queue: &str) -> Option<&Contract> {
        let all = self.all_of_queue(queue);
        all.iter().find(|contract| !contract.wrapper).or(all.first()).copied()
    }

    /// The contracts of a queue: those that name it, or else those with a pattern for it; built-in ones where there are
    /// no others.
    pub fn all_of_queue(&self, queue: &str) -> Vec<&Contract> {
        let found = |index: usize| &*self.list[index];
        let exact = self.by_queue.get(queue).into_iter().flatten().copied().map(found);
        let patterns = self.patterns.iter().filter(|(pattern, _)| matches(pattern, queue));
        let patterns = patterns.map(|&(_, index)| found(index));
        let (exact, patterns): (Vec<_>, Vec<_>) = (exact.collect(), patterns.collect());
        let of_site = |all: &[&'_ Contract]| all.iter().any(|contract| !contract.built_in && !contract.wrapper);
        let mut all = match (exact.is_empty(), of_site(&exact), of_site(&patterns)) {
            (true, ..) | (_, false, true) => patterns,
            _ => exact,
        };
        if of_site(&all) {
            all.retain(|contract| !contract.built_in);
        }
        all
    }

    /// The contract of the service of this name; of several the first.
    pub fn of_service(&self, name: &str) -> Option<&Contract> {
        self.by_name.get(name).and_then(|all| all.first()).map(|&index| &*self.list[index])
    }

    /// The same, to be kept.
    pub fn shared_of_service(&self, name: &str) -> Option<Arc<Contract>> {
        self.by_name.get(name).and_then(|all| all.first()).map(|&index| Arc::clone(&self.list[index]))
    }

    /// All contracts of this name.
    pub fn all_of_service(&self, name: &str) -> impl Iterator<Item = &Contract> {
        self.by_name.get(name).into_iter().flatten().map(|&index| &*self.list[index])
    }

    /// The contracts of services that are programs.
    pub fn programs(&self) -> impl Iterator<Item = &Arc<Contract>> {
        self.list.iter().filter(|contract| contract.invocation.is_some())
    }

    /// The contract of the service on a step's queue.
    pub fn of_step(&self, recipe: &Recipe, step: &Step) -> Option<&Contract> {
        self.under(recipe, step).service
    }

    /// The contracts that a step is under. The service is that on its queue, and of several the one that the step
    /// names; on a queue that is not known yet, the one that it names. Where the queue and the name contradict each
    /// other no contract is sure to hold.
    pub fn under(&self, recipe: &Recipe, step: &Step) -> Under<'_> {
        let Some(queue) = step.queue.map(|queue| recipe.node(queue)).filter(|queue| queue.kind() == Kind::String)
        else {
            return Under::default();
        };
        let name = recipe.text(step.service);
        let named = || name.iter().flat_map(|name| self.all_of_service(name));
        let is_job = is_job(recipe, step);
        if queue.has_braces() {
            let (wrapper, _) = self.wrapper(recipe, step, &[], is_job);
            return Under { service: named().find(|named| !named.wrapper), wrapper, is_job, overlap: None };
        }
        let text = queue.text();
        let candidates = self.all_of_queue(&text);
        let (wrapper, several) = self.wrapper(recipe, step, &candidates, is_job);
        let services = || candidates.iter().copied().filter(|contract| !contract.wrapper);
        let chosen = services().find(|contract| name.as_deref().is_some_and(|name| contract.is_called(name)));
        let mut overlap = several;
        let service = match (chosen, services().next(), services().nth(1)) {
            (Some(chosen), ..) => Some(chosen),
            (None, Some(only), None) => {
                let agrees = |named: &Contract| named.wrapper || named.serves(&text) || named.other_queues;
                (is_job || named().next().is_none() || named().any(agrees)).then_some(only)
            }
            (None, Some(first), Some(second)) => {
                overlap = overlap.or(Some((first, second)));
                None
            }
            (None, None, _) => named().find(|named| named.other_queues && !named.wrapper),
        };
        Under { service, wrapper, is_job: is_job || wrapper.is_some(), overlap }
    }

    /// The contract of the program in the job that a step is: the one that its commands name, or its `service`, or the
    /// only one for its queue if it names none; and two of which it is not clear which is meant.
    fn wrapper<'c>(
        &'c self,
        recipe: &Recipe,
        step: &Step,
        candidates: &[&'c Contract],
        is_job: bool,
    ) -> (Option<&'c Contract>, Option<(&'c Contract, &'c Contract)>) {
        if !self.has_wrappers {
            return (None, None);
        }
        let wrapper_of = |name: &str| self.all_of_service(name).find(|contract| contract.wrapper);
        let (mut in_commands, mut is_named) = (None, false);
        each_command(recipe, step, &mut |command| {
            for name in wrapper_names(command) {
                is_named = true;
                in_commands = in_commands.or_else(|| wrapper_of(name));
            }
        });
        let name = recipe.text(step.service);
        if let Some(found) = in_commands.or_else(|| name.as_deref().and_then(wrapper_of)) {
            return (Some(found), None);
        }
        let mut others = candidates.iter().copied().filter(|contract| contract.wrapper);
        match (others.next(), others.next()) {
            // The name may be that of another program.
            (Some(only), None) if name.is_none() && is_job && !is_named => (Some(only), None),
            (Some(first), Some(second)) if name.is_none() && is_job && !is_named => (None, Some((first, second))),
            _ => (None, None),
        }
    }
}

impl Contract {
    /// Whether this is one of the names of the service.
    pub fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }
}

/// Whether a step is a job in which a program does the work: it has parameters for one, or a file to report with.
fn is_job(recipe: &Recipe, step: &Step) -> bool {
    let has_file = || {
        let parameters = step.parameters.map(|parameters| recipe.node(parameters));
        let named = |key: &str| parameters.is_some_and(|parameters| parameters.get(key).is_some());
        named("recipewrapper") || named("wrapper")
    };
    step.job_parameters.is_some() || has_file()
}

/// Takes each text of the commands of a step.
fn each_command(recipe: &Recipe, step: &Step, take: &mut dyn FnMut(&str)) {
    let Some(parameters) = step.parameters.map(|parameters| recipe.node(parameters)) else { return };
    let cluster = parameters.get("cluster").and_then(|cluster| cluster.get("commands"));
    for commands in [parameters.get("commands"), cluster].into_iter().flatten() {
        let all: Vec<NodeRef<'_>> =
            if commands.kind() == Kind::Array { commands.items().collect() } else { vec![commands] };
        for command in all {
            match command.kind() {
                Kind::String => take(&command.text()),
                // A list of arguments.
                Kind::Array => {
                    let words: Vec<_> = command.items().map(|word| word.text().into_owned()).collect();
                    take(&words.join(" "));
                }
                _ => {}
            }
        }
    }
}

/// The names after `--wrap` and `-w` in a command.
fn wrapper_names(command: &str) -> impl Iterator<Item = &str> {
    let mut words = command.split_whitespace();
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            let name = match word {
                "-w" | "--wrap" | "--wrapper" => words.next(),
                _ => word.strip_prefix("--wrap=").or_else(|| word.strip_prefix("--wrapper=")),
            };
            if let Some(name) = name {
                return Some(name.trim_matches(['"', '\'']));
            }
        }
    })
}

/// Whether a name matches a pattern in which `*` stands for any text.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(tail) = parts.pop() else { return true };
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.len() >= tail.len() && left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_part() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "anything", true),
            ("a.*", "a.b.c", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.c", false),
            ("*b*d*", "abcd", true),
            ("*b*d*", "adcb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn wrappers_are_found_in_commands() {
        let names = |command| wrapper_names(command).collect::<Vec<_>>();
        assert_eq!(names("zocalo.wrap -w dimple --recipewrapper=$RECIPEWRAP"), ["dimple"]);
        assert_eq!(names("dlstbx.wrap --wrap=\"xia2\" && x --wrap y"), ["xia2", "y"]);
        assert!(names("wc -l file").is_empty());
    }

    /// Contracts on one queue are told apart by the service that the step names, job parameters by the wrapper.
    #[test]
    fn contracts_are_chosen_by_queue_and_service() {
        let contract = |text: &str| Arc::new(Contract::parse("c", text).expect("is a contract"));
        let contracts = Contracts::assemble(
            [
                contract(
                    r#"{"names": ["Phase"], "queues": ["cluster.submission"], "job_parameters": {"required": ["mtz"]}}"#,
                ),
                contract(r#"{"names": ["Refine", "refine"], "wrapper": true, "job_parameters": {"required": ["n"]}}"#),
                contract(r#"{"names": ["EM"], "queues": ["ispyb"]}"#),
                contract(r#"{"names": ["MX"], "queues": ["ispyb"]}"#),
                contract(r#"{"names": ["Picker"], "queues": ["picker"], "other_queues": true}"#),
            ],
            BuiltIn::Advice,
        );
        let under = |step: &str| {
            let text = format!(r#"{{"1": {step}, "start": [[1, []]]}}"#);
            let tree = Arc::new(crate::syntax::parse(Arc::new(Source::from_text("r.json", text))));
            let recipe = crate::lower::lower(tree);
            let under = contracts.under(&recipe, &recipe.steps()[0]);
            let name = |contract: Option<&Contract>| contract.map_or("", Contract::name).to_owned();
            (name(under.service), name(under.wrapper), under.overlap.is_some())
        };
        let row = |service: &str, wrapper: &str, overlap| (service.to_owned(), wrapper.to_owned(), overlap);
        for (step, expected) in [
            (
                r#"{"queue": "cluster.submission", "service": "Refine", "job_parameters": {}}"#,
                row("Cluster", "Refine", false),
            ),
            (
                r#"{"queue": "cluster.submission", "service": "Phase", "job_parameters": {}}"#,
                row("Cluster", "Phase", false),
            ),
            (r#"{"queue": "cluster.submission", "service": "Other", "job_parameters": {}}"#, row("Cluster", "", false)),
            (
                r#"{"queue": "cluster.submission", "parameters": {"cluster": {"commands": ["zocalo.wrap -w refine"]}}}"#,
                row("Cluster", "Refine", false),
            ),
            // A service that also runs in jobs.
            (r#"{"queue": "cluster.submission", "service": "EM", "job_parameters": {}}"#, row("Cluster", "", false)),
            (r#"{"queue": "ispyb", "service": "MX"}"#, row("MX", "", false)),
            (r#"{"queue": "ispyb"}"#, row("", "", true)),
            (r#"{"queue": "ispyb", "service": "Unheard"}"#, row("", "", true)),
            (r#"{"queue": "picker.gpu", "service": "Picker"}"#, row("Picker", "", false)),
            (r#"{"queue": "{q}", "service": "MX"}"#, row("MX", "", false)),
        ] {
            assert_eq!(under(step), expected, "{step}");
        }
    }
}
