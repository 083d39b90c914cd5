//! What changes in the signature of a recipe: parameters that are added, removed or narrowed.

use super::{Affected, Change, Side, Sign, Subject};
use crate::infer::{Need, Parameter, Type};
use crate::source::Span;

/// Whether a parameter must be given, in words.
fn need_of(parameter: &Parameter) -> &'static str {
    match parameter.need {
        Need::Required => "must be given",
        Need::Expected => "should be given",
        Need::Optional => "need not be given",
    }
}

/// Adds the changes of the signature.
pub(super) fn compare(old: Side<'_>, new: Side<'_>, changes: &mut Vec<Change>) {
    let (before, after) = (old.signature(), new.signature());
    // Every request has it.
    let given = |parameter: &&Parameter| parameter.name != "guid";
    for parameter in before.iter().filter(given) {
        if !after.iter().any(|other| other.name == parameter.name) {
            let text = format!("parameter `{}` ({}) is removed", parameter.name, parameter.meets);
            let at = place(parameter, old);
            changes.push(Change::new(Sign::Removed, Subject::Parameter, &*parameter.name, text).at(at, None));
        }
    }
    for parameter in after.iter().filter(given) {
        match before.iter().find(|other| other.name == parameter.name) {
            None => changes.push(added(parameter, new)),
            Some(earlier) => changes.extend(changed(earlier, parameter, old, new)),
        }
    }
}

fn added(parameter: &Parameter, side: Side<'_>) -> Change {
    let name = &parameter.name;
    let text = format!("parameter `{name}` ({}, {}) is added", parameter.meets, need_of(parameter));
    let change = Change::new(Sign::Added, Subject::Parameter, &**name, text).at(None, place(parameter, side));
    match parameter.need {
        Need::Optional => change,
        _ => change.breaking(Affected::Callers, without(parameter)),
    }
}

/// What happens to a request without a parameter.
fn without(parameter: &Parameter) -> String {
    let name = &parameter.name;
    match parameter.need {
        Need::Required => format!("a request without `{name}` fails"),
        _ if parameter.uses.iter().any(|used| used.is_replace) => format!("without it, `{name}` becomes null"),
        _ => format!("without it, `{{{name}}}` stays as text"),
    }
}

fn changed(earlier: &Parameter, parameter: &Parameter, old: Side<'_>, new: Side<'_>) -> Option<Change> {
    let name = &parameter.name;
    let is_needed =
        parameter.need > earlier.need && earlier.need == Need::Optional || is_refused_now(earlier, parameter);
    let is_other_type = earlier.meets != parameter.meets;
    if !is_needed && !is_other_type && earlier.need == parameter.need {
        return None;
    }
    let mut words = Vec::new();
    if is_other_type && earlier.meets.to_string() != parameter.meets.to_string() {
        words.push(format!("{} → {}", earlier.meets, parameter.meets));
    } else if is_other_type {
        words.push(format!("the values of {} change", parameter.meets));
    }
    if need_of(earlier) != need_of(parameter) {
        words.push(format!("{} → {}", need_of(earlier), need_of(parameter)));
    }
    let text = format!("parameter `{name}`: {}", words.join(", "));
    let at = (place(earlier, old), place(parameter, new));
    let mut change = Change::new(Sign::Changed, Subject::Parameter, &**name, text).at(at.0, at.1);
    if is_needed {
        change = change.breaking(Affected::Callers, without(parameter));
    }
    if is_narrowed(&earlier.meets, &parameter.meets) {
        let why = format!("values that were taken as {} are not all {}", earlier.meets, parameter.meets);
        change = change.breaking(Affected::Callers, why);
    }
    Some(change)
}

/// Whether requests without the parameter passed and fail now.
fn is_refused_now(earlier: &Parameter, parameter: &Parameter) -> bool {
    parameter.need == Need::Required && earlier.need != Need::Required
}

/// Whether a type takes fewer values than an earlier one.
pub(super) fn is_narrowed(earlier: &Type, later: &Type) -> bool {
    let met = later.meet(earlier);
    met != *earlier && earlier.meet(later) != *earlier
}

fn place(parameter: &Parameter, side: Side<'_>) -> Option<Span> {
    parameter.uses.first().map(|used| used.span(&side.reading.recipe))
}
