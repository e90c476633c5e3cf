//! KVM's exits, decoded once into what this VMM acts on.
#![expect(unsafe_code, reason = "an exit's details lie in a C union and on the page behind it")]

use kvm_bindings::{
    KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_INTERNAL_ERROR_EMULATION, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    KVM_PIO_PAGE_OFFSET, kvm_run,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use pagelab_abi::layout::PAGE_SIZE;

/// Why KVM_RUN returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// OUT to a port: the value, zero-extended.
    PortOut {
        /// Port.
        port: u16,
        /// Up to 32 bits.
        value: u32,
    },
    /// IN from a port; it reads as all ones.
    PortIn {
        /// Port.
        port: u16,
    },
    /// An access to guest-physical memory that no slot backs. Reads give all ones.
    Mmio {
        /// Guest-physical address.
        gpa: u64,
        /// A write.
        write: bool,
    },
    /// HLT.
    Halt,
    /// Triple fault.
    Shutdown,
    /// KVM's emulator met an instruction it cannot do.
    EmulationFailed {
        /// The instruction's bytes where KVM gives them, else empty.
        bytes: Vec<u8>,
    },
    /// Another error inside KVM, by its suberror number.
    InternalError(u32),
    /// The CPU refused the guest state, with its reason.
    FailEntry(u64),
    /// KVM could not resolve an access to guest memory.
    MemoryFault {
        /// Guest-physical address; `None` where KVM does not tell it: for memory that only the host keeps from the guest
        /// no x86 KVM does.
        gpa: Option<u64>,
    },
    /// A breakpoint, a single step, or another debug exception, while the host debugs the guest.
    Debug {
        /// Guest-virtual address of the instruction it stopped at.
        address: u64,
        /// DR6: why.
        dr6: u64,
    },
    /// A signal arrived, or an immediate exit was asked for.
    Interrupted,
    /// Something this VMM never asks for.
    Unknown(String),
}

/// Runs the vCPU until it exits, and decodes why. An error is one of KVM_RUN itself.
pub fn run(vcpu: &mut VcpuFd) -> Result<Exit, kvm_ioctls::Error> {
    let exit = match vcpu.run() {
        Ok(exit) => exit,
        Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => return Ok(Exit::Interrupted),
        Err(error) if error.errno() == libc::EFAULT => return Ok(Exit::MemoryFault { gpa: None }),
        Err(error) => return Err(error),
    };
    Ok(match exit {
        VcpuExit::IoOut(port, data) => Exit::PortOut { port, value: number(data) },
        VcpuExit::IoIn(port, data) => {
            data.fill(0xff);
            Exit::PortIn { port }
        }
        VcpuExit::MmioRead(gpa, data) => {
            data.fill(0xff);
            Exit::Mmio { gpa, write: false }
        }
        VcpuExit::MmioWrite(gpa, _) => Exit::Mmio { gpa, write: true },
        VcpuExit::Hlt => Exit::Halt,
        VcpuExit::Shutdown => Exit::Shutdown,
        VcpuExit::Intr => Exit::Interrupted,
        VcpuExit::FailEntry(reason, _cpu) => Exit::FailEntry(reason),
        VcpuExit::MemoryFault { gpa, .. } => Exit::MemoryFault { gpa: Some(gpa) },
        VcpuExit::Debug(debug) => Exit::Debug { address: debug.pc, dr6: debug.dr6 },
        VcpuExit::InternalError => internal_error(vcpu.get_kvm_run()),
        other => Exit::Unknown(format!("{other:?}")),
    })
}

/// A port access in full: what was written, or where the answer to a read goes.
#[derive(Debug)]
pub struct PortAccess<'a> {
    /// The port.
    pub port: u16,
    /// Bytes of one element: 1, 2 or 4.
    pub size: usize,
    /// The elements; a string instruction has several, all of them for `port`.
    pub data: &'a mut [u8],
}

/// The port access that a vCPU exited for; `None` if it exited for something else. An answer to a read must be there
/// before the vCPU runs again.
pub fn port_access(vcpu: &mut VcpuFd) -> Option<PortAccess<'_>> {
    const PAGE: usize = PAGE_SIZE as usize;
    let run = vcpu.get_kvm_run();
    if run.exit_reason != KVM_EXIT_IO {
        return None;
    }
    // SAFETY: the exit reason says that this member was written; all of its fields are plain numbers.
    let io = unsafe { run.__bindgen_anon_1.io };
    let (size, start) = (usize::from(io.size), usize::try_from(io.data_offset).ok()?);
    let length = size.checked_mul(usize::try_from(io.count).ok()?)?;
    if size == 0 || start != KVM_PIO_PAGE_OFFSET as usize * PAGE || length > PAGE {
        return None;
    }
    // SAFETY: `kvm_run` is the begin of a mapping of at least three pages, the second of which holds the data of port
    // accesses (Linux: Documentation/virt/kvm/api.rst, 5). `data` lies within that page, is plain bytes, and is borrowed
    // for as long as `vcpu`, whose thread is the only one that runs this vCPU.
    let data = unsafe { std::slice::from_raw_parts_mut((&raw mut *run).cast::<u8>().add(start), length) };
    Some(PortAccess { port: io.port, size, data })
}

/// The bytes of an [`Exit::Mmio`] that the vCPU has just made: what it writes, or what it will have read once it runs on.
/// `None` after any other exit.
pub fn mmio_bytes(vcpu: &mut VcpuFd) -> Option<&mut [u8]> {
    let run = vcpu.get_kvm_run();
    if run.exit_reason != KVM_EXIT_MMIO {
        return None;
    }
    // SAFETY: the exit reason says which details KVM filled in; all of their fields are plain numbers.
    let mmio = unsafe { &mut run.__bindgen_anon_1.mmio };
    let length = (mmio.len as usize).min(mmio.data.len());
    Some(&mut mmio.data[..length])
}

/// The first four bytes as a little-endian number. A string OUT gives more: its first element counts.
fn number(data: &[u8]) -> u32 {
    data.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn internal_error(run: &kvm_run) -> Exit {
    // SAFETY: the exit reason is KVM_EXIT_INTERNAL_ERROR, whose details begin like `emulation_failure`; all of its
    // fields are plain numbers.
    let failure = unsafe { run.__bindgen_anon_1.emulation_failure };
    if failure.suberror != KVM_INTERNAL_ERROR_EMULATION {
        return Exit::InternalError(failure.suberror);
    }
    let has_bytes =
        failure.ndata >= 3 && failure.flags & u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
    if !has_bytes {
        return Exit::EmulationFailed { bytes: Vec::new() };
    }
    // SAFETY: as above; the flag says that these fields were filled in.
    let instruction = unsafe { failure.__bindgen_anon_1.__bindgen_anon_1 };
    let length = usize::from(instruction.insn_size).min(instruction.insn_bytes.len());
    Exit::EmulationFailed { bytes: instruction.insn_bytes[..length].to_vec() }
}
