//! What hardware says about a fault of the host's, read by vendor into one type.
//!
//! | code | where it comes from | its description |
//! | --- | --- | --- |
//! | EPT | exit qualification of an EPT violation | Intel SDM vol. 3C, "Exit Qualification for EPT Violations" (table 28-7) |
//! | NPT | EXITINFO1 of #NPF | AMD APM vol. 2, 15.25.6 "Nested versus Guest Page Faults, Fault Ordering" |
//! | #PF | the error code of a page fault | Intel SDM vol. 3A, 4.7; AMD APM vol. 2, 8.4.2 |

use crate::trace::{Access, Stage};

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Intel VT-x: the exit qualification of an EPT violation.
    Ept,
    /// AMD SVM: EXITINFO1 of a nested page fault.
    Npt,
    /// No second dimension: the error code of a #PF.
    PageFault,
}

impl Vendor {
    /// The vendor of a host with this MMU ([`crate::vm::machine::host_mmu`]); `None` for `unknown`.
    pub fn of_host_mmu(host_mmu: &str) -> Option<Vendor> {
        match host_mmu {
            "ept" => Some(Vendor::Ept),
            "npt" => Some(Vendor::Npt),
            "shadow" => Some(Vendor::PageFault),
            _ => None,
        }
    }
}

/// What the translation that the CPU found would have allowed. `None` where the code does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whether there was a translation at all.
    pub present: bool,
    /// It could be read.
    pub read: Option<bool>,
    /// It could be written.
    pub write: Option<bool>,
    /// It could be executed.
    pub execute: Option<bool>,
}

/// A decoded code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCode {
    /// What the CPU wanted to do. Accesses to the guest's own page tables count as writes where the hardware takes them
    /// for such: always under NPT, and under EPT with accessed and dirty bits.
    pub access: Access,
    /// What the translation allowed.
    pub allowed: Allowed,
    /// An access from user mode. Under NPT every access of a guest is one, whatever its own mode; `None` under EPT, where
    /// only some CPUs say it.
    pub user: Option<bool>,
    /// A translation was there but had reserved bits set; EPT has an exit of its own for that.
    pub reserved: bool,
    /// Whether the address wanted was being translated or that of a page table on the way there; `None` for #PF, which
    /// has no second dimension, and where no guest-virtual address was involved.
    pub stage: Option<Stage>,
    /// Whether a guest-virtual address led here; `None` under NPT, where the code does not say.
    pub gva_valid: Option<bool>,
}

impl FaultCode {
    /// Reads a code.
    pub fn decode(vendor: Vendor, code: u64) -> FaultCode {
        match vendor {
            Vendor::Ept => Self::ept(code),
            Vendor::Npt => {
                let stage = match (bit(code, 32), bit(code, 33)) {
                    (true, false) => Some(Stage::Final),
                    (false, true) => Some(Stage::Walk),
                    _ => None,
                };
                FaultCode { stage, gva_valid: None, ..Self::page_fault(code) }
            }
            Vendor::PageFault => Self::page_fault(code),
        }
    }

    fn ept(code: u64) -> FaultCode {
        let [read, write, execute] = [3, 4, 5].map(|number| bit(code, number));
        let gva_valid = bit(code, 7);
        let stage = if bit(code, 8) { Stage::Final } else { Stage::Walk };
        FaultCode {
            access: if bit(code, 2) {
                Access::Execute
            } else if bit(code, 1) {
                Access::Write
            } else {
                Access::Read
            },
            allowed: Allowed {
                present: read || write || execute,
                read: Some(read),
                write: Some(write),
                execute: Some(execute),
            },
            user: None,
            reserved: false,
            // Bit 8 is defined only where bit 7 is set.
            stage: gva_valid.then_some(stage),
            gva_valid: Some(gva_valid),
        }
    }

    /// The bits that #PF and #NPF share.
    fn page_fault(code: u64) -> FaultCode {
        let access = if bit(code, 4) {
            Access::Execute
        } else if bit(code, 1) {
            Access::Write
        } else {
            Access::Read
        };
        let present = bit(code, 0);
        // A present translation forbade this access; of the others the code says nothing. An absent one forbids all.
        let allowed = |this| (!present || access == this).then_some(false);
        FaultCode {
            access,
            allowed: Allowed {
                present,
                read: allowed(Access::Read),
                write: allowed(Access::Write),
                execute: allowed(Access::Execute),
            },
            user: Some(bit(code, 2)),
            reserved: bit(code, 3),
            stage: None,
            gva_valid: Some(true),
        }
    }
}

fn bit(code: u64, number: u32) -> bool {
    code >> number & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Allowed = Allowed { present: false, read: Some(false), write: Some(false), execute: Some(false) };

    fn rights(read: bool, write: bool, execute: bool) -> Allowed {
        Allowed { present: true, read: Some(read), write: Some(write), execute: Some(execute) }
    }

    /// By the bits of SDM vol. 3C, table 28-7. Those marked with a star were seen in the Intel rig.
    #[test]
    fn known_exit_qualifications() {
        use {Access::*, Stage::*};
        for (code, access, allowed, stage, gva_valid) in [
            (0x181, Read, NOTHING, Some(Final), true),                      // *
            (0x182, Write, NOTHING, Some(Final), true),                     // *
            (0x184, Execute, NOTHING, Some(Final), true),                   // *
            (0x081, Read, NOTHING, Some(Walk), true),                       // tables, no accessed bits in EPT
            (0x083, Write, NOTHING, Some(Walk), true),                      // tables, with accessed bits in EPT
            (0x082, Write, NOTHING, Some(Walk), true),                      // * the same in Bochs
            (0x183, Write, NOTHING, Some(Final), true),                     // read and write in one
            (0x18a, Write, rights(true, false, false), Some(Final), true),  // write to a read-only page
            (0x1aa, Write, rights(true, false, true), Some(Final), true),   // the same, executable
            (0x19c, Execute, rights(true, true, false), Some(Final), true), // fetch from a page without execution
            (0x08b, Write, rights(true, false, false), Some(Walk), true),   // tables in a read-only page
            (0x001, Read, NOTHING, None, false),                            // loading PDPTEs: no address led here
            (0x102, Write, NOTHING, None, false),                           // bit 8 means nothing without bit 7
            (0x1182, Write, NOTHING, Some(Final), true),                    // NMI unblocking says nothing of the access
        ] {
            let decoded = FaultCode::decode(Vendor::Ept, code);
            let expected =
                FaultCode { access, allowed, user: None, reserved: false, stage, gva_valid: Some(gva_valid) };
            assert_eq!(decoded, expected, "{code:#x}");
        }
    }

    /// By the bits of APM vol. 2, 15.25.6. Those marked with a star were seen in the AMD rig.
    #[test]
    fn known_nested_page_faults() {
        use {Access::*, Stage::*};
        let only = |access| Allowed {
            present: true,
            read: (access == Read).then_some(false),
            write: (access == Write).then_some(false),
            execute: (access == Execute).then_some(false),
        };
        for (code, access, allowed, reserved, stage) in [
            (0x1_0000_0004, Read, NOTHING, false, Some(Final)),          // *
            (0x1_0000_0006, Write, NOTHING, false, Some(Final)),         // *
            (0x1_0000_0014, Execute, NOTHING, false, Some(Final)),       // *
            (0x2_0000_0006, Write, NOTHING, false, Some(Walk)),          // *
            (0x1_0000_0007, Write, only(Write), false, Some(Final)),     // write to a read-only page
            (0x2_0000_0007, Write, only(Write), false, Some(Walk)),      // tables in a read-only page
            (0x1_0000_0015, Execute, only(Execute), false, Some(Final)), // fetch from a page without execution
            (0x1_0000_000f, Write, only(Write), true, Some(Final)),      // reserved bits: KVM's mark of device memory
            (0x0_0000_0006, Write, NOTHING, false, None),                // neither stage told
            (0x3_0000_0006, Write, NOTHING, false, None),                // both, which is none
        ] {
            let decoded = FaultCode::decode(Vendor::Npt, code);
            let expected = FaultCode { access, allowed, user: Some(true), reserved, stage, gva_valid: None };
            assert_eq!(decoded, expected, "{code:#x}");
        }
    }

    /// By the bits of SDM vol. 3A, 4.7.
    #[test]
    fn known_page_faults() {
        use Access::*;
        for (code, access, present, user, reserved) in [
            (0x00, Read, false, false, false),
            (0x02, Write, false, false, false),
            (0x03, Write, true, false, false),
            (0x04, Read, false, true, false),
            (0x05, Read, true, true, false),
            (0x06, Write, false, true, false),
            (0x07, Write, true, true, false),
            (0x0d, Read, true, true, true),
            (0x11, Execute, true, false, false),
            (0x14, Execute, false, true, false),
            (0x15, Execute, true, true, false),
        ] {
            let decoded = FaultCode::decode(Vendor::PageFault, code);
            assert_eq!((decoded.access, decoded.allowed.present), (access, present), "{code:#x}");
            assert_eq!((decoded.user, decoded.reserved), (Some(user), reserved), "{code:#x}");
            assert_eq!((decoded.stage, decoded.gva_valid), (None, Some(true)), "{code:#x}");
        }
    }

    #[test]
    fn every_mmu_of_a_host_has_its_codes() {
        let of = ["ept", "npt", "shadow", "unknown"].map(Vendor::of_host_mmu);
        assert_eq!(of, [Some(Vendor::Ept), Some(Vendor::Npt), Some(Vendor::PageFault), None]);
    }
}
