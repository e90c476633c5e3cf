//! A hardware breakpoint on the guest's page-fault entry (Linux: Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG).
//! The guest takes no part in it and cannot tell.
//!
//! The instruction under the breakpoint is then stepped over with the breakpoint off: a second exit, but the resume
//! flag (RFLAGS.RF), which would save it, is ignored by KVM's emulator and lost by some nested hosts.

use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_DB, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP, kvm_guest_debug,
    kvm_guest_debug_arch,
};
use kvm_ioctls::{Cap, VcpuFd};
use pagelab_abi::layout::{KERNEL_PHYS, KERNEL_VIRT, MIN_MEMORY};

use crate::{
    faults::{Missing, Probe},
    vm::{
        Backing, Image, MemoryPolicy, Program, TraceWindow, Vm, VmConfig,
        exit::{self, Exit},
        machine::open_kvm,
        symbols::Symbols,
    },
};

/// Where kernels take page faults, by name: pagelab's, and Linux's.
const ENTRIES: [&str; 2] = ["page_fault_entry", "asm_exc_page_fault"];
/// DR7: breakpoint 0 is on, for every task, at the execution of the address in DR0 (SDM vol. 3, 17.2.4). Bit 10 is
/// always set.
const DR7: u64 = 1 << 1 | 1 << 9 | 1 << 10;
/// DR6: the condition of breakpoint 0 was met.
const DR6_BREAKPOINT_0: u64 = 1 << 0;
/// DR6: a single step.
const DR6_STEP: u64 = 1 << 14;

type Result<T> = std::result::Result<T, kvm_ioctls::Error>;

/// What a debug exit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The guest is about to execute the instruction under the breakpoint.
    Hit,
    /// That instruction has been executed.
    Stepped,
    /// The guest's own business.
    Foreign,
}

/// The breakpoint of one vCPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breakpoint {
    address: u64,
    stepping: bool,
}

impl Breakpoint {
    /// Where the kernel of this image takes page faults.
    pub(super) fn find(image: Image<'_>) -> Option<Breakpoint> {
        let bytes = match image {
            Image::Elf(bytes) => bytes,
            Image::Foreign(foreign) => foreign.elf,
            Image::Flat(_) => return None,
        };
        let symbols = Symbols::from_elf(bytes);
        ENTRIES.iter().find_map(|name| symbols.address(name)).map(Breakpoint::at)
    }

    fn at(address: u64) -> Breakpoint {
        Breakpoint { address, stepping: false }
    }

    /// Sets it.
    pub(super) fn arm(&mut self, vcpu: &VcpuFd) -> Result<()> {
        self.stepping = false;
        self.debug(vcpu, KVM_GUESTDBG_USE_HW_BP)
    }

    /// Has the guest execute one instruction without it. [`Event::Stepped`] follows.
    pub(super) fn step(&mut self, vcpu: &VcpuFd) -> Result<()> {
        self.stepping = true;
        self.debug(vcpu, KVM_GUESTDBG_SINGLESTEP)
    }

    /// Gives the guest a debug exception that is its own: while the breakpoint is set, all of them come to the host.
    pub(super) fn give_back(&self, vcpu: &VcpuFd) -> Result<()> {
        self.debug(vcpu, KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB)
    }

    /// What a debug exit is about.
    pub(super) fn event(&self, address: u64, dr6: u64) -> Event {
        match self.stepping {
            true if dr6 & DR6_STEP != 0 => Event::Stepped,
            false if address == self.address && dr6 & DR6_BREAKPOINT_0 != 0 => Event::Hit,
            _ => Event::Foreign,
        }
    }

    fn debug(&self, vcpu: &VcpuFd, what: u32) -> Result<()> {
        let mut arch = kvm_guest_debug_arch::default();
        (arch.debugreg[0], arch.debugreg[7]) = (self.address, DR7);
        vcpu.set_guest_debug(&kvm_guest_debug { control: KVM_GUESTDBG_ENABLE | what, pad: 0, arch })
    }
}

/// Whether hardware breakpoints work in guests here: tries one, in a guest of three instructions. KVM's capabilities do
/// not say: none for x86 counts breakpoints, and a KVM that is nested may take them for nothing.
pub(crate) fn probe() -> Probe {
    let missing = |why: String| {
        Probe::Missing(Missing { why, remedy: "use --trap port, or a KVM that is not nested in an emulator" })
    };
    match open_kvm() {
        Ok(kvm) if !kvm.check_extension(Cap::SetGuestDebug) => {
            return missing("KVM lacks breakpoints for guests (KVM_CAP_SET_GUEST_DEBUG)".to_owned());
        }
        Ok(_) => {}
        Err(error) => return missing(error.to_string()),
    }
    match try_one() {
        Ok(None) => Probe::Available,
        Ok(Some(exit)) => {
            missing(format!("KVM takes hardware breakpoints, but a guest does not stop as it should: {exit:?}"))
        }
        Err(why) => missing(format!("a breakpoint cannot be tried: {why}")),
    }
}

/// Whether a breakpoint on the second instruction of a guest stops it, once, and can be stepped over (an emulator may
/// not look for breakpoints on the first one after an entry). What comes instead, if not.
fn try_one() -> std::result::Result<Option<Exit>, String> {
    const NOP_NOP_HALT: [u8; 3] = [0x90, 0x90, 0xf4];
    let mut vm = Vm::create(&VmConfig {
        memory: MIN_MEMORY,
        backing: Backing::Anonymous,
        small_pages: false,
        trace_window: TraceWindow::DEFAULT_SIZE,
        image: Image::Flat(&NOP_NOP_HALT),
        program: Program::default(),
        seed: 0,
        policy: MemoryPolicy::default(),
        trace: false,
        trap_faults: false,
    })
    .map_err(|error| error.to_string())?;
    let mut breakpoint = Breakpoint::at(KERNEL_VIRT + KERNEL_PHYS + 1);
    let tried = |error: kvm_ioctls::Error| error.to_string();
    breakpoint.arm(&vm.vcpu).map_err(tried)?;
    for expected in [Event::Hit, Event::Stepped] {
        match exit::run(&mut vm.vcpu).map_err(tried)? {
            Exit::Debug { address, dr6 } if breakpoint.event(address, dr6) == expected => {}
            other => return Ok(Some(other)),
        }
        match expected {
            Event::Hit => breakpoint.step(&vm.vcpu),
            _ => breakpoint.arm(&vm.vcpu),
        }
        .map_err(tried)?;
    }
    let last = exit::run(&mut vm.vcpu).map_err(tried)?;
    Ok((last != Exit::Halt).then_some(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::KERNEL;

    #[test]
    fn the_built_in_kernel_says_where_it_takes_page_faults() {
        let breakpoint = Breakpoint::find(Image::Elf(KERNEL)).expect("the symbol");
        assert!(breakpoint.address > KERNEL_VIRT);
        assert!(Breakpoint::find(Image::Flat(KERNEL)).is_none());
        assert!(Breakpoint::find(Image::Elf(b"")).is_none());
    }

    #[test]
    fn debug_exits_are_told_apart() {
        let mut breakpoint = Breakpoint::at(0x1000);
        assert_eq!(breakpoint.event(0x1000, DR6_BREAKPOINT_0), Event::Hit);
        assert_eq!(breakpoint.event(0x1002, DR6_BREAKPOINT_0), Event::Foreign);
        assert_eq!(breakpoint.event(0x1000, DR6_STEP), Event::Foreign, "the program single-steps");
        breakpoint.stepping = true;
        assert_eq!(breakpoint.event(0x1002, DR6_STEP), Event::Stepped);
        assert_eq!(breakpoint.event(0x1000, DR6_BREAKPOINT_0), Event::Foreign);
    }
}
