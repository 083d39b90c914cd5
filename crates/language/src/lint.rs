//! What a rule is, what it sees, and the runner. Each rule is one file in `lint/rules/`.

mod commands;
mod context;
mod levels;
mod violations;

pub use self::context::{Context, meant, renamed, respelled, templates};
pub use self::levels::{Choice, Levels};
pub use self::violations::{StepViolation, seen_in};
pub use crate::diagnostic::nearest;
use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::document::DocumentKind;
use crate::guard::{Panic, guarded};
use crate::schema::Fault;
use crate::source::Span;
use crate::syntax::{ProblemKind, Tree};

/// Rules that compare a recipe with others: without the others, they report less or nothing.
pub const COMPARING: [&str; 13] = [
    "foreign-queue",
    "mismatched-channel",
    "misplaced-key",
    "omitted-parameter",
    "rare-channel",
    "rare-parameter",
    "rare-placeholder",
    "rare-queue",
    "rare-service",
    "rare-value",
    "unusual-braces",
    "unwired-channel",
    "wrong-queue",
];

/// A kind of finding.
#[derive(Debug)]
pub struct Rule {
    /// Its kebab-case name: file stem, fixture folder, documentation anchor, and the word that suppresses it.
    pub name: &'static str,
    /// The level of its findings, unless one says otherwise.
    pub level: Level,
    /// Its documentation in Markdown, with the sections *Why*, *Example* and *Instead*.
    pub documentation: &'static str,
    /// The kinds of documents that it is about.
    pub about: &'static [DocumentKind],
    check: fn(&Context<'_>, &mut Sink),
}

impl Rule {
    /// A finding of this rule.
    pub fn at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.name, self.level, span, message)
    }

    /// A finding of this rule that is a fault in the form of a file.
    pub fn of_fault(&self, fault: &Fault) -> Diagnostic {
        let diagnostic = self.at(fault.span, fault.message.clone());
        match &fault.help {
            Some(help) => diagnostic.help(help.clone()),
            None => match self.schema() {
                Some(schema) => diagnostic.help(format!("see `zrecipe schema {schema}` for the valid form")),
                None => diagnostic,
            },
        }
    }

    /// The published schema of the documents that the rule is about.
    fn schema(&self) -> Option<&'static str> {
        match self.about {
            [kind @ (DocumentKind::Contract | DocumentKind::Broker | DocumentKind::Settings), ..] => Some(kind.name()),
            _ => None,
        }
    }

    /// What it finds, in a line of at most 70 characters.
    pub fn summary(&self) -> &'static str {
        self.documentation.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// Why there is this rule: the first paragraph of that section.
    pub fn why(&self) -> String {
        let lines = self.documentation.lines().map(str::trim).skip_while(|line| *line != "# Why").skip(1);
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Its documentation as Markdown for people: what tests need to know of an example is said in words.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let mut in_code = false;
        for line in self.documentation.lines() {
            // What follows `///` begins with a space.
            let line = line.strip_prefix(' ').unwrap_or(line);
            match line.strip_prefix("```") {
                Some(head) if !in_code => {
                    in_code = true;
                    let (circumstances, notation) = example_head(head);
                    if !circumstances.is_empty() {
                        out.push_str(&format!("{circumstances}\n\n"));
                    }
                    out.push_str(&format!("```{notation}\n"));
                }
                found => {
                    in_code &= found.is_none();
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
        out
    }
}

/// The head of an example in the documentation of a rule: its circumstances in words, and its notation.
fn example_head(head: &str) -> (String, &str) {
    let (notation, rest) = head.split_once(' ').unwrap_or((head, ""));
    match notation {
        "contract" => return ("A contract:".to_owned(), "json"),
        "broker" => return ("The broker configuration:".to_owned(), "yaml"),
        "file" => return (format!("`{rest}`:"), if rest.ends_with(".json") { "json" } else { "yaml" }),
        _ => {}
    }
    let list = |names: &str| format!("`{}`", names.split(',').collect::<Vec<_>>().join("`, `"));
    let mut circumstances = Vec::new();
    let mut words = rest.split(' ');
    while let Some(word) = words.next() {
        match word.split_once('=') {
            _ if word == "with" => {
                let given: Vec<String> = words.by_ref().map(|pair| pair.replacen(":=", "=", 1)).collect();
                circumstances.push(format!("Parameters: `{}`.", given.join("`, `")));
            }
            Some(("recipes", names)) => circumstances.push(format!("Recipes of the site: {}.", list(names))),
            Some(("used", names)) => circumstances.push(format!("Recipes use the parameters {}.", list(names))),
            Some(("missing", path)) => circumstances.push(format!("The file `{path}` does not exist.")),
            _ if word.starts_with("beside-") => break,
            _ => {}
        }
    }
    (circumstances.join(" "), notation)
}

/// The rules for which a recipe is refused: what the dispatcher asks, which has no time for the others.
pub static REFUSING: &[&Rule] = &[
    &rules::attribute_placeholder::RULE,
    &rules::colliding_key::RULE,
    &rules::cycle::RULE,
    &rules::empty_start::RULE,
    &rules::error_to_start::RULE,
    &rules::foreign_braces::RULE,
    &rules::internal::RULE,
    &rules::invalid_utf8::RULE,
    &rules::malformed_delay::RULE,
    &rules::malformed_error::RULE,
    &rules::malformed_link::RULE,
    &rules::malformed_placeholder::RULE,
    &rules::malformed_start::RULE,
    &rules::malformed_step::RULE,
    &rules::malformed_yaml::RULE,
    &rules::missing_start::RULE,
    &rules::non_numeric_step::RULE,
    &rules::not_a_recipe::RULE,
    &rules::oversized_integer::RULE,
    &rules::partial_replace::RULE,
    &rules::rejected_placeholder::RULE,
    &rules::scalar_error::RULE,
    &rules::self_referencing_start::RULE,
    &rules::syntax_error::RULE,
    &rules::too_deep::RULE,
    &rules::unknown_step::RULE,
    &rules::unreferenced_step::RULE,
    &rules::unresolved_destination::RULE,
];

/// The rules about how parts of a recipe belong together. Behind a bracket that is not closed they report what follows
/// from that.
static STRUCTURAL: &[&Rule] = &[
    &rules::copied_step::RULE,
    &rules::cycle::RULE,
    &rules::duplicate_key::RULE,
    &rules::malformed_delay::RULE,
    &rules::malformed_destination::RULE,
    &rules::malformed_error::RULE,
    &rules::malformed_link::RULE,
    &rules::malformed_parameters::RULE,
    &rules::malformed_start::RULE,
    &rules::malformed_step::RULE,
    &rules::misplaced_key::RULE,
    &rules::missing_destination::RULE,
    &rules::missing_parameter::RULE,
    &rules::misspelt_key::RULE,
    &rules::non_numeric_step::RULE,
    &rules::omitted_parameter::RULE,
    &rules::parameter_type::RULE,
    &rules::two_destinations::RULE,
    &rules::unfollowed_error::RULE,
    &rules::unknown_channel::RULE,
    &rules::unknown_parameter::RULE,
    &rules::unknown_step::RULE,
    &rules::unreferenced_step::RULE,
    &rules::unwired_channel::RULE,
];

/// Leaves out findings that follow from a bracket that is not closed.
pub fn without_followers(tree: &Tree, found: &mut Vec<Diagnostic>) {
    let unclosed = tree
        .problems()
        .iter()
        .filter(|problem| matches!(problem.kind, ProblemKind::Unclosed | ProblemKind::WrongBracket));
    let opened = unclosed.filter_map(|problem| problem.related).map(|opened| opened.start).min();
    let Some(opened) = opened else { return };
    let follows = |found: &Diagnostic| {
        found.primary.span.start >= opened && STRUCTURAL.iter().any(|rule| rule.name == found.rule)
    };
    found.retain(|found| !follows(found));
}

/// Runs rules over a document.
pub fn run<'r>(rules: impl IntoIterator<Item = &'r &'static Rule>, context: &Context<'_>, sink: &mut Sink) {
    let kind = context.document.kind();
    for rule in rules.into_iter().filter(|rule| rule.about.contains(&kind)) {
        if let Err(panic) = guarded(|| (rule.check)(context, sink)) {
            sink.report(rules::internal::in_rule(rule.name, &panic));
        }
    }
}

/// What the names of a site's own rules begin with, so that no rule of zrecipe has the same.
pub const SITE_PREFIX: &str = "site/";

/// The finding for a file of which the check, or the report, panicked.
pub fn internal(panic: &Panic) -> Diagnostic {
    rules::internal::in_check(panic)
}

/// The finding for a file of a checked directory that cannot be read.
pub fn unreadable(reason: &str) -> Diagnostic {
    rules::missing_file::unreadable(reason)
}

/// The JSON Schema of `zrecipe.toml`.
pub const SETTINGS_SCHEMA: &str = include_str!("../../../schemas/settings.schema.json");

/// The rule of this name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name).copied()
}

/// Declares the rule of a file: documentation, name, level and check in one place. A rule is about recipes, unless
/// it says `about [Site, Broker]` or `about any`.
macro_rules! declare_rule {
    ($(#[doc = $documentation:literal])+ $name:literal, $level:ident) => {
        declare_rule! { $(#[doc = $documentation])+ $name, $level, about [Recipe] }
    };
    ($(#[doc = $documentation:literal])+ $name:literal, $level:ident, about any) => {
        declare_rule! { $(#[doc = $documentation])+ $name, $level, = &$crate::document::DocumentKind::ALL }
    };
    ($(#[doc = $documentation:literal])+ $name:literal, $level:ident, about [$($kind:ident),+]) => {
        declare_rule! { $(#[doc = $documentation])+ $name, $level, = &[$($crate::document::DocumentKind::$kind),+] }
    };
    ($(#[doc = $documentation:literal])+ $name:literal, $level:ident, = $about:expr) => {
        /// The rule of this file.
        pub static RULE: $crate::lint::Rule = $crate::lint::Rule {
            name: $name,
            level: $crate::diagnostic::Level::$level,
            documentation: concat!($($documentation, "\n"),+),
            about: $about,
            check,
        };
    };
}

/// Declares the modules of `lint/rules/` and the list of their rules.
macro_rules! rules {
    ($($module:ident),+ $(,)?) => {
        /// One rule a file.
        pub mod rules {
            $(#[allow(missing_docs, reason = "the file's own first line says it")] pub mod $module;)+
        }

        /// Every rule there is, in alphabetical order.
        pub static RULES: &[&Rule] = &[$(&rules::$module::RULE),+];
    };
}

rules! {
    absent_setting,
    alias_cycle,
    ambiguous_contract,
    ambiguous_policy,
    ambiguous_replace,
    ambiguous_scalar,
    attribute_placeholder,
    byte_order_mark,
    colliding_key,
    conflicting_uses,
    copied_step,
    cycle,
    default_exchange_binding,
    delayed_exchange,
    delayed_topic,
    deprecated_parameter,
    deprecated_plugin,
    duplicate_declaration,
    duplicate_key,
    duplicate_step,
    empty_policy,
    empty_start,
    endless_include,
    error_to_start,
    exposed_secret,
    foreign_braces,
    foreign_queue,
    incomplete_environment,
    internal,
    invalid_utf8,
    limited_dead_letters,
    lone_surrogate,
    lossy_queue,
    malformed_contract,
    malformed_delay,
    malformed_destination,
    malformed_error,
    malformed_hosts,
    malformed_link,
    malformed_parameters,
    malformed_pattern,
    malformed_placeholder,
    malformed_plugin,
    malformed_request,
    malformed_settings,
    malformed_site,
    malformed_start,
    malformed_step,
    malformed_topology,
    malformed_user,
    malformed_yaml,
    mismatched_channel,
    mismatched_payload,
    misplaced_key,
    missing_dead_letter_queue,
    missing_destination,
    missing_file,
    missing_parameter,
    missing_recipe_directory,
    missing_start,
    misspelt_key,
    misspelt_variable,
    non_finite_number,
    non_numeric_step,
    not_a_recipe,
    number_as_text,
    omitted_parameter,
    oversized_integer,
    parameter_in_command,
    parameter_type,
    partial_replace,
    queue_without_dead_letters,
    rare_channel,
    rare_parameter,
    rare_placeholder,
    rare_queue,
    rare_service,
    rare_value,
    refused_name,
    rejected_placeholder,
    repeated_link,
    scalar_error,
    self_referencing_start,
    shadowed_block,
    shell_operator,
    syntax_error,
    too_deep,
    transient_exchange,
    two_destinations,
    unbound_queue,
    unconnected_failure,
    undeclared_exchange,
    undeclared_queue,
    undeclared_vhost,
    undefined_block,
    undefined_environment,
    undefined_logging_part,
    undefined_placeholder,
    undefined_replace,
    unfollowed_error,
    unknown_channel,
    unknown_parameter,
    unknown_plugin,
    unknown_recipe,
    unknown_setting,
    unknown_step,
    unknown_transport,
    unmatched_policy,
    unquoted_placeholder,
    unread_setting,
    unreferenced_step,
    unresolved_destination,
    unstored_variable,
    unsupported_setting,
    unusable_setting,
    unused_block,
    unused_logging_part,
    unused_parameter,
    unused_suppression,
    unusual_braces,
    unusual_step_number,
    unwired_channel,
    value_as_text,
    wrong_queue,
}
