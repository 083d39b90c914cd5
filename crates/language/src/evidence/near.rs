//! Names that a slip of the finger away from others.

/// Whether one name may be a slip of the finger for another, usual one. Names that differ in digits only are meant to
/// differ, as are those that differ in a whole word.
pub(super) fn is_near(name: &str, usual: &str) -> bool {
    if name == usual || name.len().abs_diff(usual.len()) > 8 {
        return false;
    }
    let (length, other) = (name.chars().count(), usual.chars().count());
    let most = if length < 12 { 1 } else { 2 };
    if length.min(other) < 4 || length.abs_diff(other) > most {
        return false;
    }
    // A letter that changes counts twice.
    if (letters(name) ^ letters(usual)).count_ones() as usize > 2 * most {
        return false;
    }
    let without_digits = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    if without_digits(name) == without_digits(usual) || strsim::damerau_levenshtein(name, usual) > most {
        return false;
    }
    // In four letters, two that have changed places are one slip, and another letter is another word.
    if length.max(other) <= 4 && !is_anagram(name, usual) {
        return false;
    }
    !differ_in_a_word(name, usual)
}

/// Whether one is the plural of the other.
pub(super) fn is_plural(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long.strip_suffix('s').or_else(|| long.strip_suffix("es")).is_some_and(|stem| stem == short)
}

/// Which letters and digits a name has.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |mask, byte| mask | 1 << (byte & 63))
}

fn is_anagram(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all
    };
    sorted(one) == sorted(other)
}

/// The words of a name: `fast_ep` and `FastEP` have two.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = ' ';
    for character in name.chars() {
        if !character.is_alphanumeric() {
            words.push(String::new());
        } else {
            if character.is_uppercase() && last.is_lowercase() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(character.to_lowercase());
            }
        }
        last = character;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether names are made of words, and a whole word makes the difference: `d_min` and `x_min`, `size` and `size_x`,
/// `fast_dp` and `fast_ep`.
fn differ_in_a_word(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    if one.len() != other.len() {
        let (short, long) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
        return long.starts_with(short) || long.ends_with(short);
    }
    const SHORT: usize = 3;
    let is_other = |(a, b): (&String, &String)| {
        let longest = a.chars().count().max(b.chars().count());
        a != b && !is_anagram(a, b) && (longest <= SHORT || strsim::damerau_levenshtein(a, b) >= longest)
    };
    one.len() > 1 && one.iter().zip(&other).any(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_other_names() {
        for (name, usual) in [
            ("ispyb_conector", "ispyb_connector"),
            ("dcdi", "dcid"),
            ("Imgaes", "Images"),
            ("pixl_size", "pixel_size"),
            ("node_creatr", "node_creator"),
            ("sesion_id", "session_id"),
        ] {
            assert!(is_near(name, usual), "{name} for {usual}");
        }
        for (name, usual) in [
            ("class2d", "class3d"),
            ("fast_dp", "fast_ep"),
            ("FastDP", "FastEP"),
            ("defocus_u", "defocus_v"),
            ("x_min", "y_min"),
            ("size", "size_x"),
            ("file", "fill"),
            ("images", "archiver"),
            ("images", "images"),
        ] {
            assert!(!is_near(name, usual), "{name} for {usual}");
        }
    }
}
