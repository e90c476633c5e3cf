//! The other allocator of a zone's frames: one bit a frame, searched from where the last search ended.
//!
//! ```text
//!   bit 0 = frame `first`, a multiple of 1024          next search begins here
//!   |                                                          v
//!   1111 0000 0001 1111 ...  (1 = free)          words in frames of their own, taken at boot
//! ```
//!
//! A block of order n is 2^n set bits at a multiple of 2^n: a part of a word up to order 5, whole words above. Nothing is
//! ever joined, since nothing was split. Migrate types are not kept apart: all is Movable.

use pagelab_abi::snapshot::{MIGRATE_TYPES, ORDERS};

use super::{
    MAX_ORDER, PageState,
    pageblock::MOVABLE,
    store::{BlockCounts, BlockStore},
};
use crate::machine::{Machine, Pfn};

/// Frames in a word.
const WORD_FRAMES: u32 = u64::BITS;
/// Largest order of a block within a word, plus one: the order of a whole word.
const WORD_ORDER: u8 = WORD_FRAMES.ilog2() as u8;
/// Words in a block of the largest order.
const LARGEST_WORDS: u32 = 1 << (MAX_ORDER - WORD_ORDER);
/// Words in a frame.
const FRAME_WORDS: u32 = 512;
/// The bits at multiples of 2^n.
const ALIGNED: [u64; WORD_ORDER as usize] = [
    !0,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
];

/// The bits of a zone.
#[derive(Clone, Debug)]
pub(super) struct Bitmap {
    /// The frame of the first bit.
    first: u32,
    /// Words in use: whole blocks of the largest order.
    words: u32,
    /// The first frame of the words.
    store: u32,
    /// The word that the next search begins with.
    next: u32,
}

impl Bitmap {
    /// Words for the zone that spans `start..end`.
    pub(super) fn words_for(start: u32, end: u32) -> u32 {
        (end.div_ceil(1 << MAX_ORDER) - start / (1 << MAX_ORDER)) * LARGEST_WORDS
    }

    /// Frames that so many words take.
    pub(super) fn frames_for(words: u32) -> u32 {
        words.div_ceil(FRAME_WORDS)
    }

    /// A zone without a free frame, with its words in frames from `store` on, all zeros.
    pub(super) fn new(start: u32, end: u32, store: u32) -> Bitmap {
        Bitmap { first: start & !((1 << MAX_ORDER) - 1), words: Bitmap::words_for(start, end), store, next: 0 }
    }

    /// Frees a range, at boot.
    pub(super) fn add<M: Machine>(&mut self, machine: &mut M, pfn: u32, end: u32) {
        let (mut bit, end) = (pfn - self.first, end - self.first);
        while bit < end {
            let count = (WORD_FRAMES - bit % WORD_FRAMES).min(end - bit);
            *self.word_mut(machine, bit / WORD_FRAMES) |= ones(count) << (bit % WORD_FRAMES);
            bit += count;
        }
    }

    /// Whether a frame is free, of those that the zone spans.
    pub(super) fn is_free<M: Machine>(&self, machine: &M, pfn: u32) -> bool {
        let bit = pfn - self.first;
        self.word(machine, bit / WORD_FRAMES) >> (bit % WORD_FRAMES) & 1 == 1
    }

    fn word<M: Machine>(&self, machine: &M, index: u32) -> u64 {
        machine.frame(Pfn(self.store + index / FRAME_WORDS)).0[(index % FRAME_WORDS) as usize]
    }

    fn word_mut<'m, M: Machine>(&self, machine: &'m mut M, index: u32) -> &'m mut u64 {
        &mut machine.frame_mut(Pfn(self.store + index / FRAME_WORDS)).0[(index % FRAME_WORDS) as usize]
    }

    /// The first of the words, from the next on and around, for which `find` says something, in steps of `step` words.
    fn search<R>(&self, step: u32, mut find: impl FnMut(u32) -> Option<R>) -> Option<(u32, R)> {
        let start = self.next & !(step - 1);
        let around = (start..self.words).chain(0..start).step_by(step as usize);
        around.into_iter().find_map(|index| Some((index, find(index)?)))
    }

    /// Takes part of a word.
    fn take_part<M: Machine>(&mut self, machine: &mut M, order: u8) -> Option<u32> {
        let (index, bit) = self.search(1, |index| first_block(self.word(machine, index), order))?;
        *self.word_mut(machine, index) &= !(ones(1 << order) << bit);
        self.next = index;
        Some(self.first + index * WORD_FRAMES + bit)
    }

    /// Takes whole words.
    fn take_words<M: Machine>(&mut self, machine: &mut M, order: u8) -> Option<u32> {
        let step = 1 << (order - WORD_ORDER);
        let is_free = |index| (index..index + step).all(|index| self.word(machine, index) == !0).then_some(());
        let (index, ()) = self.search(step, is_free)?;
        (index..index + step).for_each(|index| *self.word_mut(machine, index) = 0);
        self.next = index;
        Some(self.first + index * WORD_FRAMES)
    }
}

impl BlockStore for Bitmap {
    fn take<M: Machine>(&mut self, machine: &mut M, order: u8, _migrate_type: usize) -> Option<u32> {
        if order < WORD_ORDER { self.take_part(machine, order) } else { self.take_words(machine, order) }
    }

    fn take_run<M: Machine>(
        &mut self,
        machine: &mut M,
        _migrate_type: usize,
        most: u32,
        _strict: bool,
    ) -> Option<(u32, u32)> {
        let (index, word) = self.search(1, |index| Some(self.word(machine, index)).filter(|&word| word != 0))?;
        let bit = word.trailing_zeros();
        let count = (word >> bit).trailing_ones().min(most);
        *self.word_mut(machine, index) &= !(ones(count) << bit);
        self.next = index;
        Some((self.first + index * WORD_FRAMES + bit, count))
    }

    fn put<M: Machine>(&mut self, machine: &mut M, pfn: u32, order: u8) {
        machine.pages_mut()[pfn as usize].state = PageState::TAIL;
        self.add(machine, pfn, pfn + (1 << order));
    }

    fn counts<M: Machine>(&self, machine: &M) -> BlockCounts {
        let mut counts = [0; ORDERS];
        for start in (0..self.words).step_by(LARGEST_WORDS as usize) {
            let mut whole = 0;
            for place in 0..LARGEST_WORDS {
                match self.word(machine, start + place) {
                    u64::MAX => whole |= 1 << place,
                    0 => {}
                    word => count_blocks(word, &mut counts[..usize::from(WORD_ORDER)]),
                }
            }
            count_blocks(whole, &mut counts[usize::from(WORD_ORDER)..]);
        }
        let mut by_type = [[0; ORDERS]; MIGRATE_TYPES];
        by_type[MOVABLE] = counts;
        by_type
    }
}

/// `count` set bits, up to a whole word.
fn ones(count: u32) -> u64 {
    u64::MAX >> (WORD_FRAMES - count)
}

/// The first bit of the first aligned block of set bits.
fn first_block(word: u64, order: u8) -> Option<u32> {
    let blocks = (0..order).fold(word, |blocks, half| blocks & blocks >> (1 << half)) & ALIGNED[usize::from(order)];
    (blocks != 0).then(|| blocks.trailing_zeros())
}

/// Adds the largest aligned blocks of set bits to the counts of orders 0 up to the last, which nothing joins further.
fn count_blocks(bits: u64, counts: &mut [u64]) {
    let last = counts.len() - 1;
    let mut blocks = bits;
    for (order, count) in counts.iter_mut().enumerate() {
        let joined = if order < last { blocks & blocks >> (1 << order) & ALIGNED[order + 1] } else { 0 };
        *count += u64::from(blocks.count_ones() - 2 * joined.count_ones());
        blocks = joined;
    }
}
