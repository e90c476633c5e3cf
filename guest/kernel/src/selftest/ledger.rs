//! What is in use before a test and after it: a test that leaves more behind has leaked.
//!
//! Equal must be the frames of each owner, the tables of the process, the objects of all caches and the areas of the kernel's
//! own virtual memory. What may differ:
//!
//! - frames of slabs, page-cache nodes' too: caches keep empty slabs, or give one back that was there before;
//! - objects that caches hold themselves;
//! - tables of the kernel's half of the address space, which are never given back;
//! - three frames of buffers: the account of kmap's pool, which is made on first use.

use pagelab_abi::code::Owner;
use pagelab_mm::machine::Machine as _;

use super::check::{Failure, Outcome, ensure_eq};
use crate::state::Kernel;

/// Owners that are counted.
const OWNERS: usize = Owner::ALL.len();

/// Frames of kmap's pool.
const KMAP_POOL: u64 = 3;

/// What was in use at one moment.
pub(super) struct Ledger {
    frames: [u64; OWNERS],
    user_tables: u64,
    objects: u64,
    areas: u32,
    free: u64,
}

impl Ledger {
    /// What is in use now.
    pub(super) fn take(kernel: &Kernel) -> Ledger {
        let mut frames = [0; OWNERS];
        for (count, &owner) in frames.iter_mut().zip(Owner::ALL) {
            *count = kernel.mm.frames.owned(owner);
        }
        let slabs = &kernel.mm.slabs;
        Ledger {
            frames,
            user_tables: kernel.process.space.tables.tables,
            objects: slabs.entries().map(|cache| cache.active_objects).sum::<u64>() - slabs.own_objects(),
            areas: kernel.mm.area_count(),
            free: kernel.mm.frames.free(),
        }
    }

    /// Fails if something leaked since, or, if `all_frames` are to be looked at, if the frame allocator's invariants do not
    /// hold.
    pub(super) fn compare(self, kernel: &mut Kernel, all_frames: bool) -> Outcome {
        if all_frames && let Err(broken) = kernel.mm.frames.check(kernel.mm.machine.pages()) {
            return Err(Failure::new(format_args!("the frame allocator is broken after the test: {broken:?}")));
        }
        let after = Ledger::take(kernel);
        ensure_eq!(after.objects, self.objects);
        ensure_eq!(after.areas, self.areas);
        ensure_eq!(after.user_tables, self.user_tables);
        for (index, (&before, &now)) in self.frames.iter().zip(&after.frames).enumerate() {
            let owner = Owner::ALL[index];
            let is_slab = matches!(owner, Owner::Slab | Owner::PageCacheNode);
            let may_come = match owner {
                Owner::PageTable => u64::MAX,
                Owner::Buffer => KMAP_POOL,
                _ if is_slab => u64::MAX,
                _ => 0,
            };
            if now > before && now - before > may_come || now < before && !is_slab {
                return Err(Failure::new(format_args!(
                    "leak: {before} frames of owner {owner:?} before the test, {now} after it; {} free before, {} after",
                    self.free, after.free
                )));
            }
        }
        Ok(())
    }
}
