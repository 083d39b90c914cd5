//! Channels of steps, and where they lead.

use super::{About, Comparison, MOST_LACKING, OFTEN, Others, Reason, SURE};
use crate::evidence::facts::{DEFAULT, Key, key};
use crate::evidence::near::{is_near, is_plural};
use crate::evidence::set::{Group, Table};

impl Comparison<'_> {
    pub(super) fn compare_outputs(&mut self) {
        let default = key(DEFAULT);
        let facts = self.facts;
        let mut last = None;
        for (index, output) in facts.outputs.iter().enumerate() {
            let (from, to) = (facts.steps[output.step as usize], facts.steps[output.to as usize]);
            if from.id == 0 || to.id == 0 {
                continue;
            }
            let again = last == Some((output.step, output.channel));
            last = Some((output.step, output.channel));
            if output.channel != default && !again && self.compare_channel(index) {
                continue;
            }
            self.compare_target(index);
        }
    }

    /// Compares the name of a channel; whether there is a finding.
    fn compare_channel(&mut self, index: usize) -> bool {
        let facts = self.facts;
        let output = facts.outputs[index];
        let (from, to) = (facts.steps[output.step as usize], facts.steps[output.to as usize]);
        let has = |name: Key| facts.outputs_of(output.step).iter().any(|other| other.channel == name);
        if let Some(others) = self.others(Table::Sends, [from.kind, 0, 0], output.channel)
            && let Some(best) = self.near(output.channel, others, |name, _| !has(name))
        {
            self.meant.insert((output.step, best.0));
            self.report(About::Channel(index), Reason::Near, best, others);
            return true;
        }
        // One other step is enough if its channel leads to the same place.
        let leads_there = |name: Key| {
            let routes = self.group(Table::Routes, [from.id, name, 0]);
            routes.is_some_and(|routes| routes.count(to.id) > 0)
        };
        if let Some(others) = self.others(Table::Sends, [from.kind, 0, 0], output.channel)
            && let Some(best) = self.near_of(output.channel, others, 1, |name, _| !has(name) && leads_there(name))
        {
            self.meant.insert((output.step, best.0));
            self.report(About::Channel(index), Reason::Near, best, others);
            return true;
        }
        // A channel of nobody else whose name is nearly that of the queue that it leads to.
        let elsewhere = self.group(Table::Channels, [output.channel, 0, 0]).map_or(0, Group::total);
        let queues = self.group(Table::Queues, [0; 3]).map_or(0, |group| group.count(to.queue));
        let (name, queue) = (self.text(output.channel), self.text(to.queue));
        if elsewhere <= 1 && queues > 0 && is_near(name, queue) && !is_plural(name, queue) && !has(to.queue) {
            let best = (to.queue, queues);
            self.report(About::Channel(index), Reason::Name, best, Others::alike(queues));
            return true;
        }
        false
    }

    /// Compares where an output goes.
    fn compare_target(&mut self, index: usize) {
        let facts = self.facts;
        let output = facts.outputs[index];
        let (from, to) = (facts.steps[output.step as usize], facts.steps[output.to as usize]);
        let is_default = output.channel == key(DEFAULT);
        let all = || self.others(Table::Channels, [output.channel, 0, 0], to.id).filter(|_| !is_default);
        let of_step = || self.others(Table::Routes, [from.id, output.channel, 0], to.id);
        let enough = if is_default { SURE } else { OFTEN };
        let leads_to = |id: Key| {
            let mut own = facts.outputs_of(output.step).iter();
            own.any(|other| other.channel == output.channel && facts.steps[other.to as usize].id == id)
        };
        if let Some((best, others)) = with_agreed(all(), SURE).or_else(|| with_agreed(of_step(), enough)) {
            // What goes to both has been thought about.
            if let Some(here) = self.step_of(best.0, output.step).filter(|_| !leads_to(best.0)) {
                self.report(About::Target(index, here), Reason::Agreement, best, others);
            }
            return;
        }
        // The channel has the name of the queue of another step, and no other recipe does the same.
        if is_default || to.queue == 0 || to.queue == output.channel {
            return;
        }
        let does = self.group(Table::Channels, [output.channel, 0, 0]).map_or(0, |group| group.count(to.id));
        if does > self.own(Table::Channels, [output.channel, 0, 0], to.id) {
            return;
        }
        if let Some(here) = self.step_of(output.channel, output.step).filter(|_| !leads_to(output.channel))
            && facts.steps[here as usize].queue == output.channel
        {
            let others = Others::alike(0);
            self.report(About::Target(index, here), Reason::Name, (output.channel, 0), others);
        }
    }

    /// Another step of a kind; of several best one that nothing leads to.
    fn step_of(&self, id: Key, from: u32) -> Option<u32> {
        let facts = self.facts;
        let steps = facts.steps.iter().enumerate().map(|(at, step)| (at as u32, step));
        let steps = steps.filter(|&(at, step)| step.id == id && at != from).map(|(at, _)| at);
        steps.min_by_key(|&at| facts.outputs.iter().any(|output| output.to == at))
    }

    pub(super) fn find_unwired(&mut self) {
        let facts = self.facts;
        let default = key(DEFAULT);
        for (at, step) in facts.steps.iter().enumerate() {
            let at = at as u32;
            let Some(sends) = (step.id != 0).then(|| self.group(Table::Sends, [step.kind, 0, 0])).flatten() else {
                continue;
            };
            let others = self.group(Table::Steps, [0; 3]).map_or(0, |group| group.count(step.kind)).saturating_sub(1);
            if others < SURE {
                continue;
            }
            let own = facts.outputs_of(at);
            let has = |channel: Key| own.iter().any(|output| output.channel == channel);
            let mut lacking: Vec<(Key, usize)> =
                sends.iter().filter(|&(channel, count)| count >= others && !has(channel)).collect();
            lacking.sort_unstable();
            // A step without outputs is the end of a chain, and the channel without a name has no name to be missed by.
            if lacking.len() > MOST_LACKING || own.is_empty() && !lacking.iter().all(|&(channel, _)| channel != default)
            {
                continue;
            }
            for (channel, count) in lacking {
                if channel == default || self.meant.contains(&(at, channel)) {
                    continue;
                }
                let routes = self.group(Table::Routes, [step.id, channel, 0]);
                let mut to: Vec<(Key, usize)> = routes.into_iter().flat_map(Group::iter).collect();
                to.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
                let here = to.iter().find_map(|&(id, _)| {
                    let leads = own.iter().any(|output| facts.steps[output.to as usize].id == id);
                    self.step_of(id, at).filter(|_| !leads)
                });
                if here.is_some() || others > SURE + MOST_LACKING {
                    let known = Others::alike(others);
                    self.report(About::Unwired(at, here), Reason::Agreement, (channel, count), known);
                }
            }
        }
    }
}

/// What nearly all of others say, if they are enough, and the others.
fn with_agreed(others: Option<Others<'_>>, enough: usize) -> Option<((Key, usize), Others<'_>)> {
    let others = others?;
    Some((others.agreed(enough)?, others))
}
