//! Memory mapped by this process and unmapped with its owner.
#![expect(unsafe_code, reason = "maps and unmaps memory")]

use std::{io, os::fd::BorrowedFd, ptr::null_mut};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// A readable and writable mapping. Nothing but volatile accesses and copies through raw pointers may reach it: others
/// (a guest, userfaultfd) change it at any time.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: u64,
    length: u64,
}

impl Mapping {
    /// Private anonymous memory, not reserved. `length` is a multiple of `alignment`, a power of two from 4 KiB on.
    pub(crate) fn anonymous(length: u64, alignment: u64) -> io::Result<Mapping> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // Room for the worst misalignment; what is too much is given back.
        let room = length + alignment - 4096;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let begin = unsafe { mmap_anonymous(null_mut(), room as usize, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        let begin = begin as u64;
        let start = begin.next_multiple_of(alignment);
        for (from, to) in [(begin, start), (start + length, begin + room)] {
            if from < to {
                // SAFETY: the range is a part of the new mapping that nobody knows of.
                unsafe { munmap(from as *mut _, (to - from) as usize) }?;
            }
        }
        Ok(Mapping { start, length })
    }

    /// A file from its beginning, shared. Where `reserve` is false, memory is not set aside for it.
    pub(crate) fn shared(file: BorrowedFd<'_>, length: u64, reserve: bool) -> io::Result<Mapping> {
        let flags = if reserve { MapFlags::SHARED } else { MapFlags::SHARED | MapFlags::NORESERVE };
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(null_mut(), length as usize, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0) }?;
        Ok(Mapping { start: start as u64, length })
    }

    /// Address of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Advises the kernel about all of it.
    pub(crate) fn advise(&self, advice: Advice) -> io::Result<()> {
        // SAFETY: the range is a live mapping of ours that nothing but volatile accesses reach, so even advice that
        // changes its contents breaks no rule of the language.
        Ok(unsafe { madvise(self.start as *mut _, self.length as usize, advice) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody uses it any more.
        if let Err(error) = unsafe { munmap(self.start as *mut _, self.length as usize) } {
            log::warn!("{} bytes stay mapped: {error}", self.length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_has_its_alignment_and_length() {
        for alignment in [4096, 2 << 20] {
            let mappings: Vec<_> =
                (0..3).map(|_| Mapping::anonymous(4 << 20, alignment).expect("it can be mapped")).collect();
            for mapping in &mappings {
                assert_eq!(mapping.start() % alignment, 0);
                assert_eq!(mapping.length(), 4 << 20);
                mapping.advise(Advice::LinuxPopulateWrite).expect("all of it is there");
            }
        }
    }
}
