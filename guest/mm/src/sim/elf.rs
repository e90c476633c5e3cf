//! ELF files that no linker writes, for tests: every number in the headers is the test's.

use std::vec::Vec;

use crate::exec::HEADER_SIZE;

/// Type of a loadable segment.
pub const PT_LOAD: u32 = 1;
/// Type of a dynamic section.
pub const PT_DYNAMIC: u32 = 2;
/// Type of an interpreter's path.
pub const PT_INTERP: u32 = 3;
/// Type of a thread's first data.
pub const PT_TLS: u32 = 7;
/// Type of what the file wants of its stack.
pub const PT_GNU_STACK: u32 = 0x6474_e551;
/// Type of what the file wants of the CPU.
pub const PT_GNU_PROPERTY: u32 = 0x6474_e553;

/// A segment's right to be executed.
pub const EXECUTE: u32 = 1;
/// A segment's right to be written.
pub const WRITE: u32 = 2;
/// A segment's right to be read.
pub const READ: u32 = 4;

/// Bytes of the ELF header.
const ELF_HEADER: u16 = 64;

/// A program header, with Linux's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "elf(5) has them")]
pub struct Segment {
    pub p_type: u32,
    pub p_flags: u32,
    pub p_offset: u64,
    pub p_vaddr: u64,
    pub p_filesz: u64,
    pub p_memsz: u64,
    pub p_align: u64,
}

impl Segment {
    /// A loadable segment of as many bytes in memory as in the file.
    pub const fn load(p_flags: u32, p_offset: u64, p_vaddr: u64, size: u64) -> Segment {
        Segment { p_type: PT_LOAD, p_flags, p_offset, p_vaddr, p_filesz: size, p_memsz: size, p_align: 4096 }
    }
}

/// An ELF file.
#[derive(Clone, Debug)]
pub struct ElfFile {
    /// 2 for an executable, 3 for a static PIE.
    pub e_type: u16,
    /// Where it begins.
    pub e_entry: u64,
    /// Where its program headers are said to be; they are behind the ELF header.
    pub e_phoff: u64,
    /// How large one is said to be.
    pub e_phentsize: u16,
    /// How many are said to be there; `None` for as many as there are.
    pub e_phnum: Option<u16>,
    /// Its program headers.
    pub segments: Vec<Segment>,
    /// Length of the file; every byte behind the headers tells its place.
    pub length: usize,
}

impl ElfFile {
    /// A file of sound headers.
    pub fn new(e_type: u16, e_entry: u64, length: usize, segments: &[Segment]) -> ElfFile {
        ElfFile {
            e_type,
            e_entry,
            e_phoff: u64::from(ELF_HEADER),
            e_phentsize: HEADER_SIZE,
            e_phnum: None,
            segments: segments.to_vec(),
            length,
        }
    }

    /// What the file has at an offset behind its headers.
    pub fn filling(offset: usize) -> u8 {
        (offset as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] | 1
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        bytes.extend(self.e_type.to_le_bytes());
        bytes.extend(62u16.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        for word in [self.e_entry, self.e_phoff, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0u32.to_le_bytes());
        let count = self.e_phnum.unwrap_or(self.segments.len() as u16);
        for half in [ELF_HEADER, self.e_phentsize, count, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        for segment in &self.segments {
            bytes.extend(segment.p_type.to_le_bytes());
            bytes.extend(segment.p_flags.to_le_bytes());
            let Segment { p_offset, p_vaddr, p_filesz, p_memsz, p_align, .. } = *segment;
            for word in [p_offset, p_vaddr, p_vaddr, p_filesz, p_memsz, p_align] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.extend((bytes.len()..self.length).map(Self::filling));
        bytes
    }
}
