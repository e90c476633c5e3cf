//! Entry code: the first instruction, the trap stubs, `syscall`, and the one way back to ring 3.
//!
//! GS is never used by the kernel, so no `swapgs` is needed. SMAP stays off: the kernel reaches user memory through
//! the direct map only, and its emulator on shadow-paging hosts has no `stac`.
#![expect(unsafe_code, reason = "entry code is assembly")]

use core::arch::{asm, global_asm};

use pagelab_abi::trap::TrapFrame;

use super::descriptors::{USER_CODE, USER_DATA};

global_asm!(
    r#"
.section .text.entry, "ax"
.global _start
_start:
    # The very first act: tell the host, with the clock.
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov r8, rax
    mov edx, {clock_port}
    out dx, eax
    lea rsp, [rip + __stack_top]
    xor ebp, ebp
    call {boot}
    ud2

# One 16-byte stub a vector: it leaves the vector above an error code and goes to trap_common.
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 32
    .balign 16
    .if vector == 14
        # For `--trap breakpoint`, which knows this place by its name.
        .global page_fault_entry
        .type page_fault_entry, @function
        page_fault_entry:
    .endif
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .else
    push 0
    .endif
    push vector
    jmp trap_common
    .set vector, vector + 1
.endr

# Takes the place of stub 14 where the host wants to look at every page fault.
.balign 16
.global trapped_page_fault_entry
trapped_page_fault_entry:
    push {trapped_page_fault}
    jmp trap_common

.balign 16
trap_common:
    push rax
    push rdx
    rdtsc
    shl rdx, 32
    or rax, rdx
    push rcx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    push rax
    mov rax, cr2
    push rax
    cld
    mov rdi, rsp
    xor ebp, ebp
    call {trap}
    # fall through: back to ring 3

.global return_to_user
return_to_user:
    add rsp, 16
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rcx
    pop rdx
    pop rax
    add rsp, 16
    iretq

# Where `syscall` goes. RCX holds the return address and R11 the flags; the stack is still the program's.
.balign 16
.global syscall_entry
syscall_entry:
    mov [rip + syscall_user_rsp], rsp
    lea rsp, [rip + __stack_top]
    push {user_data}
    push [rip + syscall_user_rsp]
    push r11
    push {user_code}
    push rcx
    push 0
    push {syscall_vector}
    jmp trap_common

.section .bss
.balign 8
syscall_user_rsp:
    .skip 8
.section .text
"#,
    clock_port = const pagelab_abi::port::CLOCK,
    boot = sym crate::boot::start,
    trap = sym crate::trap::trap,
    user_data = const USER_DATA.0,
    user_code = const USER_CODE.0,
    syscall_vector = const SYSCALL_VECTOR,
    trapped_page_fault = const TRAPPED_PAGE_FAULT,
);

/// The "vector" of a system call that came through `syscall`.
pub(crate) const SYSCALL_VECTOR: u64 = 256;
/// The "vector" of a page fault that the host wants to look at.
pub(crate) const TRAPPED_PAGE_FAULT: u64 = 512 + 14;

unsafe extern "C" {
    static trap_stubs: u8;
    static trapped_page_fault_entry: u8;
    static syscall_entry: u8;
    static __stack_top: u8;
    static __fault_stack_top: u8;
    static __debug_stack_top: u8;
}

/// Address of the stub of an exception vector.
pub(crate) fn stub(vector: usize) -> u64 {
    &raw const trap_stubs as u64 + 16 * vector as u64
}

/// Address of the page-fault stub for [`TRAPPED_PAGE_FAULT`].
pub(crate) fn trapped_page_fault_stub() -> u64 {
    &raw const trapped_page_fault_entry as u64
}

/// Address that LSTAR holds.
#[inline(always)]
pub(crate) fn syscall_address() -> u64 {
    &raw const syscall_entry as u64
}

/// Top of the kernel's stack.
pub(crate) fn stack_top() -> u64 {
    &raw const __stack_top as u64
}

/// Top of the stack that a double fault is taken on.
pub(crate) fn fault_stack_top() -> u64 {
    &raw const __fault_stack_top as u64
}

/// Top of the stack that a debug exception is taken on.
pub(crate) fn debug_stack_top() -> u64 {
    &raw const __debug_stack_top as u64
}

/// Goes to ring 3 with these registers. Traps then start at the top of the kernel's stack.
pub(crate) fn enter_user(frame: &TrapFrame) -> ! {
    // SAFETY: `return_to_user` pops a TrapFrame and leaves for ring 3; the frame is on a live stack.
    unsafe { asm!("mov rsp, {}", "jmp return_to_user", in(reg) frame, options(noreturn)) }
}
