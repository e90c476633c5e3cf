//! The kernel's own page tables: direct map, `Page` array, trace window, and the image with each part's rights.
#![expect(unsafe_code, reason = "page tables are written by physical address and CR3 is loaded")]

use pagelab_abi::{
    boot::BootInfo,
    layout::{KERNEL_VIRT, PAGE_OFFSET, PAGE_SIZE, TRACE_WINDOW_VIRT, VMALLOC_START, VMEMMAP_START},
};
use pagelab_mm::{
    frame::{Page, highmem_start},
    machine::Pfn,
    memblock::Memblock,
};
use x86_64::{
    PhysAddr,
    registers::control::{Cr3, Cr3Flags},
    structures::paging::PhysFrame,
};

use super::{PageArray, TABLE_OWNER, pages};

/// Entry bits (SDM vol. 3, 4.5).
const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const READ_ONLY: u64 = PRESENT | GLOBAL | NO_EXECUTE;
const READ_WRITE: u64 = PRESENT | WRITE | GLOBAL | NO_EXECUTE;
const READ_EXECUTE: u64 = PRESENT | GLOBAL;

const SIZE_2M: u64 = 2 << 20;
const SIZE_1G: u64 = 1 << 30;

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __kernel_end: u8;
    static __stack_guard: u8;
    static __fault_stack_guard: u8;
    static __debug_stack_guard: u8;
}

/// Builds the tables, switches to them, and takes the memory of the `Page` array.
pub(super) fn build(boot: &BootInfo, memblock: &mut Memblock) -> PageArray {
    let gigabyte_pages = core::arch::x86_64::__cpuid(0x8000_0001).edx & 1 << 26 != 0;
    let root = table(memblock);
    let mut tables = Builder { root, memblock, gigabyte_pages };

    let ram = &boot.ram[..boot.ram_count as usize];
    let text = &raw const __text_start as u64;
    let rodata = &raw const __text_end as u64;
    let data = &raw const __rodata_end as u64;
    let end = &raw const __kernel_end as u64;
    let mapped_end = highmem_start(tables.memblock, boot.highmem);
    for range in ram.iter().filter(|range| range.start < mapped_end) {
        tables.map_ram(range.start, range.end.min(mapped_end), text - KERNEL_VIRT, data - KERNEL_VIRT);
    }

    // All address spaces get this entry of the top table, and with it whatever is mapped below it later.
    tables.table_for(VMALLOC_START, 2);
    tables.map(TRACE_WINDOW_VIRT, boot.trace_start, boot.trace_size, READ_WRITE);

    let guards =
        [&raw const __stack_guard as u64, &raw const __fault_stack_guard as u64, &raw const __debug_stack_guard as u64];
    tables.map_image(text, rodata, READ_EXECUTE);
    tables.map_image(rodata, data, READ_ONLY);
    let mut start = data;
    for guard in guards {
        tables.map_image(start, guard, READ_WRITE);
        start = guard + PAGE_SIZE;
    }
    tables.map_image(start, end, READ_WRITE);

    // The array may be larger than the first GiB, where early tables must lie: the ones it needs come before it.
    let frames = ram.iter().map(|range| range.end / PAGE_SIZE).max().unwrap_or(0);
    let size = pages(frames * size_of::<Page>() as u64) * PAGE_SIZE;
    let (size, align, level) =
        if size >= SIZE_2M { (size.next_multiple_of(SIZE_2M), SIZE_2M, 1) } else { (size, PAGE_SIZE, 0) };
    for part in (VMEMMAP_START..VMEMMAP_START + size).step_by(SIZE_1G as usize) {
        tables.table_for(part, level);
    }
    let array = tables
        .memblock
        .alloc(size, align, pagelab_abi::code::Owner::MemMap)
        .expect("RAM is too small for the Page array");
    tables.map(VMEMMAP_START, array, size, READ_WRITE);

    // SAFETY: the new tables map the running code and its stack at the same addresses.
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
    PageArray {
        virt: VMEMMAP_START,
        frames: frames as usize,
        direct_end: (mapped_end / PAGE_SIZE).min(frames) as usize,
    }
}

/// The kernel's top table.
pub(super) fn root() -> Pfn {
    Pfn::of_address(Cr3::read().0.start_address().as_u64())
}

struct Builder<'a> {
    root: u64,
    memblock: &'a mut Memblock,
    gigabyte_pages: bool,
}

impl Builder<'_> {
    fn map_image(&mut self, start: u64, end: u64, rights: u64) {
        self.map(start, start - KERNEL_VIRT, end - start, rights);
    }

    /// Maps a range of RAM in the direct map; what is constant in the kernel's image cannot be written there either.
    fn map_ram(&mut self, start: u64, end: u64, constant_start: u64, constant_end: u64) {
        let bounds = [start, constant_start.clamp(start, end), constant_end.clamp(start, end), end];
        for (pair, rights) in bounds.windows(2).zip([READ_WRITE, READ_ONLY, READ_WRITE]) {
            self.map(PAGE_OFFSET + pair[0], pair[0], pair[1] - pair[0], rights);
        }
    }

    /// Maps `size` bytes with the largest pages that fit.
    fn map(&mut self, mut virt: u64, mut phys: u64, size: u64, rights: u64) {
        let end = virt + size;
        while virt < end {
            let fits = |page: u64| virt.is_multiple_of(page) && phys.is_multiple_of(page) && end - virt >= page;
            let (level, page, kind) = if self.gigabyte_pages && fits(SIZE_1G) {
                (2, SIZE_1G, LARGE)
            } else if fits(SIZE_2M) {
                (1, SIZE_2M, LARGE)
            } else {
                (0, PAGE_SIZE, 0)
            };
            let table = self.table_for(virt, level);
            // As many entries as the table has left: finding it anew for each would cost ten times as much.
            let first = index(virt, level);
            let count = ((end - virt) / page).min(ENTRIES - first);
            for entry in first..first + count {
                // SAFETY: the VMM's tables map the first GiB one to one, where all early tables lie.
                unsafe { slot(table, entry).write(phys | rights | kind) };
                virt += page;
                phys += page;
            }
        }
    }

    /// The table of a level (0 = page table) that `virt` goes through, made if need be with those above it.
    fn table_for(&mut self, virt: u64, level: u32) -> u64 {
        let mut at = self.root;
        for above in (level + 1..4).rev() {
            let slot = slot(at, index(virt, above));
            // SAFETY: the VMM's tables map the first GiB one to one, where all early tables lie.
            let next = unsafe { slot.read() };
            at = if next & PRESENT != 0 {
                next & ADDRESS
            } else {
                let fresh = table(self.memblock);
                // SAFETY: as above.
                unsafe { slot.write(fresh | PRESENT | WRITE) };
                fresh
            };
        }
        at
    }
}

/// Entries of a table.
const ENTRIES: u64 = 512;

fn index(virt: u64, level: u32) -> u64 {
    virt >> (12 + 9 * level) & (ENTRIES - 1)
}

fn slot(table: u64, index: u64) -> *mut u64 {
    (table + 8 * index) as *mut u64
}

/// A new table. Fresh memory is zero.
fn table(memblock: &mut Memblock) -> u64 {
    let address = memblock.alloc(PAGE_SIZE, PAGE_SIZE, TABLE_OWNER).expect("RAM is too small for page tables");
    assert!(address < SIZE_1G, "an early table lies beyond the first GiB");
    address
}
