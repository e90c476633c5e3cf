//! Puts bulk transfers that come in parts together, under a bound.

use std::collections::HashMap;

use pagelab_abi::{code::BulkKind, event::Bulk};

/// Bytes one transfer may have in all its parts.
const MAX_TRANSFER: usize = 16 << 20;
/// Transfers that may be under way at once.
const MAX_OPEN: usize = 16;

/// Transfers under way, by what they carry.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: HashMap<(u8, u8, u8), Vec<u8>>,
    /// Transfers dropped because they broke a bound.
    pub(super) dropped: u64,
}

impl Parts {
    /// Takes a part; answers with the whole when it was the last. Console bytes are passed on at once.
    pub(super) fn add(&mut self, bulk: &Bulk, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let key = (bulk.kind.0, bulk.name, bulk.moment.0);
        if bulk.kind == BulkKind::Console || (bulk.more == 0 && !self.open.contains_key(&key)) {
            return Some(bytes);
        }
        if !self.open.contains_key(&key) && self.open.len() == MAX_OPEN {
            self.dropped += 1;
            return None;
        }
        let whole = self.open.entry(key).or_default();
        if whole.len() + bytes.len() > MAX_TRANSFER {
            self.open.remove(&key);
            self.dropped += 1;
            return None;
        }
        whole.extend_from_slice(&bytes);
        if bulk.more == 0 { self.open.remove(&key) } else { None }
    }

    /// Transfers whose last part never came.
    pub(super) fn unfinished(&self) -> u64 {
        self.open.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use pagelab_abi::code::Moment;

    use super::*;

    fn bulk(kind: BulkKind, name: u8, more: u8) -> Bulk {
        Bulk { gpa: 0, length: 0, kind, name, moment: Moment::Exit, more, reserved: [0; 3] }
    }

    #[test]
    fn parts_are_joined_and_kinds_kept_apart() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(&bulk(BulkKind::Snapshot, 1, 1), vec![1, 2]), None);
        assert_eq!(parts.add(&bulk(BulkKind::Console, 1, 0), vec![9]), Some(vec![9]));
        assert_eq!(parts.add(&bulk(BulkKind::Snapshot, 2, 0), vec![7]), Some(vec![7]));
        assert_eq!(parts.unfinished(), 1);
        assert_eq!(parts.add(&bulk(BulkKind::Snapshot, 1, 0), vec![3]), Some(vec![1, 2, 3]));
        assert_eq!(parts.unfinished(), 0);
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut parts = Parts::default();
        for name in 0..=255 {
            for _ in 0..3 {
                parts.add(&bulk(BulkKind::Snapshot, name, 1), vec![0; 1 << 20]);
            }
        }
        assert!(parts.open.len() <= MAX_OPEN && parts.dropped > 0);
        for _ in 0..40 {
            parts.add(&bulk(BulkKind::Panic, 0, 1), vec![0; 1 << 20]);
        }
        assert!(parts.open.values().map(Vec::len).sum::<usize>() <= MAX_OPEN * MAX_TRANSFER);
    }
}
