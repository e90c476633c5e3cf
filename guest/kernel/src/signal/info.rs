//! What a handler is told of its signal: Linux's `siginfo_t`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where a signal comes from, where no more is known (Linux's `si_code`).
pub(crate) mod code {
    pub(crate) const SI_USER: i32 = 0;
    pub(crate) const SI_KERNEL: i32 = 0x80;
    pub(crate) const SI_TKILL: i32 = -6;
}

/// Linux's `siginfo_t`, 128 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct SigInfo {
    /// Number of the signal.
    pub(crate) signo: i32,
    /// Zero.
    pub(crate) errno: i32,
    /// Why it was sent.
    pub(crate) code: i32,
    padding: i32,
    /// By `code`: the address of a fault; or the sender's process and user, and a value.
    pub(crate) fields: [u64; 14],
}

const _: () = assert!(size_of::<SigInfo>() == 128);

impl SigInfo {
    /// A signal of the kernel that has no address.
    pub(crate) fn kernel(number: u32) -> SigInfo {
        SigInfo { signo: number as i32, code: code::SI_KERNEL, ..SigInfo::default() }
    }

    /// A signal about an address.
    pub(crate) fn at(number: u32, code: i32, address: u64) -> SigInfo {
        let mut info = SigInfo { signo: number as i32, code, ..SigInfo::default() };
        info.fields[0] = address;
        info
    }

    /// A signal that a process sent, by `kill` or `tkill`.
    pub(crate) fn sent(number: u32, code: i32, pid: u32, user: u32) -> SigInfo {
        let mut info = SigInfo { signo: number as i32, code, ..SigInfo::default() };
        info.fields[0] = u64::from(pid) | u64::from(user) << 32;
        info
    }

    /// Whether a system call of a program sent it.
    pub(crate) fn is_sent(&self) -> bool {
        self.code <= 0
    }
}
