//! What each page of a process must hold, and what the next access to it must do.

use pagelab_mm::{abi::code::FaultKind, fault::Access};

/// Bytes of the files: one page, five pages and a half, and enough for a tree of two levels.
pub(crate) const FILES: [u64; 3] = [4096, 5 * 4096 + 2048, 600 * 4096 + 8];
/// The words of a page that programs use: the first and last, and both sides of the middle.
pub(crate) const WORDS: [usize; 4] = [0, 255, 256, 511];

/// A word of a file.
pub(crate) fn file_word(file: usize, index: u64, word: usize) -> u64 {
    let at = index * 4096 + word as u64 * 8;
    if at + 8 > FILES[file] { 0 } else { file as u64 + 1 + at * 0x1_0001 }
}

/// What is mapped behind a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Anon,
    /// A file and the page's number in it.
    File(usize, u64),
}

/// What the page tables have of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Untouched,
    /// The zero page or the page cache's frame, read-only.
    Shared,
    /// The process's own frame with these contents.
    Private {
        words: [u64; WORDS.len()],
        writable: bool,
    },
}

/// A mapped page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    pub(crate) prot: u64,
    pub(crate) source: Source,
    pub(crate) state: State,
}

const WRITE: u64 = 2;
const EXEC: u64 = 4;

impl Page {
    pub(crate) fn new(prot: u64, source: Source) -> Page {
        Page { prot, source, state: State::Untouched }
    }

    /// mprotect: rights to write are taken and given back at once.
    pub(crate) fn protect(&mut self, prot: u64) {
        self.prot = prot;
        if let State::Private { writable, .. } = &mut self.state {
            *writable = prot & WRITE != 0;
        }
    }

    /// What the page holds, as far as programs look.
    pub(crate) fn words(&self) -> [u64; WORDS.len()] {
        match (self.state, self.source) {
            (State::Private { words, .. }, _) => words,
            (_, Source::Anon) => [0; WORDS.len()],
            (_, Source::File(file, index)) => WORDS.map(|word| file_word(file, index, word)),
        }
    }

    /// The fault that an access must cause, if any, and what it makes of the page.
    pub(crate) fn access(&mut self, access: Access) -> Option<FaultKind> {
        let granted = match access {
            Access::Read => self.prot != 0,
            Access::Write => self.prot & WRITE != 0,
            Access::Execute => self.prot & EXEC != 0,
        };
        if !granted {
            return Some(FaultKind::SegvAccErr);
        }
        let anonymous = self.source == Source::Anon;
        let past_end = matches!(self.source, Source::File(file, index) if index * 4096 >= FILES[file]);
        let kind = match (self.state, access) {
            (State::Private { writable: false, .. }, Access::Write) => FaultKind::Prot,
            (State::Private { .. }, _) => return None,
            (State::Shared, Access::Write) => FaultKind::Cow,
            (State::Shared, _) => return None,
            (State::Untouched, _) if past_end => return Some(FaultKind::SigBus),
            (State::Untouched, Access::Write) if anonymous => FaultKind::AnonWrite,
            (State::Untouched, Access::Write) => FaultKind::FileWrite,
            (State::Untouched, _) if anonymous => FaultKind::AnonRead,
            (State::Untouched, _) => FaultKind::FileRead,
        };
        self.state = match access {
            Access::Write => State::Private { words: self.words(), writable: true },
            _ => State::Shared,
        };
        Some(kind)
    }
}
