//! From the VMM's tables to the first program.
#![expect(unsafe_code, reason = "boot info and early memory are reached by physical address")]

mod tables;

use pagelab_abi::{
    ABI_VERSION,
    boot::{BOOT_MAGIC, BootFlags, BootInfo, SlabDebug},
    code::{BulkKind, Moment, Owner},
    event,
    layout::{PAGE_OFFSET, PAGE_SIZE},
    name,
    trap::TrapFrame,
};
use pagelab_mm::{
    commit::Overcommit,
    context::Context,
    frame::{FramesConfig, Page},
    memblock::Memblock,
    page_table::PageTables,
    space::AddressSpace,
};

use crate::{
    arch::{cpu, descriptors, entry, port},
    exec,
    fs::Fs,
    machine::KernelMachine,
    object, panic,
    process::{FIRST_PID, Process},
    state::{self, Kernel, Mm},
    trace::Tracer,
};

/// Called by the entry code on the kernel's stack, with the boot info's physical address.
pub(crate) extern "C" fn start(boot_info: u64) -> ! {
    // SAFETY: the VMM's tables map the first GiB one to one, and the boot info lies there; it is never written again.
    let boot: &'static BootInfo = unsafe { &*(boot_info as *const BootInfo) };
    if boot.magic != BOOT_MAGIC || boot.version != ABI_VERSION {
        port::abi_mismatch();
    }

    let mut memblock = memory_map(boot);
    let page_array = tables::build(boot, &mut memblock);
    // From here the one-to-one map is gone: the same boot info through the direct map.
    // SAFETY: the direct map covers all RAM but HighMem, which is at the top.
    let boot: &'static BootInfo = unsafe { &*((PAGE_OFFSET + boot_info) as *const BootInfo) };
    panic::window_is_mapped(boot.trace_size);
    let flags = BootFlags::from_bits_retain(boot.flags);
    descriptors::load(flags.contains(BootFlags::TRAP_FAULTS));
    cpu::enable_features(entry::syscall_address());
    if flags.contains(BootFlags::CPUID_FAULTING) {
        cpu::enable_cpuid_faulting();
    }

    let machine = KernelMachine::new(page_array.virt as *mut Page, page_array.frames, page_array.direct_end);
    let tracer = Tracer::new(boot.trace_size, flags.contains(BootFlags::TRACE));
    let mut mm = Context::new(machine, tracer);
    name::RESERVED.iter().for_each(|&(id, text)| mm.trace.string(id, &[text.as_bytes()]));
    mm.init_frames(frames_config(boot, &mut memblock));
    mm.slabs.configure(boot.slab_allocator, SlabDebug::from_bits_truncate(boot.slab_debug));
    mm.init_kernel_space(tables::root()).expect("RAM is too small for page tables");
    mm.kernel.lazy = flags.contains(BootFlags::LAZY_VMALLOC);
    let managed_frames = mm.frames.managed();
    mm.trace.emit(
        event::Boot {
            abi_version: ABI_VERSION,
            padding: 0,
            memory_bytes: boot.ram[..boot.ram_count as usize].iter().map(|range| range.end - range.start).sum(),
            managed_frames,
            reserved: [0; 2],
        },
        0,
    );

    let fs = Fs::new(&mm, boot.initramfs_start, boot.initramfs_size);
    let process = first_process(&mut mm);
    process.space.vmas.index = boot.vma_index;
    mm.commit.mode = Overcommit::from_value(u32::from(boot.overcommit));
    let kernel = state::set(Kernel::new(boot, mm, fs, process));
    kernel.start_files().expect("RAM is too small for the first files");
    #[cfg(feature = "selftest")]
    crate::selftest::run_if_wanted(kernel);
    let frame = first_program(kernel);
    entry::enter_user(&frame)
}

/// What the boot info says of physical memory.
fn memory_map(boot: &BootInfo) -> Memblock {
    let mut memblock = Memblock::new();
    for range in &boot.ram[..boot.ram_count as usize] {
        memblock.add_ram_of_node(range.start, range.end, range.node).expect("the boot info lists few ranges of RAM");
    }
    for range in &boot.reserved[..boot.reserved_count as usize] {
        memblock.reserve(range.start, range.end, range.owner).expect("the boot info reserves few ranges");
    }
    memblock
}

/// How the boot info wants physical memory managed.
fn frames_config<'a>(boot: &BootInfo, memblock: &'a mut Memblock) -> FramesConfig<'a> {
    FramesConfig {
        memblock,
        distance: boot.distance,
        highmem: boot.highmem,
        movable: boot.movable,
        mobility_grouping: !BootFlags::from_bits_retain(boot.flags).contains(BootFlags::NO_MOBILITY_GROUPING),
        allocator: boot.frame_allocator,
    }
}

/// The process, with an address space that the CPU walks from now on.
fn first_process(mm: &mut Mm) -> &'static mut Process {
    mm.trace.pid = FIRST_PID;
    let tables = PageTables::new_with_kernel_half(mm, tables::root()).expect("RAM is too small for page tables");
    cpu::set_root(tables.root);
    object::place(mm, "task_struct", Process::new(AddressSpace::with_tables(FIRST_PID, tables)))
}

/// Loads the program that the boot info names; ends the run with a diagnosis where that cannot be done.
fn first_program(kernel: &mut Kernel) -> TrapFrame {
    match exec::exec(kernel) {
        Ok(frame) => {
            kernel.snapshots(Moment::Exec);
            frame
        }
        Err(error) => {
            kernel.say(BulkKind::Diagnosis, format_args!("{error}"));
            Process::end(kernel, error.status() << 8)
        }
    }
}

/// Where the `Page` array is.
struct PageArray {
    virt: u64,
    frames: usize,
    /// First frame that the direct map leaves out.
    direct_end: usize,
}

/// Frames that hold `bytes`.
fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE)
}

/// The owner that the frames of the kernel's own page tables are announced with.
const TABLE_OWNER: Owner = Owner::PageTable;
