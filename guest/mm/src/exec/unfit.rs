//! Why a file cannot be run as a program: one sentence each, with what to do about it.

use core::fmt::{self, Display, Formatter};

/// Why a file cannot be run. Its text goes on after the file's name and a colon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit<'a> {
    /// It has no bytes.
    Empty,
    /// It begins with `#!`; the rest of that line.
    Script(&'a [u8]),
    /// It does not begin as an ELF file.
    NotElf,
    /// It has fewer bytes than it says.
    CutOff(Part),
    /// Its identification is of no known class, byte order or version.
    Unknown,
    /// Its numbers have the highest byte first.
    BigEndian,
    /// Of the 32-bit class, for this `e_machine`.
    Bits32(u16),
    /// For another machine, this `e_machine`.
    Machine(u16),
    /// Neither an executable nor a static PIE, but of this `e_type`.
    Kind(u16),
    /// `e_phentsize` or `e_phnum` are impossible.
    HeaderTable,
    /// It asks for this interpreter.
    Dynamic(&'a [u8]),
    /// It is loaded by others: it has no entry point, or needs libraries without naming an interpreter.
    SharedLibrary,
    /// An executable whose entry point is 0.
    NoEntry,
    /// Its entry point is no user address.
    Entry(u64),
    /// None of its segments is loaded.
    NothingToLoad,
    /// One of its segments cannot be mapped.
    Segment {
        /// Its number in the table of program headers.
        number: u16,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// A part of a file that is not all there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The ELF header.
    Header,
    /// The table of program headers.
    ProgramHeaders,
    /// What the program header of this number speaks of.
    Segment(u16),
}

/// What is wrong with a loadable segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// `p_filesz` is above `p_memsz`.
    LargerInFile,
    /// It reaches out of user addresses, or wraps around.
    OutsideUser,
    /// It begins below the lowest address that can be mapped.
    TooLow,
    /// Address and file offset differ in their place in the page.
    Misaligned,
}

/// Most bytes of a file's own text that a message repeats.
const SHOWN: usize = 127;

/// What the common machines are called, by `e_machine`.
const MACHINES: [(u16, &str); 11] = [
    (2, "SPARC"),
    (3, "i386"),
    (8, "MIPS"),
    (20, "PowerPC"),
    (21, "ppc64"),
    (22, "s390x"),
    (40, "ARM"),
    (62, "x86-64"),
    (183, "aarch64"),
    (243, "RISC-V"),
    (258, "LoongArch"),
];

const HOW_TO_LINK: &str = "link it statically (C: `gcc -static`; Rust: `--target x86_64-unknown-linux-musl` or \
    `-C target-feature=+crt-static`; Go: `CGO_ENABLED=0`)";

impl Display for Unfit<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Unfit::Empty => f.write_str("it is empty; give a static x86-64 Linux executable"),
            Unfit::Script(line) => write!(
                f,
                "it is a script for {}; run that interpreter, statically linked, and give it the script with --file",
                shown(line)
            ),
            Unfit::NotElf => f.write_str("it is not an ELF executable; give a static x86-64 Linux executable"),
            Unfit::CutOff(part) => write!(f, "{part} ends beyond the file, which is cut off; copy or build it again"),
            Unfit::Unknown => f.write_str("its ELF header is of an unknown kind; copy or build it again"),
            Unfit::BigEndian => f.write_str("it is a big-endian program; build it for x86-64"),
            Unfit::Bits32(62) => f.write_str("it is a 32-bit program (x32); build it for x86-64 (`gcc -m64`)"),
            Unfit::Bits32(3) => f.write_str("it is a 32-bit program (i386); build it for x86-64 (`gcc -m64`)"),
            Unfit::Bits32(machine) => {
                write!(f, "it is a 32-bit program for {}; build it for x86-64", Machine(machine))
            }
            Unfit::Machine(machine) => write!(f, "it is a program for {}; build it for x86-64", Machine(machine)),
            Unfit::Kind(1) => f.write_str("it is an object file; link it first, statically (`gcc -static`)"),
            Unfit::Kind(4) => f.write_str("it is a core file; give the program that dumped it"),
            Unfit::Kind(kind) => write!(f, "it is not an executable (ELF type {kind}); link it again"),
            Unfit::HeaderTable => {
                f.write_str("its program headers have an impossible size or number; copy or build it again")
            }
            Unfit::Dynamic(interpreter) => {
                write!(f, "it is dynamically linked (it asks for {}); {HOW_TO_LINK}", shown(interpreter))
            }
            Unfit::SharedLibrary => write!(f, "it is a shared library; give a program, and {HOW_TO_LINK}"),
            Unfit::NoEntry => f.write_str("it has no entry point; link it with one (`_start`)"),
            Unfit::Entry(entry) => {
                write!(f, "its entry point {entry:#x} is not a user address; link it to user addresses")
            }
            Unfit::NothingToLoad => f.write_str("it has no segment to load; link it again"),
            Unfit::Segment { number, problem } => {
                let problem = match problem {
                    Problem::LargerInFile => "is larger in the file than in memory; copy or build it again",
                    Problem::OutsideUser => "reaches out of user addresses; link it to user addresses",
                    Problem::TooLow => "begins below 0x10000, the lowest address to map; link it higher",
                    Problem::Misaligned => "has an address and a file offset that disagree; link it again",
                };
                write!(f, "its segment {number} {problem}")
            }
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Part::Header => f.write_str("its ELF header"),
            Part::ProgramHeaders => f.write_str("its table of program headers"),
            Part::Segment(number) => write!(f, "its segment {number}"),
        }
    }
}

/// A machine by its name where it has one here, else by its number.
struct Machine(u16);

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match MACHINES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "another processor (ELF machine {})", self.0),
        }
    }
}

fn shown(text: &[u8]) -> impl Display + '_ {
    text.get(..SHOWN).unwrap_or(text).escape_ascii()
}

const _: () = assert!(pagelab_abi::layout::MMAP_MIN_ADDR == 0x10000, "Problem::TooLow says so");
