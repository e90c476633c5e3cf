//! The list of tests: one static a test, in a section of the kernel's image that the host reads too.
#![expect(unsafe_code, reason = "the linker script makes an array of what lies in one section")]

use core::slice;

use pagelab_abi::{
    boot::{MAX_NODES, SlabDebug},
    code::{FrameAllocator, SlabAllocator},
    selftest::{ENTRY_SIZE, Fixed, Switches, Test, padded},
};

use super::check::Outcome;
use crate::state::Kernel;

/// A test: what the host knows of it, and its function.
#[repr(C)]
pub(crate) struct Entry {
    test: Test,
    /// Runs it.
    pub(super) body: fn(&mut Kernel) -> Outcome,
}

const _: () = assert!(size_of::<Entry>() == ENTRY_SIZE);

impl Entry {
    /// A test that runs on this machine.
    pub(super) const fn new(machine: Machine, name: &str, body: fn(&mut Kernel) -> Outcome) -> Entry {
        let name = Test::new(name).name;
        Entry { test: Test { name, ..machine.0 }, body }
    }

    /// Whether it is a benchmark.
    pub(super) fn is_benchmark(&self) -> bool {
        Switches::from_bits_retain(self.test.switches).contains(Switches::BENCHMARK)
    }

    /// Whether its machine is too large for a look at every frame.
    pub(super) fn is_large(&self) -> bool {
        Switches::from_bits_retain(self.test.switches).contains(Switches::LARGE)
    }
}

/// Registers a test: its function, its name, and what it needs of its machine.
macro_rules! test {
    ($body:path, $name:literal) => {
        $crate::selftest::entry::test!($body, $name, $crate::selftest::entry::Machine::ANY);
    };
    ($body:path, $name:literal, $machine:expr) => {
        const _: () = {
            #[expect(unsafe_code, reason = "the section is an array of entries, and holds nothing else")]
            #[used]
            #[unsafe(link_section = ".selftests")]
            static ENTRY: $crate::selftest::entry::Entry = $crate::selftest::entry::Entry::new($machine, $name, $body);
        };
    };
}
pub(super) use test;

unsafe extern "C" {
    static __selftests_start: u8;
    static __selftests_end: u8;
}

/// All tests, in the order of their indices.
pub(super) fn all() -> &'static [Entry] {
    let (start, end) = ((&raw const __selftests_start).cast::<Entry>(), &raw const __selftests_end);
    let count = (end as usize - start as usize) / size_of::<Entry>();
    // SAFETY: the linker script puts nothing between the two symbols but the statics of `test!`, all of this type, one
    // after the other: the size is a multiple of the alignment.
    unsafe { slice::from_raw_parts(start, count) }
}

/// What a test needs of its machine. What it does not say is as the user wants it.
#[derive(Clone, Copy)]
pub(super) struct Machine(Test);

impl Machine {
    /// Any machine will do.
    pub(super) const ANY: Machine = Machine(Test::new(""));
    /// Any machine, and the operation is done as often as the host says.
    pub(super) const BENCHMARK: Machine = Machine(Test { switches: Switches::BENCHMARK.bits(), ..Machine::ANY.0 });

    /// Any machine, and the test fails by design.
    pub(super) const DEMONSTRATION: Machine =
        Machine(Test { switches: Switches::DEMONSTRATION.bits(), ..Machine::ANY.0 });

    const fn fix(self, fixed: Fixed) -> Machine {
        Machine(Test { fixed: self.0.fixed | fixed.bits(), ..self.0 })
    }

    /// So many bytes of RAM.
    pub(super) const fn memory(self, bytes: u64) -> Machine {
        Machine(Test { memory: bytes, ..self.0 }).fix(Fixed::MEMORY)
    }

    /// So many nodes with so much RAM each. `distance[a][b]` is how far node `a` is from `b`.
    pub(super) const fn nodes(self, count: u8, each: u64, distance: [[u8; MAX_NODES]; MAX_NODES]) -> Machine {
        Machine(Test { nodes: count, distance, ..self.0 }).memory(each * count as u64).fix(Fixed::NODES)
    }

    /// That much RAM out of the direct map.
    pub(super) const fn highmem(self, bytes: u64) -> Machine {
        Machine(Test { highmem: bytes, ..self.0 }).fix(Fixed::HIGHMEM)
    }

    /// That much RAM for movable contents.
    pub(super) const fn movable(self, bytes: u64) -> Machine {
        Machine(Test { movable: bytes, ..self.0 }).fix(Fixed::MOVABLE)
    }

    /// With this allocator of frames.
    pub(super) const fn frames(self, frames: FrameAllocator) -> Machine {
        Machine(Test { frames, ..self.0 }).fix(Fixed::FRAMES)
    }

    /// With this allocator of kernel objects.
    pub(super) const fn slab(self, slab: SlabAllocator) -> Machine {
        Machine(Test { slab, ..self.0 }).fix(Fixed::SLAB)
    }

    /// With these checks of kernel objects.
    pub(super) const fn slab_debug(self, debug: SlabDebug) -> Machine {
        Machine(Test { slab_debug: debug.bits(), ..self.0 }).fix(Fixed::SLAB_DEBUG)
    }

    /// vmalloc areas get their frames by faults, or at once.
    pub(super) const fn lazy_vmalloc(self, lazy: bool) -> Machine {
        self.switch(Switches::LAZY_VMALLOC, lazy).fix(Fixed::LAZY)
    }

    /// Migrate types are kept apart, or not.
    pub(super) const fn mobility_grouping(self, grouping: bool) -> Machine {
        self.switch(Switches::NO_MOBILITY_GROUPING, !grouping).fix(Fixed::GROUPING)
    }

    /// The machine is too large for a look at every frame after the test.
    pub(super) const fn large(self) -> Machine {
        self.switch(Switches::LARGE, true)
    }

    /// The kernel must panic, and say this.
    pub(super) const fn panics(self, text: &str) -> Machine {
        Machine(Test { panic: padded(text), ..self.0 })
    }

    const fn switch(self, switch: Switches, on: bool) -> Machine {
        let bits = if on { self.0.switches | switch.bits() } else { self.0.switches & !switch.bits() };
        Machine(Test { switches: bits, ..self.0 })
    }
}
