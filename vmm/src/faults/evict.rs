//! Takes pages away from the guest, so that what it touches next faults again: refaults measure the working set.
#![expect(unsafe_code, reason = "drops guest pages")]

use std::{fmt, io, num::NonZeroU64, sync::Arc, time::Duration};

use crossbeam_channel::Sender;
use kvm_ioctls::VcpuFd;
use pagelab_abi::layout::PAGE_SIZE;
use rustix::mm::{Advice, madvise};

use super::{FaultError, evicted::Evicted, pagemap::Pagemap};
use crate::{
    trace::{Input, Interval},
    vm::{
        Beat, Ram,
        clock::rdtsc,
        exit::Exit,
        vcpu::End,
        vcpu_hook::{Handled, VcpuHook},
    },
};

const NAME: &str = "eviction";

/// How the host takes pages away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The time between two evictions, from the first instruction on.
    pub every: Duration,
    /// Pages of 4 KiB taken at a time, rounded up to whole units of the backing; all where it is `None`.
    pub pages: Option<NonZeroU64>,
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every={:?},pages=", self.every)?;
        match self.pages {
            Some(pages) => pages.fmt(f),
            None => f.write_str("all"),
        }
    }
}

/// The part of eviction on the vCPU's thread: the guest is stopped while its pages go.
#[derive(Debug)]
pub(crate) struct Evictor {
    ram: Ram,
    pages: Option<NonZeroU64>,
    beat: Arc<Beat>,
    evicted: Arc<Evicted>,
    pagemap: Pagemap,
    /// Present or not, by page of the window being looked at.
    window: Vec<bool>,
    /// Byte of RAM, in the order of its extents, at which the next round begins.
    cursor: u64,
    sink: Sender<Input>,
    failure: Sender<FaultError>,
}

impl Evictor {
    /// An evictor that acts when `beat` is struck.
    pub(crate) fn new(
        ram: &Ram,
        pages: Option<NonZeroU64>,
        beat: Arc<Beat>,
        evicted: Arc<Evicted>,
        sink: Sender<Input>,
        failure: Sender<FaultError>,
    ) -> Result<Evictor, FaultError> {
        let failed = |error| FaultError::Failed { name: NAME, what: "read /proc/self/pagemap", error };
        let pagemap = Pagemap::open(ram).map_err(failed)?;
        Ok(Evictor { ram: ram.clone(), pages, beat, evicted, pagemap, window: Vec::new(), cursor: 0, sink, failure })
    }

    /// One round; says how many pages of 4 KiB went.
    fn evict(&mut self) -> io::Result<u64> {
        let quota = self.pages.map_or(u64::MAX, NonZeroU64::get);
        let size = self.ram.size();
        let (mut gone, begin) = (0, self.cursor);
        // From the cursor to the end, then from the start to the cursor.
        for (from, to) in [(begin, size), (0, begin)] {
            let mut base = 0;
            for extent in self.ram.extents() {
                let (first, last) = (from.clamp(base, base + extent.size), to.clamp(base, base + extent.size));
                for (start, length) in Pagemap::windows(extent.host + (first - base), last - first) {
                    let (taken, next) = self.evict_window(start, length, quota - gone)?;
                    gone += taken;
                    self.cursor = (base + (next - extent.host)) % size;
                    if gone >= quota {
                        return Ok(gone);
                    }
                }
                base += extent.size;
            }
        }
        Ok(gone)
    }

    /// Takes at most `quota` pages, rounded up to units, of `length` bytes from `start`, both in whole units: how many,
    /// and where it stopped.
    fn evict_window(&mut self, start: u64, length: u64, quota: u64) -> io::Result<(u64, u64)> {
        let unit = self.ram.backing().unit();
        // Nobody else makes pages present or takes them away as long as this is held.
        let mut evicted = self.evicted.lock();
        self.window.clear();
        self.window.extend(self.pagemap.held(start, length)?);
        let mut gone = 0;
        let mut run = start..start;
        for (at, pages) in (start..).step_by(unit as usize).zip(self.window.chunks((unit / PAGE_SIZE) as usize)) {
            let present = pages.iter().filter(|present| **present).count() as u64;
            if present == 0 || gone >= quota {
                drop_pages(run.start, run.end)?;
                if gone >= quota {
                    evicted.pages += gone;
                    return Ok((gone, at));
                }
                run = at + unit..at + unit;
                continue;
            }
            evicted.keep(at, pages.iter().copied());
            gone += present;
            run.end = at + unit;
        }
        drop_pages(run.start, run.end)?;
        evicted.pages += gone;
        Ok((gone, start + length))
    }
}

/// Drops the pages between two addresses in guest RAM; their contents are lost unless a file or a shelf keeps them.
pub(super) fn drop_pages(start: u64, end: u64) -> io::Result<()> {
    if start < end {
        // SAFETY: the range lies in guest RAM, which only volatile accesses reach, and the contents of its pages are kept
        // elsewhere: in their file or on a shelf.
        unsafe { madvise(start as *mut _, (end - start) as usize, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

impl VcpuHook for Evictor {
    fn exit(&mut self, exit: &Exit, _vcpu: &mut VcpuFd) -> Handled {
        if *exit != Exit::Interrupted || !self.beat.take() {
            return Handled::No;
        }
        let tsc_begin = rdtsc();
        match self.evict() {
            Ok(pages) => {
                let interval = Interval { tsc_begin, tsc_end: rdtsc(), pages };
                match self.sink.send(Input::Eviction(interval)) {
                    Ok(()) => Handled::No,
                    Err(_) => Handled::End(End::RecorderGone),
                }
            }
            Err(error) => {
                // Full only if an earlier failure waits there already.
                let _ = self.failure.try_send(FaultError::Failed { name: NAME, what: "take pages away", error });
                Handled::No
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;
    use pagelab_abi::layout::MIN_MEMORY;

    use super::*;
    use crate::{faults::pagemap::present_pages, vm::Backing};

    fn evictor(backing: Backing, pages: Option<u64>) -> (Ram, Evictor) {
        let ram = Ram::new(MIN_MEMORY, backing, true).expect("16 MiB can be mapped");
        let evicted = Arc::new(Evicted::new(&ram).expect("a mirror can be mapped"));
        let beat = Arc::new(Beat::new(Duration::from_secs(1)));
        let pages = pages.and_then(NonZeroU64::new);
        let evictor = Evictor::new(&ram, pages, beat, evicted, bounded(1).0, bounded(1).0);
        (ram, evictor.expect("pagemap is readable"))
    }

    #[test]
    fn what_goes_is_kept_and_comes_back() {
        for backing in [Backing::Anonymous, Backing::Memfd, Backing::TransparentHuge] {
            let (ram, mut evictor) = evictor(backing, None);
            for page in [0, 3, 700, 4095] {
                ram.write(page * PAGE_SIZE + 9, &page.to_le_bytes()).expect("inside RAM");
            }
            // A page of zeros is present as well.
            ram.write(9 * PAGE_SIZE, &[0]).expect("inside RAM");
            let present = present_pages(&ram).expect("pagemap is readable");
            assert_eq!(evictor.evict().expect("pages can be dropped"), present, "{backing}");
            assert_eq!(present_pages(&ram).expect("pagemap is readable"), 0, "{backing}");
            assert_eq!(evictor.evict().expect("there is nothing left"), 0, "{backing}");
            let mut shelves = evictor.evicted.lock();
            assert_eq!(shelves.pages, present, "{backing}");
            shelves.put_back();
            for page in [0u64, 3, 700, 4095] {
                assert_eq!(ram.read(page * PAGE_SIZE + 9, 8), Some(page.to_le_bytes().to_vec()), "{backing}");
            }
            assert_eq!(ram.read(9 * PAGE_SIZE, 1), Some(vec![0]), "{backing}");
        }
    }

    #[test]
    fn a_number_of_pages_goes_in_the_order_of_addresses_and_around() {
        let (ram, mut evictor) = evictor(Backing::Memfd, Some(3));
        let present = || -> Vec<u64> {
            let extent = ram.extents()[0];
            let mut pagemap = Pagemap::open(&ram).expect("pagemap is readable");
            let held: Vec<bool> = pagemap.held(extent.host, extent.size).expect("it is mapped").collect();
            (0..).zip(held).filter(|(_, held)| *held).map(|(page, _)| page).collect()
        };
        let touch =
            |pages: &[u64]| pages.iter().for_each(|page| ram.write(page * PAGE_SIZE, &[1]).expect("inside RAM"));
        touch(&[1, 5, 6, 7, 100]);
        assert_eq!(evictor.evict().expect("pages can be dropped"), 3);
        assert_eq!(present(), [7, 100]);
        touch(&[1, 5]);
        assert_eq!(evictor.evict().expect("pages can be dropped"), 3);
        assert_eq!(present(), [5], "7 and 100, then from the start");
    }
}
