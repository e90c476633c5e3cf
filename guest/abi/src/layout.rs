//! The address map, drawn once.
//!
//! ```text
//! guest-physical
//!   0x0000_0000  never used (a null physical address is a bug)
//!   0x0000_1000  BootInfo (8 KiB)                                                  reserved: boot
//!   0x0000_3000  the VMM's initial page tables (4 tables)                          reserved: boot
//!   0x0010_0000  kernel image, as its ELF program headers say                      reserved: kernel
//!   ...          kernel command block: argv, envp (page aligned, after the image)  reserved: boot
//!   ...          free RAM
//!   top of low RAM, page aligned downwards: initramfs                              reserved: initramfs
//!   0xc000_0000  hole for device MMIO, up to 4 GiB
//!   0x1_0000_0000 RAM above 3 GiB continues here
//!   0x40_0000_0000 trace window: a memory slot of its own, not RAM, not under userfaultfd
//!
//! guest-virtual (Linux's x86-64 layout, 4-level)
//!   0x0000_0000_0001_0000 .. 0x0000_7fff_ffff_f000   user half
//!   0xffff_8880_0000_0000   PAGE_OFFSET: direct map of all RAM but HighMem
//!   0xffff_c900_0000_0000   VMALLOC_START: vmalloc, vmap and ioremap areas, each with a guard page behind it
//!   0xffff_c980_0000_0000     VMALLOC_LIMIT: areas end here, 512 GiB on, so that one entry of the top table is all theirs
//!   0xffff_e900_0000_0000   VMALLOC_END, where Linux's areas would end
//!   0xffff_ea00_0000_0000   vmemmap: the Page array
//!   0xffff_ffff_8000_0000   kernel image (physical 0 is here)
//!   0xffff_ffff_c000_0000   TRACE_WINDOW_VIRT: the trace window
//!   0xffff_ffff_ff40_0000   PKMAP_BASE: 512 pages for kmap
//!   0xffff_ffff_ff60_0000   not mapped
//!   0xffff_ffff_ff7e_c000   the 16 slots of kmap_local, the first one highest  } fixmap: slot n is n + 1 pages
//!   0xffff_ffff_ff7f_c000   set_fixmap's named slots, the first one highest    } below FIXADDR_TOP
//!   0xffff_ffff_ff7f_f000   FIXADDR_TOP
//! ```

/// Bytes in a frame.
pub const PAGE_SIZE: u64 = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Where the VMM writes the boot info.
pub const BOOT_INFO_PHYS: u64 = 0x1000;
/// Bytes reserved for the boot info.
pub const BOOT_INFO_SIZE: u64 = 0x2000;
/// The VMM's initial page tables: PML4, low PDPT, high PDPT, one PD that maps the first GiB by 2 MiB pages
/// (identity and at [`KERNEL_VIRT`]), all writable and executable; the kernel replaces them at once.
pub const INITIAL_TABLES_PHYS: u64 = 0x3000;
/// Number of initial tables.
pub const INITIAL_TABLES: u64 = 4;
/// Physical address the kernel image is linked to.
pub const KERNEL_PHYS: u64 = 0x10_0000;
/// First byte of the hole that RAM leaves for devices.
pub const MMIO_HOLE_START: u64 = 0xc000_0000;
/// First byte after that hole.
pub const MMIO_HOLE_END: u64 = 0x1_0000_0000;
/// Physical address of the trace window (256 GiB). RAM ends below it.
pub const TRACE_WINDOW_PHYS: u64 = 0x40_0000_0000;

/// Smallest guest RAM the lab runs with.
pub const MIN_MEMORY: u64 = 16 << 20;
/// Largest guest RAM that fits below the trace window.
pub const MAX_MEMORY: u64 = TRACE_WINDOW_PHYS - (MMIO_HOLE_END - MMIO_HOLE_START);

/// Lowest address a program may map (Linux's default vm.mmap_min_addr).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// First address past the user half (Linux's TASK_SIZE_MAX).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Top of the user stack.
pub const STACK_TOP: u64 = TASK_SIZE;
/// Top of the mmap area, which grows down: Linux's choice for an 8 MiB stack limit without randomisation.
pub const MMAP_BASE: u64 = 0x7fff_f7ff_f000;
/// Load address of position-independent executables without randomisation (Linux's ELF_ET_DYN_BASE).
pub const ELF_ET_DYN_BASE: u64 = 0x5555_5555_4000;
/// Pages kept free below a growing stack (Linux's stack_guard_gap).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;

/// Start of the direct map of all RAM but HighMem.
pub const PAGE_OFFSET: u64 = 0xffff_8880_0000_0000;
/// The `Page` array, indexed by frame number.
pub const VMEMMAP_START: u64 = 0xffff_ea00_0000_0000;
/// Where physical address 0 appears for the kernel image (Linux's __START_KERNEL_map).
pub const KERNEL_VIRT: u64 = 0xffff_ffff_8000_0000;
/// Where the kernel maps the trace window.
pub const TRACE_WINDOW_VIRT: u64 = 0xffff_ffff_c000_0000;

/// Start of the kernel's own virtual memory: vmalloc, vmap, ioremap.
pub const VMALLOC_START: u64 = 0xffff_c900_0000_0000;
/// First byte after it: 32 TiB, as in Linux.
pub const VMALLOC_END: u64 = 0xffff_e900_0000_0000;
/// First byte after the part of it that areas are given out in: what one entry of a top table covers. That entry is made
/// at boot and is in every address space, so that no address space can miss a table that is made later.
pub const VMALLOC_LIMIT: u64 = VMALLOC_START + (1 << 39);
/// First of the pages that kmap maps HighMem frames at.
pub const PKMAP_BASE: u64 = 0xffff_ffff_ff40_0000;
/// Pages that kmap has (Linux's LAST_PKMAP), which one page table maps.
pub const LAST_PKMAP: u64 = 512;
/// First byte after the fixmap (Linux's).
pub const FIXADDR_TOP: u64 = 0xffff_ffff_ff7f_f000;
/// Named slots of the fixmap.
pub const FIXMAP_SLOTS: u64 = 3;
/// Slots of kmap_local, below the named ones in the fixmap (Linux's KM_MAX_IDX).
pub const KMAP_LOCAL_SLOTS: u64 = 16;
/// The device page that ioremap and the fixmap are tried on: the first of the trace window, which holds the ring's
/// header. Every host has it, it is not RAM, and reading it costs no exit; a page below 4 GiB would be an emulated APIC,
/// which answers differently from host to host.
pub const DEVICE_PAGE_PHYS: u64 = TRACE_WINDOW_PHYS;

const _: () = assert!(VMALLOC_START.is_multiple_of(1 << 39) && VMALLOC_LIMIT <= VMALLOC_END);
const _: () = assert!(PKMAP_BASE.is_multiple_of(LAST_PKMAP * PAGE_SIZE));
const _: () =
    assert!(FIXADDR_TOP - (FIXMAP_SLOTS + KMAP_LOCAL_SLOTS) * PAGE_SIZE > PKMAP_BASE + LAST_PKMAP * PAGE_SIZE);
const _: () = assert!(KERNEL_PHYS >= INITIAL_TABLES_PHYS + INITIAL_TABLES * PAGE_SIZE);
const _: () = assert!(INITIAL_TABLES_PHYS >= BOOT_INFO_PHYS + BOOT_INFO_SIZE);
