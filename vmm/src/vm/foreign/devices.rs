//! The few devices of a foreign kernel: a serial port, a keyboard controller that can reset, and an exit port.
//!
//! Nothing else answers: reads give all ones, writes are counted and forgotten.

use std::cell::Cell;

use crossbeam_channel::Sender;
use kvm_bindings::KVM_MP_STATE_HALTED;
use kvm_ioctls::VcpuFd;
use vm_superio::{I8042Device, Serial, Trigger, serial::NoEvents};
use vmm_sys_util::eventfd::EventFd;

use super::{Wiring, console::Console};
use crate::{
    trace::Input,
    vm::{
        exit::{self, Exit},
        vcpu::{ConsoleHook, End},
        vcpu_hook::{Handled, VcpuHook},
    },
};

/// The first serial port of a PC, COM1.
const SERIAL: std::ops::RangeInclusive<u16> = 0x3f8..=0x3ff;
/// The keyboard controller: data and command.
const KEYBOARD: [u16; 2] = [0x60, 0x64];
/// Ends the run; QEMU's `isa-debug-exit` at the place where kernels usually ask for it.
const EXIT: u16 = 0xf4;
/// RFLAGS bit 9: interrupts on.
const INTERRUPTS: u64 = 1 << 9;

/// The devices, at work on the vCPU's thread.
pub struct Devices {
    serial: Serial<Line, NoEvents, Console>,
    keyboard: I8042Device<ResetLine>,
    sink: Sender<Input>,
    unclaimed_ports: u64,
    unclaimed_memory: u64,
}

/// The serial port's interrupt.
struct Line(Option<EventFd>);

impl Trigger for Line {
    type E = std::io::Error;

    fn trigger(&self) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |line| line.write(1))
    }
}

/// Whether the keyboard controller was told to reset the machine.
#[derive(Default)]
struct ResetLine(Cell<bool>);

impl Trigger for ResetLine {
    type E = std::convert::Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        self.0.set(true);
        Ok(())
    }
}

impl Devices {
    /// The devices of one run. What the guest writes to its serial port goes to `sink` and `console`.
    pub fn new(wiring: Wiring, sink: Sender<Input>, console: Option<ConsoleHook>) -> Devices {
        Devices {
            serial: Serial::new(Line(wiring.serial), Console::new(sink.clone(), console)),
            keyboard: I8042Device::new(ResetLine::default()),
            sink,
            unclaimed_ports: 0,
            unclaimed_memory: 0,
        }
    }

    fn port_out(&mut self, vcpu: &mut VcpuFd) -> Handled {
        let Some(access) = exit::port_access(vcpu) else { return Handled::Yes };
        for element in access.data.chunks(access.size) {
            if access.port == EXIT {
                let value = element.first().copied().unwrap_or_default();
                return self.end("exit port", value << 1 | 1);
            }
            // A wide access reaches the ports that follow, as on a real bus.
            for (port, &value) in (access.port..=u16::MAX).zip(element) {
                self.write(port, value);
            }
        }
        if self.keyboard.reset_evt().0.get() {
            return self.end("reset", 0);
        }
        Handled::Yes
    }

    fn write(&mut self, port: u16, value: u8) {
        match port {
            _ if SERIAL.contains(&port) => {
                if let Err(error) = self.serial.write((port - SERIAL.start()) as u8, value) {
                    log::debug!("the serial port: {error:?}");
                }
            }
            _ if KEYBOARD.contains(&port) => {
                let Ok(()) = self.keyboard.write((port - KEYBOARD[0]) as u8, value);
            }
            _ => self.unclaimed_ports += 1,
        }
    }

    fn port_in(&mut self, vcpu: &mut VcpuFd) -> Handled {
        let Some(access) = exit::port_access(vcpu) else { return Handled::Yes };
        for element in access.data.chunks_mut(access.size) {
            for (port, value) in (access.port..=u16::MAX).zip(element) {
                *value = self.read(port);
            }
        }
        Handled::Yes
    }

    fn read(&mut self, port: u16) -> u8 {
        match port {
            _ if SERIAL.contains(&port) => self.serial.read((port - SERIAL.start()) as u8),
            _ if KEYBOARD.contains(&port) => self.keyboard.read((port - KEYBOARD[0]) as u8),
            _ => {
                self.unclaimed_ports += 1;
                0xff
            }
        }
    }

    /// The guest's own end, with an exit status.
    fn end(&mut self, how: &'static str, status: u8) -> Handled {
        self.tell("guest_end", how.to_owned());
        Handled::End(End::Exit(u32::from(status) << 8))
    }

    fn tell(&self, key: &'static str, value: String) {
        // A recorder that is gone is found by the console.
        let _ = self.sink.send(Input::Fact(key, value));
    }

    /// With an interrupt controller in KVM, HLT does not come out: a kick shows a vCPU that sleeps for ever.
    fn interrupted(&mut self, vcpu: &VcpuFd) -> Handled {
        self.serial.writer_mut().deliver();
        let asleep = vcpu.get_mp_state().is_ok_and(|state| state.mp_state == KVM_MP_STATE_HALTED);
        if asleep && vcpu.get_regs().is_ok_and(|regs| regs.rflags & INTERRUPTS == 0) {
            return self.end("halt", 0);
        }
        Handled::No
    }
}

impl VcpuHook for Devices {
    fn exit(&mut self, exit: &Exit, vcpu: &mut VcpuFd) -> Handled {
        let handled = match exit {
            Exit::PortOut { .. } => self.port_out(vcpu),
            Exit::PortIn { .. } => self.port_in(vcpu),
            Exit::Mmio { .. } => {
                self.unclaimed_memory += 1;
                Handled::Yes
            }
            // Without an interrupt controller nothing could wake it, whatever its flags say.
            Exit::Halt => self.end("halt", 0),
            Exit::Interrupted => self.interrupted(vcpu),
            _ => Handled::No,
        };
        if self.serial.writer().recorder_gone() { Handled::End(End::RecorderGone) } else { handled }
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.serial.writer_mut().deliver();
        self.tell("device.serial_bytes", self.serial.writer().taken().to_string());
        self.tell("device.unclaimed_port_bytes", self.unclaimed_ports.to_string());
        self.tell("device.unclaimed_memory_accesses", self.unclaimed_memory.to_string());
    }
}
