//! Texts of any length in chains of slots: long names, targets of links, paths of mapped files.

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Slot,
    slab::{Family, Kept},
};
use crate::state::Kernel;

/// Bytes of a text in one slot.
const PIECE: usize = 56;

/// A piece of a text. Lives in a slot.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Piece {
    next: Slot,
    /// Bytes from here to the text's end.
    rest: u32,
    bytes: [u8; PIECE],
}

impl Kept for Piece {
    const FAMILY: Family = Family::Text;
}

/// Stores a text.
///
/// # Errors
/// ENOMEM.
pub(crate) fn store(kernel: &mut Kernel, text: &[u8]) -> Result<Slot, Errno> {
    let mut next = 0;
    let whole = text.len() / PIECE * PIECE;
    let last = if whole == text.len() && whole > 0 { whole - PIECE } else { whole };
    let mut at = last;
    loop {
        let part = &text[at..text.len().min(at + PIECE)];
        let mut piece = Piece { next, rest: (text.len() - at) as u32, bytes: [0; PIECE] };
        piece.bytes[..part.len()].copy_from_slice(part);
        match kernel.fs.slab.insert(&mut kernel.mm, piece) {
            Ok(slot) => next = slot,
            Err(errno) => {
                free(kernel, next);
                return Err(errno);
            }
        }
        match at.checked_sub(PIECE) {
            Some(before) => at = before,
            None => return Ok(next),
        }
    }
}

/// Bytes of a text.
pub(crate) fn length(kernel: &Kernel, slot: Slot) -> usize {
    kernel.fs.slab.get::<Piece>(&kernel.mm, slot).rest as usize
}

/// Copies a text, as far as there is room; says how many bytes.
pub(crate) fn load(kernel: &Kernel, mut slot: Slot, to: &mut [u8]) -> usize {
    let mut done = 0;
    while slot != 0 && done < to.len() {
        let piece: &Piece = kernel.fs.slab.get(&kernel.mm, slot);
        let part = PIECE.min(piece.rest as usize).min(to.len() - done);
        to[done..done + part].copy_from_slice(&piece.bytes[..part]);
        done += part;
        slot = piece.next;
    }
    done
}

/// Whether a stored text is this one.
pub(crate) fn equals(kernel: &Kernel, mut slot: Slot, mut text: &[u8]) -> bool {
    if length(kernel, slot) != text.len() {
        return false;
    }
    while slot != 0 {
        let piece: &Piece = kernel.fs.slab.get(&kernel.mm, slot);
        let (part, rest) = text.split_at(text.len().min(PIECE));
        if piece.bytes[..part.len()] != *part {
            return false;
        }
        (text, slot) = (rest, piece.next);
    }
    true
}

/// Forgets a text; 0 is none.
pub(crate) fn free(kernel: &mut Kernel, mut slot: Slot) {
    while slot != 0 {
        let next = kernel.fs.slab.get::<Piece>(&kernel.mm, slot).next;
        kernel.fs.slab.remove::<Piece>(&mut kernel.mm, slot);
        slot = next;
    }
}
