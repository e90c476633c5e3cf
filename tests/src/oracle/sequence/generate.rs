//! Random operations that meet each other: ranges begin and end where others did, or a page beside, so that mappings
//! merge, split and overlap.

use super::Operation;

const PAGE: u64 = 4096;
/// Ranges lie in clusters this far apart, the guard gap of a stack, so that the gap's edges are met.
const CLUSTER: u64 = 256;
const CLUSTERS: u64 = 3;
/// Pages of a cluster in which ranges begin.
const SPREAD: u64 = 12;
/// The first page number that means the heap's.
const HEAP: u64 = 0x10000;
const HEAP_PAGES: u64 = 12;
/// Pages of the files.
const FILE_PAGES: u64 = 7;
/// No file.
const ANONYMOUS: u64 = 0xff;
/// The file that is open for reading only.
const READ_ONLY: u64 = 2;

const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const SHARED_VALIDATE: u64 = 3;
const FIXED: u64 = 0x10;
const ANON: u64 = 0x20;
const GROWSDOWN: u64 = 0x100;
const LOCKED: u64 = 0x2000;
const NORESERVE: u64 = 0x4000;
const POPULATE: u64 = 0x8000;
const FIXED_NOREPLACE: u64 = 0x10_0000;

/// Operations from one reset to the next, unless it is said otherwise.
pub const EPISODE_LENGTH: usize = 150;

/// Numbers from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// What has been done, as far as it makes the next operation meet it.
#[derive(Debug)]
struct Scene<'a> {
    random: &'a mut Random,
    /// Where ranges began and ended, in pages.
    edges: Vec<u64>,
}

/// Episodes one after the other, `length` operations in all.
pub fn script(random: &mut Random, episode_length: usize, length: usize) -> Vec<Operation> {
    let mut script = Vec::new();
    while script.len() < length {
        script.extend(episode(random, episode_length.min(length - script.len())));
    }
    script
}

/// A reset and operations after it, `length` in all, with the state told now and then and at the end.
pub fn episode(random: &mut Random, length: usize) -> Vec<Operation> {
    let reserved = random.one_in(4);
    let mut scene = Scene { random, edges: Vec::new() };
    let mut script = vec![Operation::new('e', &[])];
    if reserved {
        // The window is not free but reserved.
        script.push(Operation::new('m', &[0, 0, 1024 * PAGE, 0, PRIVATE | ANON | NORESERVE | FIXED, ANONYMOUS, 0]));
    }
    while script.len() + 1 < length {
        script.push(match script.len() % 30 {
            0 => Operation::new('s', &[0]),
            _ => scene.operation(),
        });
    }
    script.push(Operation::new('s', &[1]));
    script.truncate(length.max(1));
    script
}

impl Scene<'_> {
    fn operation(&mut self) -> Operation {
        match self.random.below(100) {
            0..14 => self.map(),
            14..20 => self.map_file(),
            20..26 => self.range('u', &[]),
            26..39 => self.protect(),
            39..49 => self.remap(),
            49..57 => self.advise(),
            57..61 => {
                let flags = self.random.of(&[0, 0, 0, 1, 1, 2]);
                self.range('l', &[flags])
            }
            61..63 => self.range('k', &[]),
            63..65 => {
                let flags = self.random.of(&[1, 2, 4, 4, 4, 6, 5, 8, 0]);
                self.range('y', &[flags])
            }
            65..67 => self.range('c', &[]),
            67..71 => {
                let end = self.random.below(HEAP_PAGES * PAGE);
                let end = if self.random.one_in(4) { end } else { end & !(PAGE - 1) };
                self.edges.push(HEAP + end / PAGE);
                Operation::new('b', &[end])
            }
            71..75 => self.file(),
            75..88 => {
                let (page, offset, value) = (self.touched(), self.offset(), self.random.below(256));
                Operation::new('w', &[page, offset, value])
            }
            _ => {
                let (page, offset) = (self.touched(), self.offset());
                Operation::new('t', &[page, offset])
            }
        }
    }

    /// A page where a range may begin: often at an edge or beside one.
    fn page(&mut self) -> u64 {
        if !self.edges.is_empty() && !self.random.one_in(3) {
            // Lately made edges more often.
            let recent = self.edges.len().min(10) as u64;
            let edge = self.edges[self.edges.len() - 1 - self.random.below(recent) as usize];
            let moved = edge.wrapping_add(self.random.of(&[0, 0, 0, 1, u64::MAX]));
            let inside = moved < CLUSTERS * CLUSTER || (HEAP..HEAP + HEAP_PAGES).contains(&moved);
            return if inside { moved } else { edge };
        }
        if self.random.one_in(8) {
            return HEAP + self.random.below(HEAP_PAGES);
        }
        self.random.below(CLUSTERS) * CLUSTER + self.random.below(SPREAD)
    }

    /// Mostly a page that something was done to.
    fn touched(&mut self) -> u64 {
        self.page()
    }

    fn offset(&mut self) -> u64 {
        if self.random.one_in(3) { self.random.below(PAGE) } else { 0 }
    }

    /// A length in bytes: mostly a few pages.
    fn length(&mut self) -> u64 {
        match self.random.below(40) {
            0 => 0,
            1 | 2 => 1 + self.random.below(8 * PAGE),
            3 => (200 + self.random.below(100)) * PAGE,
            _ => (1 + self.random.below(6)) * PAGE,
        }
    }

    /// Mostly 0: what makes an address lie inside a page.
    fn skew(&mut self) -> u64 {
        if self.random.one_in(40) { 1 + self.random.below(PAGE - 1) } else { 0 }
    }

    fn note(&mut self, page: u64, length: u64) {
        self.edges.push(page);
        self.edges.push(page + length.div_ceil(PAGE));
    }

    /// Without execute-only memory: where there are protection keys Linux uses one for it.
    fn rights(&mut self) -> u64 {
        self.random.of(&[0, 1, 1, 3, 3, 3, 3, 5, 7, 2])
    }

    /// Page, skew, length, and more numbers.
    fn range(&mut self, letter: char, more: &[u64]) -> Operation {
        let (page, skew, length) = (self.page(), self.skew(), self.length());
        self.note(page, length);
        let mut numbers = vec![page, skew, length];
        numbers.extend_from_slice(more);
        Operation::new(letter, &numbers)
    }

    fn place_flags(&mut self) -> u64 {
        self.random.of(&[FIXED, FIXED, FIXED, FIXED, FIXED, 0, 0, FIXED_NOREPLACE])
    }

    fn map(&mut self) -> Operation {
        let kind = match self.random.below(16) {
            0..9 => PRIVATE,
            9..12 => SHARED,
            12 => PRIVATE | GROWSDOWN,
            13 => PRIVATE | NORESERVE,
            14 => PRIVATE | POPULATE,
            _ => self.random.of(&[PRIVATE | LOCKED, SHARED_VALIDATE, 0, SHARED | NORESERVE, SHARED | POPULATE]),
        };
        let flags = kind | ANON | self.place_flags();
        let rights = self.rights();
        self.range('m', &[rights, flags, ANONYMOUS, 0])
    }

    fn map_file(&mut self) -> Operation {
        let kind = self.random.of(&[
            PRIVATE,
            PRIVATE,
            SHARED,
            SHARED,
            SHARED_VALIDATE,
            PRIVATE | POPULATE,
            PRIVATE | GROWSDOWN,
        ]);
        let (flags, rights) = (kind | self.place_flags(), self.rights());
        let (file, page) = (self.random.of(&[0, 0, 1, 1, READ_ONLY]), self.random.below(FILE_PAGES + 1));
        self.range('m', &[rights, flags, file, page])
    }

    fn protect(&mut self) -> Operation {
        let more = if self.random.one_in(20) { self.random.of(&[0x0100_0000, 0x0200_0000, 8, 0x40]) } else { 0 };
        let rights = self.rights() | more;
        self.range('p', &[rights])
    }

    fn remap(&mut self) -> Operation {
        let (page, skew, old) = (self.page(), self.skew(), self.length());
        let new = if self.random.one_in(3) { old } else { self.length() };
        // DONTUNMAP is 4.
        let flags = self.random.of(&[0, 0, 1, 3, 3, 3, 3, 5, 7, 2]);
        let to = self.page();
        self.note(page, old);
        self.note(to, new);
        Operation::new('r', &[page, skew, old, new, flags, to])
    }

    /// Advice that is the same on every Linux and needs no huge pages.
    fn advise(&mut self) -> Operation {
        let advice =
            self.random.of(&[4, 4, 4, 4, 8, 8, 9, 0, 1, 2, 3, 10, 11, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 99]);
        self.range('a', &[advice])
    }

    /// A file's length, or a byte of it.
    fn file(&mut self) -> Operation {
        let file = self.random.of(&[0, 0, 1, READ_ONLY]);
        let offset = self.random.below(FILE_PAGES * PAGE);
        match self.random.below(4) {
            0 => Operation::new('T', &[file, offset]),
            1 | 2 => Operation::new('P', &[file, offset, self.random.below(256)]),
            _ => Operation::new('G', &[file, offset]),
        }
    }
}
