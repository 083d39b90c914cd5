//! Names of parameters and placeholders.

use super::{About, Comparison, LONG, MOST_LACKING, OFTEN, Others, Reason, SURE, placeholder_in};
use crate::evidence::facts::{Form, Key, Parameter, key};
use crate::evidence::near::{is_near, is_plural};
use crate::evidence::set::{Group, Table};

impl Comparison<'_> {
    pub(super) fn compare_placeholders(&mut self) {
        let facts = self.facts;
        for (index, placeholder) in facts.placeholders.iter().enumerate() {
            let Some(others) = self.others(Table::Placeholders, [0; 3], placeholder.name) else { continue };
            let at = facts.parameters.partition_point(|parameter| parameter.node < placeholder.node);
            let parameter = facts.parameters.get(at).filter(|parameter| parameter.node == placeholder.node);
            // A parameter that has the name of what is put into it is meant so.
            if parameter.is_some_and(|parameter| parameter.name == placeholder.name) {
                continue;
            }
            let beside =
                |name: Key| facts.placeholders.iter().any(|other| other.node == placeholder.node && other.name == name);
            let name = self.text(placeholder.name);
            let near = self.near(placeholder.name, others, |other, text| !beside(other) && !is_plural(name, text));
            let by_parameter = || {
                let parameter = parameter.filter(|parameter| parameter.form == Form::Placeholder)?;
                // What the same parameter is elsewhere, or the name of the parameter itself.
                let values = self.group(Table::AnyValues, [parameter.name, 0, 0]);
                let elsewhere = values.into_iter().flat_map(Group::iter).filter_map(|(value, count)| {
                    let other = placeholder_in(self.text(value))?;
                    (count > 0 && is_near(name, other) && !is_plural(name, other)).then_some((key(other), count))
                });
                let own = self.text(parameter.name);
                let is_own = own.chars().count() >= LONG && is_near(name, own) && !is_plural(name, own);
                elsewhere.max_by_key(|&(name, count)| (count, name)).or(is_own.then_some((parameter.name, 0)))
            };
            if let Some(best) = near.or_else(by_parameter) {
                self.told.insert(placeholder.node.index());
                self.report(About::Placeholder(index), Reason::Near, best, others);
            }
        }
    }

    pub(super) fn compare_parameters(&mut self) {
        let facts = self.facts;
        for (index, parameter) in facts.parameters.iter().enumerate() {
            let step = facts.steps[parameter.step as usize];
            if step.id == 0 {
                continue;
            }
            let Some(others) = self.others(Table::Parameters, [step.kind, 0, 0], parameter.name) else { continue };
            let has = |name: Key| facts.parameters_of(parameter.step).iter().any(|other| other.name == name);
            if let Some(best) = self.near(parameter.name, others, |name, _| !has(name)) {
                self.meant.insert((parameter.step, best.0));
                self.report(About::Parameter(index), Reason::Near, best, others);
                continue;
            }
            // One other step is enough if it gives the same value under the other name.
            let gives_it = |name: Key| {
                let values = self.group(Table::Values, [step.kind, name, 0]);
                parameter.value != 0 && values.is_some_and(|values| values.count(parameter.value) > 0)
            };
            if let Some(best) = self.near_of(parameter.name, others, 1, |name, _| !has(name) && gives_it(name)) {
                self.meant.insert((parameter.step, best.0));
                self.report(About::Parameter(index), Reason::Near, best, others);
                continue;
            }
            // The value that the others give under a name that this step does not have.
            let is_distinct = match parameter.form {
                Form::Placeholder | Form::Template => true,
                Form::Text => self.text(parameter.value).chars().count() > 3,
                Form::Other | Form::Whole => false,
            };
            let gives = |name: Key| {
                let values = self.group(Table::Values, [step.kind, name, 0]);
                values.is_some_and(|values| values.count(parameter.value) * 2 >= values.total().max(2))
            };
            let frequent = others.frequent(OFTEN);
            let mut same = frequent.filter(|&(name, _)| is_distinct && !has(name) && gives(name));
            if let (Some(best), None) = (same.next(), same.next()) {
                self.meant.insert((parameter.step, best.0));
                self.report(About::Parameter(index), Reason::SameValue, best, others);
            }
        }
    }

    pub(super) fn find_misplaced(&mut self) {
        let facts = self.facts;
        for (index, own) in facts.own_keys.iter().enumerate() {
            let kind = facts.steps[own.step as usize].kind;
            let Some(parameters) = (kind != 0).then(|| self.group(Table::Parameters, [kind, 0, 0])).flatten() else {
                continue;
            };
            let count = parameters.count(own.name);
            let has = facts.parameters_of(own.step).iter().any(|parameter| parameter.name == own.name);
            let as_key = self.group(Table::OwnKeys, [kind, 0, 0]).map_or(0, |group| group.count(own.name));
            if count == 0 || has || as_key > self.own(Table::OwnKeys, [kind, 0, 0], own.name) {
                continue;
            }
            self.meant.insert((own.step, own.name));
            let others = Others::alike(count);
            self.report(About::Misplaced(index), Reason::OtherKind, (own.name, count), others);
        }
    }

    pub(super) fn find_omitted(&mut self) {
        let facts = self.facts;
        for (at, step) in facts.steps.iter().enumerate() {
            let at = at as u32;
            let own = facts.parameters_of(at);
            let Some(names) = (step.id != 0).then(|| self.group(Table::Parameters, [step.kind, 0, 0])).flatten() else {
                continue;
            };
            let others = self.group(Table::Steps, [0; 3]).map_or(0, |group| group.count(step.kind)).saturating_sub(1);
            let fed = self.group(Table::Fed, [step.feed, 0, 0]).filter(|_| step.feed != 0);
            let fed = fed.map_or(0, |group| group.count(step.kind)).saturating_sub(1);
            let of_fed = self.group(Table::FedParameters, [step.feed, step.kind, 0]);
            let has = |name: Key| own.iter().any(|parameter| parameter.name == name);
            // A step with a text that no other has, the name of a command for example, is of another kind.
            let is_other = |parameter: &Parameter| {
                let values = self.group(Table::Values, [step.kind, parameter.name, 0]);
                let is_shared = values.is_some_and(|values| values.total() > values.count(parameter.value) + 1);
                let only = values.is_some_and(|values| values.count(parameter.value) <= 1);
                parameter.form == Form::Text && is_shared && only
            };
            if own.iter().any(is_other) {
                continue;
            }
            let lacks = |name: Key, count: usize| {
                let all = others > SURE && count >= others;
                let all_fed = fed >= SURE && of_fed.is_some_and(|group| group.count(name) >= fed);
                (all || all_fed) && !has(name)
            };
            let mut lacking: Vec<(Key, usize)> = names.iter().filter(|&(name, count)| lacks(name, count)).collect();
            lacking.retain(|&(name, _)| !self.meant.contains(&(at, name)));
            if lacking.is_empty() || lacking.len() > MOST_LACKING || own.is_empty() {
                continue;
            }
            lacking.sort_by(|a, b| self.text(a.0).cmp(self.text(b.0)));
            for best in lacking {
                let all = best.1 >= others;
                let (reason, of) = if all { (Reason::Agreement, others) } else { (Reason::AgreementOfFed, fed) };
                let best = (best.0, of);
                self.report(About::Omitted(at), reason, best, Others::alike(of));
            }
        }
    }
}
