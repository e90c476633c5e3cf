//! `hvm_start_info`: what a kernel learns of its machine (Xen: docs/misc/pvh.pandoc).

use std::ops::Range;

use linux_loader::{
    configurator::{BootConfigurator, BootParams, pvh::PvhBootConfigurator},
    loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info},
};
use vm_memory::GuestAddress;

use super::{
    BASE_MEMORY_END, COMMAND_LINE, LOWEST, MAX_COMMAND_LINE, MAX_MODULES, MEMORY_MAP, MODULE_LIST, START_INFO,
};
use crate::vm::{boot::BootError, memory::Ram};

/// Magic number of the structure: "xEn3" with the first bit set.
const MAGIC: u32 = 0x336e_c578;
/// The first version with a memory map.
const VERSION: u32 = 1;
/// Type of usable memory in the map.
const RAM: u32 = 1;

const _: () = assert!(MODULE_LIST + (MAX_MODULES * size_of::<hvm_modlist_entry>()) as u64 <= MEMORY_MAP);

/// Writes the structure, the memory map, the modules' list and the command line.
pub(super) fn write(ram: &Ram, command_line: &str, modules: &[Range<u64>]) -> Result<(), BootError> {
    if modules.len() > MAX_MODULES {
        return Err(BootError::Foreign(format!("{} modules are more than {MAX_MODULES}", modules.len())));
    }
    let refused = |why| BootError::Text { what: "command line", value: command_line.to_owned(), why };
    if command_line.contains('\0') {
        return Err(refused("it has a NUL inside"));
    }
    if command_line.len() >= MAX_COMMAND_LINE {
        return Err(refused("it is longer than 65535 bytes"));
    }
    ram.write(COMMAND_LINE, &[command_line.as_bytes(), &[0]].concat())?;

    let map = memory_map(ram);
    let list: Vec<hvm_modlist_entry> = modules
        .iter()
        .map(|range| hvm_modlist_entry {
            paddr: range.start,
            size: range.end - range.start,
            ..hvm_modlist_entry::default()
        })
        .collect();
    let info = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        nr_modules: list.len() as u32,
        modlist_paddr: if list.is_empty() { 0 } else { MODULE_LIST },
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: map.len() as u32,
        ..hvm_start_info::default()
    };
    let mut params = BootParams::new(&info, GuestAddress(START_INFO));
    params.set_sections(&map, GuestAddress(MEMORY_MAP));
    params.set_modules(&list, GuestAddress(MODULE_LIST));
    PvhBootConfigurator::write_bootparams(&params, ram.memory()).map_err(|error| BootError::Foreign(error.to_string()))
}

/// All RAM but the area between 640 KiB and 1 MiB, where kernels expect video memory and firmware.
fn memory_map(ram: &Ram) -> Vec<hvm_memmap_table_entry> {
    let high = ram.extents().into_iter().skip(1).map(|extent| extent.gpa..extent.gpa + extent.size);
    [0..BASE_MEMORY_END, LOWEST..ram.low_end()]
        .into_iter()
        .chain(high)
        .map(|range| hvm_memmap_table_entry {
            addr: range.start,
            size: range.end - range.start,
            type_: RAM,
            reserved: 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    #[test]
    fn the_structure_names_map_modules_and_command_line() {
        let ram = Ram::new(16 << 20, Backing::Anonymous, false).expect("16 MiB can be mapped");
        let module = 0xff_0000..0xff_0123;
        write(&ram, "console=ttyS0", &[module]).expect("it fits");
        let number = |gpa: u64| ram.read_u64(gpa).expect("RAM");
        assert_eq!(number(START_INFO) as u32, MAGIC);
        assert_eq!((number(START_INFO + 8) >> 32, number(START_INFO + 16)), (1, MODULE_LIST));
        assert_eq!((number(MODULE_LIST), number(MODULE_LIST + 8)), (0xff_0000, 0x123));
        assert_eq!(ram.read(number(START_INFO + 24), 14).as_deref(), Some(&b"console=ttyS0\0"[..]));
        assert_eq!(number(START_INFO + 40), MEMORY_MAP);
        assert_eq!(number(START_INFO + 48) as u32, 2);
        let map: Vec<u64> = (0..6).map(|index| number(MEMORY_MAP + index * 8)).collect();
        assert_eq!(map, [0, BASE_MEMORY_END, 1, LOWEST, (16 << 20) - LOWEST, 1]);
    }

    #[test]
    fn a_command_line_that_cannot_be_given_is_refused() {
        let ram = Ram::new(16 << 20, Backing::Anonymous, false).expect("16 MiB can be mapped");
        for line in ["a\0b".to_owned(), "x".repeat(MAX_COMMAND_LINE)] {
            assert!(matches!(write(&ram, &line, &[]), Err(BootError::Text { .. })));
        }
    }
}
