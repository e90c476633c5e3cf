//! Mapping a program: where a position-independent one goes, the mappings in their order, and what is known afterwards.

use core::{
    fmt::{self, Display, Formatter},
    ops::Range,
};

use elf::abi::PF_X;
use pagelab_abi::layout::{ELF_ET_DYN_BASE, PAGE_SIZE, TASK_SIZE};

use super::{Program, Unfit};
use crate::{
    errno::Errno,
    space::{MmapRequest, map},
    vma::FileId,
};

/// What maps a program: the kernel for the process it starts, a test for a simulated one.
pub trait Loader {
    /// Maps memory, as `mmap` does.
    ///
    /// # Errors
    /// As `mmap`.
    fn map(&mut self, request: &MmapRequest) -> Result<u64, Errno>;

    /// Unmaps memory, as `munmap` does.
    ///
    /// # Errors
    /// As `munmap`.
    fn unmap(&mut self, start: u64, length: u64) -> Result<(), Errno>;

    /// Fills mapped, writable memory with zeros.
    ///
    /// # Errors
    /// EFAULT, or no memory for a page of it.
    fn clear(&mut self, range: Range<u64>) -> Result<(), Errno>;
}

/// What there is to know of a mapped program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// First instruction.
    pub entry: u64,
    /// Where its program headers are in memory.
    pub headers: u64,
    /// How many there are.
    pub header_count: u64,
    /// First page after the image: the heap starts here.
    pub end: u64,
    /// From the first executable segment to the last one's end.
    pub code: Range<u64>,
    /// From the segment with the highest address to the last end of bytes of the file.
    pub data: Range<u64>,
    /// The file asks for a stack that can be executed.
    pub executable_stack: bool,
}

/// Why a program that can be run was not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError<'a> {
    /// A part of it could not be mapped.
    Map {
        /// First byte.
        start: u64,
        /// First byte after it.
        end: u64,
        /// Why.
        errno: Errno,
    },
    /// Where it was placed, its entry point is no user address.
    Unfit(Unfit<'a>),
}

impl Display for LoadError<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            LoadError::Map { start, end, errno: Errno::ENOMEM } => write!(
                f,
                "there is no room to map {start:#x}-{end:#x} (ENOMEM); give more with --memory, or make its data smaller"
            ),
            LoadError::Map { start, end, errno } => {
                write!(f, "{start:#x}-{end:#x} cannot be mapped (errno {}); link it to other addresses", errno.0)
            }
            LoadError::Unfit(why) => why.fmt(f),
        }
    }
}

impl Image {
    pub(super) fn of<'a>(program: &Program<'a>, bias: u64) -> Result<Image, Unfit<'a>> {
        let entry = bias.wrapping_add(program.entry);
        if entry >= TASK_SIZE {
            return Err(Unfit::Entry(entry));
        }
        let (mut headers, mut code, mut data) = (0, None::<Range<u64>>, 0..0);
        for segment in program.segments() {
            let (start, file_end) = (segment.p_vaddr, segment.p_vaddr + segment.p_filesz);
            if segment.p_offset <= program.headers_at && program.headers_at - segment.p_offset < segment.p_filesz {
                headers = program.headers_at - segment.p_offset + start;
            }
            if segment.p_flags & PF_X != 0 {
                code = Some(code.map_or(start..file_end, |code| code.start.min(start)..code.end.max(file_end)));
            }
            data = data.start.max(start)..data.end.max(file_end);
        }
        let moved = |range: Range<u64>| bias.wrapping_add(range.start)..bias.wrapping_add(range.end);
        Ok(Image {
            entry,
            headers: bias.wrapping_add(headers),
            header_count: u64::from(program.header_count),
            // The heap of a static-PIE program stays away from the mmap area (Linux 6.15 and later).
            end: if program.independent { ELF_ET_DYN_BASE } else { program.high },
            code: moved(code.unwrap_or_default()),
            data: moved(data),
            executable_stack: program.executable_stack,
        })
    }

    /// Whole pages of the executable segments, in bytes: what VmExe shows.
    pub fn text_bytes(&self) -> u64 {
        self.code.end.next_multiple_of(PAGE_SIZE) - self.code.start / PAGE_SIZE * PAGE_SIZE
    }

    /// Bytes of initialised data, which RLIMIT_DATA counts together with the heap.
    pub fn data_bytes(&self) -> u64 {
        self.data.end.saturating_sub(self.data.start)
    }
}

/// Maps a program, whose bytes are those of `file`, into an address space that is empty where it goes.
///
/// # Errors
/// What could not be mapped; parts of it may be.
pub fn load<'a>(to: &mut impl Loader, program: &Program<'a>, file: FileId) -> Result<Image, LoadError<'a>> {
    let bias = if program.is_position_independent() { place(to, program)? } else { 0 };
    let image = program.image(bias).map_err(LoadError::Unfit)?;
    for mapping in program.mappings(bias) {
        let (start, end) = (mapping.start, mapping.end);
        let request = MmapRequest {
            addr: start,
            length: end - start,
            prot: mapping.prot,
            flags: map::PRIVATE | map::FIXED | if mapping.offset.is_none() { map::ANONYMOUS } else { 0 },
            file: mapping.offset.map(|offset| (file, offset)),
            ..MmapRequest::default()
        };
        to.map(&request).map_err(|errno| LoadError::Map { start, end, errno })?;
        if let Some(from) = mapping.clear_from {
            to.clear(from..end).map_err(|errno| LoadError::Map { start: from, end, errno })?;
        }
    }
    Ok(image)
}

/// How far above its own addresses a position-independent program goes: where mmap would put all of it, lowered to its
/// alignment, as Linux does for a program without interpreter.
fn place<'a>(to: &mut impl Loader, program: &Program<'a>) -> Result<u64, LoadError<'a>> {
    let (start, end) = program.span();
    let length = end - start;
    let failed = |errno| LoadError::Map { start, end, errno };
    let request = MmapRequest { length, flags: map::PRIVATE | map::ANONYMOUS, ..MmapRequest::default() };
    let base = to.map(&request).map_err(failed)?;
    to.unmap(base, length).map_err(failed)?;
    Ok((base & !(program.alignment() - 1)).wrapping_sub(start))
}
