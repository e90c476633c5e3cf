//! One loadable segment: its checks, and the mappings that are made of it.

use elf::{
    abi::{PF_R, PF_W, PF_X},
    segment::ProgramHeader,
};
use pagelab_abi::layout::{MMAP_MIN_ADDR, PAGE_SIZE, TASK_SIZE};

use super::{Part, Problem, Unfit};
use crate::space::prot;

/// Pages of a program to map, at a fixed address and in place of what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First byte, page aligned.
    pub start: u64,
    /// First byte after it, page aligned.
    pub end: u64,
    /// `PROT_*` bits.
    pub prot: u64,
    /// Where in the file its bytes begin, page aligned; `None` for zeros.
    pub offset: Option<u64>,
    /// First byte of the last page to fill with zeros up to `end`, once it is mapped.
    pub clear_from: Option<u64>,
}

/// Checks a segment's numbers; afterwards none of the sums below can overflow.
pub(super) fn check<'a>(
    bytes: &[u8],
    independent: bool,
    number: u16,
    segment: &ProgramHeader,
) -> Result<(), Unfit<'a>> {
    let bad = |problem| Err(Unfit::Segment { number, problem });
    let &ProgramHeader { p_vaddr, p_memsz, p_filesz, p_offset, .. } = segment;
    if p_filesz > p_memsz {
        return bad(Problem::LargerInFile);
    }
    if p_vaddr.checked_add(p_memsz).is_none_or(|end| end > TASK_SIZE) {
        return bad(Problem::OutsideUser);
    }
    if !independent && p_memsz != 0 && p_vaddr / PAGE_SIZE * PAGE_SIZE < MMAP_MIN_ADDR {
        return bad(Problem::TooLow);
    }
    // Where nothing is read from the file, its offset says nothing.
    if p_filesz != 0 {
        if p_offset.checked_add(p_filesz).is_none_or(|end| end > bytes.len() as u64) {
            return Err(Unfit::CutOff(Part::Segment(number)));
        }
        if p_offset % PAGE_SIZE != p_vaddr % PAGE_SIZE {
            return bad(Problem::Misaligned);
        }
    }
    Ok(())
}

/// The mappings of a checked segment: what it has in the file, and zeros for the rest. The zeros can be written
/// whatever the segment's rights are, as on Linux.
pub(super) fn mappings(segment: &ProgramHeader, bias: u64) -> [Option<Mapping>; 2] {
    let mut rights = 0;
    for (flag, bit) in [(PF_R, prot::READ), (PF_W, prot::WRITE), (PF_X, prot::EXEC)] {
        if segment.p_flags & flag != 0 {
            rights |= bit;
        }
    }
    let start = bias.wrapping_add(segment.p_vaddr);
    let page = start / PAGE_SIZE * PAGE_SIZE;
    let file_end = start + segment.p_filesz;
    let file_pages_end = if segment.p_filesz == 0 { page } else { file_end.next_multiple_of(PAGE_SIZE) };
    let end = (start + segment.p_memsz).next_multiple_of(PAGE_SIZE);
    let partial = segment.p_memsz > segment.p_filesz && file_end < file_pages_end && rights & prot::WRITE != 0;
    let file = (segment.p_filesz != 0).then(|| Mapping {
        start: page,
        end: file_pages_end,
        prot: rights,
        offset: Some(segment.p_offset - (start - page)),
        clear_from: partial.then_some(file_end),
    });
    let zeros = (segment.p_memsz > segment.p_filesz && file_pages_end < end).then_some(Mapping {
        start: file_pages_end,
        end,
        prot: prot::READ | prot::WRITE | (rights & prot::EXEC),
        offset: None,
        clear_from: None,
    });
    [file, zeros]
}
