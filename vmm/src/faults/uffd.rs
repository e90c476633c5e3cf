//! Host faults by userfaultfd: every first touch of a guest frame stops the vCPU until this source has filled it.
//!
//! Pages are filled by UFFDIO_COPY of zeros, not UFFDIO_ZEROPAGE: the copy-on-write that would follow a zero page is
//! invisible to userfaultfd. The handler never touches guest RAM and makes no KVM call: either would wait for itself.
#![expect(unsafe_code, reason = "ioctls of userfaultfd have no safe wrapper")]

use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::Arc,
    thread,
};

use linux_raw_sys::{
    general::{
        UFFD_API, UFFD_EVENT_PAGEFAULT, UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_THREAD_ID, UFFD_PAGEFAULT_FLAG_WRITE,
        UFFDIO_REGISTER_MODE_MISSING, uffdio_api, uffdio_copy, uffdio_range, uffdio_register,
    },
    ioctl::{UFFDIO_API, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WAKE},
};
use pagelab_abi::layout::PAGE_SIZE;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    mm::UserfaultfdFlags,
};
use vmm_sys_util::{
    eventfd::{EFD_NONBLOCK, EventFd},
    ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val},
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{
    ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch, pagemap::present_pages, worker::Worker,
};
use crate::{
    trace::{Access, CopyTally, HostFault, HostFaultKind, Input},
    vm::{clock::rdtsc, memory::Extent},
};

const NAME: &str = "uffd";
const DEVICE: &str = "/dev/userfaultfd";
/// `_IO(0xAA, 0)`: a new userfaultfd from the device (Linux: include/uapi/linux/userfaultfd.h).
const USERFAULTFD_IOC_NEW: u64 = 0xaa00;
/// Every message with the byte address and the thread that faulted.
const FEATURES: u64 = (UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_THREAD_ID) as u64;
/// Messages read at a time.
const BATCH: usize = 32;

/// The source.
#[derive(Debug)]
pub(super) struct Uffd;

impl FaultSource for Uffd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        true
    }

    fn by_default(&self) -> bool {
        true
    }

    fn probe(&self) -> Probe {
        match open() {
            Ok(_) => Probe::Available,
            Err(missing) => Probe::Missing(missing),
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        let uffd = Arc::new(open().map_err(|missing| FaultError::Missing { name: NAME, missing })?);
        let present_at_start = present_pages(&watch.ram).map_err(failed("count the pages that are present"))?;
        let extents = watch.ram.extents();
        for extent in &extents {
            register(&uffd, extent).map_err(failed("register guest memory"))?;
        }
        let wake = EventFd::new(EFD_NONBLOCK).map_err(failed("create an eventfd"))?;
        let stop = wake.try_clone().map_err(failed("create an eventfd"))?;
        let ram = watch.ram.clone();
        let watched = watch.clone();
        let handler = Handler {
            uffd: Arc::clone(&uffd),
            stop: wake,
            extents: extents.clone(),
            watch,
            tally: CopyTally::default(),
        };
        let worker = Worker::spawn(NAME, &watched, move || handler.run()).map_err(failed("start its thread"))?;
        Ok(Box::new(Active { uffd, extents, ram, stop, worker, present_at_start }))
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> FaultError {
    move |error| FaultError::Failed { name: NAME, what, error }
}

/// A userfaultfd that sees the kernel's own accesses too (KVM's are such), with the features this source needs.
fn open() -> Result<OwnedFd, Missing> {
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
    Ok(fd)
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
fn call<T>(fd: &OwnedFd, request: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: callers pair each request with its structure; a range in it lies in guest RAM, which only volatile
    // accesses reach.
    if unsafe { ioctl_with_mut_ref(fd, u64::from(request), argument) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn range(extent: &Extent) -> uffdio_range {
    uffdio_range { start: extent.host, len: extent.size }
}

fn register(fd: &OwnedFd, extent: &Extent) -> io::Result<()> {
    let mode = u64::from(UFFDIO_REGISTER_MODE_MISSING);
    call(fd, UFFDIO_REGISTER, &mut uffdio_register { range: range(extent), mode, ioctls: 0 })
}

fn unregister(fd: &OwnedFd, extents: &[Extent]) {
    for extent in extents {
        // SAFETY: the request takes a uffdio_range.
        if unsafe { ioctl_with_ref(fd, u64::from(UFFDIO_UNREGISTER), &range(extent)) } < 0 {
            log::warn!("userfaultfd keeps guest memory registered: {}", io::Error::last_os_error());
        }
    }
}

/// The source at work.
struct Active {
    uffd: Arc<OwnedFd>,
    extents: Vec<Extent>,
    ram: crate::vm::Ram,
    stop: EventFd,
    worker: Worker<CopyTally>,
    present_at_start: u64,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn thread(&self) -> Option<u32> {
        Some(self.worker.id())
    }

    fn release(&self) {
        unregister(&self.uffd, &self.extents);
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        self.stop.write(1).map_err(failed("wake its thread"))?;
        let tally = self.worker.join()?;
        unregister(&self.uffd, &self.extents);
        let present_at_end = present_pages(&self.ram).map_err(failed("count the pages that are present"))?;
        let copies = CopyTally { present_at_start: self.present_at_start, present_at_end, ..tally };
        Ok(Tally { copies: Some(copies), facts: Vec::new() })
    }
}

/// A page-fault message (Linux: struct uffd_msg), 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Message {
    event: u8,
    reserved: [u8; 7],
    flags: u64,
    address: u64,
    thread_id: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Message>() == size_of::<linux_raw_sys::general::uffd_msg>());

/// What every missing page is filled with.
#[repr(C, align(4096))]
struct ZeroPage([u8; PAGE_SIZE as usize]);

static ZEROS: ZeroPage = ZeroPage([0; PAGE_SIZE as usize]);

/// The handler thread's own.
struct Handler {
    uffd: Arc<OwnedFd>,
    stop: EventFd,
    extents: Vec<Extent>,
    watch: Watch,
    tally: CopyTally,
}

impl Handler {
    fn run(mut self) -> CopyTally {
        if let Err(error) = self.serve() {
            // Full only if an earlier failure waits there already.
            let _ = self.watch.failure.try_send(failed("serve a fault")(error));
        }
        self.tally
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut messages = [Message::new_zeroed(); BATCH];
        // SAFETY: `stop` outlives the borrow and is not closed meanwhile.
        let stop = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.stop.as_raw_fd()) };
        let uffd = Arc::clone(&self.uffd);
        loop {
            let mut ready = [PollFd::new(&*uffd, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let stopping = ready[1].revents().contains(PollFlags::IN);
            let count = match rustix::io::read(&*uffd, messages.as_mut_bytes()) {
                Ok(bytes) => bytes / size_of::<Message>(),
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            let seen = rdtsc();
            for message in &messages[..count] {
                if u32::from(message.event) == UFFD_EVENT_PAGEFAULT {
                    self.resolve(message, seen)?;
                }
            }
            if stopping && count == 0 {
                return Ok(());
            }
        }
    }

    fn resolve(&mut self, message: &Message, tsc_begin: u64) -> io::Result<()> {
        // Asked before the page is there: afterwards the vCPU runs on and may have left the guest.
        let vcpu = self
            .watch
            .vcpus
            .iter()
            .position(|vcpu| vcpu.thread_id() == message.thread_id && vcpu.in_guest())
            .map(|index| index as u16);
        if !self.fill(message.address & !(PAGE_SIZE - 1))? {
            return Ok(());
        }
        let tsc_end = rdtsc();
        let Some(extent) = self.extents.iter().find(|extent| message.address.wrapping_sub(extent.host) < extent.size)
        else {
            return Ok(());
        };
        let write = message.flags & u64::from(UFFD_PAGEFAULT_FLAG_WRITE) != 0;
        let fault = HostFault {
            vcpu,
            tsc_begin,
            tsc_end,
            gpa: extent.gpa + (message.address - extent.host),
            access: if write { Access::Write } else { Access::Read },
            source: NAME,
            kind: HostFaultKind::Missing,
            bytes: PAGE_SIZE,
            ..HostFault::default()
        };
        // Nobody takes it only when the recording has failed; the vCPU's loop says so, and pages must come regardless.
        let _ = self.watch.sink.send(Input::HostFault(fault));
        Ok(())
    }

    /// Puts zeros behind a page and wakes who waits for it; false if nobody waits any more.
    fn fill(&mut self, page: u64) -> io::Result<bool> {
        loop {
            let mut copy = uffdio_copy { dst: page, src: ZEROS.0.as_ptr() as u64, len: PAGE_SIZE, mode: 0, copy: 0 };
            match call(&self.uffd, UFFDIO_COPY, &mut copy) {
                Ok(()) => {
                    self.tally.copied += 1;
                    return Ok(true);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EEXIST) => {
                        self.tally.already_there += 1;
                        call(&self.uffd, UFFDIO_WAKE, &mut uffdio_range { start: page, len: PAGE_SIZE })?;
                        return Ok(true);
                    }
                    // The address space is being changed; it will be free in a moment.
                    Some(libc::EAGAIN) => thread::yield_now(),
                    // Unregistered meanwhile: the waiting vCPU has been let go.
                    Some(libc::ENOENT) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }
}
