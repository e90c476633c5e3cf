//! Orders in which pages are touched: permutations that are worked out, not stored, so that they cost no memory.

/// A permutation of `0..pages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// 0, 1, 2 ...
    Sequential,
    /// A shuffle chosen by the seed.
    Random {
        /// The seed.
        seed: u64,
    },
    /// Every k-th page, round and round.
    Stride {
        /// k, from 1.
        stride: u64,
    },
}

impl Order {
    /// The page at place `index` of the order. `index < pages`, `pages <= 2^32`.
    #[inline(always)]
    pub fn page(self, index: u64, pages: u64) -> u64 {
        match self {
            Order::Sequential => index,
            Order::Random { seed } => shuffle(index, pages, seed),
            Order::Stride { stride } => {
                let rounds = common_divisor(stride, pages);
                let length = pages / rounds;
                (index / length + index % length * (stride % pages)) % pages
            }
        }
    }
}

/// A bijection of `0..pages` chosen by `seed`: a four-round Feistel network over the next even number of bits, walked
/// until it comes back below `pages`.
#[inline(always)]
pub fn shuffle(index: u64, pages: u64, seed: u64) -> u64 {
    let half = (64 - (pages - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1 << half) - 1;
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mix(right ^ seed.rotate_left(16 * round)) & mask));
        }
        value = left << half | right;
        if value < pages {
            return value;
        }
    }
}

/// The finaliser of SplitMix64.
#[inline(always)]
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[inline(always)]
fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_visits_every_page_once() {
        for pages in [1u64, 2, 3, 4, 5, 16, 17, 63, 256, 1000, 4097] {
            for order in [
                Order::Sequential,
                Order::Random { seed: 1 },
                Order::Random { seed: u64::MAX },
                Order::Stride { stride: 1 },
                Order::Stride { stride: 7 },
                Order::Stride { stride: 16 },
                Order::Stride { stride: pages },
                Order::Stride { stride: u64::MAX },
            ] {
                let mut seen: Vec<u64> = (0..pages).map(|index| order.page(index, pages)).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..pages), "{order:?} of {pages} pages");
            }
        }
    }

    #[test]
    fn a_stride_is_a_stride() {
        let order: Vec<u64> = (0..6).map(|index| Order::Stride { stride: 2 }.page(index, 6)).collect();
        assert_eq!(order, [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn seeds_differ_and_shuffle() {
        let order = |seed| (0..256).map(|index| shuffle(index, 256, seed)).collect::<Vec<_>>();
        assert_ne!(order(1), order(2));
        let in_place = order(1).iter().enumerate().filter(|(place, page)| *place as u64 == **page).count();
        assert!(in_place < 16, "{in_place} pages of 256 stay in place");
    }
}
