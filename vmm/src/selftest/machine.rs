//! The machine that a test runs on: what the test fixes, and for the rest what the user wants.

use pagelab_abi::{
    boot::SlabDebug,
    selftest::{Fixed, Switches, Test},
};

use crate::vm::{MemoryPolicy, Numa};

/// RAM of a guest, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Bytes.
    pub memory: u64,
    /// How the guest's kernel manages it.
    pub policy: MemoryPolicy,
}

impl Machine {
    /// The machine of a test for a user who wants this one.
    ///
    /// # Errors
    /// The user asks for another allocator than the one that the test is about: why it is skipped.
    pub fn of(test: &Test, wanted: &Machine) -> Result<Machine, String> {
        let fixed = Fixed::from_bits_retain(test.fixed);
        let switches = Switches::from_bits_retain(test.switches);
        let mut machine = *wanted;
        let Machine { memory, policy } = &mut machine;
        if fixed.contains(Fixed::MEMORY) {
            *memory = test.memory;
        }
        if fixed.contains(Fixed::NODES) {
            policy.numa = Numa { nodes: test.nodes, distance: test.distance };
        } else if fixed.contains(Fixed::MEMORY) {
            // A test that says how much memory there is means one node's.
            policy.numa = Numa::default();
        }
        if fixed.contains(Fixed::HIGHMEM) {
            policy.highmem = test.highmem;
        }
        if fixed.contains(Fixed::MOVABLE) {
            policy.movable = test.movable;
        }
        if fixed.contains(Fixed::SLAB_DEBUG) {
            policy.slab_debug = SlabDebug::from_bits_retain(test.slab_debug);
        }
        if fixed.contains(Fixed::GROUPING) {
            policy.no_mobility_grouping = switches.contains(Switches::NO_MOBILITY_GROUPING);
        }
        if fixed.contains(Fixed::LAZY) {
            policy.lazy_vmalloc = switches.contains(Switches::LAZY_VMALLOC);
        }
        let only = |what: &str, name: Option<&str>| format!("it is about --{what} {}", name.unwrap_or("?"));
        let usual = MemoryPolicy::default();
        if fixed.contains(Fixed::FRAMES) {
            if policy.frame_allocator != test.frames && policy.frame_allocator != usual.frame_allocator {
                return Err(only("frames", test.frames.name()));
            }
            policy.frame_allocator = test.frames;
        }
        if fixed.contains(Fixed::SLAB) {
            if policy.slab_allocator != test.slab && policy.slab_allocator != usual.slab_allocator {
                return Err(only("slab", test.slab.name()));
            }
            policy.slab_allocator = test.slab;
        }
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use pagelab_abi::code::FrameAllocator;

    use super::*;

    fn wanted() -> Machine {
        Machine { memory: 64 << 20, policy: MemoryPolicy { highmem: 8 << 20, ..MemoryPolicy::default() } }
    }

    #[test]
    fn what_a_test_does_not_fix_is_the_users() {
        assert_eq!(Machine::of(&Test::new("a/b"), &wanted()), Ok(wanted()));
    }

    #[test]
    fn what_a_test_fixes_is_its_own() {
        let fixed = (Fixed::MEMORY | Fixed::LAZY).bits();
        let test =
            Test { memory: 16 << 20, fixed, switches: Switches::LAZY_VMALLOC.bits(), movable: 1, ..Test::new("a/b") };
        let machine = Machine::of(&test, &wanted()).expect("nothing speaks against it");
        assert_eq!((machine.memory, machine.policy.highmem, machine.policy.movable), (16 << 20, 8 << 20, 0));
        assert!(machine.policy.lazy_vmalloc);
    }

    #[test]
    fn a_test_of_one_allocator_is_skipped_for_another() {
        let test = Test { frames: FrameAllocator::Buddy, fixed: Fixed::FRAMES.bits(), ..Test::new("frames/buddies") };
        assert!(Machine::of(&test, &wanted()).is_ok());
        let mut other = wanted();
        other.policy.frame_allocator = FrameAllocator::Bitmap;
        assert_eq!(Machine::of(&test, &other), Err("it is about --frames buddy".to_owned()));
        // Nobody asked for the usual one: a test of the other runs.
        let test = Test { frames: FrameAllocator::Bitmap, ..test };
        let machine = Machine::of(&test, &wanted()).expect("it runs");
        assert_eq!(machine.policy.frame_allocator, FrameAllocator::Bitmap);
    }
}
