//! The ELF loader: static x86-64 programs, at fixed addresses or position-independent.

use elf::{
    abi::{EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD},
    endian::LittleEndian,
    file::{Class, FileHeader, parse_ident},
    parse::ParseAt,
    segment::ProgramHeader,
};
use pagelab_abi::layout::{ELF_ET_DYN_BASE, PAGE_SIZE, TASK_SIZE};
use pagelab_mm::{
    file::FileId,
    space::{MmapRequest, map, prot},
};

use super::{ExecError, Image};
use crate::{files::FileEntry, state::Kernel, user_copy};

/// Most program headers that are looked at; Linux allows one page of them.
const MAX_HEADERS: usize = PAGE_SIZE as usize / HEADER_SIZE;
const HEADER_SIZE: usize = 56;

/// Maps a program's segments.
pub(super) fn load(kernel: &mut Kernel, file: &FileEntry, id: FileId) -> Result<Image, ExecError> {
    let header = parse(file.bytes)?;
    let span = span(file.bytes, &header)?;
    let bias = match header.e_type {
        ET_EXEC => 0,
        // As Linux does for a program without interpreter: where mmap would put it.
        _ => {
            let request = MmapRequest {
                addr: 0,
                length: span.1 - span.0,
                prot: 0,
                flags: map::PRIVATE | map::ANONYMOUS,
                file: None,
            };
            let space = &mut kernel.process.space;
            let base = space.mmap(&mut kernel.mm, &request).map_err(|errno| ExecError::Map {
                start: span.0,
                end: span.1,
                errno,
            })?;
            space.munmap(&mut kernel.mm, base, request.length).map_err(|errno| ExecError::Map {
                start: base,
                end: base + request.length,
                errno,
            })?;
            base.wrapping_sub(span.0)
        }
    };

    let mut image = Image {
        entry: bias.wrapping_add(header.e_entry),
        headers: 0,
        header_count: u64::from(header.e_phnum),
        end: 0,
        text_bytes: 0,
        data_bytes: 0,
        executable_stack: executable_stack(file.bytes, &header)?,
    };
    for segment in loads(file.bytes, &header) {
        let segment = segment?;
        map_segment(kernel, id, &segment, bias)?;
        let start = bias.wrapping_add(segment.p_vaddr);
        image.end = image.end.max((start + segment.p_memsz).next_multiple_of(PAGE_SIZE));
        if segment.p_flags & PF_X != 0 {
            image.text_bytes += segment.p_memsz;
        } else if segment.p_flags & PF_W != 0 {
            image.data_bytes += segment.p_filesz;
        }
        if (segment.p_offset..segment.p_offset + segment.p_filesz).contains(&header.e_phoff) {
            image.headers = start + (header.e_phoff - segment.p_offset);
        }
    }
    if header.e_type == ET_DYN {
        // The heap of a static-PIE program stays away from the mmap area (Linux 6.15 and later).
        image.end = ELF_ET_DYN_BASE;
    }
    if image.entry >= TASK_SIZE {
        return Err(ExecError::NotExecutable("its entry address is not a user address"));
    }
    Ok(image)
}

fn parse(bytes: &[u8]) -> Result<FileHeader<LittleEndian>, ExecError> {
    let bad = ExecError::NotExecutable;
    const IDENT: usize = 16;
    if bytes.len() < IDENT {
        return Err(bad("it is too short to be an ELF file"));
    }
    let ident = parse_ident::<LittleEndian>(bytes).map_err(|_| bad("it is not a little-endian ELF file"))?;
    if ident.1 != Class::ELF64 {
        return Err(bad("it is not a 64-bit program"));
    }
    let tail = bytes.get(IDENT..).unwrap_or_default();
    let header = FileHeader::parse_tail(ident, tail).map_err(|_| bad("its ELF header is cut off"))?;
    if header.e_machine != EM_X86_64 {
        return Err(bad("it is for another machine than x86-64"));
    }
    if header.e_type != ET_EXEC && header.e_type != ET_DYN {
        return Err(bad("it is not an executable (ET_EXEC or static-PIE)"));
    }
    if usize::from(header.e_phentsize) != HEADER_SIZE || usize::from(header.e_phnum) > MAX_HEADERS {
        return Err(bad("its program headers have an impossible size or number"));
    }
    for segment in headers(bytes, &header) {
        if segment?.p_type == PT_INTERP {
            return Err(bad("it is dynamically linked; link it statically (gcc -static)"));
        }
    }
    Ok(header)
}

fn headers<'a>(
    bytes: &'a [u8],
    header: &FileHeader<LittleEndian>,
) -> impl Iterator<Item = Result<ProgramHeader, ExecError>> + use<'a> {
    let start = header.e_phoff;
    (0..u64::from(header.e_phnum)).map(move |index| {
        let cut_off = || ExecError::NotExecutable("its program headers are cut off");
        let mut at = usize::try_from(start.checked_add(index * HEADER_SIZE as u64).ok_or_else(cut_off)?)
            .map_err(|_| cut_off())?;
        ProgramHeader::parse_at(LittleEndian, Class::ELF64, &mut at, bytes).map_err(|_| cut_off())
    })
}

/// Whether the file's PT_GNU_STACK asks for an executable stack; without one, the stack is not.
fn executable_stack(bytes: &[u8], header: &FileHeader<LittleEndian>) -> Result<bool, ExecError> {
    for segment in headers(bytes, header) {
        let segment = segment?;
        if segment.p_type == PT_GNU_STACK {
            return Ok(segment.p_flags & PF_X != 0);
        }
    }
    Ok(false)
}

/// The loadable segments, each checked.
fn loads<'a>(
    bytes: &'a [u8],
    header: &FileHeader<LittleEndian>,
) -> impl Iterator<Item = Result<ProgramHeader, ExecError>> + use<'a> {
    headers(bytes, header).filter_map(move |segment| match segment {
        Ok(segment) if segment.p_type != PT_LOAD || segment.p_memsz == 0 => None,
        Ok(segment) => Some(check(bytes, segment)),
        Err(error) => Some(Err(error)),
    })
}

fn check(bytes: &[u8], segment: ProgramHeader) -> Result<ProgramHeader, ExecError> {
    let bad = |why| Err(ExecError::NotExecutable(why));
    if segment.p_filesz > segment.p_memsz {
        return bad("a segment is larger in the file than in memory");
    }
    if segment.p_offset.checked_add(segment.p_filesz).is_none_or(|end| end > bytes.len() as u64) {
        return bad("a segment ends beyond the file");
    }
    if segment.p_vaddr.checked_add(segment.p_memsz).is_none_or(|end| end > TASK_SIZE) {
        return bad("a segment lies outside of user addresses");
    }
    if segment.p_offset % PAGE_SIZE != segment.p_vaddr % PAGE_SIZE {
        return bad("a segment's address and file offset disagree");
    }
    Ok(segment)
}

/// First and last address of all segments, in whole pages.
fn span(bytes: &[u8], header: &FileHeader<LittleEndian>) -> Result<(u64, u64), ExecError> {
    let (mut low, mut high) = (u64::MAX, 0);
    for segment in loads(bytes, header) {
        let segment = segment?;
        low = low.min(segment.p_vaddr / PAGE_SIZE * PAGE_SIZE);
        high = high.max((segment.p_vaddr + segment.p_memsz).next_multiple_of(PAGE_SIZE));
    }
    if low >= high {
        return Err(ExecError::NotExecutable("it has nothing to load"));
    }
    Ok((low, high))
}

/// Maps a segment's file pages, and anonymous memory for the rest.
fn map_segment(kernel: &mut Kernel, id: FileId, segment: &ProgramHeader, bias: u64) -> Result<(), ExecError> {
    let mut protection = 0;
    for (flag, bit) in [(PF_R, prot::READ), (PF_W, prot::WRITE), (PF_X, prot::EXEC)] {
        if segment.p_flags & flag != 0 {
            protection |= bit;
        }
    }
    let start = bias.wrapping_add(segment.p_vaddr);
    let file_end = start + segment.p_filesz;
    let end = (start + segment.p_memsz).next_multiple_of(PAGE_SIZE);
    let page = start / PAGE_SIZE * PAGE_SIZE;
    let file_pages_end = file_end.next_multiple_of(PAGE_SIZE);
    let map_pages = |kernel: &mut Kernel, start: u64, end: u64, flags, file| {
        let request = MmapRequest { addr: start, length: end - start, prot: protection, flags, file };
        let space = &mut kernel.process.space;
        space.mmap(&mut kernel.mm, &request).map_err(|errno| ExecError::Map { start, end, errno })
    };

    if segment.p_filesz == 0 {
        map_pages(kernel, page, end, map::PRIVATE | map::FIXED_NOREPLACE | map::ANONYMOUS, None)?;
        return Ok(());
    }
    let offset = segment.p_offset - (start - page);
    // Segments may share a page of the file, but never an address.
    map_pages(kernel, page, file_pages_end, map::PRIVATE | map::FIXED_NOREPLACE, Some((id, offset)))?;
    if segment.p_memsz > segment.p_filesz {
        if file_end < file_pages_end && protection & prot::WRITE != 0 {
            user_copy::clear(kernel, file_end, file_pages_end - file_end).map_err(|errno| ExecError::Map {
                start: file_end,
                end: file_pages_end,
                errno,
            })?;
        }
        if file_pages_end < end {
            map_pages(kernel, file_pages_end, end, map::PRIVATE | map::FIXED | map::ANONYMOUS, None)?;
        }
    }
    Ok(())
}
