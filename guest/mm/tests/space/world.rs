//! An address space on a simulated machine, with a file to map and a program that touches its memory.

use std::collections::BTreeSet;

use pagelab_mm::{
    abi::{
        code::Owner,
        layout::{PAGE_SIZE, TASK_SIZE},
        snapshot::VmaEntry,
    },
    errno::Errno,
    fault::{self, Access, Fault},
    file::{File, FileId, FileSpec},
    frame::Gfp,
    machine::Pfn,
    sim::{SimContext, new_context_with_file_bytes},
    slab::CacheId,
    space::{AddressSpace, Advice, MmapRequest, MremapRequest, Populate, Usage, advised_end, map, pages, prot},
    vma::VmFlags,
};

pub(crate) const PAGE: u64 = PAGE_SIZE;
pub(crate) const RW: u64 = prot::READ | prot::WRITE;
pub(crate) const ANON: u64 = map::PRIVATE | map::ANONYMOUS;

/// Bytes of the file that can be mapped: five pages and a half.
pub(crate) const FILE_BYTES: u64 = 5 * PAGE + PAGE / 2;

/// An address space and what it lives on.
pub(crate) struct World {
    pub(crate) cx: SimContext,
    pub(crate) space: AddressSpace,
    /// A file, all of it in the page cache.
    pub(crate) file: FileId,
    free_at_start: u64,
    /// Frames taken away.
    hoard: Vec<Pfn>,
}

impl World {
    pub(crate) fn new() -> World {
        let (mut cx, start) = new_context_with_file_bytes(16 << 20, &vec![7; FILE_BYTES as usize]);
        let file = cx.add_file(FileSpec::backed(start, FILE_BYTES, 77, 4711)).expect("room");
        for page in 0..FILE_BYTES.div_ceil(PAGE) {
            cx.read_page(file, page).expect("room");
        }
        let free_at_start = cx.frames.free() + in_slabs(&cx);
        let space = AddressSpace::new(&mut cx, 1).expect("room");
        World { cx, space, file, free_at_start, hoard: Vec::new() }
    }

    /// Takes frames away until an ordinary request finds so many more and no more than that.
    pub(crate) fn hoard(&mut self, left: u64) {
        while let Ok(frame) = self.cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Buffer) {
            self.hoard.push(frame);
        }
        for _ in 0..left {
            self.cx.put_frame(self.hoard.pop().expect("there were more")).expect("it is ours");
        }
        self.cx.refused = None;
    }

    /// Gives all of them back.
    pub(crate) fn release_hoard(&mut self) {
        for frame in self.hoard.drain(..) {
            self.cx.put_frame(frame).expect("it is ours");
        }
    }

    /// A mapping of the file from this page on.
    pub(crate) fn map_file(&mut self, addr: u64, length: u64, prot: u64, flags: u64, page: u64) -> Result<u64, Errno> {
        let file = Some((self.file, page * PAGE));
        self.ask(&MmapRequest { addr, length, prot, flags, file, ..MmapRequest::default() })
    }

    /// Anonymous private memory.
    pub(crate) fn map(&mut self, addr: u64, length: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        self.ask(&MmapRequest { addr, length, prot, flags: ANON | flags, ..MmapRequest::default() })
    }

    /// Shared anonymous memory.
    pub(crate) fn map_shared(&mut self, addr: u64, length: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        let flags = map::SHARED | map::ANONYMOUS | flags;
        self.ask(&MmapRequest { addr, length, prot, flags, ..MmapRequest::default() })
    }

    /// A mapping, with the pages that come at once.
    fn ask(&mut self, request: &MmapRequest) -> Result<u64, Errno> {
        let mapped = self.space.map(&mut self.cx, request)?;
        if mapped.populate {
            let _ = self.populate(mapped.address, mapped.address + request.length.next_multiple_of(PAGE));
        }
        Ok(mapped.address)
    }

    /// `mprotect`, with the pages that locked memory gets which can be written now.
    pub(crate) fn protect(&mut self, start: u64, length: u64, prot: u64) -> Result<(), Errno> {
        let outcome = self.space.mprotect(&mut self.cx, start, length, prot);
        if let Some((mut at, end)) = self.space.take_made_writable() {
            while let Some(part) = self.space.next_to_populate(&self.cx, at, end) {
                if part.locked {
                    let _ = self.bring_in(&part);
                }
                at = part.end;
            }
        }
        outcome
    }

    pub(crate) fn unmap(&mut self, start: u64, length: u64) -> Result<(), Errno> {
        self.space.munmap(&mut self.cx, start, length)
    }

    pub(crate) fn brk(&mut self, address: u64) -> u64 {
        self.space.brk(&mut self.cx, address)
    }

    /// Reads or writes a byte as a program does. Returns whether it could.
    pub(crate) fn touch(&mut self, address: u64, write: bool) -> bool {
        let access = if write { Access::Write } else { Access::Read };
        while self.cx.machine.access(self.space.tables.root, address, access, true).is_err() {
            let fault = Fault { address, access, user: true };
            if fault::handle(&mut self.cx, &mut self.space, fault).pfn == Pfn::NONE {
                return false;
            }
        }
        true
    }

    /// Moves or resizes a mapping, and brings in what grew of locked memory.
    pub(crate) fn remap(&mut self, request: &MremapRequest) -> Result<u64, Errno> {
        let remapped = self.space.mremap(&mut self.cx, request)?;
        if let Some((start, end)) = remapped.populate {
            let _ = self.populate(start, end);
        }
        Ok(remapped.address)
    }

    /// `mlock`, with the pages and the errno values that the system call has.
    pub(crate) fn lock(&mut self, start: u64, length: u64, on_fault: bool) -> Result<(), Errno> {
        let (start, end) = self.space.mlock(&mut self.cx, start, length, on_fault)?;
        self.populate(start, end).map_err(|_| Errno::ENOMEM)
    }

    /// `madvise`, with the pages that MADV_POPULATE_* asks for.
    pub(crate) fn advise(&mut self, start: u64, length: u64, number: u32) -> Result<(), Errno> {
        let advice = Advice::from_number(number).ok_or(Errno::EINVAL)?;
        let access = match advice {
            Advice::PopulateRead => Access::Read,
            Advice::PopulateWrite => Access::Write,
            _ => return self.space.madvise(&mut self.cx, start, length, advice),
        };
        let Some(end) = advised_end(start, length)? else { return Ok(()) };
        let mut at = start;
        while at < end {
            let part = self.space.advised_to_populate(&self.cx, at, end, access)?;
            self.bring_in(&part)?;
            at = part.end;
        }
        Ok(())
    }

    /// Brings pages in until one cannot be had.
    fn populate(&mut self, start: u64, end: u64) -> Result<(), Errno> {
        let mut at = start;
        while let Some(part) = self.space.next_to_populate(&self.cx, at, end) {
            self.bring_in(&part)?;
            at = part.end;
        }
        Ok(())
    }

    fn bring_in(&mut self, part: &Populate) -> Result<(), Errno> {
        let Some(access) = part.access else { return Ok(()) };
        let there = |world: &mut World, page| world.touch(page, access == Access::Write);
        let done = !part.forbidden && pages(part).all(|page| there(self, page));
        if done { Ok(()) } else { Err(Errno::EFAULT) }
    }

    pub(crate) fn entries(&mut self) -> Vec<VmaEntry> {
        let mut entries = Vec::new();
        let mut slot = self.space.vmas.first;
        while slot != 0 {
            entries.push(self.space.snapshot_vma(&self.cx, slot));
            slot = self.cx.vma(slot).next;
        }
        entries
    }

    /// Each VMA as a line of `maps` begins: `start-end perms`, in pages from `base`.
    pub(crate) fn rows(&mut self, base: u64) -> Vec<String> {
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

    /// The files that are mapped, but for the one there always is.
    fn shared_files(&self) -> BTreeSet<FileId> {
        let (mut files, mut slot) = (BTreeSet::new(), self.space.vmas.first);
        while slot != 0 {
            let vma = self.cx.vma(slot);
            if vma.file != 0 && vma.file != self.file.0 {
                files.insert(FileId(vma.file));
            }
            slot = vma.next;
        }
        files
    }

    /// Checks everything that must hold at any time.
    pub(crate) fn check(&mut self) {
        self.space.vmas.check(&self.cx);
        self.cx.machine.assert_coherent();
        let mut expected = Usage { ..self.space.usage };
        (expected.total_vm, expected.data_vm, expected.stack_vm, expected.exec_vm) = (0, 0, 0, 0);
        (expected.rss_anon, expected.rss_file, expected.rss_shmem, expected.locked_vm) = (0, 0, 0, 0);
        let mut promised = 0;
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
            let shmem = entry.inode != 4711 && entry.inode != 0;
            *(if shmem { &mut expected.rss_shmem } else { &mut expected.rss_file }) +=
                u64::from(entry.rss - entry.anonymous);
            promised += if flags.contains(VmFlags::ACCOUNT) { pages } else { 0 };
            mapped += u64::from(entry.rss + entry.zero);
        }
        assert_eq!(self.space.usage, expected, "counters against a count");
        assert!(self.space.usage.peak_vm >= expected.total_vm);
        let promised_to = |file: &File| if file.promised == 0 { u64::from(file.cached) } else { file.promised };
        let shared: u64 = self.shared_files().iter().map(|&file| promised_to(self.cx.file(file))).sum();
        assert_eq!(self.cx.commit.committed, promised + shared, "promises");
        let mut present = 0;
        self.space.tables.walk_range(&self.cx.machine, 0, TASK_SIZE, |_, _| present += 1);
        assert_eq!(present, mapped, "pages outside any VMA");
    }

    /// Ends the process; every frame must come back.
    pub(crate) fn finish(mut self) {
        self.check();
        self.space.destroy(&mut self.cx);
        let kept = in_slabs(&self.cx) + self.cx.frames.owned(Owner::ZeroPage);
        assert_eq!(self.cx.frames.free() + kept, self.free_at_start, "frames lost");
        assert_eq!(self.cx.slabs.active(CacheId::VM_AREA_STRUCT), 0, "VMAs lost");
        assert_eq!(self.cx.commit.committed, 0, "promises kept");
        assert_eq!(
            (self.cx.slabs.active(CacheId::ADDRESS_SPACE), self.cx.file(self.file).references),
            (1, 1),
            "files lost"
        );
        self.cx.check_slabs().expect("the caches are whole");
        self.cx.machine.assert_coherent();
    }
}

/// Frames of kernel objects: caches keep some that are empty.
fn in_slabs(cx: &SimContext) -> u64 {
    cx.frames.owned(Owner::Slab) + cx.frames.owned(Owner::PageCacheNode)
}
