//! An address space on a simulated machine, with the little page-fault handler that these tests need.

use pagelab_mm::{
    abi::{
        code::Owner,
        layout::{PAGE_SIZE, TASK_SIZE},
        snapshot::VmaEntry,
    },
    errno::Errno,
    frame::Gfp,
    machine::{Machine, Pfn},
    page_table::Pte,
    sim::{SimContext, new_context},
    space::{AddressSpace, MmapRequest, Usage, map, prot},
    vma::VmFlags,
};

pub(crate) const PAGE: u64 = PAGE_SIZE;
pub(crate) const RW: u64 = prot::READ | prot::WRITE;
pub(crate) const ANON: u64 = map::PRIVATE | map::ANONYMOUS;

/// An address space and what it lives on.
pub(crate) struct World {
    pub(crate) cx: SimContext,
    pub(crate) space: AddressSpace,
    zero_page: Pfn,
    free_at_start: u64,
}

impl World {
    pub(crate) fn new() -> World {
        let mut cx = new_context(16 << 20);
        let zero_page = cx.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::ZeroPage).expect("room");
        let free_at_start = cx.frames.free();
        let space = AddressSpace::new(&mut cx, 1).expect("room");
        World { cx, space, zero_page, free_at_start }
    }

    /// Anonymous private memory.
    pub(crate) fn map(&mut self, addr: u64, length: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        self.space.mmap(&mut self.cx, &MmapRequest { addr, length, prot, flags: ANON | flags, file: None })
    }

    pub(crate) fn unmap(&mut self, start: u64, length: u64) -> Result<(), Errno> {
        self.space.munmap(&mut self.cx, start, length)
    }

    pub(crate) fn protect(&mut self, start: u64, length: u64, prot: u64) -> Result<(), Errno> {
        self.space.mprotect(&mut self.cx, start, length, prot)
    }

    pub(crate) fn brk(&mut self, address: u64) -> u64 {
        self.space.brk(&mut self.cx, address)
    }

    /// Reads or writes anonymous memory as a program does. Returns whether it could.
    pub(crate) fn touch(&mut self, address: u64, write: bool) -> bool {
        let (cx, space) = (&mut self.cx, &mut self.space);
        if space.vmas.containing(cx, address).is_none() && space.expand_stack(cx, address).is_err() {
            return false;
        }
        let slot = space.vmas.containing(cx, address).expect("there, or grown");
        let flags = cx.vma(slot).flags();
        let needed = if write { VmFlags::WRITE } else { VmFlags::ACCESS };
        if !flags.intersects(needed) {
            return false;
        }
        let page = address & !(PAGE - 1);
        let old = space.tables.get(&cx.machine, page);
        if old.is_mapped() && !(write && old.is_special()) {
            return true;
        }
        if !write {
            let pte = Pte::user(self.zero_page, flags).special();
            space.tables.set(cx, page, pte).expect("room");
            return true;
        }
        space.vmas.prepare_anon(cx, slot);
        if old.is_special() {
            space.tables.change(cx, page, Pte::EMPTY);
        }
        let frame = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE | Gfp::ZERO, Owner::Anon).expect("room");
        space.tables.set(cx, page, Pte::user(frame, flags).written()).expect("room");
        cx.machine.pages_mut()[frame.index()].mapcount = 1;
        space.usage.add_resident(Owner::Anon);
        true
    }

    pub(crate) fn entries(&self) -> Vec<VmaEntry> {
        let mut entries = Vec::new();
        self.space.snapshot_vmas(&self.cx, |entry| entries.push(*entry));
        entries
    }

    /// Each VMA as a line of `maps` begins: `start-end perms`, in pages from `base`.
    pub(crate) fn rows(&self, base: u64) -> Vec<String> {
        let row = |entry: &VmaEntry| {
            let bit = |flag: VmFlags, letter| if entry.bits & flag.bits() != 0 { letter } else { '-' };
            format!(
                "{}-{} {}{}{}",
                (entry.start - base) / PAGE,
                (entry.end - base) / PAGE,
                bit(VmFlags::READ, 'r'),
                bit(VmFlags::WRITE, 'w'),
                bit(VmFlags::EXEC, 'x')
            )
        };
        self.entries().iter().map(row).collect()
    }

    /// Checks everything that must hold at any time.
    pub(crate) fn check(&mut self) {
        self.space.vmas.check(&self.cx);
        self.cx.machine.assert_coherent();
        let mut expected = Usage { ..self.space.usage };
        (expected.total_vm, expected.data_vm, expected.stack_vm, expected.exec_vm) = (0, 0, 0, 0);
        (expected.rss_anon, expected.rss_file, expected.locked_vm) = (0, 0, 0);
        let mut mapped = 0;
        for entry in self.entries() {
            let (pages, flags) = ((entry.end - entry.start) / PAGE, VmFlags::from_bits_retain(entry.bits));
            expected.total_vm += pages;
            if flags.is_exec() {
                expected.exec_vm += pages;
            } else if flags.is_stack() {
                expected.stack_vm += pages;
            } else if flags.is_data() {
                expected.data_vm += pages;
            }
            expected.locked_vm += if flags.contains(VmFlags::LOCKED) { pages } else { 0 };
            expected.rss_anon += u64::from(entry.anonymous);
            expected.rss_file += u64::from(entry.rss - entry.anonymous);
            mapped += u64::from(entry.rss + entry.zero);
        }
        assert_eq!(self.space.usage, expected, "counters against a count");
        assert!(self.space.usage.peak_vm >= expected.total_vm);
        let mut present = 0;
        self.space.tables.walk_range(&self.cx.machine, 0, TASK_SIZE, |_, _| present += 1);
        assert_eq!(present, mapped, "pages outside any VMA");
    }

    /// Ends the process; every frame must come back.
    pub(crate) fn finish(mut self) {
        self.check();
        self.space.destroy(&mut self.cx);
        let kept = u64::from(self.cx.vmas.frames());
        assert_eq!(self.cx.frames.free() + kept, self.free_at_start, "frames lost");
        assert_eq!(self.cx.vmas.live(), 0, "VMAs lost");
        self.cx.machine.assert_coherent();
    }
}
