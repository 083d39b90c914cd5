//! Types of recipe parameters, from where their placeholders stand: the *signature* of a recipe.
//!
//! A type says which values may stand there without making the substitution fail, or a step's service refuse its
//! parameters. It is a set of kinds with what must be in them; all uses of a parameter meet in one type, and where
//! nothing is left the uses contradict each other.

mod misfit;
mod place;
mod types;
mod words;

use std::collections::BTreeMap;

use crate::contract::{Contracts, Part};
use crate::recipe::Recipe;
use crate::schema::{Schema, SchemaValue};
use crate::source::Span;
use crate::syntax::{Kind, Member, NodeId, NodeRef};
use crate::template::{Field, Piece, Template, TemplateUse};

pub use misfit::{Misfit, misfit, partial_misfit};
use place::{Asked, Place};
pub use types::{Reading, Type};

/// Whether a parameter must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing is wrong without it: `guid`, which is always given, `${HOME}`, `{payload}`.
    Optional,
    /// Without it a placeholder stays as text, or becomes null.
    Expected,
    /// Without it the request is rejected, a message is lost, or a service refuses its parameters.
    Required,
}

/// One place where a parameter is used.
#[derive(Debug, Clone)]
pub struct Use {
    /// The string.
    pub node: NodeId,
    /// The placeholder in its template.
    pub field: Field,
    /// Whether the value itself is put in, and not text.
    pub is_replace: bool,
    /// The step it is in; none in `start`.
    pub step: Option<usize>,
    /// Whether it is needed here.
    pub need: Need,
    /// What the parameter must be for this place.
    pub expects: Type,
    /// Whether anything else is surely wrong, and not only unusual.
    pub certain: bool,
    /// Whether anything else makes the substitution fail.
    pub fails: bool,
    /// What the recipe does with it here: a clause.
    pub reason: String,
    /// Whether the contract that asks for it is only advice.
    pub by_advice: bool,
    /// Why nothing that comes of the string suits this place, whatever the parameter is.
    pub never: Option<Never>,
}

/// Why what comes of a string with placeholders never suits its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Never {
    /// It is text, and no text suits; what does: a clause.
    Text(String),
    /// The text beside the placeholders does not suit; what does: a clause.
    Beside(String),
}

impl Use {
    /// Where the placeholder is. To find it in a long string with escapes takes a walk through the string.
    pub fn span(&self, recipe: &Recipe) -> Span {
        recipe.node(self.node).text_span(self.field.span.clone())
    }
}

/// A parameter of a recipe.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub meets: Type,
    /// Whether it must be given.
    pub need: Need,
    /// Its uses, in the order of the text.
    pub uses: Vec<Use>,
    /// Two uses that contradict each other: the later one, and the earlier.
    pub conflict: Option<(usize, usize)>,
    /// What the contract of a service says about the place it goes to.
    pub description: Option<String>,
}

/// Names that services fill in themselves: the bodies of mails.
const LATER: [&str; 2] = ["payload", "pprint_payload"];

/// The names of all parameters that templates use.
pub fn names(templates: &[TemplateUse]) -> impl Iterator<Item = &str> {
    let templates = templates.iter().filter_map(|used| used.template.as_ref().ok());
    templates.flat_map(Template::fields).map(|field| field.name.as_str())
}

/// Words that the author of a string with a placeholder that is none may have meant as the name of a parameter.
pub fn meant(recipe: &Recipe, templates: &[TemplateUse]) -> impl Iterator<Item = String> {
    let broken = templates.iter().filter(|used| used.template.is_err());
    let spaced = names(templates).map(str::trim).map(str::to_owned);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    spaced.chain(broken.flat_map(move |used| {
        let text = recipe.node(used.node).text();
        text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    }))
}

/// The signature of a recipe: its parameters in the order of the alphabet.
pub fn infer(recipe: &Recipe, templates: &[TemplateUse], contracts: &Contracts) -> Vec<Parameter> {
    of_uses(recipe, templates, &Asked::new(contracts, recipe))
}

/// The same with only those uses of parameters that ask for something: the others, which take any text, are most of
/// them.
pub fn demands(recipe: &Recipe, templates: &[TemplateUse], contracts: &Contracts) -> Vec<Parameter> {
    let asked = Asked::new(contracts, recipe);
    let parts = demanding(recipe, &asked);
    let is_in_one = |node: NodeId| {
        let after = parts.partition_point(|&part| part <= node);
        after.checked_sub(1).is_some_and(|last| recipe.node(parts[last]).holds(node))
    };
    let asks = |field: &Field| !field.path.is_empty() || !field.spec.is_empty();
    of_uses(
        recipe,
        templates.iter().filter(|used| {
            let in_form = used.template.as_ref().is_ok_and(|template| template.replace || template.any_field(asks));
            in_form || is_in_one(used.node)
        }),
        &asked,
    )
}

/// The parts of the steps where their contracts may ask for more than text, in the order of the document.
fn demanding(recipe: &Recipe, asked: &Asked<'_>) -> Vec<NodeId> {
    let mut found = Vec::new();
    for (index, step) in recipe.steps().iter().enumerate() {
        let under = asked.under(recipe, index);
        for part in Part::ALL {
            let value = match part {
                Part::Parameters => step.parameters,
                Part::JobParameters => step.job_parameters,
            };
            let (Some(contract), Some(value)) = (under.of(part), value) else { continue };
            let may_have_braces = |node: NodeRef<'_>| match node.kind() {
                Kind::Array | Kind::Object => !node.is_empty(),
                _ => node.has_braces(),
            };
            let values = recipe.node(value).members().filter(|member| may_have_braces(member.value));
            if !contract.variants.is_empty() || contract.nested(part).next().is_some() {
                found.extend(values.map(|member| member.value.id()));
                continue;
            }
            let Some(schema) = contract.schema(part) else { continue };
            let asks =
                |member: &Member<'_>| !takes_text(schema, &member.key.text(), member.value.kind() == Kind::String);
            found.extend(values.filter(asks).map(|member| member.value.id()));
        }
    }
    found.sort_unstable();
    found
}

/// Whether it is plain to see that a schema takes any text as the value of a key, or, if that is no text itself,
/// anywhere in it.
fn takes_text(schema: &Schema, key: &str, is_text: bool) -> bool {
    const SILENT: [&str; 8] =
        ["type", "title", "description", "default", "examples", "deprecated", "x-evidence", "x-from"];
    const OF_OBJECTS: [&str; 4] = ["properties", "required", "additionalProperties", "$schema"];
    let Some(root) = schema.root().as_object() else { return false };
    let is_plain = |known: &str| SILENT.contains(&known) || OF_OBJECTS.contains(&known);
    let named = root.get("properties").and_then(|properties| properties.get(key));
    let says_text = |kind: &SchemaValue| kind.as_str() == Some("string");
    let holds_text = |kinds: &SchemaValue| kinds.as_array().is_some_and(|kinds| kinds.iter().any(says_text));
    root.keys().all(|known| is_plain(known))
        && match named.map(SchemaValue::as_object) {
            None => root.get("additionalProperties").is_none_or(SchemaValue::is_boolean),
            Some(Some(named)) => {
                let kinds = named.get("type");
                named.keys().all(|known| SILENT.contains(&known.as_str()))
                    && (!is_text || kinds.is_none_or(|kinds| says_text(kinds) || holds_text(kinds)))
            }
            Some(None) => false,
        }
}

fn of_uses<'u, 'r>(
    recipe: &'r Recipe,
    templates: impl IntoIterator<Item = &'u TemplateUse>,
    asked: &Asked<'r>,
) -> Vec<Parameter> {
    let mut parameters: BTreeMap<&str, Parameter> = BTreeMap::new();
    for used in templates {
        let Ok(template) = &used.template else { continue };
        let node = recipe.node(used.node);
        let place = Place::find(recipe, asked, node);
        let text = node.text();
        for (field, in_spec) in fields(template) {
            let found = place.use_of(recipe, node, &text, template, field, in_spec);
            let parameter = parameters.entry(&field.name).or_insert_with(|| Parameter {
                name: field.name.clone(),
                meets: Type::any(),
                need: Need::Optional,
                uses: Vec::new(),
                conflict: None,
                description: None,
            });
            if parameter.description.is_none() && template.whole().is_some() {
                parameter.description = place.description();
            }
            parameter.uses.push(found);
        }
    }
    let mut parameters: Vec<Parameter> = parameters.into_values().collect();
    parameters.iter_mut().for_each(settle);
    parameters
}

/// Makes one type of all uses.
fn settle(parameter: &mut Parameter) {
    parameter.need = parameter.uses.iter().map(|used| used.need).max().unwrap_or(Need::Optional);
    for (index, used) in parameter.uses.iter().enumerate().filter(|(_, used)| used.certain) {
        let met = parameter.meets.meet(&used.expects);
        if !met.is_empty() {
            parameter.meets = met;
            continue;
        }
        if parameter.conflict.is_none() && !used.expects.is_empty() {
            let certain = parameter.uses[..index].iter().enumerate().filter(|(_, earlier)| earlier.certain);
            let mut against = certain.clone().filter(|(_, earlier)| earlier.expects.meet(&used.expects).is_empty());
            let earlier = against.next().or_else(|| certain.clone().next_back()).map(|(earlier, _)| earlier);
            parameter.conflict = earlier.map(|earlier| (index, earlier));
        }
    }
    for used in parameter.uses.iter().filter(|used| !used.certain || used.expects.is_empty()) {
        let met = parameter.meets.meet(&used.expects);
        // To stand as text for something else is unusual; what cannot be formatted at all is rejected.
        if !met.is_empty() || used.fails {
            parameter.meets = met;
        }
    }
}

/// All placeholders, and whether they stand in a format specification.
fn fields(template: &Template) -> Vec<(&Field, bool)> {
    fn collect<'t>(pieces: &'t [Piece], in_spec: bool, fields: &mut Vec<(&'t Field, bool)>) {
        for piece in pieces {
            if let Piece::Field(field) = piece {
                fields.push((field, in_spec));
                collect(&field.spec, true, fields);
            }
        }
    }
    let mut fields = Vec::new();
    collect(&template.pieces, false, &mut fields);
    fields
}
