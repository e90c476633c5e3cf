//! The calls of userfaultfd (Linux: Documentation/admin-guide/mm/userfaultfd.rst).
#![expect(unsafe_code, reason = "ioctls of userfaultfd have no safe wrapper")]

use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
};

use linux_raw_sys::{
    general::{
        UFFD_API, UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_THREAD_ID, UFFDIO_COPY_MODE_WP, uffdio_api, uffdio_continue,
        uffdio_copy, uffdio_move, uffdio_range, uffdio_register, uffdio_writeprotect,
    },
    ioctl::{
        UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WAKE, UFFDIO_WRITEPROTECT,
    },
};
use rustix::{io::Errno, mm::UserfaultfdFlags};
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use crate::{faults::Missing, vm::memory::Extent};

const DEVICE: &str = "/dev/userfaultfd";
/// `_IO(0xAA, 0)`: a new userfaultfd from the device (Linux: include/uapi/linux/userfaultfd.h).
const USERFAULTFD_IOC_NEW: u64 = 0xaa00;
/// `_IOWR(0xAA, 5, struct uffdio_move)`.
const UFFDIO_MOVE: u32 = 0xc028_aa05;
/// The first bit of the modes of UFFDIO_MOVE and UFFDIO_CONTINUE: wake nobody.
const DONT_WAKE: u64 = 1;
/// The bit of UFFDIO_WRITEPROTECT's mode that protects.
const PROTECT: u64 = 1;
/// Every message with the byte address and the thread that faulted.
const FEATURES: u64 = (UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_THREAD_ID) as u64;

/// A userfaultfd, and what it can do here.
#[derive(Debug)]
pub(super) struct Uffd {
    fd: OwnedFd,
    features: u64,
}

/// How far a call came that works page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To its end.
    All,
    /// This many bytes are done; the rest can be tried again.
    Some(u64),
    /// The next page is there already.
    Present,
    /// Nobody watches the range any more: who waited has been let go.
    Unregistered,
    /// Not this way: what was to be moved cannot be.
    Refused,
}

impl Uffd {
    /// A userfaultfd that sees the kernel's own accesses too (KVM's are such), and gives what every use here needs.
    pub(super) fn open() -> Result<Uffd, Missing> {
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK;
        // SAFETY: the descriptor is used on this process's own guest memory only.
        let fd = match unsafe { rustix::mm::userfaultfd(flags) } {
            Ok(fd) => fd,
            Err(Errno::NOSYS) => {
                return Err(Missing {
                    why: "this kernel has no userfaultfd".to_owned(),
                    remedy: "boot a kernel built with CONFIG_USERFAULTFD=y",
                });
            }
            Err(error) => open_device(flags).map_err(|device| Missing {
                why: format!("userfaultfd is refused ({error}), and so is {DEVICE} ({device})"),
                remedy: "run as root, or: sudo sysctl vm.unprivileged_userfaultfd=1",
            })?,
        };
        let mut api = uffdio_api { api: u64::from(UFFD_API), features: FEATURES, ioctls: 0 };
        call(&fd, UFFDIO_API, &mut api).map_err(|error| Missing {
            why: format!("userfaultfd here cannot give exact addresses and thread ids ({error})"),
            remedy: "boot Linux 5.18 or later",
        })?;
        // The kernel answers with all it has, not only what was asked for.
        Ok(Uffd { fd, features: api.features })
    }

    /// The descriptor, to read messages from.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether this kernel has all features of a mask.
    pub(super) fn has(&self, features: u32) -> bool {
        self.features & u64::from(features) == u64::from(features)
    }

    /// Watches an extent for the faults of a mode.
    pub(super) fn register(&self, extent: &Extent, mode: u32) -> io::Result<()> {
        let mut register = uffdio_register { range: whole(extent), mode: u64::from(mode), ioctls: 0 };
        call(&self.fd, UFFDIO_REGISTER, &mut register)
    }

    /// Watches extents no more, and lets everyone go who waits in them.
    pub(super) fn unregister(&self, extents: &[Extent]) {
        for extent in extents {
            // SAFETY: the request takes a uffdio_range.
            if unsafe { ioctl_with_ref(&self.fd, u64::from(UFFDIO_UNREGISTER), &whole(extent)) } < 0 {
                log::warn!("userfaultfd keeps guest memory registered: {}", io::Error::last_os_error());
            }
        }
    }

    /// Fills missing pages from a copy and wakes who waits for them. The pages are write-protected if `protect` says so.
    pub(super) fn copy(&self, page: u64, from: u64, length: u64, protect: bool) -> io::Result<Progress> {
        let mode = if protect { u64::from(UFFDIO_COPY_MODE_WP) } else { 0 };
        let mut copy = uffdio_copy { dst: page, src: from, len: length, mode, copy: 0 };
        let result = call(&self.fd, UFFDIO_COPY, &mut copy);
        progress(result, copy.copy)
    }

    /// Fills missing pages by moving others there. Wakes who waits for them if `wake` says so.
    pub(super) fn take(&self, page: u64, from: u64, length: u64, wake: bool) -> io::Result<Progress> {
        let mode = if wake { 0 } else { DONT_WAKE };
        let mut take = uffdio_move { dst: page, src: from, len: length, mode, move_: 0 };
        let result = call(&self.fd, UFFDIO_MOVE, &mut take);
        match result.as_ref().map_err(io::Error::raw_os_error) {
            // Pages that someone else holds, or holes among them: ENOENT also if the range is not watched any more, which
            // the copy that follows finds out.
            Err(Some(libc::EBUSY | libc::ENOENT | libc::EINVAL)) if take.move_ <= 0 => Ok(Progress::Refused),
            _ => progress(result, take.move_),
        }
    }

    /// Maps pages that the page cache has. Wakes who waits for them if `wake` says so.
    pub(super) fn resume(&self, page: u64, length: u64, wake: bool) -> io::Result<Progress> {
        let mode = if wake { 0 } else { DONT_WAKE };
        let range = uffdio_range { start: page, len: length };
        let mut resume = uffdio_continue { range, mode, mapped: 0 };
        let result = call(&self.fd, UFFDIO_CONTINUE, &mut resume);
        progress(result, resume.mapped)
    }

    /// Protects pages against writing.
    pub(super) fn protect(&self, start: u64, length: u64) -> io::Result<()> {
        self.set_protection(start, length, PROTECT).map(|_| ())
    }

    /// Makes pages writable again and wakes who waits for it; false if nobody watches the range any more.
    pub(super) fn unprotect(&self, start: u64, length: u64) -> io::Result<bool> {
        self.set_protection(start, length, 0)
    }

    fn set_protection(&self, start: u64, length: u64, mode: u64) -> io::Result<bool> {
        loop {
            let range = uffdio_range { start, len: length };
            match call(&self.fd, UFFDIO_WRITEPROTECT, &mut uffdio_writeprotect { range, mode }) {
                Ok(()) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => thread::yield_now(),
                    Some(libc::ENOENT) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Wakes who waits for pages of a range that are there.
    pub(super) fn wake(&self, start: u64, length: u64) -> io::Result<()> {
        call(&self.fd, UFFDIO_WAKE, &mut uffdio_range { start, len: length })
    }
}

fn open_device(flags: UserfaultfdFlags) -> io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    // SAFETY: the request takes flags by value and gives a new descriptor or -1.
    let fd = unsafe { ioctl_with_val(&device, USERFAULTFD_IOC_NEW, u64::from(flags.bits())) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One ioctl of userfaultfd; `argument` is the structure that `request` names.
fn call<T>(fd: &impl AsRawFd, request: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: callers pair each request with its structure; a range in it lies in guest RAM, which only volatile
    // accesses reach, or in memory that is only filled to be copied or moved there.
    if unsafe { ioctl_with_mut_ref(fd, u64::from(request), argument) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What came of a call that says in its structure how many bytes it has done.
fn progress(result: io::Result<()>, done: i64) -> io::Result<Progress> {
    match result {
        Ok(()) => Ok(Progress::All),
        Err(_) if done > 0 => Ok(Progress::Some(done.unsigned_abs())),
        Err(error) => match error.raw_os_error() {
            Some(libc::EEXIST) => Ok(Progress::Present),
            // The address space is being changed; it will be free in a moment.
            Some(libc::EAGAIN) => {
                thread::yield_now();
                Ok(Progress::Some(0))
            }
            Some(libc::ENOENT) => Ok(Progress::Unregistered),
            _ => Err(error),
        },
    }
}

fn whole(extent: &Extent) -> uffdio_range {
    uffdio_range { start: extent.host, len: extent.size }
}
