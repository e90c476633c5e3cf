//! Program files: a file is refused with words, or loaded into a simulated process exactly as its headers say.

use fastrand::Rng;
use pagelab::{builtin, vm::symbols::Symbols};
use pagelab_mm::{
    abi::{code::Owner, layout::TASK_SIZE},
    exec::Program,
    sim::{
        SimContext, SimProcess,
        elf::{EXECUTE, ElfFile, PT_DYNAMIC, PT_GNU_PROPERTY, PT_GNU_STACK, PT_INTERP, PT_TLS, READ, Segment, WRITE},
    },
    slab::CacheId,
    vma::VmFlags,
};

use super::elf_model::{Model, PAGE};
use crate::{Target, ensure, mutate};

/// RAM of the simulated machine.
const RAM: u64 = 16 << 20;

/// See the module.
pub struct Elf {
    corpus: Vec<Vec<u8>>,
}

impl Elf {
    /// With files of every sound kind.
    pub fn new() -> Elf {
        let text = Segment::load(READ | EXECUTE, 0, 0x40_0000, 3 * PAGE);
        let data = Segment { p_memsz: 5 * PAGE, ..Segment::load(READ | WRITE, 3 * PAGE, 0x40_3000, PAGE + 100) };
        let other = |p_type, p_flags, p_offset, p_filesz| Segment {
            p_type,
            ..Segment::load(p_flags, p_offset, 0x40_0000 + p_offset, p_filesz)
        };
        let all = [
            text,
            data,
            other(PT_TLS, READ, 0x3000, 64),
            other(PT_GNU_STACK, READ | WRITE, 0, 0),
            other(PT_GNU_PROPERTY, READ, 0x200, 32),
        ];
        let low = |segment: Segment| Segment { p_vaddr: segment.p_vaddr - 0x40_0000, ..segment };
        let aligned = |segment: Segment| Segment { p_align: 0x20_0000, ..low(segment) };
        let interpreter = [text, other(PT_INTERP, READ, 0x300, 28)];
        let files = [
            ElfFile::new(2, 0x40_0800, 0x5000, &all),
            ElfFile::new(2, 0x40_0800, 0x5000, &[text, data, Segment::load(READ, 0, 0x40_1000, PAGE)]),
            ElfFile::new(2, 0x40_0800, 0x5000, &interpreter),
            ElfFile::new(3, 0x800, 0x5000, &all.map(low)),
            ElfFile::new(3, 0x800, 0x5000, &[low(text), aligned(data), other(PT_DYNAMIC, READ, 0x400, 160)]),
        ];
        let mut corpus: Vec<_> = files.iter().map(ElfFile::bytes).collect();
        corpus.extend(builtin::program("hello").map(|hello| hello.elf.to_vec()));
        Elf { corpus }
    }
}

impl Default for Elf {
    fn default() -> Elf {
        Elf::new()
    }
}

impl Target for Elf {
    fn name(&self) -> &'static str {
        "elf"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        mutate::mutated(&self.corpus, random)
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        // The host looks for names in the same file.
        let symbols = Symbols::of_program(input);
        symbols.name(0x40_0800);
        match Program::read(input) {
            Err(why) => {
                let words = why.to_string();
                ensure!(words.len() > 20 && words.is_ascii(), "odd words\n{words:?}");
                Ok(())
            }
            Ok(program) => load(&program, input),
        }
    }
}

/// Loads a program that can be run, and compares what is there with what its headers say.
fn load(program: &Program<'_>, bytes: &[u8]) -> Result<(), String> {
    let mut process = SimProcess::new(RAM, bytes);
    let before = accounted(&process.cx);
    let loaded = process.load(program);
    let result = match &loaded {
        Ok(image) => {
            ensure!(image.entry < TASK_SIZE, "an entry outside of user addresses\n{image:x?}");
            let model = Model::new(bytes, image.entry);
            ensure!(
                program.is_position_independent() || model.end() <= image.end,
                "the heap begins inside of the image\n{image:x?}"
            );
            compare(&mut process, &model)
        }
        Err(error) => {
            ensure!(error.to_string().len() > 20, "odd words\n{error}");
            Ok(())
        }
    };
    process.cx.machine.assert_coherent();
    let SimProcess { mut cx, space, .. } = process;
    space.destroy(&mut cx);
    cx.machine.assert_coherent();
    let vmas = cx.slabs.active(CacheId::VM_AREA_STRUCT);
    ensure!(vmas == 0, "VMAs are lost\n{vmas}");
    // The top table was there before.
    ensure!(accounted(&cx) == before + 1, "frames are lost\n{} of {}", accounted(&cx), before + 1);
    result
}

/// Frames that are free, and those that outlive a process: the file's pages, the zero page, slabs.
fn accounted(cx: &SimContext) -> u64 {
    let kept = [Owner::File, Owner::PageCacheNode, Owner::Slab, Owner::ZeroPage].map(|owner| cx.frames.owned(owner));
    cx.frames.free() + kept.iter().sum::<u64>()
}

fn compare(process: &mut SimProcess, model: &Model) -> Result<(), String> {
    for address in model.places() {
        let expected = model.at(address);
        let vma = process.vma(address);
        let (Some(expected), Some(vma)) = (expected, vma) else {
            ensure!(expected.is_none() == vma.is_none(), "mapped or not\n{address:#x}: {expected:x?}, {vma:x?}");
            continue;
        };
        let bit = |flag| vma.flags().contains(flag);
        let rights = (bit(VmFlags::READ), bit(VmFlags::WRITE), bit(VmFlags::EXEC));
        ensure!(rights == expected.rights, "other rights\n{address:#x}: {expected:x?}, {vma:x?}");
        if expected.rights.0 && process.cx.frames.free() > 64 {
            let found = process.byte(address);
            ensure!(found == Some(expected.byte), "another byte\n{address:#x}: {expected:x?}, {found:x?}");
        }
    }
    Ok(())
}
