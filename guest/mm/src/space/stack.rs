//! The stack: where a program starts with it, and how it grows.

use pagelab_abi::{
    code::VmaOp,
    layout::{MMAP_MIN_ADDR, PAGE_SHIFT, PAGE_SIZE, STACK_GUARD_GAP, STACK_TOP},
};

use crate::{
    context::Context,
    errno::Errno,
    frame::OutOfMemory,
    machine::Machine,
    space::AddressSpace,
    trace::Trace,
    vma::{VmFlags, Vma},
};

/// Room that a program's stack has below its arguments from the start.
const INITIAL_ROOM: u64 = 128 << 10;

/// Why an access below a stack did not make it grow. The program gets a SIGSEGV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrowRefusal {
    /// The next mapping above the address does not grow down, or there is none.
    NotAStack,
    /// Below the lowest address a program may map.
    TooLow,
    /// Too near to the accessible mapping below.
    GuardGap,
    /// RLIMIT_STACK.
    StackLimit,
    /// RLIMIT_AS.
    AddressSpaceLimit,
    /// RLIMIT_MEMLOCK, for locked memory.
    LockLimit,
    /// So much may not be promised.
    NoPromise,
}

impl AddressSpace {
    /// Maps the stack a program starts on, at the top of the user half: `bytes` for its arguments and environment and
    /// 128 KiB below them, as far as RLIMIT_STACK allows. The caller sets `stack_start` when it knows it.
    ///
    /// # Errors
    /// EEXIST: something is mapped there; ENOMEM: a limit, no memory.
    pub fn map_stack<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        bytes: u64,
        executable: bool,
    ) -> Result<(), Errno> {
        let needed = bytes.max(1).checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let limit = self.limits.stack.soft & !(PAGE_SIZE - 1);
        if needed > limit || needed > STACK_TOP - MMAP_MIN_ADDR {
            return Err(Errno::ENOMEM);
        }
        let start = STACK_TOP - (needed + INITIAL_ROOM).min(limit);
        if self.vmas.find_intersection(cx, start, STACK_TOP).is_some() {
            return Err(Errno::EEXIST);
        }
        let mut flags = VmFlags::READ | VmFlags::WRITE | VmFlags::MAY | VmFlags::GROWSDOWN | VmFlags::ACCOUNT;
        flags.set(VmFlags::EXEC, executable);
        let vma = Vma::new(start, STACK_TOP, start >> PAGE_SHIFT, flags, 0);
        if !self.may_expand(flags, vma.pages() as i64) {
            return Err(Errno::ENOMEM);
        }
        cx.charge(vma.pages(), self.usage.total_vm)?;
        let slot = self.add_vma(cx, vma, VmaOp::Map).map_err(|OutOfMemory| {
            cx.uncharge(vma.pages());
            Errno::ENOMEM
        })?;
        self.vmas.prepare_anon(cx, slot);
        self.stack_start = STACK_TOP;
        Ok(())
    }

    /// Makes the stack that begins above `address` reach down to its page. To be called for a fault where no VMA
    /// contains the address.
    ///
    /// # Errors
    /// Why it must not; then nothing has changed.
    pub fn expand_stack<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        address: u64,
    ) -> Result<(), GrowRefusal> {
        let slot = self.vmas.find(cx, address).ok_or(GrowRefusal::NotAStack)?;
        let vma = *cx.vma(slot);
        let flags = vma.flags();
        if !flags.contains(VmFlags::GROWSDOWN) {
            return Err(GrowRefusal::NotAStack);
        }
        let start = address & !(PAGE_SIZE - 1);
        if start >= vma.start {
            return Ok(());
        }
        if start < MMAP_MIN_ADDR {
            return Err(GrowRefusal::TooLow);
        }
        if vma.prev != 0 {
            let below = cx.vma(vma.prev);
            let guarded = below.flags().intersects(VmFlags::ACCESS) && !below.flags().contains(VmFlags::GROWSDOWN);
            if guarded && start - below.end < STACK_GUARD_GAP {
                return Err(GrowRefusal::GuardGap);
            }
        }
        let pages = (vma.start - start) >> PAGE_SHIFT;
        if vma.end - start > self.limits.stack.soft {
            return Err(GrowRefusal::StackLimit);
        }
        if !self.may_expand(flags, pages as i64) {
            return Err(GrowRefusal::AddressSpaceLimit);
        }
        if !self.may_lock(flags, vma.start - start) {
            return Err(GrowRefusal::LockLimit);
        }
        if flags.contains(VmFlags::ACCOUNT) {
            cx.charge(pages, self.usage.total_vm).map_err(|_| GrowRefusal::NoPromise)?;
        }
        self.vmas.prepare_anon(cx, slot);
        self.vmas.resize(cx, slot, start, vma.end);
        self.usage.add_pages(flags, pages);
        self.emit_vma(cx, VmaOp::Grow, slot);
        Ok(())
    }
}
