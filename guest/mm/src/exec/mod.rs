//! Programs: which files can be run, and exactly what is mapped for one.
//!
//! The kernel maps it, the VMM refuses a bad file before it starts a VM, and the fuzzer looks for files that break
//! either. Rules are those of Linux 6.12's ELF loader, for static programs; a file that Linux would start only to kill
//! it is refused with a reason.

mod load;
mod segment;
mod unfit;

use elf::{
    abi::{EM_X86_64, ET_DYN, ET_EXEC, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD},
    endian::LittleEndian,
    file::{Class, FileHeader, parse_ident},
    parse::ParseAt,
    segment::ProgramHeader,
};
use pagelab_abi::layout::{PAGE_SIZE, TASK_SIZE};

pub use load::{Image, LoadError, Loader, load};
pub use segment::Mapping;
pub use unfit::{Part, Problem, Unfit};

/// Bytes of a program header.
pub const HEADER_SIZE: u16 = 56;
/// Most program headers: as many as Linux takes, a page of them.
pub const MAX_HEADERS: u16 = PAGE_SIZE as u16 / HEADER_SIZE;
/// Most entries of a dynamic section that are looked at.
const MAX_DYNAMIC: usize = 1024;
/// Bytes of the ELF identification, before the fields that depend on its class.
const IDENT: usize = 16;
/// Where `e_machine` is, in both classes.
const MACHINE: usize = 18;

/// A file that can be run: its headers are read and every number in them is checked.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    bytes: &'a [u8],
    entry: u64,
    headers_at: u64,
    header_count: u16,
    independent: bool,
    /// First and last address of all segments, in whole pages.
    low: u64,
    high: u64,
    alignment: u64,
    executable_stack: bool,
}

impl<'a> Program<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub fn read(bytes: &'a [u8]) -> Result<Program<'a>, Unfit<'a>> {
        let header = header(bytes)?;
        let mut program = Program {
            bytes,
            entry: header.e_entry,
            headers_at: header.e_phoff,
            header_count: header.e_phnum,
            independent: header.e_type == ET_DYN,
            low: u64::MAX,
            high: 0,
            alignment: PAGE_SIZE,
            executable_stack: false,
        };
        program.check_table()?;
        for (number, segment) in (0..).zip(program.headers()) {
            program.look_at(number, &segment)?;
        }
        if program.segments().all(|segment| segment.p_memsz == 0) {
            return Err(Unfit::NothingToLoad);
        }
        match program.entry {
            0 if program.independent => Err(Unfit::SharedLibrary),
            0 => Err(Unfit::NoEntry),
            entry if entry >= TASK_SIZE => Err(Unfit::Entry(entry)),
            _ => Ok(program),
        }
    }

    /// Whether it runs at any address (a static PIE).
    pub fn is_position_independent(&self) -> bool {
        self.independent
    }

    /// First address of its segments and the first after them, in whole pages, as the file gives them.
    pub fn span(&self) -> (u64, u64) {
        (self.low, self.high)
    }

    /// The alignment that a position-independent program wants: a power of two, a page at least.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// What is mapped for it, in order, if it runs `bias` bytes above its own addresses. Later mappings replace what
    /// they overlap of earlier ones, as on Linux.
    pub fn mappings(&self, bias: u64) -> impl Iterator<Item = Mapping> + use<'a> {
        self.segments().flat_map(move |segment| segment::mappings(&segment, bias)).flatten()
    }

    /// What there is to know of it once it is mapped `bias` bytes above its own addresses.
    ///
    /// # Errors
    /// Its entry point is then no user address.
    pub fn image(&self, bias: u64) -> Result<Image, Unfit<'a>> {
        Image::of(self, bias)
    }

    /// Its table of program headers, all of it in the file.
    fn headers(&self) -> impl Iterator<Item = ProgramHeader> + use<'a> {
        let (bytes, start) = (self.bytes, self.headers_at as usize);
        (0..usize::from(self.header_count)).map_while(move |index| {
            let mut at = start + index * usize::from(HEADER_SIZE);
            ProgramHeader::parse_at(LittleEndian, Class::ELF64, &mut at, bytes).ok()
        })
    }

    /// Its loadable segments.
    fn segments(&self) -> impl Iterator<Item = ProgramHeader> + use<'a> {
        self.headers().filter(|segment| segment.p_type == PT_LOAD)
    }

    fn check_table(&self) -> Result<(), Unfit<'a>> {
        let size = u64::from(self.header_count) * u64::from(HEADER_SIZE);
        match self.headers_at.checked_add(size) {
            Some(end) if end <= self.bytes.len() as u64 => Ok(()),
            _ => Err(Unfit::CutOff(Part::ProgramHeaders)),
        }
    }

    /// Checks one program header and keeps what it says. PT_TLS, PT_GNU_PROPERTY, PT_GNU_RELRO and the others are the
    /// program's own business.
    fn look_at(&mut self, number: u16, header: &ProgramHeader) -> Result<(), Unfit<'a>> {
        match header.p_type {
            PT_LOAD => {
                segment::check(self.bytes, self.independent, number, header)?;
                // One without bytes counts, too: on Linux it can move the heap.
                self.low = self.low.min(header.p_vaddr / PAGE_SIZE * PAGE_SIZE);
                self.high = self.high.max((header.p_vaddr + header.p_memsz).next_multiple_of(PAGE_SIZE));
                // Linux passes over an alignment that is no power of two.
                if header.p_align.is_power_of_two() {
                    self.alignment = self.alignment.max(header.p_align);
                }
            }
            PT_INTERP => {
                let path = self.contents(number, header)?;
                return Err(Unfit::Dynamic(path.split(|&byte| byte == 0).next().unwrap_or_default()));
            }
            PT_DYNAMIC if self.independent && self.needs_libraries(number, header)? => {
                return Err(Unfit::SharedLibrary);
            }
            // As on Linux the last one counts; without one the stack is not executable.
            PT_GNU_STACK => self.executable_stack = header.p_flags & PF_X != 0,
            _ => {}
        }
        Ok(())
    }

    /// Whether the dynamic section names a library (DT_NEEDED).
    fn needs_libraries(&self, number: u16, header: &ProgramHeader) -> Result<bool, Unfit<'a>> {
        const NULL: [u8; 8] = [0; 8];
        const NEEDED: [u8; 8] = 1u64.to_le_bytes();
        let (entries, _) = self.contents(number, header)?.as_chunks::<16>();
        let tags = entries.iter().take(MAX_DYNAMIC).filter_map(|entry| entry.first_chunk::<8>());
        Ok(tags.take_while(|tag| **tag != NULL).any(|tag| *tag == NEEDED))
    }

    /// The bytes that a program header speaks of.
    fn contents(&self, number: u16, header: &ProgramHeader) -> Result<&'a [u8], Unfit<'a>> {
        let end = header.p_offset.checked_add(header.p_filesz);
        end.and_then(|end| self.bytes.get(header.p_offset as usize..end as usize))
            .ok_or(Unfit::CutOff(Part::Segment(number)))
    }
}

/// The ELF header, of a kind that can be run.
fn header(bytes: &[u8]) -> Result<FileHeader<LittleEndian>, Unfit<'_>> {
    const CLASS: usize = 4;
    const DATA: usize = 5;
    const BITS_32: u8 = 1;
    const BIG_ENDIAN: u8 = 2;
    match bytes {
        [] => return Err(Unfit::Empty),
        [b'#', b'!', line @ ..] => {
            let line = line.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default();
            return Err(Unfit::Script(line.trim_ascii()));
        }
        [0x7f, b'E', b'L', b'F', ..] => {}
        // A piece of the magic number and no more.
        _ if b"\x7fELF".starts_with(bytes) => return Err(Unfit::CutOff(Part::Header)),
        _ => return Err(Unfit::NotElf),
    }
    let (Some(ident), Some(machine)) = (bytes.get(..IDENT), bytes.get(MACHINE..MACHINE + 2)) else {
        return Err(Unfit::CutOff(Part::Header));
    };
    if ident[DATA] == BIG_ENDIAN {
        return Err(Unfit::BigEndian);
    }
    if ident[CLASS] == BITS_32 {
        return Err(Unfit::Bits32(u16::from_le_bytes([machine[0], machine[1]])));
    }
    let ident = parse_ident::<LittleEndian>(ident).map_err(|_| Unfit::Unknown)?;
    let header = FileHeader::parse_tail(ident, &bytes[IDENT..]).map_err(|_| Unfit::CutOff(Part::Header))?;
    if header.e_machine != EM_X86_64 {
        return Err(Unfit::Machine(header.e_machine));
    }
    if header.e_type != ET_EXEC && header.e_type != ET_DYN {
        return Err(Unfit::Kind(header.e_type));
    }
    if header.e_phentsize != HEADER_SIZE || !(1..=MAX_HEADERS).contains(&header.e_phnum) {
        return Err(Unfit::HeaderTable);
    }
    Ok(header)
}
