//! A machine made of ordinary memory, with a CPU that walks page tables and a TLB that forgets nothing by itself.
//!
//! A real TLB may drop a translation at any time, which hides most missing flushes; this one never does, and says so
//! when a translation it still holds contradicts the tables or outlives its frame.

mod cpu;
pub mod elf;
mod load;
mod machine;
mod tlb;
mod trace;

use std::{cell::RefCell, rc::Rc};

use pagelab_abi::{
    code::Owner,
    layout::{KERNEL_PHYS, VMALLOC_START},
};

use crate::{
    context::Context,
    frame::{FramesConfig, highmem_start},
    machine::Pfn,
    memblock::Memblock,
    page_table::PageTables,
};

pub use cpu::PageFault;
pub use load::SimProcess;
pub use machine::SimMachine;
pub use tlb::{Tlb, Translation};
pub use trace::CountingTrace;

/// A context over a simulated machine.
pub type SimContext = Context<SimMachine, CountingTrace>;

/// A machine with `ram_bytes` of RAM from 0, the first MiB reserved, and a frame allocator that owns the rest.
pub fn new_context(ram_bytes: u64) -> SimContext {
    new_context_with_file_bytes(ram_bytes, &[]).0
}

/// [`new_context`] with these bytes at the top of RAM, reserved as the initramfs is. Returns their address too.
///
/// # Panics
/// When the bytes do not fit.
pub fn new_context_with_file_bytes(ram_bytes: u64, bytes: &[u8]) -> (SimContext, u64) {
    let tlb = Rc::new(RefCell::new(Tlb::default()));
    let mut machine = SimMachine::new(ram_bytes, Rc::clone(&tlb));
    let length = (bytes.len() as u64).next_multiple_of(4096);
    let start = ram_bytes.checked_sub(length).expect("the bytes fit into RAM");
    machine.write_physical(start, bytes);
    let mut memblock = Memblock::new();
    memblock.add_ram(0, ram_bytes).expect("one range fits");
    memblock.reserve(0, KERNEL_PHYS, Owner::Boot).expect("one range fits");
    memblock.reserve(start, ram_bytes, Owner::Initramfs).expect("one range fits");
    let mut cx = Context::new(machine, CountingTrace::watching(tlb));
    cx.init_frames(FramesConfig::new(&mut memblock));
    (cx, start)
}

/// A machine whose last `highmem` bytes of RAM the direct map leaves out, with the kernel's own virtual memory.
///
/// # Panics
/// When that is too little RAM.
pub fn new_context_with_highmem(ram_bytes: u64, highmem: u64) -> SimContext {
    let tlb = Rc::new(RefCell::new(Tlb::default()));
    let machine = SimMachine::new(ram_bytes, Rc::clone(&tlb));
    let mut memblock = Memblock::new();
    memblock.add_ram(0, ram_bytes).expect("one range fits");
    memblock.reserve(0, KERNEL_PHYS, Owner::Boot).expect("one range fits");
    let mut cx = Context::new(machine, CountingTrace::watching(tlb));
    cx.machine.end_direct_map(highmem_start(&memblock, highmem).min(ram_bytes));
    cx.init_frames(FramesConfig { highmem, ..FramesConfig::new(&mut memblock) });
    add_kernel_space(&mut cx);
    cx
}

/// Gives a machine the kernel's own virtual memory: a top table of its own, with the entry for the vmalloc area.
/// Returns it.
///
/// # Panics
/// When there are no frames for it.
pub fn add_kernel_space(cx: &mut SimContext) -> Pfn {
    let mut tables = PageTables::new(cx).expect("a frame for the top table");
    let root = tables.root;
    tables.leaf(cx, VMALLOC_START).expect("frames for the first tables");
    cx.machine.set_kernel_root(root);
    cx.init_kernel_space(root).expect("a frame for the table of the fixmap");
    root
}
