//! The host memory behind guest-physical addresses: RAM and the trace window.
#![expect(unsafe_code, reason = "makes guest memory of mappings this module owns")]

use std::{
    fs, io,
    sync::{Arc, OnceLock},
};

use pagelab_abi::layout::{self, PAGE_SIZE};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap, MmapRegion,
};

use super::{backing::Backing, mapping::Mapping, shield::Shield};

/// Why guest memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Below [`layout::MIN_MEMORY`] or not a multiple of a page.
    #[error("{asked} bytes of guest memory are too few: give at least {} MiB with --memory", layout::MIN_MEMORY >> 20)]
    TooSmall {
        /// Bytes asked for.
        asked: u64,
    },
    /// Above [`layout::MAX_MEMORY`].
    #[error("{asked} bytes of guest memory are too many: the address map ends at {} GiB", layout::MAX_MEMORY >> 30)]
    TooLarge {
        /// Bytes asked for.
        asked: u64,
    },
    /// Not a multiple of the page size.
    #[error("{asked} bytes of guest memory are not a multiple of 4096: give whole pages with --memory")]
    Unaligned {
        /// Bytes asked for.
        asked: u64,
    },
    /// Not a multiple of the unit of a backing of huge pages.
    #[error(
        "{asked} bytes of guest memory are not a multiple of 2 MiB, as --backing {backing} needs: give whole huge pages with --memory"
    )]
    NotHuge {
        /// Bytes asked for.
        asked: u64,
        /// The backing.
        backing: Backing,
    },
    /// Transparent huge pages are switched off.
    #[error(
        "this host gives no transparent huge pages, as --backing thp needs: sudo sh -c 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled'"
    )]
    NoTransparentHugePages,
    /// The pool of huge pages is too small.
    #[error(
        "guest memory takes {needed} huge pages of 2 MiB and the host's pool has {free} free: sudo sh -c 'echo {total} > /proc/sys/vm/nr_hugepages'"
    )]
    NoHugePages {
        /// Pages needed.
        needed: u64,
        /// Pages there are.
        free: u64,
        /// How large the pool must be.
        total: u64,
    },
    /// More than the host has to give.
    #[error(
        "{} MiB of guest memory were asked for and the host has {} MiB available: give less with --memory",
        asked >> 20, available >> 20
    )]
    HostTooSmall {
        /// Bytes asked for.
        asked: u64,
        /// Bytes the host could give (MemAvailable and SwapFree of /proc/meminfo).
        available: u64,
    },
    /// What has to be in memory at the start does not fit.
    #[error(
        "the kernel, the program's files and the arguments need {0} MiB of guest memory: give at least --memory {0}M",
        needed.div_ceil(1 << 20)
    )]
    DoesNotFit {
        /// Bytes needed, at least.
        needed: u64,
    },
    /// It fits into no memory, however large: all of it lies below the hole for devices.
    #[error(
        "the kernel, the program's files and the arguments take {} MiB, more than there is below the devices' addresses ({} MiB): give fewer or smaller files",
        needed >> 20, layout::MMIO_HOLE_START >> 20
    )]
    NeverFits {
        /// Bytes needed, at least.
        needed: u64,
    },
    /// The host refused a mapping.
    #[error("cannot map {bytes} bytes for the guest: {source}")]
    Map {
        /// Bytes asked for.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The host could not fill it.
    #[error("cannot fill {} MiB of guest memory beforehand: {source}; without --prefault the guest may run", bytes >> 20)]
    Populate {
        /// Bytes to fill.
        bytes: u64,
        /// Why not: before Linux 5.14 "invalid argument".
        source: io::Error,
    },
    /// A write outside RAM: an image that claims a wrong place.
    #[error("cannot write {bytes} bytes to guest-physical {gpa:#x}: not RAM, or kept from everybody")]
    Write {
        /// Where.
        gpa: u64,
        /// How many.
        bytes: usize,
    },
}

/// One contiguous part of RAM, as KVM and userfaultfd see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Guest-physical address of the first byte.
    pub gpa: u64,
    /// Host address of the first byte.
    pub host: u64,
    /// Bytes.
    pub size: u64,
}

/// Guest RAM. All reads and writes are checked against its bounds.
#[derive(Clone, Debug)]
pub struct Ram {
    memory: GuestMemoryMmap<()>,
    shield: Arc<OnceLock<Arc<Shield>>>,
    backing: Backing,
    /// What the regions of `memory` lie in.
    _mappings: Arc<[Mapping]>,
}

impl Ram {
    /// Maps `bytes` of RAM: up to 3 GiB from 0, the rest from 4 GiB. `small_pages` keeps transparent huge pages away
    /// where the backing is not made of them, so that every page is one host fault.
    pub fn new(bytes: u64, backing: Backing, small_pages: bool) -> Result<Ram, MemoryError> {
        check_size(bytes, backing)?;
        backing.check()?;
        let low = bytes.min(layout::MMIO_HOLE_START);
        let mut mappings = vec![(0, backing.map(low, small_pages)?)];
        if bytes > low {
            mappings.push((layout::MMIO_HOLE_END, backing.map(bytes - low, small_pages)?));
        }
        let regions = mappings.iter().map(|(gpa, mapping)| region(*gpa, mapping)).collect::<Result<Vec<_>, _>>()?;
        let memory = GuestMemoryMmap::from_regions(regions)
            .map_err(|error| MemoryError::Map { bytes, source: io::Error::other(error) })?;
        let mappings = mappings.into_iter().map(|(_, mapping)| mapping).collect();
        Ok(Ram { memory, backing, shield: Arc::default(), _mappings: mappings })
    }

    /// What it is made of.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// The parts of RAM, lowest first.
    pub fn extents(&self) -> Vec<Extent> {
        self.memory
            .iter()
            .map(|region| Extent {
                gpa: region.start_addr().0,
                host: region.as_ptr() as u64,
                size: region.size() as u64,
            })
            .collect()
    }

    /// Bytes of RAM.
    pub fn size(&self) -> u64 {
        self.memory.iter().map(|region| region.len()).sum()
    }

    /// First byte after the part of RAM below the device hole.
    pub fn low_end(&self) -> u64 {
        self.memory.iter().next().map_or(0, |region| region.len())
    }

    /// The memory itself, for loaders.
    pub fn memory(&self) -> &GuestMemoryMmap<()> {
        &self.memory
    }

    /// Whether all of `length` bytes at `gpa` are RAM.
    pub fn contains(&self, gpa: u64, length: u64) -> bool {
        length <= self.size() && self.memory.check_range(GuestAddress(gpa), length as usize)
    }

    /// From now on pages are kept from everybody, once for each RAM: reads of a kept page give zeros, writes fail.
    pub fn shield(&self, shield: Arc<Shield>) {
        if self.shield.set(shield).is_err() {
            log::warn!("guest memory has a shield already");
        }
    }

    /// Whether any page of a range is kept.
    fn is_kept(&self, gpa: u64, length: u64) -> bool {
        let Some(shield) = self.shield.get() else { return false };
        let last = gpa.saturating_add(length.saturating_sub(1)) / PAGE_SIZE;
        (gpa / PAGE_SIZE..=last).any(|page| shield.keeps(page * PAGE_SIZE))
    }

    /// Copies bytes out of RAM; `None` where any of them is not RAM.
    pub fn read(&self, gpa: u64, length: usize) -> Option<Vec<u8>> {
        if !self.contains(gpa, length as u64) {
            return None;
        }
        let mut bytes = vec![0; length];
        if !self.is_kept(gpa, length as u64) {
            self.memory.read_slice(&mut bytes, GuestAddress(gpa)).ok()?;
            return Some(bytes);
        }
        let mut at = gpa;
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let in_page = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(rest.len());
            let (part, behind) = rest.split_at_mut(in_page);
            if !self.is_kept(at, 1) {
                self.memory.read_slice(part, GuestAddress(at)).ok()?;
            }
            at += in_page as u64;
            rest = behind;
        }
        Some(bytes)
    }

    /// Reads a 64-bit number; `None` outside RAM.
    pub fn read_u64(&self, gpa: u64) -> Option<u64> {
        if self.is_kept(gpa, 8) {
            return Some(u64::from_le_bytes(self.read(gpa, 8)?.try_into().ok()?));
        }
        self.memory.read_obj(GuestAddress(gpa)).ok()
    }

    /// Writes bytes into RAM.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let refused = MemoryError::Write { gpa, bytes: bytes.len() };
        if self.is_kept(gpa, bytes.len() as u64) {
            return Err(refused);
        }
        self.memory.write_slice(bytes, GuestAddress(gpa)).map_err(|_| refused)
    }
}

/// The trace window: a shared mapping in a memory slot of its own, not RAM.
#[derive(Clone, Debug)]
pub struct TraceWindow {
    region: Arc<MmapRegion<()>>,
}

impl TraceWindow {
    /// Default size in bytes: 65,472 records fit, of which the ring uses 32,768.
    pub const DEFAULT_SIZE: u64 = 4 << 20;

    /// Maps a window of `bytes` (a multiple of a page).
    pub fn new(bytes: u64) -> Result<TraceWindow, MemoryError> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let region = MmapRegion::build(None, bytes as usize, libc::PROT_READ | libc::PROT_WRITE, flags)
            .map_err(|error| MemoryError::Map { bytes, source: io::Error::other(error) })?;
        Ok(TraceWindow { region: Arc::new(region) })
    }

    /// Where it is.
    pub fn extent(&self) -> Extent {
        Extent { gpa: layout::TRACE_WINDOW_PHYS, host: self.region.as_ptr() as u64, size: self.region.size() as u64 }
    }

    /// The mapping; reach it through `vm_memory`'s volatile accesses only, the guest writes at any time.
    pub fn region(&self) -> &MmapRegion<()> {
        &self.region
    }
}

fn check_size(asked: u64, backing: Backing) -> Result<(), MemoryError> {
    if asked < layout::MIN_MEMORY {
        return Err(MemoryError::TooSmall { asked });
    }
    if asked > layout::MAX_MEMORY {
        return Err(MemoryError::TooLarge { asked });
    }
    if !asked.is_multiple_of(layout::PAGE_SIZE) {
        return Err(MemoryError::Unaligned { asked });
    }
    if !asked.is_multiple_of(backing.unit()) {
        return Err(MemoryError::NotHuge { asked, backing });
    }
    if backing == Backing::Hugetlb2M {
        // Not of the host's available memory, but of a pool set aside.
        return Ok(());
    }
    match host_available() {
        Some(available) if asked > available => Err(MemoryError::HostTooSmall { asked, available }),
        _ => Ok(()),
    }
}

/// Bytes of memory the host could give a guest: MemAvailable and SwapFree. `None` where /proc/meminfo cannot be read.
pub fn host_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((field("MemAvailable")? + field("SwapFree").unwrap_or(0)) << 10)
}

/// A region of guest memory in a mapping that must outlive it.
fn region(gpa: u64, mapping: &Mapping) -> Result<GuestRegionMmap<()>, MemoryError> {
    let failed = |source| MemoryError::Map { bytes: mapping.length(), source };
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the mapping is readable and writable, as long as this, and lives as long as the `Ram` that holds the region.
    let memory =
        unsafe { MmapRegion::build_raw(mapping.start() as *mut u8, mapping.length() as usize, protection, flags) };
    let memory = memory.map_err(|error| failed(io::Error::other(error)))?;
    GuestRegionMmap::new(memory, GuestAddress(gpa)).ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))
}
