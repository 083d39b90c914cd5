//! What a rule sees of a document.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};

use super::violations::{self, StepViolation};
use crate::contract::{Contract, Contracts, Declared, Under};
use crate::diagnostic::{Diagnostic, Level, nearest};
use crate::document::Document;
use crate::evidence::{Facts, Finding, Set, shortened};
use crate::flow::Flow;
use crate::graph::Graph;
use crate::infer::{self, Parameter};
use crate::recipe::{Recipe, Step};
use crate::schema::View;
use crate::site::{self, Files, NoFiles, Site, Written};
use crate::syntax::json::read_value;
use crate::syntax::{Kind, NodeId, NodeRef, Notation, ProblemKind, Tree, yaml};
use crate::template::{Field, MAX_TEXT, Template, TemplateUse, has_braces, parse};
use crate::topology::{Queue, Topology};
use crate::value::{Object, write_string};

/// What a rule sees of a recipe.
pub struct Context<'a> {
    /// The document.
    pub tree: &'a Tree,
    /// The recipe in it.
    pub recipe: &'a Recipe,
    /// Its graph.
    pub graph: &'a Graph,
    /// Every string of it that has braces.
    pub templates: &'a [TemplateUse],
    /// The parameters it is to be run with, if they are known.
    pub parameters: Option<&'a Object>,
    /// The string with which the templates become larger than [`MAX_TEXT`]. Then no rule sees parameters.
    pub oversized: Option<NodeId>,
    /// The facts of this recipe and of the set that it is checked with, if it is checked with others.
    pub set: Option<(&'a Facts, &'a Set)>,
    /// What services promise.
    pub contracts: &'a Contracts,
    /// The parameters that the site's dispatcher adds.
    pub declared: Option<&'a Declared>,
    /// The document as what it is; a recipe is in `recipe`.
    pub document: &'a Document,
    /// The names of all recipes of the site, if they are known.
    pub recipes: Option<&'a BTreeSet<String>>,
    /// The broker that a recipe is held against.
    pub topology: Option<&'a Topology>,
    /// The names of the parameters that recipes use, if all of them are known.
    pub used: Option<&'a BTreeSet<String>>,
    /// Whether programs of the site read requests before the dispatcher does.
    pub filters: bool,
    /// The files that the document may name.
    pub files: &'a dyn Files,
    /// The contracts that the steps are under: several rules ask.
    under: OnceCell<Vec<Under<'a>>>,
    signature: OnceCell<Vec<Parameter>>,
    demands: OnceCell<Vec<Parameter>>,
    violations: OnceCell<Vec<StepViolation<'a>>>,
    evidence: OnceCell<Vec<Finding>>,
}

impl<'a> Context<'a> {
    /// What rules see of a recipe of which nothing else is known.
    pub fn new(recipe: &'a Recipe, graph: &'a Graph, templates: &'a [TemplateUse], contracts: &'a Contracts) -> Self {
        Self {
            tree: recipe.tree(),
            recipe,
            graph,
            templates,
            parameters: None,
            oversized: None,
            set: None,
            contracts,
            declared: None,
            document: &Document::Recipe,
            recipes: None,
            topology: None,
            used: None,
            filters: false,
            files: &NoFiles,
            under: OnceCell::new(),
            signature: OnceCell::new(),
            demands: OnceCell::new(),
            violations: OnceCell::new(),
            evidence: OnceCell::new(),
        }
    }

    /// Sets the parameters with which the recipe is to be run, unless its templates become too large with them: that
    /// is found before any text is made.
    pub fn give(&mut self, parameters: Option<&'a Object>) {
        let mut left = MAX_TEXT;
        self.oversized = self.templates.iter().find_map(|used| {
            let size = used.template.as_ref().map_or(0, |template| template.size(parameters, left));
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Some(used.node),
            }
            None
        });
        self.parameters = parameters.filter(|_| self.oversized.is_none());
    }

    /// The contracts that the steps are under, in the order of [`Recipe::steps`].
    pub fn all_under(&self) -> &[Under<'a>] {
        self.under
            .get_or_init(|| self.recipe.steps().iter().map(|step| self.contracts.under(self.recipe, step)).collect())
    }

    /// The contracts that a step is under.
    pub fn under(&self, step: &Step) -> Under<'a> {
        // Steps lie in the order of their keys.
        let found = self.recipe.steps().binary_search_by_key(&step.key, |step| step.key);
        found.ok().and_then(|place| self.all_under().get(place)).copied().unwrap_or_default()
    }

    /// The contract of the service on a step's queue.
    pub fn contract_of(&self, step: &Step) -> Option<&'a Contract> {
        self.under(step).service
    }

    /// What the steps receive.
    pub fn flow(&self) -> Flow<'_> {
        Flow::new(self.recipe, self.graph, self.all_under())
    }

    /// What to call a service in a message: one that comes with zrecipe by where its contract is from.
    pub fn name_of(&self, contract: &Contract) -> String {
        match self.contracts.is_advice(contract) {
            true => format!("zrecipe's {}", contract.name()),
            false => contract.name().to_owned(),
        }
    }

    /// Adds to a finding about a contract that comes with zrecipe how to replace it, and lowers its level.
    pub fn advise(&self, diagnostic: Diagnostic, contract: &Contract) -> Diagnostic {
        if !self.contracts.is_advice(contract) {
            return diagnostic;
        }
        let queue = contract.queues.first().map_or("", String::as_str);
        let how = format!(
            "this is zrecipe's own contract: one for queue `{queue}` in `[contracts] files` of zrecipe.toml replaces it"
        );
        let help = diagnostic.help.as_ref().map_or_else(|| how.clone(), |help| format!("{help}; {how}"));
        let level = diagnostic.level.min(Level::Warning);
        diagnostic.help(help).level(level)
    }

    /// The option that gives a parameter: as text, or as JSON where its uses take no text. `given` is text that was tried.
    pub fn option_for(&self, name: &str, given: Option<&str>) -> String {
        let found = self.signature().iter().find(|parameter| parameter.name == name);
        let Some(meets) = found.map(|parameter| &parameter.meets).filter(|meets| !meets.takes_text()) else {
            return format!("`--param {name}=…`");
        };
        let is_fit = |text: &&str| read_value(text.as_bytes()).is_ok_and(|value| meets.holds(&value));
        let example = match given.filter(is_fit) {
            Some(text) => text.to_owned(),
            None => {
                let wanted = meets.to_string();
                let is = |kind: &str| wanted.starts_with(kind);
                match () {
                    () if is("object") => "'{…}'",
                    () if is("array") => "'[…]'",
                    () if is("boolean") => "true",
                    () if is("integer") => "1",
                    () if is("number") => "1.5",
                    () => "JSON",
                }
                .to_owned()
            }
        };
        format!("`--param-json {name}={example}`")
    }

    /// Whether a parameter is given, or will be by the site's dispatcher.
    pub fn is_given(&self, name: &str) -> bool {
        self.parameters.is_some_and(|parameters| parameters.contains_key(name))
            || self.declared.is_some_and(|declared| declared.contains_key(name))
    }

    /// The names of all parameters that are given.
    pub fn given_names(&self) -> impl Iterator<Item = &'a str> {
        let given = self.parameters.into_iter().flat_map(|parameters| parameters.keys());
        let declared = self.declared.into_iter().flat_map(|declared| declared.keys());
        given.chain(declared).map(String::as_str)
    }

    /// The parameters of the recipe and their types.
    pub fn signature(&self) -> &[Parameter] {
        self.signature.get_or_init(|| infer::infer(self.recipe, self.templates, self.contracts))
    }

    /// The same with only those uses that ask for something.
    pub fn demands(&self) -> &[Parameter] {
        self.demands.get_or_init(|| infer::demands(self.recipe, self.templates, self.contracts))
    }

    /// What of the steps' parameters their services do not take, in the order of the steps.
    pub fn violations(&self) -> &[StepViolation<'a>] {
        self.violations.get_or_init(|| violations::find(self))
    }

    /// What the recipes that it is checked with contradict, and the facts of the recipe.
    pub fn evidence(&self) -> impl Iterator<Item = (&'a Facts, &Finding)> {
        let found = self.set.map(|(facts, set)| (facts, self.evidence.get_or_init(|| set.findings(facts))));
        found.into_iter().flat_map(|(facts, found)| found.iter().map(move |finding| (facts, finding)))
    }

    /// Whether the document is JSON.
    pub fn is_json(&self) -> bool {
        Notation::of(self.tree.source().name()) == Notation::Json
    }

    /// A step by its place among the steps.
    pub fn step_at(&self, index: u32) -> Option<&'a Step> {
        self.recipe.steps().get(index as usize)
    }

    /// What is known about a part of the recipe beside its text: the strings that the parameters make of templates.
    pub fn view(&self, part: NodeRef<'_>) -> View {
        let mut view = View::default();
        let (none, first) = (Object::new(), self.templates.partition_point(|used| used.node < part.id()));
        let parameters = self.parameters.unwrap_or(&none);
        for used in self.templates[first..].iter().take_while(|used| part.holds(used.node)) {
            let Ok(template) = &used.template else { continue };
            // What stays as it is, or is rejected, is the business of other rules.
            let mut fields = template.fields().into_iter();
            let is_defined = fields.all(|field| parameters.contains_key(&field.name));
            if is_defined && let Ok(value) = template.apply(parameters) {
                view.values.insert(used.node, value);
            }
        }
        view.dropped.extend(self.recipe.shadowed_in(part));
        view
    }

    /// A node of the document.
    pub fn node(&self, id: NodeId) -> NodeRef<'a> {
        self.tree.node(id)
    }

    /// The template that a string is.
    pub fn template(&self, node: NodeRef<'_>) -> Option<&'a Template> {
        let at = self.templates.binary_search_by_key(&node.id(), |used| used.node).ok()?;
        self.templates[at].template.as_ref().ok()
    }

    /// The strings that are templates.
    pub fn parsed_templates(&self) -> impl Iterator<Item = (NodeRef<'a>, &'a Template)> {
        self.templates.iter().filter_map(|used| Some((self.tree.node(used.node), used.template.as_ref().ok()?)))
    }

    /// Whether a top-level key is `start` with a slip of the finger: its value could be that of `start`.
    pub fn is_misspelt_start(&self, key: NodeRef<'_>) -> bool {
        let value = || self.tree.root().member_around(key.id()).map(|member| member.value);
        nearest(&key.text(), ["start"]).is_some() && value().is_some_and(|value| value.kind() == Kind::Array)
    }

    /// The placeholders of a template for a rule to look at, each name once and no more than anybody reads: to find
    /// the place of one in a long string with escapes takes a walk through the string.
    pub fn fields<'t>(&self, template: &'t Template) -> Vec<&'t Field> {
        const MOST: usize = 50;
        let mut fields = template.fields();
        if fields.len() > 1 {
            let mut names = HashSet::new();
            fields.retain(|field| names.insert(&field.name));
            fields.truncate(MOST);
        }
        fields
    }

    /// The name of a queue, topic or exchange, if it is one and has no placeholders.
    pub fn destination(&self, name: Option<NodeId>) -> Option<NodeRef<'a>> {
        let name = self.node(name?);
        (name.kind() == Kind::String && !name.has_braces() && !name.text().is_empty()).then_some(name)
    }

    /// The queues of the broker that steps send to, each once, where the first step names it.
    pub fn broker_queues(&self) -> Vec<(NodeRef<'a>, &'a Queue)> {
        let Some(topology) = self.topology else { return Vec::new() };
        let mut seen = HashSet::new();
        let named = self.recipe.steps().iter().filter_map(|step| self.destination(step.queue));
        let known = named.filter_map(|node| Some((node, topology.queue(&node.text())?)));
        known.filter(|(_, queue)| seen.insert(&queue.name.text)).collect()
    }

    /// Whether a string says how messages to a step are delivered: its queue, topic, exchange or delay. What becomes
    /// of placeholders there has rules of its own.
    pub fn is_delivery(&self, node: NodeRef<'_>) -> bool {
        let id = Some(node.id());
        let is_part = |step: &Step| [step.queue, step.topic, step.exchange, step.delay].contains(&id);
        self.step_around(node).is_some_and(is_part)
    }

    /// Whether a string is the delay of a step.
    pub fn is_delay(&self, node: NodeRef<'_>) -> bool {
        self.step_around(node).is_some_and(|step| step.delay == Some(node.id()))
    }

    /// The last step that begins before a node, which is the one that holds it if any does.
    fn step_around(&self, node: NodeRef<'_>) -> Option<&'a Step> {
        let steps = self.recipe.steps();
        let after = steps.partition_point(|step| step.value <= node.id());
        after.checked_sub(1).map(|at| &steps[at])
    }

    /// Whether the text is broken, so that what is not in the tree may still be in the file.
    pub fn is_broken(&self) -> bool {
        self.tree.is_broken()
    }

    /// Whether parts of the text had to be left out of the tree, so that what seems to be missing may be there.
    pub fn is_incomplete(&self) -> bool {
        let cuts = |kind| {
            use ProblemKind as P;
            matches!(kind, P::YamlSyntax(_) | P::SecondDocument | P::TooManyAliases | P::Truncated)
        };
        self.tree.problems().iter().any(|problem| cuts(problem.kind))
    }

    /// The plugin blocks that are written in this document.
    pub fn plugin_blocks(&self) -> Vec<Written<'a>> {
        site::written(self.tree, self.document.site())
    }

    /// The site that the document configures, if all that belongs to it is known: what is not in it is missing.
    pub fn whole_site(&self) -> Option<&'a Site> {
        self.document.site().filter(|site| !self.is_broken() && site.is_complete())
    }

    /// How to show a name in a message: without its quotes, unless the spelling shows what is wrong with it.
    pub fn show_name(&self, node: NodeRef<'_>) -> String {
        let text = node.text();
        let is_plain = !text.is_empty() && text.trim() == text && !text.contains(|c: char| c == '`' || c.is_control());
        match node.kind() {
            Kind::String if is_plain && text.chars().count() <= 60 => format!("`{text}`"),
            _ => self.show(node),
        }
    }

    /// How to name a node's content in a message: short scalars as written, anything else by what it is.
    pub fn show(&self, node: NodeRef<'_>) -> String {
        let raw = node.raw();
        match node.kind() {
            Kind::Array | Kind::Object if raw.len() > 20 || raw.contains('\n') => node.describe().to_owned(),
            Kind::Missing => node.describe().to_owned(),
            _ if raw.chars().count() > 60 => {
                let shown: String = raw.chars().take(57).collect();
                format!("`{shown}…`")
            }
            _ => format!("`{raw}`"),
        }
    }
}

/// A name as it is to be written in place of another: in quotes if that is, or if it needs them, and in its quotes.
pub fn respelled(written: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain);
    if is_plain && yaml::is_text(name) && !written.starts_with(['"', '\'']) {
        return name.to_owned();
    }
    if written.starts_with('\'') && !name.contains(|c: char| c == '\'' || c.is_control()) {
        return format!("'{name}'");
    }
    let mut quoted = String::new();
    write_string(&mut quoted, name);
    quoted
}

/// Adds to a finding by evidence what the others say, with their number, and offers to write that.
pub fn meant(diagnostic: Diagnostic, finding: &Finding, node: NodeRef<'_>, what: &str) -> Diagnostic {
    let name = finding.meant();
    let written = respelled(node.raw(), name);
    let help = format!("did you mean `{}`? {} {what} it{}", shortened(name), finding.counts(), finding.alternatives());
    diagnostic.help(help).unsafe_fix(format!("write `{}`", shortened(name)), node.span(), written)
}

/// A key as it is to be written in place of another: plain only in YAML, and there if the other is.
pub fn renamed(key: NodeRef<'_>, name: &str) -> String {
    let is_yaml = Notation::of(key.tree().source().name()) == Notation::Yaml;
    respelled(if is_yaml { key.raw() } else { "\"" }, name)
}

/// Strings of a recipe that go through substitution and have braces.
pub fn templates(recipe: &Recipe) -> Vec<TemplateUse> {
    let mut templates = Vec::new();
    let mut scan = |node: NodeRef<'_>| {
        for node in node.descendants() {
            if !node.has_braces() {
                continue;
            }
            let text = node.text();
            if has_braces(&text) && (recipe.shadowed().is_empty() || !recipe.is_dropped(node)) {
                templates.push(TemplateUse { node: node.id(), template: parse(&text) });
            }
        }
    };
    recipe.steps().iter().for_each(|step| scan(recipe.node(step.value)));
    if let Some(start) = recipe.start() {
        scan(recipe.node(start.value));
    }
    templates.sort_by_key(|used| used.node);
    templates
}
