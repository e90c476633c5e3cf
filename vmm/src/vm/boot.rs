//! What is in memory when the guest starts: image, initial page tables, command block, initramfs, boot info.

use std::io::Cursor;

use linux_loader::loader::{Elf, KernelLoader};
use pagelab_abi::{
    ABI_VERSION,
    boot::{BOOT_MAGIC, BootFlags, BootInfo, CpuidLeaf, MAX_CPUID, MAX_RANGES, Range},
    code::Owner,
    layout::{
        BOOT_INFO_PHYS, BOOT_INFO_SIZE, INITIAL_TABLES, INITIAL_TABLES_PHYS, KERNEL_PHYS, KERNEL_VIRT, MMIO_HOLE_START,
        PAGE_SIZE,
    },
};
use pagelab_mm::frame::Page;
use zerocopy::{FromZeros, IntoBytes};

use super::{
    foreign::Foreign,
    memory::{Extent, MemoryError, Ram},
    policy::MemoryPolicy,
};

/// Entry bits of the initial tables: present, writable.
const TABLE: u64 = 1 | 1 << 1;
/// Entry bits of a 2 MiB page: present, writable, huge.
const HUGE_PAGE: u64 = TABLE | 1 << 7;

/// What ring 0 runs.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// An ELF file, loaded where its program headers say (physical addresses), entered at its entry (virtual).
    Elf(&'a [u8]),
    /// Bytes as they are, loaded at [`KERNEL_PHYS`] and entered at their first byte, at its [`KERNEL_VIRT`] address.
    Flat(&'a [u8]),
    /// A kernel that knows nothing of pagelab; [`super::foreign`] loads it.
    Foreign(&'a Foreign<'a>),
}

/// The program and its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Program<'a> {
    /// Path of the program in the initramfs; at most 255 bytes, no NUL.
    pub path: &'a str,
    /// Arguments, the program's name included.
    pub args: &'a [String],
    /// Environment, as `NAME=VALUE`.
    pub env: &'a [String],
    /// cpio newc archive.
    pub initramfs: &'a [u8],
}

/// Why a guest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Memory does not hold it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Not a kernel.
    #[error("the kernel image cannot be loaded: {0}; it must be a static x86-64 ELF file linked to {KERNEL_PHYS:#x}")]
    Kernel(String),
    /// Not a kernel that can be loaded as it is, though it is no kernel of pagelab's.
    #[error("the kernel cannot be loaded: {0}")]
    Foreign(String),
    /// A string with a NUL inside, or a path too long.
    #[error("{what} {value:?} cannot be given to the guest: {why}")]
    Text {
        /// Which string.
        what: &'static str,
        /// The string.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Switches of the boot info that the VMM decides.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// See [`BootFlags`].
    pub flags: BootFlags,
    /// Seed of everything random.
    pub seed: u64,
    /// How the guest's kernel manages memory.
    pub policy: MemoryPolicy,
    /// Where the trace window is.
    pub window: Extent,
    /// The CPU model of ring 3; at most [`MAX_CPUID`] leaves.
    pub cpuid: Vec<CpuidLeaf>,
}

/// Writes everything into RAM and returns the entry address (virtual).
pub fn load(ram: &Ram, image: Image<'_>, program: &Program<'_>, options: &BootOptions) -> Result<u64, BootError> {
    let loaded = load_image(ram, image)?;
    let command = command_block(program)?;
    let command_start = page_up(loaded.end);
    let command_end = page_up(command_start + command.len() as u64);
    let initramfs_size = program.initramfs.len() as u64;
    let own = |top| match image {
        Image::Flat(_) | Image::Foreign(_) => 0,
        Image::Elf(_) => kernel_needs(top),
    };
    let taken = command_end.saturating_add(page_up(initramfs_size));
    let top = ram.extents().iter().map(|extent| extent.gpa + extent.size).max().unwrap_or(0);
    // The kernel reads the initramfs through the direct map.
    let mapped_end = ram.low_end().min(top - options.policy.highmem);
    if taken.saturating_add(own(top)) > mapped_end {
        return Err(too_small(taken + options.policy.highmem, own).into());
    }
    let initramfs_start = page_down(mapped_end - initramfs_size);
    ram.write(command_start, &command)?;
    ram.write(initramfs_start, program.initramfs)?;
    write_initial_tables(ram)?;

    let mut reserved = vec![
        range(0, PAGE_SIZE, Owner::Reserved),
        range(BOOT_INFO_PHYS, BOOT_INFO_PHYS + BOOT_INFO_SIZE, Owner::Boot),
        range(INITIAL_TABLES_PHYS, INITIAL_TABLES_PHYS + INITIAL_TABLES * PAGE_SIZE, Owner::Boot),
        range(page_down(loaded.start), command_start, Owner::Kernel),
        range(command_start, command_end, Owner::Boot),
    ];
    if initramfs_size > 0 {
        reserved.push(range(initramfs_start, page_up(initramfs_start + initramfs_size), Owner::Initramfs));
    }
    reserved.retain(|range| range.start < range.end);

    let mut info = BootInfo::new_zeroed();
    info.magic = BOOT_MAGIC;
    info.version = ABI_VERSION;
    info.flags = options.flags.bits();
    info.seed = options.seed;
    info.ram_count = fill(&mut info.ram, &options.policy.ranges(&ram.extents()));
    info.reserved_count = fill(&mut info.reserved, &reserved);
    (info.trace_start, info.trace_size) = (options.window.gpa, options.window.size);
    (info.initramfs_start, info.initramfs_size) = (initramfs_start, initramfs_size);
    (info.command_start, info.command_size) = (command_start, command.len() as u64);
    info.argc = program.args.len() as u32;
    info.envc = program.env.len() as u32;
    options.policy.tell(&mut info);
    info.program = path(program.path)?;
    info.cpuid_count = fill(&mut info.cpuid, &options.cpuid);
    ram.write(BOOT_INFO_PHYS, info.as_bytes())?;
    Ok(loaded.entry)
}

const _: () = assert!(MAX_RANGES >= 6 && MAX_CPUID >= 32);

/// Says how much memory there would have to be: more of it also has a larger `Page` array.
fn too_small(taken: u64, own: impl Fn(u64) -> u64) -> MemoryError {
    const MIB: u64 = 1 << 20;
    let mut memory = taken;
    while memory <= MMIO_HOLE_START {
        let needed = taken.saturating_add(own(memory));
        if needed <= memory {
            return MemoryError::DoesNotFit { needed: memory };
        }
        memory = needed.next_multiple_of(MIB);
    }
    MemoryError::NeverFits { needed: memory }
}

/// Bytes that the kernel takes behind the command block before it can say that memory is short, where RAM ends at `top`:
/// its page tables and the `Page` array, which from 2 MiB on begins at a multiple of that.
fn kernel_needs(top: u64) -> u64 {
    const TABLES: u64 = 64 * PAGE_SIZE;
    const HUGE: u64 = 2 << 20;
    let array = page_up(top / PAGE_SIZE * size_of::<Page>() as u64);
    // A large array is mapped by, and aligned to, huge pages.
    TABLES + if array >= HUGE { array.next_multiple_of(HUGE) + HUGE } else { array }
}

/// Where an image came to lie, physically, and its virtual entry.
struct Loaded {
    start: u64,
    end: u64,
    entry: u64,
}

fn load_image(ram: &Ram, image: Image<'_>) -> Result<Loaded, BootError> {
    match image {
        Image::Flat(bytes) => {
            ram.write(KERNEL_PHYS, bytes)?;
            let end = KERNEL_PHYS + bytes.len() as u64;
            Ok(Loaded { start: KERNEL_PHYS, end, entry: KERNEL_VIRT + KERNEL_PHYS })
        }
        Image::Elf(bytes) => {
            let result = Elf::load(ram.memory(), None, &mut Cursor::new(bytes), None)
                .map_err(|error| BootError::Kernel(error.to_string()))?;
            let end = result.kernel_end;
            if end > ram.low_end() {
                return Err(MemoryError::DoesNotFit { needed: end }.into());
            }
            if end <= KERNEL_PHYS {
                return Err(BootError::Kernel(format!("its last byte is at {end:#x}")));
            }
            Ok(Loaded { start: KERNEL_PHYS, end, entry: result.kernel_load.0 })
        }
        Image::Foreign(_) => Err(BootError::Kernel("it has no boot info".to_owned())),
    }
}

/// Identity and [`KERNEL_VIRT`], the first GiB each, by 2 MiB pages of one shared page directory.
fn write_initial_tables(ram: &Ram) -> Result<(), MemoryError> {
    let table = |index: u64| INITIAL_TABLES_PHYS + index * PAGE_SIZE;
    let (top, low, high, directory) = (table(0), table(1), table(2), table(3));
    let entry = |table: u64, index: u64, value: u64| ram.write(table + index * 8, &value.to_le_bytes());
    entry(top, 0, low | TABLE)?;
    entry(top, (KERNEL_VIRT >> 39) & 0x1ff, high | TABLE)?;
    entry(low, 0, directory | TABLE)?;
    entry(high, (KERNEL_VIRT >> 30) & 0x1ff, directory | TABLE)?;
    let pages: Vec<u8> = (0..512u64).flat_map(|index| (index << 21 | HUGE_PAGE).to_le_bytes()).collect();
    ram.write(directory, &pages)
}

fn command_block(program: &Program<'_>) -> Result<Vec<u8>, BootError> {
    let mut block = Vec::new();
    for (what, strings) in [("argument", program.args), ("environment variable", program.env)] {
        for text in strings {
            if text.contains('\0') {
                return Err(BootError::Text { what, value: text.clone(), why: "it has a NUL inside" });
            }
            block.extend_from_slice(text.as_bytes());
            block.push(0);
        }
    }
    Ok(block)
}

fn path(text: &str) -> Result<[u8; 256], BootError> {
    let refuse = |why| BootError::Text { what: "program path", value: text.to_owned(), why };
    let mut bytes = [0; 256];
    if text.contains('\0') {
        return Err(refuse("it has a NUL inside"));
    }
    if text.len() >= bytes.len() {
        return Err(refuse("it is longer than 255 bytes"));
    }
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Ok(bytes)
}

/// Copies as many items as fit and returns how many did.
fn fill<T: Copy>(slots: &mut [T], items: &[T]) -> u32 {
    let count = items.len().min(slots.len());
    slots[..count].copy_from_slice(&items[..count]);
    count as u32
}

fn range(start: u64, end: u64, owner: Owner) -> Range {
    Range { start, end, owner, ..Range::default() }
}

fn page_up(address: u64) -> u64 {
    address.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

fn page_down(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

#[cfg(test)]
mod tests {
    use pagelab_abi::layout::{MIN_MEMORY, TRACE_WINDOW_PHYS};
    use zerocopy::FromBytes;

    use super::*;
    use crate::vm::{Backing, walk};

    fn options() -> BootOptions {
        let window = Extent { gpa: TRACE_WINDOW_PHYS, host: 0, size: 4 << 20 };
        BootOptions {
            flags: BootFlags::TRACE,
            seed: 7,
            policy: MemoryPolicy::default(),
            window,
            cpuid: crate::vm::cpuid::model(),
        }
    }

    fn loaded(program: &Program<'_>) -> (Ram, BootInfo) {
        let ram = Ram::new(MIN_MEMORY, Backing::Anonymous, false).expect("16 MiB can be mapped");
        load(&ram, Image::Flat(&[0xf4; 5000]), program, &options()).expect("it fits");
        let bytes = ram.read(BOOT_INFO_PHYS, size_of::<BootInfo>()).expect("inside RAM");
        let info = BootInfo::read_from_bytes(&bytes).expect("any bytes are a boot info");
        (ram, info)
    }

    #[test]
    fn reserved_ranges_are_whole_pages_apart_from_each_other_and_cover_what_was_written() {
        let strings = ["hello".to_owned(), "A=1".to_owned()];
        let program = Program { path: "/hello", args: &strings[..1], env: &strings[1..], initramfs: &[9; 6000] };
        let (ram, info) = loaded(&program);
        let reserved = &info.reserved[..info.reserved_count as usize];
        assert!(reserved.iter().all(|range| range.start % PAGE_SIZE == 0 && range.end % PAGE_SIZE == 0));
        assert!(reserved.windows(2).all(|pair| pair[0].end <= pair[1].start), "{reserved:?}");
        let owner = |gpa: u64| reserved.iter().find(|range| (range.start..range.end).contains(&gpa)).map(|r| r.owner);
        assert_eq!(owner(0), Some(Owner::Reserved));
        assert_eq!(owner(BOOT_INFO_PHYS), Some(Owner::Boot));
        assert_eq!(owner(KERNEL_PHYS + 4999), Some(Owner::Kernel));
        assert_eq!(owner(info.command_start), Some(Owner::Boot));
        assert_eq!(owner(info.initramfs_start), Some(Owner::Initramfs));
        assert_eq!(owner(info.initramfs_start + info.initramfs_size - 1), Some(Owner::Initramfs));
        assert_eq!(ram.read(info.command_start, info.command_size as usize).as_deref(), Some(&b"hello\0A=1\0"[..]));
        assert_eq!((info.argc, info.envc), (1, 1));
        assert_eq!(ram.read(info.initramfs_start, 6000), Some(vec![9; 6000]));
    }

    #[test]
    fn initial_tables_map_the_first_gib_twice() {
        let (ram, _) = loaded(&Program::default());
        for gpa in [0x10_0123, 0x3fff_ffff] {
            assert_eq!(walk::translate(&ram, INITIAL_TABLES_PHYS, gpa), Some(gpa));
            assert_eq!(walk::translate(&ram, INITIAL_TABLES_PHYS, KERNEL_VIRT + gpa), Some(gpa));
        }
        assert_eq!(walk::translate(&ram, INITIAL_TABLES_PHYS, 0x4000_0000), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let ram = Ram::new(MIN_MEMORY, Backing::Anonymous, false).expect("16 MiB can be mapped");
        let initramfs = vec![0; 15 << 20];
        let program = Program { initramfs: &initramfs, ..Program::default() };
        let error = load(&ram, Image::Flat(&[0xf4]), &program, &options()).expect_err("too large");
        assert!(matches!(error, BootError::Memory(MemoryError::DoesNotFit { .. })), "{error}");
        assert!(matches!(too_small(4 << 30, |_| 0), MemoryError::NeverFits { .. }));
        assert!(matches!(too_small(u64::MAX, |top| top), MemoryError::NeverFits { .. }));
        // A kernel that takes a 64th of all memory: what is said must count what the larger memory takes.
        let told = too_small(63 << 20, |top| top / 64);
        assert!(matches!(told, MemoryError::DoesNotFit { needed } if needed == 64 << 20), "{told}");
        let told = too_small((63 << 20) + 1, |top| top / 64);
        assert!(matches!(told, MemoryError::DoesNotFit { needed } if needed == 65 << 20), "{told}");
        let error = load(&ram, Image::Elf(b"not an ELF file"), &Program::default(), &options()).expect_err("no ELF");
        assert!(matches!(error, BootError::Kernel(_)), "{error}");
        let long = "x".repeat(256);
        let program = Program { path: &long, ..Program::default() };
        assert!(load(&ram, Image::Flat(&[0xf4]), &program, &options()).is_err());
        let args = ["a\0b".to_owned()];
        let program = Program { args: &args, ..Program::default() };
        assert!(load(&ram, Image::Flat(&[0xf4]), &program, &options()).is_err());
    }
}
