//! What guest RAM is made of on the host, and what each kind takes.

use std::{fmt, fs, io, os::fd::AsFd, str::FromStr};

use pagelab_abi::layout::PAGE_SIZE;
use rustix::{fs::MemfdFlags, mm::Advice};

use super::{mapping::Mapping, memory::MemoryError};

/// Bytes of a huge page of x86-64's second level.
pub const HUGE_PAGE_SIZE: u64 = 2 << 20;
/// Says whether there are transparent huge pages (Linux: Documentation/admin-guide/mm/transhuge.rst).
const THP_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// The pool of huge pages of 2 MiB (Linux: Documentation/admin-guide/mm/hugetlbpage.rst).
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// What guest RAM is made of on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// Private anonymous memory, in pages of 4 KiB.
    #[default]
    Anonymous,
    /// Private anonymous memory in transparent huge pages of 2 MiB, as far as the host has them to give.
    TransparentHuge,
    /// A memfd, mapped shared: the page cache keeps what is unmapped.
    Memfd,
    /// A memfd of huge pages of 2 MiB from the host's pool.
    Hugetlb2M,
}

impl Backing {
    /// Every backing with its name.
    pub const ALL: [(Backing, &str); 4] = [
        (Backing::Anonymous, "anon"),
        (Backing::TransparentHuge, "thp"),
        (Backing::Memfd, "memfd"),
        (Backing::Hugetlb2M, "hugetlb-2m"),
    ];

    /// Its name, as the command line takes it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(backing, _)| *backing == self).map_or("", |(_, name)| name)
    }

    /// Bytes that the host gives and takes at once.
    pub fn unit(self) -> u64 {
        match self {
            Backing::Anonymous | Backing::Memfd => PAGE_SIZE,
            Backing::TransparentHuge | Backing::Hugetlb2M => HUGE_PAGE_SIZE,
        }
    }

    /// Whether a file keeps the contents of pages that no mapping holds any more.
    pub fn is_file(self) -> bool {
        matches!(self, Backing::Memfd | Backing::Hugetlb2M)
    }

    /// Maps `bytes` of it, a multiple of its unit.
    pub(super) fn map(self, bytes: u64, small_pages: bool) -> Result<Mapping, MemoryError> {
        let failed = |source| MemoryError::Map { bytes, source };
        let mapping = match self {
            Backing::Anonymous | Backing::TransparentHuge => Mapping::anonymous(bytes, self.unit()).map_err(failed)?,
            Backing::Memfd => shared(bytes, MemfdFlags::empty()).map_err(failed)?,
            Backing::Hugetlb2M => {
                let pool = Pool::read();
                shared(bytes, MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB)
                    .map_err(|source| pool.lack(bytes).unwrap_or(MemoryError::Map { bytes, source }))?
            }
        };
        match self {
            Backing::TransparentHuge => mapping.advise(Advice::LinuxHugepage).map_err(failed)?,
            Backing::Anonymous | Backing::Memfd if small_pages => {
                mapping.advise(Advice::LinuxNoHugepage).map_err(failed)?
            }
            _ => {}
        }
        Ok(mapping)
    }

    /// Why this host cannot give any of it. Changes nothing.
    pub(super) fn check(self) -> Result<(), MemoryError> {
        if self == Backing::TransparentHuge && !has_transparent_huge_pages() {
            return Err(MemoryError::NoTransparentHugePages);
        }
        Ok(())
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backing {
    type Err = String;

    fn from_str(text: &str) -> Result<Backing, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(backing, _)| *backing);
        found.ok_or_else(|| format!("guest memory is one of {}", Self::ALL.map(|(_, name)| name).join(", ")))
    }
}

fn shared(bytes: u64, kind: MemfdFlags) -> io::Result<Mapping> {
    let file = rustix::fs::memfd_create("pagelab-ram", MemfdFlags::CLOEXEC | kind)?;
    rustix::fs::ftruncate(&file, bytes)?;
    // Huge pages are set aside at once: a guest must not die later because the pool is empty.
    Mapping::shared(file.as_fd(), bytes, kind.contains(MemfdFlags::HUGETLB))
}

/// Whether a mapping may ask this host for transparent huge pages.
pub fn has_transparent_huge_pages() -> bool {
    fs::read_to_string(THP_ENABLED).is_ok_and(|text| !text.contains("[never]"))
}

/// The host's pool of huge pages of 2 MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Pages in it.
    pub total: u64,
    /// Pages of it that nobody has, even by promise.
    pub free: u64,
}

impl Pool {
    /// The pool as it is; empty where there is none.
    pub fn read() -> Pool {
        let field = |name: &str| {
            let text = fs::read_to_string(format!("{POOL}/{name}")).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let free = field("free_hugepages").unwrap_or(0).saturating_sub(field("resv_hugepages").unwrap_or(0));
        Pool { total: field("nr_hugepages").unwrap_or(0), free }
    }

    fn lack(self, bytes: u64) -> Option<MemoryError> {
        let needed = bytes / HUGE_PAGE_SIZE;
        let missing = needed.checked_sub(self.free).filter(|missing| *missing > 0)?;
        Some(MemoryError::NoHugePages { needed, free: self.free, total: self.total + missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (backing, name) in Backing::ALL {
            assert_eq!((name.parse(), backing.to_string().as_str()), (Ok(backing), name));
        }
        let error = "file".parse::<Backing>().expect_err("not a backing");
        assert_eq!(error, "guest memory is one of anon, thp, memfd, hugetlb-2m");
    }

    #[test]
    fn a_pool_that_is_too_small_says_how_large_it_must_be() {
        let pool = Pool { total: 10, free: 4 };
        let Some(error) = pool.lack(64 << 20) else { panic!("28 pages are missing") };
        let told = error.to_string();
        assert!(told.contains("takes 32 huge pages") && told.contains("has 4 free"), "{told}");
        assert!(told.ends_with("sudo sh -c 'echo 38 > /proc/sys/vm/nr_hugepages'"), "{told}");
        assert!(pool.lack(8 << 20).is_none());
    }
}
