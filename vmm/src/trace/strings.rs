//! The guest's string table, rebuilt from its parts under a bound.

use std::collections::HashMap;

use pagelab_abi::event::StringPart;

/// Strings a guest may define.
const MAX_STRINGS: usize = 1 << 16;
/// Bytes all of them may have.
const MAX_BYTES: usize = 8 << 20;

/// What became of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// More parts are to come.
    Partial,
    /// The string is whole.
    Whole(u32, String),
    /// The part does not fit the table's rules and was dropped.
    Refused,
}

/// Collects string parts. A string's parts come in order; an id is defined once.
#[derive(Debug, Default)]
pub(super) struct StringTable {
    partial: HashMap<u32, (u16, Vec<u8>)>,
    whole: HashMap<u32, String>,
    bytes: usize,
}

impl StringTable {
    /// Takes a part.
    pub(super) fn add(&mut self, part: &StringPart) -> Added {
        if part.id == 0 || self.whole.contains_key(&part.id) {
            return Added::Refused;
        }
        if part.offset == 0 && !self.partial.contains_key(&part.id) {
            let count = self.partial.len() + self.whole.len();
            if count >= MAX_STRINGS || self.bytes + usize::from(part.length) > MAX_BYTES {
                return Added::Refused;
            }
            self.bytes += usize::from(part.length);
            self.partial.insert(part.id, (part.length, Vec::new()));
        }
        let Some((length, bytes)) = self.partial.get_mut(&part.id) else { return Added::Refused };
        if part.length != *length || usize::from(part.offset) != bytes.len() {
            return Added::Refused;
        }
        let missing = usize::from(*length) - bytes.len();
        bytes.extend_from_slice(&part.bytes[..missing.min(part.bytes.len())]);
        if bytes.len() < usize::from(*length) {
            return Added::Partial;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.partial.remove(&part.id);
        self.whole.insert(part.id, text.clone());
        Added::Whole(part.id, text)
    }

    /// A whole string by its id.
    pub(super) fn get(&self, id: u32) -> Option<&str> {
        self.whole.get(&id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u32, length: u16, offset: u16, text: &[u8]) -> StringPart {
        let mut bytes = [0; 32];
        bytes[..text.len()].copy_from_slice(text);
        StringPart { id, length, offset, bytes }
    }

    #[test]
    fn parts_make_a_string() {
        let mut table = StringTable::default();
        assert_eq!(table.add(&part(7, 35, 0, &[b'a'; 32])), Added::Partial);
        assert_eq!(table.add(&part(7, 35, 32, b"bcd")), Added::Whole(7, format!("{}bcd", "a".repeat(32))));
        assert_eq!(table.get(7).map(str::len), Some(35));
    }

    #[test]
    fn rules_are_kept() {
        let mut table = StringTable::default();
        assert_eq!(table.add(&part(0, 1, 0, b"x")), Added::Refused);
        assert_eq!(table.add(&part(1, 40, 8, b"x")), Added::Refused);
        assert_eq!(table.add(&part(2, 1, 0, b"x")), Added::Whole(2, "x".into()));
        assert_eq!(table.add(&part(2, 1, 0, b"y")), Added::Refused);
        assert_eq!(table.get(2), Some("x"));
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut table = StringTable::default();
        for id in 1..=u32::try_from(MAX_STRINGS).expect("a small constant") * 2 {
            table.add(&part(id, u16::MAX, 0, &[b'x'; 32]));
        }
        assert!(table.bytes <= MAX_BYTES);
        assert!(table.partial.len() <= MAX_BYTES / usize::from(u16::MAX));
    }
}
