//! The trap on the vCPU's thread: takes each trapped fault, counts it, records it, and stops where it shall.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::Sender;
use kvm_ioctls::VcpuFd;
use pagelab_abi::port;

use super::{
    TrapConfig,
    breakpoint::{Breakpoint, Event},
    fault::TrappedFault,
    state,
    stop_at::Then,
};
use crate::{
    trace::{Input, Trap},
    vm::{
        Ram, clock,
        exit::Exit,
        vcpu::End,
        vcpu_hook::{Handled, VcpuHook},
    },
};

/// Faults before a stop that its text lists.
const LAST_FAULTS: usize = 8;
/// Stops that are told with their state; what comes after is counted only.
const TOLD_STOPS: u64 = 1000;
/// RPL bits of a selector: the ring.
const RING: u16 = 3;

/// The trap of one vCPU.
pub(super) struct TrapHook {
    pub(super) config: TrapConfig,
    /// Where the breakpoint is; `None` for the port.
    pub(super) breakpoint: Option<Breakpoint>,
    pub(super) ram: Ram,
    pub(super) sink: Sender<Input>,
    pub(super) trapped: Arc<AtomicU64>,
    pub(super) matches: u64,
    /// Stops told so far.
    pub(super) told: u64,
    /// One line each, oldest first.
    pub(super) last: VecDeque<String>,
}

impl VcpuHook for TrapHook {
    fn exit(&mut self, exit: &Exit, vcpu: &mut VcpuFd) -> Handled {
        let handled = match (exit, &self.breakpoint) {
            (Exit::PortOut { port: port::FAULT_TRAP, .. }, None) => self.port(vcpu),
            (&Exit::Debug { address, dr6 }, Some(breakpoint)) => match breakpoint.event(address, dr6) {
                Event::Hit => self.hit(vcpu),
                Event::Stepped => self.with_breakpoint(|breakpoint| breakpoint.arm(vcpu)),
                Event::Foreign => self.with_breakpoint(|breakpoint| breakpoint.give_back(vcpu)),
            },
            _ => return Handled::No,
        };
        handled.unwrap_or_else(|error| Handled::End(End::RunFailed(error.errno())))
    }
}

type Result = std::result::Result<Handled, kvm_ioctls::Error>;

impl TrapHook {
    fn port(&mut self, vcpu: &VcpuFd) -> Result {
        let (regs, sregs) = (vcpu.get_regs()?, vcpu.get_sregs()?);
        Ok(match TrappedFault::of_port(&self.ram, &regs, &sregs) {
            Ok(fault) => self.take(&fault),
            Err(broken) => Handled::Refused(broken),
        })
    }

    fn hit(&mut self, vcpu: &VcpuFd) -> Result {
        let (regs, sregs) = (vcpu.get_regs()?, vcpu.get_sregs()?);
        let found = if sregs.cs.selector & RING == 0 {
            TrappedFault::of_entry(&self.ram, vcpu, &regs, &sregs)
        } else {
            // A program that jumps there stops before the fault it deserves.
            Ok(Some(TrappedFault::of_jump(&regs, &sregs)))
        };
        self.with_breakpoint(|breakpoint| breakpoint.step(vcpu))?;
        Ok(match found {
            Ok(Some(fault)) => self.take(&fault),
            Ok(None) => Handled::Yes,
            Err(broken) => Handled::Refused(broken),
        })
    }

    fn with_breakpoint(
        &mut self,
        act: impl FnOnce(&mut Breakpoint) -> std::result::Result<(), kvm_ioctls::Error>,
    ) -> Result {
        self.breakpoint.as_mut().map_or(Ok(()), act).map(|()| Handled::Yes)
    }

    /// Counts and records a fault, and stops if it is one to stop at.
    fn take(&mut self, fault: &TrappedFault) -> Handled {
        let number = self.trapped.fetch_add(1, Ordering::Relaxed) + 1;
        let trap = Trap {
            vcpu: 0,
            tsc: clock::rdtsc(),
            method: self.config.method.name(),
            gva: fault.gva(),
            error_code: fault.registers.error,
            rip: fault.registers.rip,
            kind: fault.kind(),
        };
        let handled = match self.send(Input::Trap(trap)) {
            Ok(()) => self.stop(number, fault),
            Err(end) => end,
        };
        if self.config.stop.is_some() {
            if self.last.len() == LAST_FAULTS {
                self.last.pop_front();
            }
            self.last.push_back(state::line(number, fault));
        }
        handled
    }

    fn stop(&mut self, number: u64, fault: &TrappedFault) -> Handled {
        let Some(stop) = self.config.stop.as_ref().filter(|stop| stop.matches(fault.subject())) else {
            return Handled::Yes;
        };
        self.matches += 1;
        if !stop.is_reached(self.matches) {
            return Handled::Yes;
        }
        let (then, condition) = (stop.then, stop.to_string());
        if self.told < TOLD_STOPS {
            self.told += 1;
            let head = format!("stopped at trapped fault {number}, match {} of {condition}\n", self.matches);
            let text = head + &state::describe(fault, &self.ram, &self.config.symbols, &self.last);
            if let Some(show) = &mut self.config.show {
                show(&text);
            }
            if let Err(end) = self.send(Input::Message { kind: "stop", text }) {
                return end;
            }
        }
        match then {
            Then::Go => Handled::Yes,
            Then::End => Handled::End(End::StopAt { fault: number, condition }),
        }
    }

    fn send(&self, input: Input) -> std::result::Result<(), Handled> {
        self.sink.send(input).map_err(|_| Handled::End(End::RecorderGone))
    }
}
