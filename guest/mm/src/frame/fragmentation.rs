//! How far free memory has fallen to pieces: the two indices that Linux shows in debugfs, from counts of free blocks.
//!
//! For blocks[o] free blocks of order o: F = sum of blocks[o] * 2^o is what is free, T = sum of blocks[o] in how many
//! pieces, and S(k) = sum over o >= k of blocks[o] * 2^(o-k) how many blocks of order k it yields.

use pagelab_abi::snapshot::ORDERS;

/// Free memory that cannot be handed out in blocks of `order`, in thousandths: 0 when all can, 1000 when none can.
/// 0 too where nothing is free.
pub fn unusable_free_index(blocks: &[u64; ORDERS], order: u8) -> u64 {
    let Sums { free, suitable, .. } = Sums::of(blocks, order);
    ((free - (suitable << order)) * 1000).checked_div(free).unwrap_or(0)
}

/// Why a block of `order` cannot be had, in thousandths: towards 0 for want of memory, towards 1000 because it lies in
/// pieces. -1000 where there is such a block, 0 where nothing is free.
pub fn extfrag_index(blocks: &[u64; ORDERS], order: u8) -> i64 {
    let Sums { free, pieces, suitable } = Sums::of(blocks, order);
    if pieces == 0 {
        0
    } else if suitable > 0 {
        -1000
    } else {
        1000 - ((1000 + ((free * 1000) >> order)) / pieces) as i64
    }
}

/// F, T and S(k).
struct Sums {
    free: u64,
    pieces: u64,
    suitable: u64,
}

impl Sums {
    fn of(blocks: &[u64; ORDERS], order: u8) -> Sums {
        let mut sums = Sums { free: 0, pieces: 0, suitable: 0 };
        for (at, &count) in (0u8..).zip(blocks) {
            sums.free += count << at;
            sums.pieces += count;
            if at >= order {
                sums.suitable += count << (at - order);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many free blocks of each order from 0 on.
    fn blocks(counts: &[u64]) -> [u64; ORDERS] {
        let mut blocks = [0; ORDERS];
        blocks[..counts.len()].copy_from_slice(counts);
        blocks
    }

    #[test]
    fn nothing_free_is_not_fragmented() {
        assert_eq!((unusable_free_index(&blocks(&[]), 3), extfrag_index(&blocks(&[]), 3)), (0, 0));
    }

    #[test]
    fn unusable_by_hand() {
        // 4 + 2*2 + 1*8 = 16 frames; of order 2 there are 2 blocks, 8 frames: half is unusable.
        let some = blocks(&[4, 2, 0, 1]);
        let by_order: [u64; 5] = core::array::from_fn(|order| unusable_free_index(&some, order as u8));
        assert_eq!(by_order, [0, 250, 500, 500, 1000]);
        // 1 of 3 frames: rounded down.
        assert_eq!(unusable_free_index(&blocks(&[1, 1]), 1), 333);
    }

    #[test]
    fn extfrag_by_hand() {
        let some = blocks(&[4, 2, 0, 1]);
        assert_eq!(extfrag_index(&some, 3), -1000);
        // F = 16, T = 7: 1000 - (1000 + 16000 / 16) / 7 = 1000 - 285.
        assert_eq!(extfrag_index(&some, 4), 715);
        // 512 single frames where order 9 is wanted: 1000 - (1000 + 1000) / 512.
        assert_eq!(extfrag_index(&blocks(&[512]), 9), 997);
        // One single frame: all that is missing is memory. 1000 - (1000 + 1000 / 512) / 1.
        assert_eq!(extfrag_index(&blocks(&[1]), 9), -1);
        // Two halves of what is wanted: 1000 - (1000 + 1000) / 2.
        assert_eq!(extfrag_index(&blocks(&[0, 0, 0, 0, 0, 0, 0, 0, 2]), 9), 0);
    }
}
