//! Kernels that know nothing of pagelab: what lies in memory when one starts.
//!
//! Two ways in. A kernel with a PVH note (Linux's vmlinux, Xen's, many a hobby kernel's) starts as that protocol says:
//! 32-bit protected mode without paging, flat segments, interrupts off, EBX = `hvm_start_info`. Any other starts at its
//! ELF entry in 64-bit mode, interrupts off, with the same structure's address in RDI, a stack in RSP (64 KiB, aligned
//! as after a call), the first 4 GiB mapped one to one and the first GiB once more at 0xffffffff80000000, writable and
//! executable, by 2 MiB pages.
//!
//! The VMM's own structures lie below 640 KiB and may be overwritten once the kernel has read them:
//!
//! ```text
//!   0x00500  descriptor table: null, code (8), data (10h), task state (18h)
//!   0x06000  hvm_start_info, then the list of modules
//!   0x07000  memory map
//!   0x09000  page tables of the 64-bit entry (7 tables)
//!   0x20000  command line, zero-terminated
//!   0x80000  stack of the 64-bit entry, up to 0x90000
//!   1 MiB    the kernel, wherever its program headers say from here on
//!   top of low RAM, each page aligned downwards: the modules
//! ```

mod console;
mod devices;
mod registers;
mod start_info;

use std::{io::Cursor, ops::Range};

use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use linux_loader::loader::{Elf, KernelLoader};
use pagelab_abi::layout::{KERNEL_VIRT, PAGE_SIZE};
use vmm_sys_util::eventfd::EventFd;

use super::{
    boot::BootError,
    machine::VmError,
    memory::{MemoryError, Ram},
};

pub use devices::Devices;

/// Lowest address of a kernel.
pub const LOWEST: u64 = 0x10_0000;
/// Longest command line in bytes, its zero included.
pub const MAX_COMMAND_LINE: usize = 0x1_0000;
/// Most modules.
pub const MAX_MODULES: usize = 32;

const GDT: u64 = 0x500;
const START_INFO: u64 = 0x6000;
const MODULE_LIST: u64 = 0x6100;
const MEMORY_MAP: u64 = 0x7000;
const TABLES: u64 = 0x9000;
const COMMAND_LINE: u64 = 0x2_0000;
const STACK_TOP: u64 = 0x9_0000;
/// End of the RAM below the area that PCs keep for video and firmware.
const BASE_MEMORY_END: u64 = 0xa_0000;
/// What the 64-bit entry finds mapped one to one.
const IDENTITY: u64 = 4 << 30;
/// What it finds mapped at [`KERNEL_VIRT`].
const HIGH_MAP: u64 = 1 << 30;

/// Interrupt line of the serial port.
const SERIAL_IRQ: u32 = 4;

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// In 32-bit protected mode at this physical address, as the PVH protocol has it.
    Pvh(u32),
    /// In 64-bit mode at this virtual address.
    Long(u64),
}

impl Entry {
    /// Its name in run files.
    pub fn name(self) -> &'static str {
        match self {
            Entry::Pvh(_) => "pvh",
            Entry::Long(_) => "64-bit",
        }
    }

    /// Whether the instruction there is mapped at the start.
    pub fn is_mapped(self) -> bool {
        match self {
            Entry::Pvh(_) => true,
            Entry::Long(entry) => entry < IDENTITY || (KERNEL_VIRT..KERNEL_VIRT + HIGH_MAP).contains(&entry),
        }
    }
}

/// A kernel, and what it is given.
#[derive(Clone, Debug)]
pub struct Foreign<'a> {
    /// The ELF file.
    pub elf: &'a [u8],
    /// Guest-physical addresses that it occupies.
    pub extent: Range<u64>,
    /// Where and how it starts.
    pub entry: Entry,
    /// Its command line.
    pub command_line: &'a str,
    /// Its modules; Linux takes the first one for its initrd.
    pub modules: &'a [Vec<u8>],
}

/// Where the devices of a foreign kernel meet KVM.
#[derive(Debug)]
pub struct Wiring {
    /// Raises the serial port's interrupt, if there is an interrupt controller.
    serial: Option<EventFd>,
}

impl Wiring {
    /// Gives the VM what a kernel of this kind expects; no vCPU may exist yet. A PVH kernel gets the interrupt
    /// controllers and the timer of a PC, as far as KVM has them.
    pub(super) fn install(kvm: &Kvm, vm: &VmFd, entry: Entry) -> Result<Wiring, VmError> {
        if matches!(entry, Entry::Long(_)) || !kvm.check_extension(Cap::Irqchip) {
            return Ok(Wiring { serial: None });
        }
        vm.create_irq_chip().map_err(VmError::kvm("make an interrupt controller"))?;
        if kvm.check_extension(Cap::Pit2) {
            // Linux measures the TSC by the speaker's gate, port 61h.
            let config = kvm_bindings::kvm_pit_config {
                flags: kvm_bindings::KVM_PIT_SPEAKER_DUMMY,
                ..kvm_bindings::kvm_pit_config::default()
            };
            vm.create_pit2(config).map_err(VmError::kvm("make a timer"))?;
        }
        let serial = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
            .map_err(|source| VmError::Kvm { what: "take an eventfd for the serial port", source })?;
        vm.register_irqfd(&serial, SERIAL_IRQ).map_err(VmError::kvm("wire the serial port's interrupt"))?;
        Ok(Wiring { serial: Some(serial) })
    }
}

/// Writes everything into RAM and sets the vCPU's registers.
pub(super) fn load(ram: &Ram, vcpu: &VcpuFd, foreign: &Foreign<'_>) -> Result<(), VmError> {
    let modules = place_modules(ram, foreign)?;
    Elf::load(ram.memory(), None, &mut Cursor::new(foreign.elf), None)
        .map_err(|error| BootError::Foreign(error.to_string()))?;
    for (range, bytes) in modules.iter().zip(foreign.modules) {
        ram.write(range.start, bytes)?;
    }
    start_info::write(ram, foreign.command_line, &modules)?;
    registers::write_descriptors(ram, foreign.entry)?;
    if matches!(foreign.entry, Entry::Long(_)) {
        registers::write_tables(ram)?;
    }
    registers::set(vcpu, foreign.entry).map_err(VmError::kvm("set the registers"))
}

/// Where each module goes: from the top of low RAM downwards, above the kernel.
fn place_modules(ram: &Ram, foreign: &Foreign<'_>) -> Result<Vec<Range<u64>>, MemoryError> {
    let mut top = ram.low_end();
    let mut places = Vec::with_capacity(foreign.modules.len());
    let mut needed = foreign.extent.end;
    for module in foreign.modules {
        let size = module.len() as u64;
        needed = needed.saturating_add(size.next_multiple_of(PAGE_SIZE));
        top = top.saturating_sub(size) & !(PAGE_SIZE - 1);
        places.push(top..top + size);
    }
    if top < foreign.extent.end {
        return Err(MemoryError::DoesNotFit { needed });
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    #[test]
    fn modules_lie_apart_below_the_top_and_above_the_kernel() {
        let ram = Ram::new(16 << 20, Backing::Anonymous, false).expect("16 MiB can be mapped");
        let modules = [vec![1; 5000], vec![2; 1]];
        let foreign = Foreign {
            elf: &[],
            extent: LOWEST..0x20_0000,
            entry: Entry::Pvh(0x10_0000),
            command_line: "",
            modules: &modules,
        };
        let places = place_modules(&ram, &foreign).expect("they fit");
        assert_eq!(places, [0xff_e000..0xff_e000 + 5000, 0xff_d000..0xff_d001]);
        let large = [vec![0; 15 << 20]];
        let error = place_modules(&ram, &Foreign { modules: &large, ..foreign }).expect_err("too large");
        assert!(matches!(error, MemoryError::DoesNotFit { needed } if needed > 16 << 20), "{error}");
    }

    #[test]
    fn what_the_tables_map_can_be_entered() {
        assert!(Entry::Long(0x10_0000).is_mapped() && Entry::Long(0xffff_ffff_8010_0000).is_mapped());
        assert!(!Entry::Long(1 << 40).is_mapped() && !Entry::Long(0xffff_8000_0000_0000).is_mapped());
    }
}
