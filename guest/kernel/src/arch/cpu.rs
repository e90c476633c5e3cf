//! Registers: control registers, MSRs, the TSC, and what the kernel switches on in them.
#![expect(unsafe_code, reason = "control registers and MSRs change how the CPU works")]

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};

use pagelab_mm::machine::Pfn;
use x86_64::{
    PhysAddr, VirtAddr,
    registers::{
        control::{Cr3, Cr3Flags, Cr4, Cr4Flags},
        model_specific::{LStar, Msr, SFMask},
        rflags::RFlags,
    },
    structures::paging::PhysFrame,
};

use super::descriptors::{KERNEL_CODE, USER_DATA};

/// IA32_STAR (SDM vol. 4).
const STAR: u32 = 0xc000_0081;
/// MSR_MISC_FEATURES_ENABLES (SDM vol. 4); bit 0 turns CPUID faulting on.
const MISC_FEATURES_ENABLES: u32 = 0x140;

/// The time-stamp counter.
#[inline(always)]
pub(crate) fn tsc() -> u64 {
    // SAFETY: RDTSC has no effect on memory, and CR4.TSD is clear.
    unsafe { _rdtsc() }
}

/// Drops the translation of one page (INVLPG).
#[inline(always)]
pub(crate) fn flush_page(address: u64) {
    // SAFETY: dropping a translation only costs time.
    unsafe { core::arch::asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Switches on what the kernel uses: FSGSBASE for programs, SMEP, and `syscall` with `entry` as its target.
pub(crate) fn enable_features(entry: u64) {
    // Global pages are left to CR4.PGE, which the VMM has set.
    let (leaf7, extended) = (__cpuid_count(7, 0), __cpuid(0x8000_0001));
    let mut wanted = Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE | Cr4Flags::PAGE_GLOBAL;
    if leaf7.ebx & 1 << 0 != 0 {
        wanted |= Cr4Flags::FSGSBASE;
    }
    if leaf7.ebx & 1 << 7 != 0 {
        wanted |= Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION;
    }
    debug_assert!(extended.edx & 1 << 20 != 0, "the CPU has no NX bit");
    // SAFETY: no kernel mapping is a user page, so SMEP changes nothing for us; the other bits only allow
    // instructions to programs.
    unsafe { Cr4::update(|flags| *flags |= wanted) };

    // SYSRET is never used, so the user half of STAR only has to be loadable.
    let star = (u64::from(USER_DATA.0 - 8) << 48) | (u64::from(KERNEL_CODE.0) << 32);
    // SAFETY: the selectors are ours and `entry` is the entry code.
    unsafe {
        Msr::new(STAR).write(star);
    }
    LStar::write(VirtAddr::new(entry));
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK
            | RFlags::IOPL_LOW
            | RFlags::IOPL_HIGH,
    );
}

/// Makes CPUID in ring 3 raise #GP, so that the kernel answers from the fixed model.
pub(crate) fn enable_cpuid_faulting() {
    // SAFETY: the host says that this bit is there; it concerns ring 3 only.
    unsafe { Msr::new(MISC_FEATURES_ENABLES).write(1) };
}

/// Loads CR3.
pub(crate) fn set_root(root: Pfn) {
    let frame = PhysFrame::containing_address(PhysAddr::new(root.address()));
    // SAFETY: every address space's kernel half maps the kernel as the boot tables do.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}
