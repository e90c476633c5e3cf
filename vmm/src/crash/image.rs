//! The program's file, asked about addresses: functions, source lines, code, and how to unwind a stack.

use std::ops::Range;

use addr2line::Context;
use gimli::{BaseAddresses, DebugFrame, EhFrame, EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSegment, SegmentFlags, elf::PF_X};
use pagelab_abi::layout::TASK_SIZE;

use crate::vm::symbols::{Symbols, demangle};

/// Debug information as it lies in the file.
pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Most functions that one address is said to be inlined through.
const MAX_INLINED: usize = 16;

/// A function that an address is in. Of several the innermost comes first, and all but the last are inlined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name; `None` where nothing tells it.
    pub(crate) function: Option<String>,
    /// Source file.
    pub(crate) file: Option<String>,
    /// Line in it.
    pub(crate) line: Option<u32>,
    /// Whether the compiler put it into the next one.
    pub(crate) inlined: bool,
}

/// A program's file. One that cannot be read, or lacks what is asked for, answers less.
pub(crate) struct ProgramImage<'a> {
    symbols: Symbols,
    lines: Option<Context<Slice<'a>>>,
    /// Executable segments: where the file says they lie, and their bytes.
    text: Vec<(Range<u64>, &'a [u8])>,
    pub(super) eh_frame: EhFrame<Slice<'a>>,
    pub(super) debug_frame: DebugFrame<Slice<'a>>,
    pub(super) bases: BaseAddresses,
    /// How far the program lies from where its file says, modulo 2^64.
    bias: u64,
}

impl<'a> ProgramImage<'a> {
    /// Reads a file. `entry` is where the program began in memory.
    pub(crate) fn new(elf: &'a [u8], entry: Option<u64>) -> ProgramImage<'a> {
        let file = object::File::parse(elf).ok();
        let section = |name: &str| file.as_ref().and_then(|file| file.section_by_name(name));
        let data = |name: &str| section(name).and_then(|section| section.data().ok()).unwrap_or(&[]);
        let address = |name: &str| section(name).map_or(0, |section| section.address());
        let dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(EndianSlice::new(data(id.name()), LittleEndian)));
        let executable = |flags: SegmentFlags| matches!(flags, SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0);
        let segments = file.iter().flat_map(|file| file.segments());
        let text = segments.filter(|segment| executable(segment.flags())).filter_map(|segment| {
            let end = segment.address().checked_add(segment.size())?;
            Some((segment.address()..end, segment.data().ok()?))
        });
        let in_file = file.as_ref().map(|file| file.entry());
        let mut debug_frame = DebugFrame::from(EndianSlice::new(data(".debug_frame"), LittleEndian));
        debug_frame.set_address_size(8);
        let mut eh_frame = EhFrame::from(EndianSlice::new(data(".eh_frame"), LittleEndian));
        eh_frame.set_address_size(8);
        ProgramImage {
            symbols: Symbols::from_elf(elf),
            lines: dwarf.ok().and_then(|dwarf| Context::from_dwarf(dwarf).ok()),
            text: text.collect(),
            eh_frame,
            debug_frame,
            bases: BaseAddresses::default()
                .set_eh_frame(address(".eh_frame"))
                .set_eh_frame_hdr(address(".eh_frame_hdr"))
                .set_text(address(".text"))
                .set_got(address(".got")),
            bias: entry.zip(in_file).map_or(0, |(entry, in_file)| entry.wrapping_sub(in_file)),
        }
    }

    /// What an address of the program is in its file.
    pub(super) fn in_file(&self, address: u64) -> u64 {
        address.wrapping_sub(self.bias)
    }

    /// Whether the file has code there.
    pub(crate) fn is_text(&self, address: u64) -> bool {
        let address = self.in_file(address);
        self.text.iter().any(|(range, _)| range.contains(&address))
    }

    /// Whether the instruction before this address is a call, as far as its bytes tell.
    pub(super) fn follows_call(&self, address: u64) -> bool {
        let address = self.in_file(address);
        let before = self.text.iter().find_map(|(range, bytes)| {
            let end = usize::try_from(address.checked_sub(range.start)?).ok()?;
            bytes.get(end.saturating_sub(7)..end)
        });
        let Some(before) = before else { return false };
        // CALL rel32, or CALL r/m64 (FF /2) in its lengths.
        let direct = before.len() >= 5 && before[before.len() - 5] == 0xe8;
        let indirect = (2..=before.len()).any(|length| {
            let code = &before[before.len() - length..];
            code[0] == 0xff && code[1] & 0x38 == 0x10
        });
        direct || indirect
    }

    /// `function+0xoffset`.
    pub(crate) fn symbol(&self, address: u64) -> Option<String> {
        self.symbols.name(self.in_file(address))
    }

    /// The functions and source lines of an address; empty where the file has no debug information of it.
    pub(crate) fn places(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        let Some(lines) = &self.lines else { return places };
        let address = self.in_file(address);
        // The program chooses where it crashes, and addr2line adds to the address.
        if address >= TASK_SIZE {
            return places;
        }
        let Ok(mut frames) = lines.find_frames(address).skip_all_loads() else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|function| function.raw_name().ok().map(|name| demangle(&name)));
            let (file, line) = frame.location.map_or((None, None), |location| (location.file, location.line));
            places.push(Place { function: name, file: file.map(str::to_owned), line, inlined: true });
            if places.len() == MAX_INLINED {
                break;
            }
        }
        if let Some(last) = places.last_mut() {
            last.inlined = false;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[inline(never)]
    fn known_function() -> u64 {
        std::hint::black_box(known_function as fn() -> u64 as usize as u64)
    }

    #[test]
    fn this_very_program_is_known_by_function_and_line() {
        let own = std::fs::read("/proc/self/exe").expect("a program can read itself");
        let in_file = object::File::parse(&*own).expect("an ELF file");
        let symbol = object::Object::symbols(&in_file)
            .find(|symbol| object::ObjectSymbol::name(symbol).is_ok_and(|name| name.contains("known_function")))
            .expect("its symbol");
        let known = object::ObjectSymbol::address(&symbol);
        // Where the loader put it gives the bias; the entry moves by the same.
        let entry = in_file.entry().wrapping_add(known_function().wrapping_sub(known));
        let image = ProgramImage::new(&own, Some(entry));
        let address = known_function();
        assert!(image.is_text(address) && !image.is_text(0) && !image.is_text(u64::MAX));
        assert!(image.symbol(address).is_some_and(|name| name.ends_with("known_function+0x0")));
        let places = image.places(address);
        let last = places.last().expect("tests are built with debug information");
        assert!(last.function.as_ref().is_some_and(|name| name.ends_with("known_function")), "{last:?}");
        assert!(last.file.as_ref().is_some_and(|file| file.ends_with("image.rs")) && last.line.is_some(), "{last:?}");
    }

    #[test]
    fn what_is_no_program_answers_nothing() {
        for bytes in [&b""[..], b"\x7fELF", &[0xff; 4096]] {
            let image = ProgramImage::new(bytes, Some(7));
            assert!(!image.is_text(0) && !image.follows_call(0) && image.symbol(9).is_none());
            assert!(image.places(0).is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A file whose debug information is damaged answers less, or nonsense, but it answers.
        #[test]
        fn a_damaged_file_does_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..400)) {
            let mut elf = crate::builtin::program("hello").expect("a built-in program").elf.to_vec();
            // The head stays: without it nothing at all would be read.
            let length = elf.len() - 64;
            for (at, byte) in changes {
                elf[64 + at.index(length)] = byte;
            }
            let image = ProgramImage::new(&elf, Symbols::entry(&elf));
            for address in (0x40_0000..0x40_8000).step_by(0x123) {
                image.places(address);
                image.symbol(address);
                image.follows_call(address);
            }
        }
    }
}
