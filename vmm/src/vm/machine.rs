//! A virtual machine, loaded and ready for its first instruction.

use std::{fs, io, sync::Arc, time::Instant};

use kvm_bindings::KVM_API_VERSION;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use pagelab_abi::boot::BootFlags;

use super::{
    backing::Backing,
    boot::{self, BootError, BootOptions, Image, Program},
    clock,
    cpu::{self, CpuidView},
    cpuid::model,
    foreign::{self, Wiring},
    memory::{Extent, MemoryError, Ram, TraceWindow},
    policy::MemoryPolicy,
    slots::Slots,
};

/// Device node of KVM.
pub const KVM_DEVICE: &str = "/dev/kvm";
/// Where VT-x may keep its three pages for real mode: just below the firmware area, in the device hole.
const TSS_ADDRESS: usize = 0xfffb_d000;

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// No KVM on this host.
    #[error("{KVM_DEVICE} does not exist: load the module (modprobe kvm_intel or kvm_amd), or enable virtualization")]
    NoKvm,
    /// No rights to it.
    #[error("{KVM_DEVICE} may not be opened by this user: pagelab doctor says how to mend that")]
    KvmDenied,
    /// Another API.
    #[error("{KVM_DEVICE} has API version {found}, not {KVM_API_VERSION}: this kernel's KVM cannot be used")]
    KvmVersion {
        /// What it has.
        found: i32,
    },
    /// A KVM call failed.
    #[error("KVM refused to {what}: {source}")]
    Kvm {
        /// What was asked.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Loading.
    #[error(transparent)]
    Boot(#[from] BootError),
}

impl VmError {
    pub(crate) fn kvm(what: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> VmError {
        move |error| VmError::Kvm { what, source: io::Error::from_raw_os_error(error.errno()) }
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct VmConfig<'a> {
    /// Bytes of RAM.
    pub memory: u64,
    /// What RAM is made of.
    pub backing: Backing,
    /// Keep transparent huge pages away from RAM, so that each page is one host fault.
    pub small_pages: bool,
    /// Bytes of the trace window.
    pub trace_window: u64,
    /// What ring 0 runs.
    pub image: Image<'a>,
    /// The program and its surroundings.
    pub program: Program<'a>,
    /// Seed of everything random.
    pub seed: u64,
    /// How the guest's kernel manages memory.
    pub policy: MemoryPolicy,
    /// Record events in the ring ([`BootFlags::TRACE`]).
    pub trace: bool,
    /// Have the guest ring a port at each page fault ([`BootFlags::TRAP_FAULTS`]).
    pub trap_faults: bool,
}

/// A machine with one vCPU.
#[derive(Debug)]
pub struct Vm {
    /// The vCPU, in its start state.
    pub vcpu: VcpuFd,
    /// RAM, with everything loaded.
    pub ram: Ram,
    /// The trace window.
    pub window: TraceWindow,
    /// Which CPU ring 3 sees.
    pub cpuid: CpuidView,
    /// Whether guest and host read the same TSC by KVM's promise.
    pub tsc_offset_zero: bool,
    /// TSC ticks a second, where known.
    pub tsc_hz: Option<u64>,
    /// The VM itself, with its memory slots.
    pub slots: Arc<Slots>,
    /// What the devices of a kernel that is not pagelab's are wired to.
    pub wiring: Option<Wiring>,
}

/// Opens /dev/kvm and checks its version.
pub fn open_kvm() -> Result<Kvm, VmError> {
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => VmError::NoKvm,
        libc::EACCES | libc::EPERM => VmError::KvmDenied,
        _ => VmError::kvm("be opened")(error),
    })?;
    match kvm.get_api_version() {
        version if version == KVM_API_VERSION as i32 => Ok(kvm),
        found => Err(VmError::KvmVersion { found }),
    }
}

impl Vm {
    /// Makes the machine and loads it.
    pub fn create(config: &VmConfig<'_>) -> Result<Vm, VmError> {
        let begin = Instant::now();
        let kvm = open_kvm()?;
        // The cheap refusals come before the expensive calls.
        let ram = Ram::new(config.memory, config.backing, config.small_pages)?;
        let window = TraceWindow::new(config.trace_window)?;
        let vm = create_vm(&kvm)?;
        vm.set_tss_address(TSS_ADDRESS).map_err(VmError::kvm("place the real-mode TSS"))?;
        let wiring = match config.image {
            Image::Foreign(foreign) => Some(Wiring::install(&kvm, &vm, foreign.entry)?),
            Image::Elf(_) | Image::Flat(_) => None,
        };
        let mut extents = ram.extents();
        // A kernel that knows of no trace window shall find nothing in its place.
        extents.extend(wiring.is_none().then(|| window.extent()));
        let slots = Slots::install(vm, extents).map_err(VmError::kvm("take guest memory"))?;
        let vcpu = slots.vm().create_vcpu(0).map_err(VmError::kvm("create a vCPU"))?;
        log::debug!("machine created after {:?}", begin.elapsed());

        let cpuid = match config.image {
            Image::Foreign(_) => cpu::set_supported_cpuid(&kvm, &vcpu, 0),
            Image::Elf(_) | Image::Flat(_) => cpu::set_cpuid(&kvm, &vcpu, 0),
        }
        .map_err(VmError::kvm("set the CPUID"))?;
        let tsc_offset_zero = clock::set_tsc_offset(&vcpu, 0);
        match config.image {
            Image::Foreign(foreign) => foreign::load(&ram, &vcpu, foreign)?,
            Image::Elf(_) | Image::Flat(_) => load(&ram, &vcpu, config, cpuid, window.extent())?,
        }
        let tsc_hz = clock::tsc_hz(&vcpu);
        log::debug!("machine loaded after {:?}", begin.elapsed());
        Ok(Vm { vcpu, ram, window, cpuid, tsc_offset_zero, tsc_hz, slots: Arc::new(slots), wiring })
    }
}

/// Loads a kernel of pagelab's ABI.
fn load(ram: &Ram, vcpu: &VcpuFd, config: &VmConfig<'_>, cpuid: CpuidView, window: Extent) -> Result<(), VmError> {
    let mut flags = BootFlags::empty();
    flags.set(BootFlags::TRACE, config.trace);
    flags.set(BootFlags::TRAP_FAULTS, config.trap_faults);
    flags.set(BootFlags::CPUID_FAULTING, cpuid == CpuidView::Faulting);
    flags.set(BootFlags::RING_0_EMULATED, is_pvm());
    let options = BootOptions { flags, seed: config.seed, policy: config.policy, window, cpuid: model() };
    let entry = boot::load(ram, config.image, &config.program, &options)?;
    cpu::enter_long_mode(vcpu, entry).map_err(VmError::kvm("set the registers"))
}

fn create_vm(kvm: &Kvm) -> Result<VmFd, VmError> {
    loop {
        match kvm.create_vm() {
            // KVM gives up the start of its helper threads for any signal.
            Err(error) if error.errno() == libc::EINTR => continue,
            other => return other.map_err(VmError::kvm("create a VM")),
        }
    }
}

/// How KVM translates guest memory on this host, from the parameters of its modules: `ept`, `npt`, `shadow`, or
/// `unknown` where none is readable.
pub fn host_mmu() -> &'static str {
    let enabled = |path: &str| fs::read_to_string(path).ok().map(|text| matches!(text.trim(), "Y" | "1"));
    if let Some(ept) = enabled("/sys/module/kvm_intel/parameters/ept") {
        return if ept { "ept" } else { "shadow" };
    }
    if let Some(npt) = enabled("/sys/module/kvm_amd/parameters/npt") {
        return if npt { "npt" } else { "shadow" };
    }
    if is_pvm() { "shadow" } else { "unknown" }
}

/// Whether KVM here is KVM over PVM, which runs ring 3 natively and ring 0 in its emulator.
pub(crate) fn is_pvm() -> bool {
    fs::exists("/sys/module/kvm_pvm").unwrap_or(false)
}
