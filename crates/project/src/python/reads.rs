//! What the walk notes: keys that are read, and how their values are used.

use ruff_text_size::Ranged;

use super::facts::{Evidence, Place, Read, Root, Segment, Use};
use super::flow::Walk;
use super::values::{Abs, At, How};

impl<'a> Walk<'_, 'a> {
    /// Notes again what was read, as required.
    pub fn require(&mut self, at: &At<'a>) {
        if !self.certain {
            return;
        }
        let mut reads = at.reads.iter().map(|index| self.facts.reads[*index].clone());
        let Some(mut read) = reads.next() else { return };
        // Any of them will do.
        for other in reads {
            read.places
                .extend(other.places.into_iter().filter(|place| !read.places.contains(place)).collect::<Vec<_>>());
            read.default = read.default.or(other.default);
        }
        if read.default.is_none() && read.choices.iter().all(|choice| self.choices.contains(choice)) {
            read.required = true;
            read.choices.clone_from(&self.choices);
            self.facts.reads.push(read);
        }
    }

    /// Notes what a use shows of a value's type; one that nothing survives requires it.
    pub fn used(&mut self, value: &Abs<'a>, shown: Option<Use>) {
        let Abs::At(at) = value else { return };
        if at.optional {
            self.require(at);
        }
        if let Some(shown) = shown {
            for index in &at.reads {
                let certain = self.certain && self.depth == 0;
                let read = &mut self.facts.reads[*index];
                let certain = certain && read.choices == self.choices;
                read.uses.push((shown, certain));
            }
        }
    }

    /// Notes that a value of another type is refused.
    pub fn insist(&mut self, value: &Abs<'a>, kind: Use) {
        let Abs::At(at) = value else { return };
        for index in &at.reads {
            let read = &mut self.facts.reads[*index];
            if self.certain && self.depth == 0 && read.choices == self.choices {
                read.insisted = Some(kind);
            }
        }
    }

    /// Notes that a key is read.
    pub fn read(&mut self, at: &At<'a>, key: &str, how: How<'a>, part: &impl Ranged) -> Abs<'a> {
        let segment = Segment::Key(key.to_owned());
        let mut inner = at.inner(&segment);
        if let Some(extra) = at.extra
            && let Some((true, value)) = self.dicts[extra].keys.get(key)
        {
            return value.clone();
        }
        let mut how_known = false;
        for place in &inner.places {
            if let Some((value, always)) = self.overlay.get(&(place.root, place.path.clone())) {
                if *always {
                    return value.clone();
                }
                how_known = true;
            }
        }
        let is_part_of_step = |place: &Place| place.root == Root::Step && place.path.len() == 1;
        if inner.places.iter().all(|place| is_part_of_step(place) || place.root == Root::Service) {
            return Abs::at(inner);
        }
        let (required, default) = match &how {
            How::Index => (self.certain && !how_known, None),
            How::Get(None | Some(Abs::Nothing)) => {
                inner.optional = true;
                (self.forced && self.certain && !how_known, None)
            }
            How::Get(Some(default)) => {
                let default = match default {
                    Abs::Json(value) => Some((**value).clone()),
                    Abs::Dict(dict) if self.dicts[*dict].keys.is_empty() => Some(serde_json::json!({})),
                    Abs::List(items) if items.is_empty() => Some(serde_json::json!([])),
                    _ => None,
                };
                (false, default)
            }
            How::Member => (false, None),
        };
        inner.reads = vec![self.facts.reads.len()];
        self.note(&inner.places, required, default, None, self.evidence(part));
        // Text can be searched for a key.
        if matches!(how, How::Member)
            && let Some(read) = self.facts.reads.last_mut()
        {
            read.mapping = false;
        }
        Abs::at(inner)
    }

    /// Adds a read.
    pub fn note(
        &mut self,
        places: &[Place],
        required: bool,
        default: Option<serde_json::Value>,
        schema: Option<serde_json::Value>,
        evidence: Evidence,
    ) {
        let choices = self.choices.clone();
        let read = Read {
            places: places.to_vec(),
            required,
            mapping: self.certain,
            default,
            schema,
            uses: Vec::new(),
            insisted: None,
            choices,
            evidence,
        };
        self.facts.reads.push(read);
    }

    /// Notes that more of a mapping may be read than is seen.
    pub fn escape(&mut self, value: &Abs<'a>) {
        match value {
            Abs::At(at) => {
                for place in &at.places {
                    if !self.facts.open.contains(place) {
                        self.facts.open.push(place.clone());
                    }
                }
            }
            Abs::List(items) => {
                for item in items.iter() {
                    self.escape(item);
                }
            }
            Abs::Wrapper => {
                self.escape(&Abs::at(At::of(Root::Step)));
                self.escape(&Abs::at(At::of(Root::Payload)));
            }
            _ => {}
        }
    }
}
