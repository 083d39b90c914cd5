//! Queues and services of steps.

use std::sync::Arc;

use super::{About, Comparison, Finding, OFTEN, Others, Reason, SURE};
use crate::evidence::facts::{Key, StepFacts};
use crate::evidence::near::{is_near, is_plural, words};
use crate::evidence::set::{Custom, Table};

impl Comparison<'_> {
    pub(super) fn compare_steps(&mut self) {
        for (index, step) in self.facts.steps.iter().enumerate() {
            let at = index as u32;
            if step.queue != 0 && self.compare_queue(at) || step.service == 0 {
                continue;
            }
            let Some(others) = self.others(Table::Services, [0; 3], step.service) else { continue };
            let differs = |_: Key, other: &str| !is_plural(self.text(step.service), other);
            if let Some(best) = self.near(step.service, others, differs) {
                self.report(About::Service(at), Reason::Near, best, others);
                continue;
            }
            let on_queue = (step.queue != 0).then(|| self.others(Table::ServicesOn, [step.queue, 0, 0], step.service));
            if let Some(others) = on_queue.flatten()
                && let Some(best) = self.near_of(step.service, others, 1, differs)
            {
                self.report(About::Service(at), Reason::Near, best, others);
            }
        }
    }

    /// Compares the queue of a step; whether there is a finding.
    fn compare_queue(&mut self, at: u32) -> bool {
        let step = self.facts.steps[at as usize];
        let often = |table, name| self.group(table, [0; 3]).map_or(0, |group| group.count(name));
        let of_service =
            (step.service != 0).then(|| self.others(Table::QueuesOf, [step.service, 0, 0], step.queue)).flatten();
        let Some(others) = self.others(Table::Queues, [0; 3], step.queue) else {
            // A queue that others use, but for another service.
            let Some(others) = of_service else { return false };
            let Some(best) = others.agreed(OFTEN) else { return false };
            let on_queue = self.group(Table::ServicesOn, [step.queue, 0, 0]);
            let is_foreign =
                on_queue.is_some_and(|on| on.iter().any(|(other, count)| other != step.service && count >= OFTEN));
            if is_foreign {
                self.report(About::Queue(at), Reason::Agreement, best, others);
            }
            return is_foreign;
        };
        if often(Table::Services, step.queue) > 0 {
            if step.service != step.queue && often(Table::Queues, step.service) > 0 {
                let known = (step.service, often(Table::Queues, step.service));
                self.report(About::Exchanged(at), Reason::OtherKind, known, Others::alike(known.1));
                return true;
            }
            let of_named = self.others(Table::QueuesOf, [step.queue, 0, 0], step.queue);
            if let Some(others) = of_named
                && let Some(best) = self.most_frequent(others.frequent(1))
            {
                self.report(About::Queue(at), Reason::OtherKind, best, others);
                return true;
            }
        }
        if self.is_upside_down(step) {
            let others = Others::alike(0);
            self.report(About::Exchanged(at), Reason::Name, (step.service, 0), others);
            return true;
        }
        if let Some(best) = self.near(step.queue, others, |_, _| true) {
            self.report(About::Queue(at), Reason::Near, best, others);
            return true;
        }
        if let Some(of_service) = of_service
            && let Some(best) = self.near_of(step.queue, of_service, 1, |_, _| true)
        {
            self.report(About::Queue(at), Reason::Near, best, of_service);
            return true;
        }
        if let Some(name) = self.name_of_service(step) {
            let usual = vec![Custom { name, count: 0 }];
            self.found.push(Finding { about: About::Queue(at), reason: Reason::Name, usual, of: 0 });
            return true;
        }
        if let Some(others) = of_service
            && let Some(best) = others.agreed(SURE)
        {
            self.report(About::Queue(at), Reason::Agreement, best, others);
            return true;
        }
        false
    }

    /// Whether the queue is written as services are in the recipe, and the service as queues are.
    fn is_upside_down(&self, step: StepFacts) -> bool {
        let starts_upper = |name: Key| self.text(name).starts_with(char::is_uppercase);
        if step.service == 0 || !starts_upper(step.queue) || starts_upper(step.service) {
            return false;
        }
        let mut others = self.facts.steps.iter().filter(|other| other.queue != 0 && other.service != 0);
        let like = |other: &StepFacts| starts_upper(other.service) && !starts_upper(other.queue);
        let alike = others.clone().filter(|other| like(other)).count();
        let is_word = !self.text(step.service).contains(char::is_whitespace);
        let is_known = self.group(Table::Queues, [0; 3]).is_some_and(|group| group.count(step.queue) > 1);
        is_word && !is_known && alike >= OFTEN && others.all(|other| like(other) || other.queue == step.queue)
    }

    /// The name that the queue of a step would have after its service, if it has nearly that name, and the queues of
    /// other steps of the recipe have exactly such names.
    fn name_of_service(&self, step: StepFacts) -> Option<Arc<str>> {
        let plain = |name: Key| {
            self.text(name).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        };
        if step.service == 0 {
            return None;
        }
        let (queue, service) = (plain(step.queue), plain(step.service));
        let follows =
            |other: &&StepFacts| other.queue != 0 && other.service != 0 && plain(other.queue) == plain(other.service);
        let is_custom = || self.facts.steps.iter().filter(follows).count() >= OFTEN;
        (queue != service && is_near(&queue, &service) && !is_plural(&queue, &service) && is_custom())
            .then(|| words(self.text(step.service)).join("_").into())
    }
}
