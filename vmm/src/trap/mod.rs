//! Guest page faults trapped (`--trap`): the host stops the guest at each one, counts it beside the guest's own record,
//! and can show its state (`--stop-at`).
//!
//! - `port`: the guest rings [`pagelab_abi::port::FAULT_TRAP`] when it has handled a fault. It tells the kind and the
//!   VMA, and costs one exit a fault.
//! - `breakpoint`: a hardware breakpoint on the guest's page-fault entry. It needs no help from the guest, and sees the
//!   fault before it is handled; two exits a fault.
//!
//! Neither traps what is no page fault of the CPU's: faults that the kernel takes on the program's behalf inside a
//! system call (`in_kernel` in the run file), and system calls that arrive as page faults on shadow-paging hosts.

mod breakpoint;
mod fault;
mod hook;
mod state;
mod stop_at;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use breakpoint::Breakpoint;
pub(crate) use breakpoint::probe as probe_breakpoint;
use crossbeam_channel::Sender;
use hook::TrapHook;
use kvm_ioctls::VcpuFd;
pub use stop_at::{StopAt, StopAtError, Then};

use crate::{
    faults::{Missing, Probe},
    trace::Input,
    vm::{Image, Ram, symbols::Symbols, vcpu_hook::VcpuHook},
};

/// How faults are trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapMethod {
    /// The guest rings a port.
    Port,
    /// A hardware breakpoint.
    Breakpoint,
}

impl TrapMethod {
    /// Its name on the command line and in run files.
    pub fn name(self) -> &'static str {
        match self {
            TrapMethod::Port => "port",
            TrapMethod::Breakpoint => "breakpoint",
        }
    }
}

/// Called with the text of a stop when it happens.
pub type StopHook = Box<dyn FnMut(&str) + Send>;

/// What is trapped, and what is done then.
pub struct TrapConfig {
    /// How.
    pub method: TrapMethod,
    /// Where to stop.
    pub stop: Option<StopAt>,
    /// Names for the addresses of what faults.
    pub symbols: Symbols,
    /// Shows a stop.
    pub show: Option<StopHook>,
}

/// Why faults cannot be trapped.
#[derive(Debug, thiserror::Error)]
pub enum TrapError {
    /// The host lacks it.
    #[error("--trap breakpoint cannot be used here: {}; {}", .0.why, .0.remedy)]
    Missing(Missing),
    /// Not a kernel of pagelab's.
    #[error("--trap port: only a kernel of pagelab's rings the port; use --trap breakpoint")]
    NoPort,
    /// The kernel is not one that can be trapped that way.
    #[error(
        "--trap breakpoint: the kernel's symbol table does not say where it takes page faults (page_fault_entry, or \
         asm_exc_page_fault); give a kernel that is not stripped"
    )]
    NoEntry,
    /// A condition that the breakpoint cannot know.
    #[error("--stop-at kind=...: a breakpoint stops before the guest knows the kind; use --trap port")]
    NoKind,
    /// KVM refused.
    #[error("KVM refused to set a breakpoint: {0}")]
    Kvm(kvm_ioctls::Error),
}

/// A trap that is set.
#[derive(Debug)]
pub(crate) struct Trapping {
    method: TrapMethod,
    trapped: Arc<AtomicU64>,
}

impl Trapping {
    /// Sets the trap of a vCPU that has not run yet. The hook goes onto its thread.
    pub(crate) fn start(
        config: TrapConfig,
        image: Image<'_>,
        vcpu: &VcpuFd,
        ram: Ram,
        sink: Sender<Input>,
    ) -> Result<(Trapping, Box<dyn VcpuHook>), TrapError> {
        let breakpoint = match config.method {
            TrapMethod::Port if matches!(image, Image::Foreign(_)) => return Err(TrapError::NoPort),
            TrapMethod::Port => None,
            TrapMethod::Breakpoint => {
                if config.stop.as_ref().is_some_and(StopAt::needs_kind) {
                    return Err(TrapError::NoKind);
                }
                let mut breakpoint = Breakpoint::find(image).ok_or(TrapError::NoEntry)?;
                if let Probe::Missing(missing) = probe_breakpoint() {
                    return Err(TrapError::Missing(missing));
                }
                breakpoint.arm(vcpu).map_err(TrapError::Kvm)?;
                Some(breakpoint)
            }
        };
        let trapping = Trapping { method: config.method, trapped: Arc::default() };
        let trapped = Arc::clone(&trapping.trapped);
        let last = VecDeque::new();
        let hook = TrapHook { config, breakpoint, ram, sink, trapped, matches: 0, told: 0, last };
        Ok((trapping, Box::new(hook)))
    }

    /// Rows for the `run` view, when the vCPU has ended.
    pub(crate) fn facts(&self) -> [(String, String); 2] {
        let trapped = self.trapped.load(Ordering::Relaxed);
        [("trap".to_owned(), self.method.name().to_owned()), ("trapped".to_owned(), trapped.to_string())]
    }
}
