//! GDT, TSS and IDT.
#![expect(unsafe_code, reason = "the CPU is pointed at tables in memory")]

use x86_64::{
    PrivilegeLevel, VirtAddr,
    instructions::{
        segmentation::{CS, DS, ES, SS, Segment},
        tables::{lgdt, lidt, load_tss},
    },
    structures::{
        DescriptorTablePointer,
        gdt::{Descriptor, SegmentSelector},
        idt::{Entry, HandlerFunc},
        tss::TaskStateSegment,
    },
};

use super::entry;
use crate::take_once::TakeOnce;

// Linux's selectors, which programs can see. Its 32-bit code segment for programs (0x23) is left out.
/// Selector of the kernel's code.
pub(crate) const KERNEL_CODE: SegmentSelector = SegmentSelector::new(2, PrivilegeLevel::Ring0);
const KERNEL_DATA: SegmentSelector = SegmentSelector::new(3, PrivilegeLevel::Ring0);
/// Selector of programs' data and stack.
pub(crate) const USER_DATA: SegmentSelector = SegmentSelector::new(5, PrivilegeLevel::Ring3);
/// Selector of programs' code.
pub(crate) const USER_CODE: SegmentSelector = SegmentSelector::new(6, PrivilegeLevel::Ring3);
const TSS: SegmentSelector = SegmentSelector::new(8, PrivilegeLevel::Ring0);

/// Vectors the IDT has: the CPU's exceptions. Nothing else is ever raised, since no interrupt source is on.
pub(crate) const VECTORS: usize = 32;
/// Stack-table index (1 to 7 in the TSS) of the double-fault stack.
const FAULT_STACK: u16 = 0;
/// That of the debug exception's stack: a CPU may raise it behind `syscall`, while the stack is still the program's.
const DEBUG_STACK: u16 = 1;

struct Tables {
    gdt: [u64; 10],
    tss: TaskStateSegment,
    idt: [Entry<HandlerFunc>; VECTORS],
}

static TABLES: TakeOnce<Tables> =
    TakeOnce::new(Tables { gdt: [0; 10], tss: TaskStateSegment::new(), idt: [const { Entry::missing() }; VECTORS] });

/// The page fault's vector.
const PAGE_FAULT: usize = 14;

/// Builds the tables and loads them. Called once, before the first trap. Whether the host wants to look at page faults
/// is decided here, by the stub: who does not ask for it pays nothing.
pub(crate) fn load(trap_faults: bool) {
    let tables = TABLES.take();

    tables.tss.privilege_stack_table[0] = VirtAddr::new(entry::stack_top());
    tables.tss.interrupt_stack_table[FAULT_STACK as usize] = VirtAddr::new(entry::fault_stack_top());
    tables.tss.interrupt_stack_table[DEBUG_STACK as usize] = VirtAddr::new(entry::debug_stack_top());

    // SAFETY: the TSS is static.
    let tss = match unsafe { Descriptor::tss_segment_unchecked(&tables.tss) } {
        Descriptor::SystemSegment(low, high) => [low, high],
        Descriptor::UserSegment(_) => unreachable!("a TSS is a system segment"),
    };
    let user = |descriptor| match descriptor {
        Descriptor::UserSegment(bits) => bits,
        Descriptor::SystemSegment(..) => unreachable!("code and data are not system segments"),
    };
    tables.gdt = [
        0,
        0,
        user(Descriptor::kernel_code_segment()),
        user(Descriptor::kernel_data_segment()),
        0,
        user(Descriptor::user_data_segment()),
        user(Descriptor::user_code_segment()),
        0,
        tss[0],
        tss[1],
    ];

    for (vector, entry) in tables.idt.iter_mut().enumerate() {
        let stub = match vector {
            PAGE_FAULT if trap_faults => entry::trapped_page_fault_stub(),
            _ => entry::stub(vector),
        };
        // SAFETY: the stub saves every register, and the double fault has a stack of its own.
        unsafe {
            let options = entry.set_handler_addr(VirtAddr::new(stub));
            options.set_code_selector(KERNEL_CODE);
            match vector {
                // int3 and into may be executed by programs.
                3 | 4 => {
                    options.set_privilege_level(PrivilegeLevel::Ring3);
                }
                1 => {
                    options.set_stack_index(DEBUG_STACK);
                }
                8 => {
                    options.set_stack_index(FAULT_STACK);
                }
                _ => {}
            }
        }
    }

    // SAFETY: the tables are static and complete; the selectors name their entries.
    unsafe {
        lgdt(&pointer(&tables.gdt));
        CS::set_reg(KERNEL_CODE);
        SS::set_reg(KERNEL_DATA);
        DS::set_reg(KERNEL_DATA);
        ES::set_reg(KERNEL_DATA);
        load_tss(TSS);
        lidt(&pointer(&tables.idt));
    }
}

fn pointer<T>(table: &T) -> DescriptorTablePointer {
    DescriptorTablePointer { limit: (size_of::<T>() - 1) as u16, base: VirtAddr::from_ptr(table) }
}
