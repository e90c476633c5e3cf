//! VMAs drawn as text, one character a page.
//!
//! A blank is a page without a mapping; a letter is a page of a mapping and says what kind it is (see `kind`); `|`
//! parts two VMAs that touch; a digit after a VMA is its anon identity. So `WW1|R  G` is a faulted writable VMA of two
//! pages, a read-only one of one page right after it, a hole, and a stack.

use pagelab_mm::{
    frame::OutOfMemory,
    slab::Slot,
    vma::{Candidate, Slots, VmFlags, Vma, VmaSet},
};

/// The address of the first character.
pub(crate) const BASE: u64 = 0x10_0000_0000;
const PAGE: u64 = 4096;
/// The file page of the first character, for file mappings.
const FILE_PAGE: u64 = 100;

/// A store of VMAs in a vector; `capacity` VMAs fit.
pub(crate) struct Store {
    vmas: Vec<Option<Vma>>,
    pub(crate) capacity: usize,
}

impl Default for Store {
    fn default() -> Self {
        Store { vmas: vec![None], capacity: usize::MAX }
    }
}

impl Store {
    pub(crate) fn live(&self) -> usize {
        self.vmas.iter().flatten().count()
    }
}

impl Slots for Store {
    fn vma(&self, slot: Slot) -> &Vma {
        self.vmas[slot as usize].as_ref().expect("slot in use")
    }

    fn vma_mut(&mut self, slot: Slot) -> &mut Vma {
        self.vmas[slot as usize].as_mut().expect("slot in use")
    }

    fn alloc_vma(&mut self, vma: Vma) -> Result<Slot, OutOfMemory> {
        if self.live() >= self.capacity {
            return Err(OutOfMemory);
        }
        let free = self.vmas.iter().skip(1).position(Option::is_none).map(|at| at + 1);
        let slot = free.unwrap_or_else(|| {
            self.vmas.push(None);
            self.vmas.len() - 1
        });
        self.vmas[slot] = Some(vma);
        Ok(slot as Slot)
    }

    fn free_vma(&mut self, slot: Slot) {
        assert!(self.vmas[slot as usize].take().is_some(), "slot {slot} freed twice");
    }
}

/// What a letter stands for: flags, file, and whether its page offsets are its addresses' (or are elsewhere).
const KINDS: &[(char, VmFlags, u32)] = &[
    ('N', VmFlags::MAYREAD, 0),
    ('R', VmFlags::READ, 0),
    ('W', VmFlags::READ.union(VmFlags::WRITE), 0),
    ('X', VmFlags::READ.union(VmFlags::EXEC), 0),
    ('G', VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::GROWSDOWN), 0),
    ('F', VmFlags::READ, 1),
    ('H', VmFlags::READ, 2),
    // Like W, but mapped elsewhere first and then moved: its page offsets are not its addresses.
    ('M', VmFlags::READ.union(VmFlags::WRITE), 0),
];

pub(crate) fn kind(letter: char) -> (VmFlags, u32) {
    let found = KINDS.iter().find(|kind| kind.0 == letter).unwrap_or_else(|| panic!("no kind {letter:?}"));
    (found.1, found.2)
}

pub(crate) fn at(page: usize) -> u64 {
    BASE + page as u64 * PAGE
}

fn pgoff(letter: char, start: u64) -> u64 {
    match letter {
        'F' | 'H' => (start - BASE) / PAGE + FILE_PAGE,
        'M' => start / PAGE + 7,
        _ => start / PAGE,
    }
}

fn letter_of(vma: &Vma) -> char {
    let moved = vma.file == 0 && vma.pgoff != vma.start / PAGE;
    let fits = |kind: &&(char, VmFlags, u32)| kind.1 == vma.flags() && kind.2 == vma.file;
    KINDS.iter().filter(fits).map(|kind| kind.0).find(|&letter| (letter == 'M') == moved).expect("a known kind")
}

/// A VMA set with its store.
#[derive(Default)]
pub(crate) struct Strip {
    pub(crate) set: VmaSet,
    pub(crate) store: Store,
}

impl Strip {
    /// The set that a text draws.
    pub(crate) fn draw(text: &str) -> Strip {
        let mut strip = Strip::default();
        let (mut page, mut open) = (0, None::<Slot>);
        for letter in text.chars() {
            match letter {
                ' ' => {
                    open = None;
                    page += 1;
                }
                '|' => open = None,
                '0'..='9' => {
                    let anon = letter.to_digit(10).expect("a digit");
                    strip.store.vma_mut(open.expect("a digit follows a VMA")).anon = anon;
                }
                _ => {
                    match open {
                        Some(slot) => {
                            assert_eq!(letter_of(strip.store.vma(slot)), letter, "{text}: part VMAs with |");
                            let start = strip.store.vma(slot).start;
                            strip.set.resize(&mut strip.store, slot, start, at(page + 1));
                        }
                        None => {
                            let (flags, file) = kind(letter);
                            let vma = Vma::new(at(page), at(page + 1), pgoff(letter, at(page)), flags, file);
                            let slot = strip.store.alloc_vma(vma).expect("room");
                            strip.set.insert(&mut strip.store, slot);
                            open = Some(slot);
                        }
                    }
                    page += 1;
                }
            }
        }
        strip.set.check(&strip.store);
        strip
    }

    /// The text that draws this set.
    pub(crate) fn text(&self) -> String {
        self.set.check(&self.store);
        let (mut text, mut end, mut slot) = (String::new(), BASE, self.set.first);
        while slot != 0 {
            let vma = self.store.vma(slot);
            let blanks = (vma.start - end) / PAGE;
            if blanks == 0 && end != BASE {
                text.push('|');
            }
            text.extend(std::iter::repeat_n(' ', blanks as usize));
            text.extend(std::iter::repeat_n(letter_of(vma), vma.pages() as usize));
            if vma.anon != 0 {
                text.push_str(&vma.anon.to_string());
            }
            end = vma.end;
            slot = vma.next;
        }
        text
    }

    /// Maps pages `from..to`, which must be free.
    pub(crate) fn map(mut self, from: usize, to: usize, letter: char) -> Strip {
        let (flags, file) = kind(letter);
        let (start, end, pgoff) = (at(from), at(to), pgoff(letter, at(from)));
        let candidate = Candidate { start, end, pgoff, flags, file, anon: 0 };
        if self.set.merge_new(&mut self.store, &candidate).is_none() {
            let slot = self.store.alloc_vma(Vma::new(start, end, pgoff, flags, file)).expect("room");
            self.set.insert(&mut self.store, slot);
        }
        self
    }

    /// Gives the pages `from..to`, all in one VMA, another kind.
    pub(crate) fn protect(mut self, from: usize, to: usize, letter: char) -> Strip {
        let (flags, _) = kind(letter);
        let slot = self.set.containing(&self.store, at(from)).expect("mapped");
        if self.set.merge_changed(&mut self.store, slot, at(from), at(to), flags).is_none() {
            let whole = *self.store.vma(slot);
            let mut slot = slot;
            if whole.start < at(from) {
                slot = self.set.split(&mut self.store, slot, at(from)).expect("room");
            }
            if at(to) < whole.end {
                self.set.split(&mut self.store, slot, at(to)).expect("room");
            }
            self.store.vma_mut(slot).set_flags(flags);
        }
        self
    }

    /// Unmaps pages `from..to`.
    pub(crate) fn unmap(mut self, from: usize, to: usize) -> Strip {
        while let Some(slot) = self.set.find_intersection(&self.store, at(from), at(to)) {
            let vma = *self.store.vma(slot);
            let (start, end) = (vma.start.max(at(from)), vma.end.min(at(to)));
            self.set.carve(&mut self.store, slot, start, end).expect("room");
        }
        self
    }

    /// Faults on a page: the first anonymous page of its VMA.
    pub(crate) fn touch(mut self, page: usize) -> Strip {
        let slot = self.set.containing(&self.store, at(page)).expect("mapped");
        self.set.prepare_anon(&mut self.store, slot);
        self
    }
}

#[test]
fn what_is_drawn_is_read_back() {
    for text in ["", "W", "  W", "WW1|R  G", "FFF|H2 M|W|X|N", "W|W|W"] {
        assert_eq!(Strip::draw(text).text(), text);
    }
}
