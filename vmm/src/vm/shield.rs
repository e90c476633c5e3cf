//! Keeps pages of guest memory from everybody until they are asked for: KVM's accesses to them fail, and so would this
//! process's own.
//!
//! Guard markers (`MADV_GUARD_INSTALL`, Linux 6.13) do it page by page. Older kernels take `mprotect`, which splits the
//! mapping; once the process has no mappings left (`vm.max_map_count`) more pages than one are opened at a time.
#![expect(unsafe_code, reason = "changes the protection of guest memory's mappings")]

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use linux_raw_sys::general::MADV_GUARD_INSTALL;
use pagelab_abi::layout::PAGE_SIZE;
use rustix::mm::{Advice, MprotectFlags, madvise, mprotect};

use super::memory::Extent;

/// `MADV_GUARD_REMOVE` (Linux: include/uapi/asm-generic/mman-common.h).
const MADV_GUARD_REMOVE: i32 = MADV_GUARD_INSTALL as i32 + 1;

/// How pages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Guard markers in the page tables.
    Guard,
    /// The protection of mappings.
    Protection,
}

impl Method {
    /// Its name in the run file.
    pub fn name(self) -> &'static str {
        match self {
            Method::Guard => "guard",
            Method::Protection => "mprotect",
        }
    }
}

/// Pages that are kept.
#[derive(Debug)]
pub struct Shield {
    method: Method,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    extent: Extent,
    /// A bit for each page: set while it is kept.
    kept: Vec<AtomicU64>,
    /// Whether anything was ever kept. A kernel without guard markers refuses to remove them where none are.
    used: bool,
}

impl Shield {
    /// Keeps the pages of guest memory whose bits are set, a bitmap for each extent. None of them may hold anything: a
    /// page must read as zeros once it is opened.
    pub fn raise(extents: &[Extent], pages: Vec<Vec<u64>>) -> io::Result<Shield> {
        let parts: Vec<Part> = extents.iter().zip(pages).map(|(extent, words)| Part::new(*extent, words)).collect();
        let mut shield = Shield { method: Method::Guard, parts };
        if let Err(error) = shield.keep_all() {
            // Linux before 6.13, or memory that takes no markers.
            if error.raw_os_error() != Some(libc::EINVAL) {
                return Err(error);
            }
            shield.method = Method::Protection;
            shield.keep_all()?;
        }
        Ok(shield)
    }

    fn keep_all(&self) -> io::Result<()> {
        self.parts
            .iter()
            .try_for_each(|part| part.runs().try_for_each(|(page, pages)| part.keep(self.method, page, pages)))
    }

    /// How pages are kept here.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether the page of this guest-physical address is kept; false outside RAM.
    pub fn keeps(&self, gpa: u64) -> bool {
        self.find(gpa).is_some_and(|(part, page)| part.is_kept(page))
    }

    /// Opens the page of this guest-physical address and fills it with zeros. How many pages were opened: 0 if it was not
    /// kept, more than one only where the host cannot open single pages.
    pub fn open(&self, gpa: u64) -> io::Result<u64> {
        let Some((part, page)) = self.find(gpa).filter(|(part, page)| part.is_kept(*page)) else { return Ok(0) };
        let mut block = 1;
        loop {
            let first = page & !(block - 1);
            let pages = block.min(part.pages() - first);
            match part.open(self.method, first, pages) {
                Ok(()) => return part.opened(first, pages),
                // No mapping left to split off, or pages larger than the block: a larger block ends more mappings than
                // it begins, and the whole extent ends all.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EINVAL)) && pages < part.pages() =>
                {
                    block *= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens everything, filling nothing.
    pub fn lower(&self) -> io::Result<()> {
        for part in self.parts.iter().filter(|part| part.used) {
            part.open(self.method, 0, part.pages())?;
            part.kept.iter().for_each(|word| word.store(0, Ordering::Release));
        }
        Ok(())
    }

    fn find(&self, gpa: u64) -> Option<(&Part, u64)> {
        let part = self.parts.iter().find(|part| gpa.wrapping_sub(part.extent.gpa) < part.extent.size)?;
        Some((part, (gpa - part.extent.gpa) / PAGE_SIZE))
    }
}

impl Part {
    fn new(extent: Extent, pages: Vec<u64>) -> Part {
        let mut part = Part { extent, kept: pages.into_iter().map(AtomicU64::new).collect(), used: false };
        let used = part.runs().next().is_some();
        part.used = used;
        part
    }

    fn pages(&self) -> u64 {
        self.extent.size / PAGE_SIZE
    }

    fn is_kept(&self, page: u64) -> bool {
        self.kept.get((page / 64) as usize).is_some_and(|word| word.load(Ordering::Acquire) >> (page % 64) & 1 != 0)
    }

    /// Runs of kept pages: the first and how many.
    fn runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut page = 0;
        std::iter::from_fn(move || {
            let first = (page..self.pages()).find(|page| self.is_kept(*page))?;
            page = (first..self.pages()).find(|page| !self.is_kept(*page)).unwrap_or(self.pages());
            Some((first, page - first))
        })
    }

    fn address(&self, page: u64) -> *mut std::ffi::c_void {
        (self.extent.host + page * PAGE_SIZE) as *mut _
    }

    fn keep(&self, method: Method, page: u64, pages: u64) -> io::Result<()> {
        match method {
            Method::Guard => self.advise(page, pages, MADV_GUARD_INSTALL as i32),
            Method::Protection => self.protect(page, pages, MprotectFlags::empty()),
        }
    }

    fn open(&self, method: Method, page: u64, pages: u64) -> io::Result<()> {
        match method {
            Method::Guard => self.advise(page, pages, MADV_GUARD_REMOVE),
            Method::Protection => self.protect(page, pages, MprotectFlags::READ | MprotectFlags::WRITE),
        }
    }

    /// Fills pages that are open and counts those that were kept until now.
    fn opened(&self, first: u64, pages: u64) -> io::Result<u64> {
        let bytes = (pages * PAGE_SIZE) as usize;
        // SAFETY: the range is guest memory, a live mapping that only volatile accesses reach; its contents stay.
        unsafe { madvise(self.address(first), bytes, Advice::LinuxPopulateWrite) }?;
        let mut opened = 0;
        for page in (first..first + pages).filter(|page| self.is_kept(*page)) {
            // Only now may other threads of this process touch it.
            self.kept[(page / 64) as usize].fetch_and(!(1 << (page % 64)), Ordering::Release);
            opened += 1;
        }
        Ok(opened)
    }

    fn advise(&self, page: u64, pages: u64, advice: i32) -> io::Result<()> {
        // SAFETY: the range is guest memory, a live mapping of this process. Pages that get markers hold nothing, and
        // `Ram` asks this shield before it touches one.
        match unsafe { libc::madvise(self.address(page), (pages * PAGE_SIZE) as usize, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn protect(&self, page: u64, pages: u64, flags: MprotectFlags) -> io::Result<()> {
        // SAFETY: as in `advise`.
        Ok(unsafe { mprotect(self.address(page), (pages * PAGE_SIZE) as usize, flags) }?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::vm::{Backing, Ram};

    /// 16 MiB of memory, of which the first page holds something, shielded by one method.
    fn shielded(method: Method) -> (Ram, Option<Arc<Shield>>) {
        let ram = Ram::new(16 << 20, Backing::Anonymous, true).expect("16 MiB can be mapped");
        ram.write(0, &[7]).expect("inside RAM");
        let pages = vec![[vec![!1u64], vec![!0u64; 63]].concat()];
        let shield = match method {
            Method::Guard => Shield::raise(&ram.extents(), pages).expect("it can be kept"),
            Method::Protection => {
                let shield = Shield { method, parts: vec![Part::new(ram.extents()[0], pages.concat())] };
                shield.keep_all().expect("it can be kept");
                shield
            }
        };
        let shield = (shield.method == method).then(|| Arc::new(shield));
        if let Some(shield) = &shield {
            ram.shield(Arc::clone(shield));
        }
        (ram, shield)
    }

    #[test]
    fn a_shield_over_nothing_asks_the_kernel_for_nothing() {
        // No memory is there: any call on it would fail.
        let nowhere = Extent { gpa: 0, host: 0, size: 64 * PAGE_SIZE };
        let shield = Shield::raise(&[nowhere], vec![vec![0]]).expect("nothing to keep");
        assert!(!shield.keeps(0));
        assert_eq!(shield.open(0).expect("it is open"), 0);
        shield.lower().expect("nothing to open");
    }

    #[test]
    fn pages_open_even_without_a_mapping_left_to_split() {
        // Every second page would take more mappings than vm.max_map_count (65,530 by default) allows.
        const PAGES: u64 = 68 << 10;
        let ram = Ram::new(PAGES * PAGE_SIZE, Backing::Anonymous, true).expect("272 MiB can be mapped");
        let part = Part::new(ram.extents()[0], vec![!0; (PAGES / 64) as usize]);
        let shield = Shield { method: Method::Protection, parts: vec![part] };
        shield.keep_all().expect("it can be kept");
        let opened: Vec<u64> =
            (0..PAGES).step_by(2).map(|page| shield.open(page * PAGE_SIZE).expect("it opens")).collect();
        assert!((0..PAGES).step_by(2).all(|page| !shield.keeps(page * PAGE_SIZE)));
        let kept = (0..PAGES).filter(|page| shield.keeps(page * PAGE_SIZE)).count() as u64;
        assert_eq!(opened.iter().sum::<u64>(), PAGES - kept, "each page is told once");
        if fs::read_to_string("/proc/sys/vm/max_map_count").is_ok_and(|text| text.trim() == "65530") {
            assert!(opened.iter().any(|pages| *pages > 1), "single pages went all the way");
        }
    }

    #[test]
    fn kept_pages_read_as_zeros_and_open_one_by_one() {
        for method in [Method::Guard, Method::Protection] {
            let (ram, Some(shield)) = shielded(method) else {
                eprintln!("skipped: {method:?}: this kernel has no guard markers");
                continue;
            };
            assert!(!shield.keeps(0) && shield.keeps(4096) && shield.keeps((16 << 20) - 1) && !shield.keeps(16 << 20));
            assert_eq!(ram.read(4090, 10), Some(vec![0; 10]), "across the border of a kept page");
            assert_eq!((ram.read_u64(0), ram.read_u64(8192)), (Some(7), Some(0)));
            assert!(ram.write(8192, &[1]).is_err(), "nobody writes to a kept page");
            assert_eq!(shield.open(8200).expect("it opens"), 1);
            assert_eq!(shield.open(8200).expect("it is open"), 0);
            ram.write(8192, &[1]).expect("it is open");
            assert_eq!((ram.read_u64(8192), shield.keeps(4096), shield.keeps(12288)), (Some(1), true, true));
            shield.lower().expect("all opens");
            ram.write(4096, &[2]).expect("all is open");
            assert_eq!((ram.read_u64(0), ram.read_u64(4096), ram.read_u64(8192)), (Some(7), Some(2), Some(1)));
        }
    }
}
