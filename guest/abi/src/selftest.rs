//! The in-guest tests of a kernel that was built with them, as the host finds them in its ELF file.
//!
//! Such a kernel has an array of entries between the symbols [`START`] and [`END`], each a [`Test`] and 8 bytes of the
//! kernel's own. The host boots the kernel with [`PROGRAM_PREFIX`] and the test's name as the program's path, and the
//! arguments: that path, the entry's index in decimal, and for a benchmark how often it does its operation.
//!
//! The test ends by an exit with one of the statuses here. What it has to say comes as console output on stream 2.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    boot::MAX_NODES,
    code::{FrameAllocator, SlabAllocator},
};

/// Symbol at the first entry.
pub const START: &str = "__selftests_start";
/// Symbol behind the last entry.
pub const END: &str = "__selftests_end";
/// Bytes from entry to entry.
pub const ENTRY_SIZE: usize = size_of::<Test>() + 8;
/// What the program's path begins with if the kernel is to run a test.
pub const PROGRAM_PREFIX: &str = "selftest:";
/// Longest name and longest text of a panic, in bytes.
pub const TEXT: usize = 64;

/// Exit status of a test that held.
pub const PASSED: u8 = 0;
/// Exit status of one that failed.
pub const FAILED: u8 = 1;
/// Exit status of one that this machine cannot show (the status that automake's harness gives a skipped test).
pub const SKIPPED: u8 = 77;

bitflags::bitflags! {
    /// What a test fixes of its machine. The rest is as the user wants it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Fixed: u16 {
        /// [`Test::memory`].
        const MEMORY = 1 << 0;
        /// [`Test::nodes`] and [`Test::distance`]; then `memory` is that of all nodes.
        const NODES = 1 << 1;
        /// [`Test::highmem`].
        const HIGHMEM = 1 << 2;
        /// [`Test::movable`].
        const MOVABLE = 1 << 3;
        /// [`Test::frames`].
        const FRAMES = 1 << 4;
        /// [`Test::slab`].
        const SLAB = 1 << 5;
        /// [`Test::slab_debug`].
        const SLAB_DEBUG = 1 << 6;
        /// [`Switches::NO_MOBILITY_GROUPING`].
        const GROUPING = 1 << 7;
        /// [`Switches::LAZY_VMALLOC`].
        const LAZY = 1 << 8;
    }
}

bitflags::bitflags! {
    /// Yes or no.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Switches: u8 {
        /// [`crate::boot::BootFlags::NO_MOBILITY_GROUPING`].
        const NO_MOBILITY_GROUPING = 1 << 0;
        /// [`crate::boot::BootFlags::LAZY_VMALLOC`].
        const LAZY_VMALLOC = 1 << 1;
        /// A benchmark, not a test: it does one operation as often as it is told.
        const BENCHMARK = 1 << 2;
        /// A test that fails by design, to show how that is told: it runs only if its whole name is asked for.
        const DEMONSTRATION = 1 << 3;
        /// Its machine is too large for a look at every frame after the test.
        const LARGE = 1 << 4;
    }
}

/// One test: its name, what it needs, how it ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Test {
    /// `GROUP/NAME`, filled up with NULs.
    pub name: [u8; TEXT],
    /// What the kernel must panic with (a part of it); empty if it must not.
    pub panic: [u8; TEXT],
    /// Bytes of RAM.
    pub memory: u64,
    /// See [`crate::boot::BootInfo::highmem`].
    pub highmem: u64,
    /// See [`crate::boot::BootInfo::movable`].
    pub movable: u64,
    /// See [`crate::boot::BootInfo::distance`].
    pub distance: [[u8; MAX_NODES]; MAX_NODES],
    /// [`Fixed`].
    pub fixed: u16,
    /// NUMA nodes.
    pub nodes: u8,
    /// What hands out frames.
    pub frames: FrameAllocator,
    /// What hands out kernel objects.
    pub slab: SlabAllocator,
    /// [`crate::boot::SlabDebug`].
    pub slab_debug: u8,
    /// [`Switches`].
    pub switches: u8,
    /// Zero.
    pub padding: u8,
}

const _: () = assert!(size_of::<Test>() == 176 && ENTRY_SIZE.is_multiple_of(8));

impl Test {
    /// A test that fixes nothing.
    ///
    /// # Panics
    /// The name is longer than [`TEXT`] bytes (at compile time, since entries are statics).
    pub const fn new(name: &str) -> Test {
        Test {
            name: padded(name),
            panic: [0; TEXT],
            memory: 0,
            highmem: 0,
            movable: 0,
            distance: [[0; MAX_NODES]; MAX_NODES],
            fixed: 0,
            nodes: 1,
            frames: FrameAllocator::Buddy,
            slab: SlabAllocator::Queued,
            slab_debug: 0,
            switches: 0,
            padding: 0,
        }
    }

    /// Its name; the part before the first byte that is no UTF-8 if somebody else wrote it.
    pub fn name(&self) -> &str {
        text(&self.name)
    }

    /// What the kernel must panic with; `None` if it must not.
    pub fn panic(&self) -> Option<&str> {
        Some(text(&self.panic)).filter(|text| !text.is_empty())
    }
}

/// A text filled up with NULs.
///
/// # Panics
/// It is longer than [`TEXT`] bytes.
pub const fn padded(text: &str) -> [u8; TEXT] {
    let mut bytes = [0; TEXT];
    let mut at = 0;
    while at < text.len() {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// The text before the NULs.
fn text(bytes: &[u8; TEXT]) -> &str {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(TEXT);
    let bytes = &bytes[..length];
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
