//! The state a foreign kernel's vCPU starts in.

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;
use pagelab_abi::layout::{KERNEL_VIRT, PAGE_SIZE};

use super::{Entry, GDT, IDENTITY, STACK_TOP, START_INFO, TABLES};
use crate::vm::memory::{MemoryError, Ram};

/// CR0: protection on; of 64-bit mode also paging and write protection.
const PROTECTED: u64 = 1;
const PAGING: u64 = 1 << 31 | 1 << 16;
/// CR4 of 64-bit mode: PAE, and SSE for compilers that use it.
const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// EFER of 64-bit mode: long mode enabled and active, no-execute.
const EFER: u64 = 1 << 8 | 1 << 10 | 1 << 11;
/// RFLAGS: the bit that is always set; interrupts off.
const RFLAGS: u64 = 1 << 1;

/// Selectors.
const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
const TASK: u16 = 0x18;
/// Bytes of the descriptor table: the task state's descriptor takes two slots in 64-bit mode.
const GDT_SIZE: u64 = 5 * 8;

/// Descriptors as the processor reads them (SDM vol. 3, 3.4.5): flat 32-bit code, flat 64-bit code, flat data, a busy
/// 32-bit task state of 104 bytes at 0.
const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
const CODE_64: u64 = 0x00af_9b00_0000_ffff;
const DATA_32: u64 = 0x00cf_9300_0000_ffff;
const TASK_STATE: u64 = 0x0000_8b00_0000_0067;

/// Present, writable; and for a 2 MiB page, huge.
const TABLE: u64 = 1 | 1 << 1;
const HUGE_PAGE: u64 = TABLE | 1 << 7;

/// Writes the descriptor table that the segment registers come from.
pub(super) fn write_descriptors(ram: &Ram, entry: Entry) -> Result<(), MemoryError> {
    let code = match entry {
        Entry::Pvh(_) => CODE_32,
        Entry::Long(_) => CODE_64,
    };
    let table: Vec<u8> = [0, code, DATA_32, TASK_STATE, 0].into_iter().flat_map(u64::to_le_bytes).collect();
    ram.write(GDT, &table)
}

/// Writes the page tables of the 64-bit entry: a top table, one for the low and one for the high gigabytes, and four
/// directories.
pub(super) fn write_tables(ram: &Ram) -> Result<(), MemoryError> {
    let table = |index: u64| TABLES + index * PAGE_SIZE;
    let (top, low, high) = (table(0), table(1), table(2));
    let entry = |table: u64, index: u64, value: u64| ram.write(table + index * 8, &value.to_le_bytes());
    entry(top, 0, low | TABLE)?;
    entry(top, (KERNEL_VIRT >> 39) & 0x1ff, high | TABLE)?;
    for gigabyte in 0..IDENTITY >> 30 {
        let directory = table(3 + gigabyte);
        entry(low, gigabyte, directory | TABLE)?;
        let pages: Vec<u8> =
            (0..512u64).flat_map(|page| (gigabyte << 30 | page << 21 | HUGE_PAGE).to_le_bytes()).collect();
        ram.write(directory, &pages)?;
    }
    entry(high, (KERNEL_VIRT >> 30) & 0x1ff, table(3) | TABLE)
}

/// Sets registers so that the next KVM_RUN executes the first instruction.
pub(super) fn set(vcpu: &VcpuFd, entry: Entry) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = vcpu.get_sregs()?;
    segments(&mut sregs, entry);
    let regs = match entry {
        Entry::Pvh(entry) => {
            (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (PROTECTED, 0, 0, 0);
            kvm_regs { rip: entry.into(), rbx: START_INFO, rflags: RFLAGS, ..kvm_regs::default() }
        }
        Entry::Long(entry) => {
            (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (PROTECTED | PAGING, TABLES, CR4, EFER);
            // As after a call from nowhere: the return address is 0.
            kvm_regs { rip: entry, rdi: START_INFO, rsp: STACK_TOP - 8, rflags: RFLAGS, ..kvm_regs::default() }
        }
    };
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&regs)
}

fn segments(sregs: &mut kvm_sregs, entry: Entry) {
    let long = matches!(entry, Entry::Long(_));
    let data = kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector: DATA,
        type_: 3,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    sregs.cs = kvm_segment { selector: CODE, type_: 0xb, db: u8::from(!long), l: u8::from(long), ..data };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = kvm_segment { limit: 0x67, selector: TASK, type_: 0xb, present: 1, ..kvm_segment::default() };
    sregs.ldt = kvm_segment { type_: 2, unusable: 1, ..kvm_segment::default() };
    (sregs.gdt.base, sregs.gdt.limit) = (GDT, (GDT_SIZE - 1) as u16);
    // No interrupt table: until the kernel has its own, any exception is a triple fault and ends the run.
    (sregs.idt.base, sregs.idt.limit) = (0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Backing, walk};

    #[test]
    fn the_tables_map_what_the_documentation_says() {
        let ram = Ram::new(16 << 20, Backing::Anonymous, false).expect("16 MiB can be mapped");
        write_tables(&ram).expect("RAM");
        for gpa in [0, 0x10_0123, 0x3fff_ffff, 0xffff_ffff] {
            assert_eq!(walk::translate(&ram, TABLES, gpa), Some(gpa));
        }
        assert_eq!(walk::translate(&ram, TABLES, KERNEL_VIRT + 0x10_0123), Some(0x10_0123));
        assert_eq!(walk::translate(&ram, TABLES, 1 << 32), None);
        assert_eq!(walk::translate(&ram, TABLES, KERNEL_VIRT + (1 << 30)), None);
    }
}
