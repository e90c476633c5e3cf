//! What an address space uses and may use: sizes, resident pages, limits.

use pagelab_abi::{code::Owner, layout::PAGE_SHIFT};

use crate::{
    context::Context, frame::Page, machine::Machine, page_table::Pte, space::AddressSpace, trace::Trace, vma::VmFlags,
};

/// Sizes and counts, in pages unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Anonymous pages present; the zero page does not count.
    pub rss_anon: u64,
    /// File pages present.
    pub rss_file: u64,
    /// Shared-memory pages present.
    pub rss_shmem: u64,
    /// Largest sum of the three so far.
    pub hiwater_rss: u64,
    /// Mapped pages.
    pub total_vm: u64,
    /// Largest `total_vm` so far.
    pub peak_vm: u64,
    /// Private writable pages that are not stack.
    pub data_vm: u64,
    /// Stack pages.
    pub stack_vm: u64,
    /// Executable, not writable pages.
    pub exec_vm: u64,
    /// Locked pages.
    pub locked_vm: u64,
    /// Pages that were locked until MREMAP_DONTUNMAP moved their contents away: VmLck goes on counting them for ever, as
    /// Linux's does (seen on 6.12 and 6.18).
    pub once_locked: u64,
    /// Minor faults.
    pub min_flt: u64,
    /// Major faults.
    pub maj_flt: u64,
}

/// A resource limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is obeyed.
    pub soft: u64,
    /// What `soft` may be raised to.
    pub hard: u64,
}

impl Limit {
    /// RLIM_INFINITY.
    pub const INFINITY: u64 = u64::MAX;
    /// No limit.
    pub const NONE: Limit = Limit { soft: Self::INFINITY, hard: Self::INFINITY };
}

/// What a process may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// RLIMIT_STACK.
    pub stack: Limit,
    /// RLIMIT_DATA.
    pub data: Limit,
    /// RLIMIT_AS.
    pub address_space: Limit,
    /// RLIMIT_MEMLOCK.
    pub memlock: Limit,
    /// CAP_IPC_LOCK: RLIMIT_MEMLOCK does not bind.
    pub ipc_lock: bool,
    /// vm.max_map_count.
    pub max_map_count: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            stack: Limit { soft: 8 << 20, hard: Limit::INFINITY },
            data: Limit::NONE,
            address_space: Limit::NONE,
            memlock: Limit { soft: 8 << 20, hard: 8 << 20 },
            ipc_lock: true,
            max_map_count: 65530,
        }
    }
}

impl Usage {
    /// Pages present (VmRSS).
    #[inline]
    pub const fn rss(&self) -> u64 {
        self.rss_anon + self.rss_file + self.rss_shmem
    }

    /// Counts `pages` more pages mapped with these flags.
    pub(super) fn add_pages(&mut self, flags: VmFlags, pages: u64) {
        self.total_vm += pages;
        self.peak_vm = self.peak_vm.max(self.total_vm);
        if let Some(size) = self.size_of_kind(flags) {
            *size += pages;
        }
        if flags.contains(VmFlags::LOCKED) {
            self.locked_vm += pages;
        }
    }

    /// Counts `pages` fewer pages mapped with these flags.
    pub(super) fn remove_pages(&mut self, flags: VmFlags, pages: u64) {
        self.total_vm -= pages;
        if let Some(size) = self.size_of_kind(flags) {
            *size -= pages;
        }
        if flags.contains(VmFlags::LOCKED) {
            self.locked_vm -= pages;
        }
    }

    /// The one of VmExe, VmStk and VmData that such pages count in.
    fn size_of_kind(&mut self, flags: VmFlags) -> Option<&mut u64> {
        if flags.is_exec() {
            Some(&mut self.exec_vm)
        } else if flags.is_stack() {
            Some(&mut self.stack_vm)
        } else if flags.is_data() {
            Some(&mut self.data_vm)
        } else {
            None
        }
    }

    /// A page-table entry that maps a frame of this owner appeared. The zero page does not count.
    #[inline]
    pub fn add_resident(&mut self, owner: Owner) {
        match owner {
            Owner::ZeroPage => return,
            Owner::File => self.rss_file += 1,
            Owner::Shmem => self.rss_shmem += 1,
            _ => self.rss_anon += 1,
        }
        self.hiwater_rss = self.hiwater_rss.max(self.rss());
    }

    /// A page-table entry that mapped a frame of this owner is gone.
    #[inline]
    pub fn remove_resident(&mut self, owner: Owner) {
        match owner {
            Owner::ZeroPage => {}
            Owner::File => self.rss_file -= 1,
            Owner::Shmem => self.rss_shmem -= 1,
            _ => self.rss_anon -= 1,
        }
    }

    /// Lets go of the frame that a removed page-table entry mapped: one mapping, one resident page and one reference
    /// less. The zero page has none of them.
    pub(super) fn release<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, pte: Pte) {
        if pte.is_special() {
            return;
        }
        let page = &mut cx.machine.pages_mut()[pte.pfn().index()];
        page.mapcount -= 1;
        if pte.is_dirty() && !page.is_anonymous() {
            page.private |= Page::DIRTY;
        }
        self.remove_resident(page.owner);
        cx.put_frame(pte.pfn()).expect("a mapped frame is allocated");
    }
}

impl AddressSpace {
    /// Whether RLIMIT_AS and RLIMIT_DATA leave room for `pages` more pages with these flags (a negative number makes
    /// room).
    pub(super) fn may_expand(&self, flags: VmFlags, pages: i64) -> bool {
        let fits = |size: u64, limit: u64| size.saturating_add_signed(pages) <= limit >> PAGE_SHIFT;
        fits(self.usage.total_vm, self.limits.address_space.soft)
            && (!flags.is_data() || fits(self.usage.data_vm, self.limits.data.soft))
    }
}
