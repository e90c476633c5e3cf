//! What `/proc/PID/maps`, `smaps` and `status` are made of.

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_SHIFT, PAGE_SIZE},
    snapshot::{MmHeader, VmaEntry},
};

use crate::{
    context::Context, frame::Page, machine::Machine, page_table::Pte, slab::Slot, space::AddressSpace, trace::Trace,
    vma::FileId,
};

/// Device of the root file system, which is Linux's number for rootfs: 0:2.
pub const ROOT_DEVICE: u32 = 2;
/// Device of shared memory, which is Linux's number for its internal tmpfs: 0:1.
pub const SHMEM_DEVICE: u32 = 1;

impl AddressSpace {
    /// The address space as a whole. `comm` is the program's base name, `text_bytes` the size of its text.
    pub fn snapshot_header(&self, comm: [u8; 16], text_bytes: u64) -> MmHeader {
        let usage = &self.usage;
        MmHeader {
            pid: self.pid,
            vma_count: self.vmas.count,
            comm,
            peak_vm: usage.peak_vm,
            total_vm: usage.total_vm,
            locked_vm: usage.locked_vm + usage.once_locked,
            hiwater_rss: usage.hiwater_rss,
            rss_anon: usage.rss_anon,
            rss_file: usage.rss_file,
            rss_shmem: usage.rss_shmem,
            data_vm: usage.data_vm,
            stack_vm: usage.stack_vm,
            exec_vm: usage.exec_vm,
            // As in Linux, the top table does not count.
            pgtables_bytes: (self.tables.tables - 1) * PAGE_SIZE,
            swap: 0,
            text_bytes,
            min_flt: usage.min_flt,
            maj_flt: usage.maj_flt,
            brk: [self.brk_start, self.brk],
        }
    }

    /// The VMA in a slot, with what a walk over its page-table entries finds. `vmas.first` is the slot to begin with,
    /// each VMA's `next` the one after.
    pub fn snapshot_vma<M: Machine, T: Trace>(&self, cx: &Context<M, T>, slot: Slot) -> VmaEntry {
        let mut entry = self.vma_entry(cx, slot);
        let pages = cx.machine.pages();
        self.tables.walk_range(&cx.machine, entry.start, entry.end, |_, pte| {
            if pte.is_special() {
                entry.zero += 1;
            } else if pte.is_mapped() {
                count_page(&mut entry, pte, &pages[pte.pfn().index()]);
            }
        });
        entry
    }

    /// The VMA in a slot as `maps` shows it, without any count of pages.
    pub fn vma_entry<M: Machine, T: Trace>(&self, cx: &Context<M, T>, slot: Slot) -> VmaEntry {
        let vma = cx.vma(slot);
        let mut entry = VmaEntry {
            start: vma.start,
            end: vma.end,
            name: self.name_of(cx, vma),
            bits: vma.flags().bits(),
            ..VmaEntry::default()
        };
        if !vma.is_anonymous() {
            let file = cx.file(FileId(vma.file));
            entry.offset = vma.pgoff << PAGE_SHIFT;
            entry.inode = file.inode;
            entry.device = if file.is_shmem() { SHMEM_DEVICE } else { ROOT_DEVICE };
        }
        entry
    }
}

/// Adds one mapped page to the counts of `smaps`. A page mapped by `mapcount` entries counts 1/mapcount in the PSS.
fn count_page(entry: &mut VmaEntry, pte: Pte, page: &Page) {
    let share = PAGE_SIZE / u64::from(page.mapcount.max(1));
    let anonymous = page.is_anonymous();
    let dirty = pte.is_dirty() || !anonymous && page.private & Page::DIRTY != 0;
    entry.rss += 1;
    entry.referenced += u32::from(pte.is_accessed());
    entry.pss += share;
    if anonymous {
        entry.anonymous += 1;
        entry.pss_anon += share;
    } else if page.owner == Owner::Shmem {
        entry.pss_shmem += share;
    }
    if dirty {
        entry.pss_dirty += share;
    }
    let count = match (page.mapcount > 1, dirty) {
        (true, false) => &mut entry.shared_clean,
        (true, true) => &mut entry.shared_dirty,
        (false, false) => &mut entry.private_clean,
        (false, true) => &mut entry.private_dirty,
    };
    *count += 1;
}
