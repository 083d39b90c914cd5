//! Values of parameters.

use std::collections::HashSet;

use super::{About, Comparison, OFTEN, Others, Reason, SURE, agree, placeholder_in};
use crate::evidence::facts::{Form, Key, Shape, is_name, key};
use crate::evidence::set::Table;

impl<'a> Comparison<'a> {
    pub(super) fn compare_values(&mut self) {
        let facts = self.facts;
        let mut exchanged = HashSet::new();
        for (index, parameter) in facts.parameters.iter().enumerate() {
            let step = facts.steps[parameter.step as usize];
            let is_told = self.told.contains(&parameter.node.index()) || exchanged.contains(&index);
            if step.id == 0 || is_told || self.compare_shape(index) || parameter.value == 0 {
                continue;
            }
            if let Some(partner) = self.exchanged(index) {
                exchanged.extend([index, partner]);
                let others = Others::alike(self.values_of(index).map_or(0, |values| values.of));
                let best = self.values_of(index).and_then(|values| self.most_frequent(values.frequent(1)));
                if let Some(best) = best {
                    self.report(About::ExchangedValues(index, partner), Reason::Agreement, best, others);
                }
                continue;
            }
            self.compare_value(index);
        }
    }

    /// What others give as the value of a parameter, if nobody gives this one.
    fn values_of(&self, index: usize) -> Option<Others<'a>> {
        let parameter = &self.facts.parameters[index];
        let step = &self.facts.steps[parameter.step as usize];
        self.others(Table::Values, [step.kind, parameter.name, 0], parameter.value)
    }

    /// What nearly all others give as the value of a parameter, if nobody gives this one.
    fn usual_value_of(&self, index: usize) -> Option<Key> {
        let parameter = &self.facts.parameters[index];
        let step = &self.facts.steps[parameter.step as usize];
        let values = self.group(Table::Values, [step.kind, parameter.name, 0])?;
        // Numbers and titles differ from recipe to recipe: nothing of this recipe has to be counted to see that.
        if !agree(values.max(), values.total() - values.count(parameter.value)) {
            return None;
        }
        Some(self.values_of(index)?.agreed(OFTEN)?.0)
    }

    /// The parameter of the same step that has the value of this one, and whose value this one has, as the others say.
    fn exchanged(&self, index: usize) -> Option<usize> {
        let facts = self.facts;
        let parameter = &facts.parameters[index];
        let usual = self.usual_value_of(index)?;
        let first = facts.parameters.partition_point(|other| other.step < parameter.step);
        let own = facts.parameters_of(parameter.step).iter().enumerate();
        let mut partners = own
            .map(|(at, other)| (first + at, other))
            .filter(|(at, other)| *at > index && other.value == usual && other.value != 0);
        partners.find(|&(at, _)| self.usual_value_of(at) == Some(parameter.value)).map(|(at, _)| at)
    }

    /// Compares the type of a value; whether there is a finding. Text may be a number, a flag or a list in another
    /// notation, and one thing may stand for a list of it: these are left alone.
    fn compare_shape(&mut self, index: usize) -> bool {
        let facts = self.facts;
        let parameter = facts.parameters[index];
        let step = facts.steps[parameter.step as usize];
        let Some(shape) = parameter.shape else { return false };
        let Some(others) = self.others(Table::Shapes, [step.kind, parameter.name, 0], shape.key()) else {
            return false;
        };
        let Some(best) = others.agreed(SURE) else { return false };
        let Some(usual) = Shape::behind(best.0) else { return false };
        let is_wrong = match (shape, usual) {
            (Shape::Object, _) | (_, Shape::Object) => shape != usual,
            (Shape::List, Shape::Number | Shape::Boolean) => true,
            (Shape::Text, Shape::Number) => {
                let text = self.text(parameter.value);
                parameter.form == Form::Text && !text.contains(|c: char| c.is_ascii_digit()) && !text.is_empty()
            }
            _ => false,
        };
        if is_wrong {
            self.report(About::Shape(index, usual), Reason::Agreement, best, others);
        }
        is_wrong
    }

    fn compare_value(&mut self, index: usize) {
        let facts = self.facts;
        let parameter = facts.parameters[index];
        let step = facts.steps[parameter.step as usize];
        if parameter.form == Form::Other {
            return;
        }
        if let Some(others) = self.few_others(Table::Values, [step.kind, parameter.name, 0], parameter.value) {
            let own = self.text(parameter.value);
            let is_same = |&(name, _): &(Key, usize)| differs_in_braces(own, self.text(name));
            if let Some(best) = self.most_frequent(others.frequent(1).filter(is_same)) {
                return self.report(About::Value(index), Reason::Braces, best, others);
            }
            let is_word = |text: &str| !text.contains(|c: char| c.is_whitespace() || "/{}".contains(c));
            if parameter.form == Form::Text
                && is_word(own)
                && let Some(best) = self.near(parameter.value, others, |_, other| is_word(other))
            {
                return self.report(About::Value(index), Reason::Near, best, others);
            }
        }
        // The same parameter of other steps, which has the same text with braces.
        if parameter.form != Form::Placeholder
            && let Some(others) = self.few_others(Table::AnyValues, [parameter.name, 0, 0], parameter.value)
        {
            let own = self.text(parameter.value);
            let is_same = |&(name, _): &(Key, usize)| differs_in_braces(own, self.text(name));
            if let Some(best) = self.most_frequent(others.frequent(1).filter(is_same)) {
                return self.report(About::Value(index), Reason::Braces, best, others);
            }
        }
        let is_alike = |name: Key| match parameter.form {
            Form::Placeholder => placeholder_in(self.text(name)).is_some(),
            Form::Text => !self.text(name).contains('{'),
            _ => false,
        };
        // What nobody else gives is something new; what is given elsewhere may be in the wrong place.
        let elsewhere = self.group(Table::AnyValues, [parameter.name, 0, 0]);
        let elsewhere = elsewhere.map_or(0, |values| values.count(parameter.value)).saturating_sub(1);
        let is_known = match parameter.form {
            Form::Placeholder if elsewhere == 0 => {
                let name = placeholder_in(self.text(parameter.value)).map_or(0, key);
                let count = self.group(Table::Placeholders, [0; 3]).map_or(0, |group| group.count(name));
                count > self.own(Table::Placeholders, [0; 3], name).min(1)
            }
            Form::Placeholder => false,
            _ => elsewhere > 0,
        };
        if !is_known {
            return;
        }
        if step.feed != 0
            && let Some(others) = self.others(Table::FedValues, [step.feed, step.kind, parameter.name], parameter.value)
            && let Some(best) = others.agreed(SURE).filter(|&(name, _)| is_alike(name))
        {
            return self.report(About::Value(index), Reason::AgreementOfFed, best, others);
        }
        // A parameter that is called like what the others put into it.
        if parameter.form == Form::Placeholder
            && let Some(others) = self.values_of(index)
        {
            const MANY: usize = 5;
            let is_own = |name: Key| placeholder_in(self.text(name)).is_some_and(|text| key(text) == parameter.name);
            let most = self.most_frequent(others.frequent(1));
            let enough = if most.is_some_and(|(name, _)| is_own(name)) { OFTEN } else { MANY };
            if let Some(best) = others.agreed(enough).filter(|&(name, _)| is_alike(name)) {
                self.report(About::Value(index), Reason::Agreement, best, others);
            }
        }
    }
}

/// Whether a text is the same as one with placeholders, but for braces and what stands around the names in them.
fn differs_in_braces(text: &str, usual: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !"{}$ ".contains(*c)).collect::<String>();
    let is_near = text.len().abs_diff(usual.len()) <= 16 && text != usual;
    let is_bracketed = || bracketed(text).is_some_and(|name| placeholder_in(usual) == Some(name));
    is_near && usual.contains('{') && (letters(text) == letters(usual) || is_bracketed())
}

/// The name in a text that is one name in brackets of another kind than those of placeholders: `[visit]`, `<visit>`.
fn bracketed(text: &str) -> Option<&str> {
    let pairs = [("[", "]"), ("(", ")"), ("<", ">"), ("%(", ")s"), ("%", "%")];
    pairs.iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close)).filter(|name| is_name(name))
}
