//! "Did you mean": the known name that a misspelt one is nearest to.
//!
//! Every finding about an unknown name asks it of all known names, so most of them are passed by without a distance.

/// The known name nearest to a misspelt one, if it is near enough to be meant.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = Wanted::new(name);
    let near = known.into_iter().filter_map(|known| Some((wanted.distance(known)?, known)));
    near.min().map(|(_, known)| known)
}

/// A misspelt name.
struct Wanted<'n> {
    name: &'n str,
    lower: String,
    /// In characters.
    length: usize,
    /// Maximum distance of what may be meant.
    max: usize,
    /// If it is ASCII.
    letters: Option<u64>,
}

impl<'n> Wanted<'n> {
    fn new(name: &'n str) -> Self {
        let length = name.chars().count();
        let letters = name.is_ascii().then(|| letters(name));
        Self { name, lower: name.to_lowercase(), length, max: (length / 3).clamp(1, 3), letters }
    }

    /// The distance of a known name that may be meant.
    fn distance(&self, known: &str) -> Option<usize> {
        let is_ascii = self.letters.is_some() && known.is_ascii();
        let length = if is_ascii { known.len() } else { known.chars().count() };
        // A distance is never less than the difference in length.
        if length.abs_diff(self.length) > self.max {
            return None;
        }
        let distance = match self.letters.filter(|_| is_ascii) {
            // An edit changes one letter to one other at most.
            Some(own) if (own ^ letters(known)).count_ones() as usize > 2 * self.max => return None,
            Some(_) => ascii_distance(self.name.as_bytes(), known.as_bytes()),
            None => strsim::damerau_levenshtein(&self.lower, &known.to_lowercase()),
        };
        // Of one or two letters, one that differs makes another name.
        let is_near = distance == 0 || distance <= self.max && self.length.max(length) >= distance + 2;
        is_near.then_some(distance)
    }
}

/// The letters of a text as bits, whatever their case and number.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |bits, byte| bits | 1 << (byte.to_ascii_uppercase().wrapping_sub(b' ') & 63))
}

/// The distance between two names without the beginning and the end that they have in common.
fn ascii_distance(a: &[u8], b: &[u8]) -> usize {
    let same = |(a, b): &(&u8, &u8)| a.eq_ignore_ascii_case(b);
    let start = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    if a.is_empty() || b.is_empty() {
        return a.len().max(b.len());
    }
    match a.len().max(b.len()) {
        1 => 1,
        length if length < SMALL - 1 => small_distance(a, b),
        _ => strsim::generic_damerau_levenshtein(&a.to_ascii_lowercase(), &b.to_ascii_lowercase()),
    }
}

/// Rows and columns of a table of distances that needs no allocation.
const SMALL: usize = 32;

/// The Damerau-Levenshtein distance of short texts, whatever their case.
fn small_distance(a: &[u8], b: &[u8]) -> usize {
    // Row and column 0 are beside the table, as far away as anything can be.
    let far = (a.len() + b.len()) as u8;
    let mut table = [[far; SMALL]; SMALL];
    for row in 0..=a.len() {
        table[row + 1][1] = row as u8;
    }
    for column in 0..=b.len() {
        table[1][column + 1] = column as u8;
    }
    // In which row each letter was last.
    let mut rows = [0_u8; 256];
    for (row, letter) in (1..).zip(a) {
        let letter = letter.to_ascii_lowercase();
        let mut match_column = 0;
        for (column, other) in (1..).zip(b) {
            let other = other.to_ascii_lowercase();
            let match_row = usize::from(rows[usize::from(other)]);
            let is_same = letter == other;
            let between = (row - match_row - 1) + (column - match_column - 1);
            let transposed = table[match_row][match_column].saturating_add(between as u8 + 1);
            let replaced = table[row][column] + u8::from(!is_same);
            let added = table[row][column + 1].min(table[row + 1][column]) + 1;
            table[row + 1][column + 1] = transposed.min(replaced).min(added);
            if is_same {
                match_column = column;
            }
        }
        rows[usize::from(letter)] = row as u8;
    }
    usize::from(table[a.len() + 1][b.len() + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, without a short cut.
    fn defined(name: &str, known: &str) -> Option<usize> {
        let length = name.chars().count();
        let max = (length / 3).clamp(1, 3);
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
        let is_near = distance == 0 || distance <= max && length.max(known.chars().count()) >= distance + 2;
        is_near.then_some(distance)
    }

    #[test]
    fn the_short_cuts_change_nothing() {
        let mut words = vec![String::new()];
        for length in 0..4 {
            let longer = words
                .iter()
                .filter(|word| word.len() == length)
                .flat_map(|word| ['a', 'b', 'C', '_'].map(|letter| format!("{word}{letter}")));
            words.extend(longer.collect::<Vec<_>>());
        }
        words.extend(
            ["é", "aé", "Éa", "abca", "cabac", "acbab_a", "abc_abc_abc", "bac_acb_abc", "bac_acb_abcaa"]
                .map(str::to_owned),
        );
        words.extend([
            format!("{}ab{}", "c".repeat(40), "d".repeat(40)),
            format!("{}ba{}", "c".repeat(40), "d".repeat(40)),
        ]);
        words.extend([format!("a{}b", "cd".repeat(20)), format!("b{}a", "dc".repeat(20))]);
        for name in &words {
            let wanted = Wanted::new(name);
            for known in &words {
                assert_eq!(wanted.distance(known), defined(name, known), "{name} {known}");
            }
        }
    }

    #[test]
    fn the_nearest_name_is_meant() {
        let known = ["queue.00071", "images", "images2", "recipe"];
        for (name, expected) in [
            ("imgaes", Some("images")),
            ("IMAGES", Some("images")),
            ("queue.00017", Some("queue.00071")),
            ("workingdir", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        // Of two letters, one that differs makes another name.
        assert_eq!(nearest("ab", ["ac"]), None);
    }
}
