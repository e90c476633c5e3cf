//! KVM's tracepoints: which the lab asks for, and what their records say.

use std::collections::{BTreeMap, HashMap};

use super::{Field, Format, Lack, PerfError, Symbols, Tracefs, failed};

/// The tracepoints the lab watches, by their full names. Kernels lack some, and shadow paging over PVM hits some never.
pub const EVENTS: &[&str] = &[
    "kvm/kvm_page_fault",
    "kvm/kvm_exit",
    "kvm/kvm_entry",
    "kvm/kvm_inj_exception",
    "kvm/kvm_userspace_exit",
    "kvmmmu/kvm_mmu_spte_requested",
    "kvmmmu/kvm_mmu_walker_error",
    "kvmmmu/kvm_mmu_set_accessed_bit",
    "kvmmmu/kvm_mmu_set_dirty_bit",
    "kvmmmu/handle_mmio_page_fault",
    "kvmmmu/fast_page_fault",
];

/// The virtualization extension an exit's codes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Intel VT-x.
    Vmx,
    /// AMD SVM.
    Svm,
}

impl Isa {
    /// `kvm_exit`'s field `isa` (Linux: arch/x86/kvm/trace.h, KVM_ISA_VMX and KVM_ISA_SVM).
    pub fn from_code(code: u64) -> Option<Isa> {
        match code {
            1 => Some(Isa::Vmx),
            2 => Some(Isa::Svm),
            _ => None,
        }
    }
}

/// What KVM reports of a vCPU. Numbers are as KVM gives them; a field that this kernel's format lacks is `None`, or 0
/// where that means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvmTrace {
    /// KVM handles a fault: of the second dimension under EPT and NPT, of the guest's own tables under shadow paging.
    PageFault {
        /// The guest's RIP.
        rip: u64,
        /// Guest-physical under EPT and NPT, guest-virtual under shadow paging.
        address: u64,
        /// The exit qualification (EPT), EXITINFO1 (NPT) or #PF error code (shadow paging).
        error_code: u64,
    },
    /// The vCPU left the guest.
    Exit {
        /// Whose codes these are.
        isa: Option<Isa>,
        /// The reason, as hardware gives it.
        reason: u32,
        /// The guest's RIP.
        rip: u64,
        /// Exit qualification, or EXITINFO1.
        info1: u64,
        /// IDT-vectoring information, or EXITINFO2.
        info2: u64,
    },
    /// The vCPU enters the guest.
    Entry {
        /// The guest's RIP, where told.
        rip: Option<u64>,
    },
    /// KVM injects an exception into the guest.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code, if it has one.
        error_code: Option<u32>,
    },
    /// KVM_RUN returns to the VMM.
    UserExit {
        /// KVM_EXIT_*.
        reason: u32,
        /// 0, or the negative errno it returns.
        errno: i32,
    },
    /// KVM has the host's frame for a guest frame and is about to map it: the fault is as good as resolved.
    SpteRequested {
        /// The guest's frame number.
        gfn: u64,
        /// Size of the mapping: 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB.
        level: u8,
    },
    /// KVM walked the guest's tables and found that the access faults there.
    WalkerError {
        /// The #PF error code.
        error_code: u32,
    },
    /// KVM set an accessed bit in the guest's tables.
    SetAccessed {
        /// Guest-physical address of the entry.
        gpa: u64,
    },
    /// KVM set a dirty bit in the guest's tables.
    SetDirty {
        /// Guest-physical address of the entry.
        gpa: u64,
    },
    /// A fault on an address without memory behind it.
    MmioFault {
        /// The address.
        address: u64,
        /// The guest's frame number.
        gfn: u64,
    },
    /// KVM raised rights in place, without its lock.
    FastFault {
        /// The address.
        address: u64,
        /// The code, as in [`KvmTrace::PageFault`].
        error_code: u64,
    },
    /// Events are missing here: the buffer was full.
    Gap,
}

/// Reads KVM's records by the formats of this kernel.
#[derive(Clone, Debug)]
pub struct Decoder {
    by_id: HashMap<u16, Layout>,
    formats: Vec<Format>,
    exit_names: BTreeMap<Isa, Symbols>,
    user_exit_names: Symbols,
    exception_names: Symbols,
}

#[derive(Clone, Debug)]
struct Layout {
    kind: Kind,
    /// The fields of the kind, in its order.
    fields: Vec<Option<Field>>,
}

/// The tracepoints of [`EVENTS`] and the fields that are read of each.
macro_rules! kinds {
    ($($kind:ident $name:literal [$($field:literal),+];)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Kind { $($kind),+ }

        impl Kind {
            fn of(name: &str) -> Option<(Kind, &'static [&'static str])> {
                match name { $($name => Some((Kind::$kind, &[$($field),+])),)+ _ => None }
            }
        }
    };
}

kinds! {
    PageFault "kvm_page_fault" ["guest_rip", "fault_address", "error_code"];
    Exit "kvm_exit" ["exit_reason", "guest_rip", "isa", "info1", "info2"];
    Entry "kvm_entry" ["rip"];
    Exception "kvm_inj_exception" ["exception", "has_error", "error_code"];
    UserExit "kvm_userspace_exit" ["reason", "errno"];
    SpteRequested "kvm_mmu_spte_requested" ["gfn", "level"];
    WalkerError "kvm_mmu_walker_error" ["pferr"];
    SetAccessed "kvm_mmu_set_accessed_bit" ["gpa"];
    SetDirty "kvm_mmu_set_dirty_bit" ["gpa"];
    MmioFault "handle_mmio_page_fault" ["addr", "gfn"];
    FastFault "fast_page_fault" ["cr2_or_gpa", "error_code"];
}

impl Decoder {
    /// A decoder for those of [`EVENTS`] that this kernel has.
    ///
    /// # Errors
    /// The kernel has none of them (KVM is not loaded, or was built without), or a format cannot be read.
    pub fn new(tracefs: &Tracefs) -> Result<Decoder, PerfError> {
        let mut formats = Vec::new();
        for name in EVENTS {
            formats.extend(tracefs.event(name).map_err(failed("read the format of a tracepoint"))?);
        }
        if formats.is_empty() {
            return Err(PerfError::Lacking(Lack {
                why: "this kernel has no tracepoints of KVM".to_owned(),
                remedy: "load KVM (modprobe kvm_intel or kvm_amd), on a kernel built with CONFIG_TRACEPOINTS=y",
            }));
        }
        Ok(Self::from_formats(formats))
    }

    /// A decoder for these formats. Those of other tracepoints are left out.
    pub fn from_formats(mut formats: Vec<Format>) -> Decoder {
        formats.retain(|format| Kind::of(&format.name).is_some());
        let mut decoder = Decoder {
            by_id: HashMap::new(),
            formats: Vec::new(),
            exit_names: BTreeMap::new(),
            user_exit_names: Symbols::new(),
            exception_names: Symbols::new(),
        };
        for format in &formats {
            let Some((kind, names)) = Kind::of(&format.name) else { continue };
            let fields = names.iter().map(|name| format.field(name)).collect();
            decoder.by_id.insert(format.id, Layout { kind, fields });
            match kind {
                // VT-x's names come first, then SVM's.
                Kind::Exit => {
                    decoder.exit_names = [Isa::Vmx, Isa::Svm].into_iter().zip(format.symbols("exit_reason")).collect()
                }
                Kind::UserExit => decoder.user_exit_names = format.symbols("reason").pop().unwrap_or_default(),
                Kind::Exception => decoder.exception_names = format.symbols("exception").pop().unwrap_or_default(),
                _ => {}
            }
        }
        decoder.formats = formats;
        decoder
    }

    /// The formats: what to open on a thread.
    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// Reads one record. `None` if it is of no known tracepoint, or ends before a field without which it says nothing.
    pub fn decode(&self, record: &[u8]) -> Option<KvmTrace> {
        let id = u16::from_le_bytes(*record.first_chunk()?);
        let layout = self.by_id.get(&id)?;
        let read = |index: usize| (*layout.fields.get(index)?)?.read(record);
        let number = |index| read(index).unwrap_or(0);
        Some(match layout.kind {
            Kind::PageFault => KvmTrace::PageFault { rip: number(0), address: read(1)?, error_code: read(2)? },
            Kind::Exit => KvmTrace::Exit {
                isa: read(2).and_then(Isa::from_code),
                reason: read(0)? as u32,
                rip: number(1),
                info1: number(3),
                info2: number(4),
            },
            Kind::Entry => KvmTrace::Entry { rip: read(0) },
            Kind::Exception => KvmTrace::Exception {
                vector: read(0)? as u8,
                error_code: read(2).filter(|_| number(1) != 0).map(|code| code as u32),
            },
            Kind::UserExit => KvmTrace::UserExit { reason: read(0)? as u32, errno: number(1) as i32 },
            Kind::SpteRequested => KvmTrace::SpteRequested { gfn: read(0)?, level: number(1) as u8 },
            Kind::WalkerError => KvmTrace::WalkerError { error_code: read(0)? as u32 },
            Kind::SetAccessed => KvmTrace::SetAccessed { gpa: read(0)? },
            Kind::SetDirty => KvmTrace::SetDirty { gpa: read(0)? },
            Kind::MmioFault => KvmTrace::MmioFault { address: read(0)?, gfn: number(1) },
            Kind::FastFault => KvmTrace::FastFault { address: read(0)?, error_code: number(1) },
        })
    }

    /// The kernel's name for an exit reason, such as `EPT_VIOLATION` or `npf`; `reason-N` where it has none.
    pub fn exit_name(&self, isa: Option<Isa>, reason: u32) -> String {
        // VT-x keeps flags above its reasons (SDM vol. 3C, "Format of Exit Reason").
        let code = if isa == Some(Isa::Vmx) { reason & 0xffff } else { reason };
        let name = isa.and_then(|isa| self.exit_names.get(&isa)?.get(&code.into()));
        name.cloned().unwrap_or_else(|| format!("reason-{code}"))
    }

    /// The kernel's name for an exit to the VMM, such as `KVM_EXIT_IO`; `KVM_EXIT_N` where it has none.
    pub fn user_exit_name(&self, reason: u32) -> String {
        self.user_exit_names.get(&reason.into()).cloned().unwrap_or_else(|| format!("KVM_EXIT_{reason}"))
    }

    /// The kernel's name for an exception, such as `#PF`; `#N` where it has none.
    pub fn exception_name(&self, vector: u8) -> String {
        self.exception_names.get(&vector.into()).cloned().unwrap_or_else(|| format!("#{vector}"))
    }
}

#[cfg(test)]
mod tests;
