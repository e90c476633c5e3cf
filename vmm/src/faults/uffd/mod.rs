//! Host faults by userfaultfd: every first touch of a guest frame stops the vCPU until this source has filled it.
//!
//! What fills it depends on the backing and on what the guest wants: a copy (of zeros, or of what was evicted), a huge
//! page moved there, a mapping of what the page cache has, or the right to write. Zeros are copied, never UFFDIO_ZEROPAGE:
//! the copy-on-write that would follow a zero page is invisible to userfaultfd.

mod call;
mod fill;
mod handler;
mod protect;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicU64},
};

use linux_raw_sys::general::{
    UFFD_FEATURE_MINOR_HUGETLBFS, UFFD_FEATURE_MINOR_SHMEM, UFFD_FEATURE_MISSING_HUGETLBFS, UFFD_FEATURE_MISSING_SHMEM,
    UFFD_FEATURE_MOVE, UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFDIO_REGISTER_MODE_MINOR,
    UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
};
use rustix::event::{EventfdFlags, eventfd};

use self::{
    call::Uffd,
    fill::Filler,
    handler::{Counts, Handler},
    protect::Protector,
};
use super::{
    ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch, pagemap::present_pages, worker::Worker,
};
use crate::{
    trace::{CopyTally, HostFaultKind},
    vm::{Backing, clock::rdtsc, memory::Extent, vcpu_hook::VcpuHook},
};

const NAME: &str = "uffd";

/// The source.
#[derive(Debug)]
pub(super) struct UffdSource;

impl FaultSource for UffdSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        true
    }

    fn by_default(&self) -> bool {
        true
    }

    fn keeps_evicted(&self) -> bool {
        true
    }

    fn write_protects(&self) -> bool {
        true
    }

    fn delays(&self) -> bool {
        true
    }

    fn probe(&self) -> Probe {
        match Uffd::open() {
            Ok(_) => Probe::Available,
            Err(missing) => Probe::Missing(missing),
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        let missing = |missing| FaultError::Missing { name: NAME, missing };
        let uffd = Arc::new(Uffd::open().map_err(missing)?);
        let backing = watch.ram.backing();
        let mode = mode(&uffd, backing, watch.protect.is_some()).map_err(missing)?;
        let present_at_start = present_pages(&watch.ram).map_err(failed("count the pages that are present"))?;
        let extents = watch.ram.extents();
        for extent in &extents {
            uffd.register(extent, mode).map_err(failed("register guest memory"))?;
        }
        let can_move = uffd.has(UFFD_FEATURE_MOVE);
        if backing == Backing::TransparentHuge && !can_move {
            log::warn!("this kernel cannot move a huge page into place: 2 MiB are filled at a time, with small pages");
        }
        let filler = Filler::new(Arc::clone(&uffd), backing, can_move, watch.evicted.clone())
            .map_err(failed("get pages to fill guest memory with"))?;
        let protector = match &watch.protect {
            Some(beat) => Some(Protector {
                uffd: Arc::clone(&uffd),
                extents: extents.clone(),
                beat: Arc::clone(beat),
                written: Arc::new(AtomicU64::new(0)),
                since: rdtsc(),
                sink: watch.sink.clone(),
                failure: watch.failure.clone(),
            }),
            None => None,
        };
        for extent in extents.iter().filter(|_| protector.is_some()) {
            // So that the first interval sees the first write to what was loaded, too.
            uffd.protect(extent.host, extent.size).map_err(failed("protect guest memory"))?;
        }
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed("create an eventfd")(error.into()))?;
        let watched = watch.clone();
        let handler = Handler {
            uffd: Arc::clone(&uffd),
            stop: stop.try_clone().map_err(failed("create an eventfd"))?,
            extents: extents.clone(),
            watch,
            filler,
            written: protector.as_ref().map(|protector| Arc::clone(&protector.written)),
            kinds: handler::KINDS,
            untold: Vec::new(),
        };
        let worker = Worker::spawn(NAME, &watched, move || handler.run()).map_err(failed("start its thread"))?;
        Ok(Box::new(Active { uffd, extents, watch: watched, stop, worker, protector, present_at_start }))
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> FaultError {
    move |error| FaultError::Failed { name: NAME, what, error }
}

/// What userfaultfd can do here beyond faults of anonymous memory: a name for each, and what it lacks. `Err` without
/// userfaultfd.
pub fn modes() -> Result<[(&'static str, Option<Missing>); 4], Missing> {
    let uffd = Uffd::open()?;
    let lack = |backing, protect| mode(&uffd, backing, protect).err();
    Ok([
        ("uffd_memfd", lack(Backing::Memfd, false)),
        ("uffd_hugetlb", lack(Backing::Hugetlb2M, false)),
        ("uffd_protect", lack(Backing::Anonymous, true)),
        ("uffd_protect_files", lack(Backing::Memfd, true)),
    ])
}

/// The modes in which a backing is watched, if this kernel has them.
fn mode(uffd: &Uffd, backing: Backing, protect: bool) -> Result<u32, Missing> {
    let (needed, mut mode) = match backing {
        Backing::Anonymous | Backing::TransparentHuge => (0, UFFDIO_REGISTER_MODE_MISSING),
        Backing::Memfd => (
            UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM,
            UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
        ),
        Backing::Hugetlb2M => (
            UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_HUGETLBFS,
            UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
        ),
    };
    if !uffd.has(needed) {
        return Err(Missing {
            why: format!("userfaultfd here has no missing and minor faults of {backing} memory"),
            remedy: "use --backing anon, or boot Linux 5.14 or later, built with CONFIG_USERFAULTFD=y for x86-64",
        });
    }
    if protect {
        let needed = match backing {
            Backing::Anonymous | Backing::TransparentHuge => UFFD_FEATURE_PAGEFAULT_FLAG_WP,
            Backing::Memfd | Backing::Hugetlb2M => UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
        };
        if !uffd.has(needed) {
            return Err(Missing {
                why: format!("userfaultfd here cannot write-protect {backing} memory"),
                remedy: "use --backing anon, or boot Linux 5.19 or later",
            });
        }
        mode |= UFFDIO_REGISTER_MODE_WP;
    }
    Ok(mode)
}

/// The source at work.
struct Active {
    uffd: Arc<Uffd>,
    extents: Vec<Extent>,
    watch: Watch,
    stop: OwnedFd,
    worker: Worker<Counts>,
    protector: Option<Protector>,
    present_at_start: u64,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn thread(&self) -> Option<u32> {
        Some(self.worker.id())
    }

    fn hook(&mut self) -> Option<Box<dyn VcpuHook>> {
        Some(Box::new(self.protector.take()?))
    }

    fn release(&self) {
        self.uffd.unregister(&self.extents);
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        rustix::io::write(&self.stop, &1u64.to_ne_bytes()).map_err(|error| failed("wake its thread")(error.into()))?;
        let counts = self.worker.join()?;
        self.uffd.unregister(&self.extents);
        let present_at_end = present_pages(&self.watch.ram).map_err(failed("count the pages that are present"))?;
        let mut evicted = 0;
        if let Some(shelves) = &self.watch.evicted {
            let mut shelves = shelves.lock();
            evicted = shelves.pages;
            shelves.put_back();
        }
        let copies = CopyTally { present_at_start: self.present_at_start, present_at_end, evicted, ..counts.copies };
        let kind = |kind: HostFaultKind| kind.name().to_owned();
        let facts = counts.kinds.iter().map(|(code, count)| (format!("{NAME}.{}", kind(*code)), count.to_string()));
        Ok(Tally { copies: Some(copies), facts: facts.collect() })
    }
}
