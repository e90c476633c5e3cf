//! The same requests, made to the Linux that runs the test, and what it then shows of itself.
#![expect(unsafe_code, reason = "maps and unmaps memory of this very process, in a window that nothing else uses")]

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use pagelab_mm::{
    errno::Errno,
    space::{MremapRequest, map},
};

use crate::{
    oracle::Row,
    world::{ANON, FILE_BYTES, PAGE},
};

/// This process, as far as the window goes.
pub(crate) struct Linux {
    start: u64,
    end: u64,
    zero: File,
    mapped: File,
    pipe: (OwnedFd, OwnedFd),
}

fn answer(result: libc::c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno(io::Error::last_os_error().raw_os_error().expect("an OS error") as u16)
}

/// The pages of a field such as `  12 kB`.
fn pages(field: &str) -> u64 {
    field.trim().trim_end_matches(" kB").parse::<u64>().expect("a size") * 1024 / PAGE
}

/// A file without a name, open for reading only.
fn file_to_map() -> File {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mapped-{}-{number}", std::process::id()));
    File::create(&path).and_then(|mut file| file.write_all(&vec![7; FILE_BYTES as usize])).expect("a file to map");
    let file = File::open(&path).expect("just written");
    std::fs::remove_file(&path).expect("just written");
    file
}

impl Linux {
    /// A window where this process has nothing mapped and where Linux puts nothing by itself.
    pub(crate) fn new(start: u64, end: u64) -> Linux {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0, "a pipe");
        // SAFETY: both were just opened, and nobody else has them.
        let pipe = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: takes numbers only. Huge pages would change what is resident.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }, 0, "no huge pages");
        let zero = File::open("/dev/zero").expect("/dev/zero");
        let linux = Linux { start, end, zero, mapped: file_to_map(), pipe };
        assert!(linux.rows().is_empty(), "the window is in use");
        linux
    }

    fn assert_in_window(&self, start: u64, length: u64) {
        assert!(self.start <= start && start.saturating_add(length) <= self.end, "{start:#x} is outside of the window");
    }

    /// Anonymous private memory, at or (without MAP_FIXED) perhaps near the hint.
    pub(crate) fn map(&self, addr: u64, length: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        self.assert_in_window(addr, length);
        let (prot, flags) = (prot as libc::c_int, (ANON | flags) as libc::c_int);
        // SAFETY: replaces mappings in the window only; without MAP_FIXED it replaces none.
        let got = unsafe { libc::mmap(addr as *mut libc::c_void, length as usize, prot, flags, -1, 0) };
        if got == libc::MAP_FAILED { Err(last_errno()) } else { Ok(got as u64) }
    }

    /// A mapping of the file from this page on.
    pub(crate) fn map_file(&self, addr: u64, length: u64, prot: u64, flags: u64, page: u64) -> Result<u64, Errno> {
        self.assert_in_window(addr, length);
        let (prot, flags) = (prot as libc::c_int, flags as libc::c_int);
        let (at, fd, offset) = (addr as *mut libc::c_void, self.mapped.as_raw_fd(), (page * PAGE) as libc::off_t);
        // SAFETY: replaces mappings in the window only; without MAP_FIXED it replaces none.
        let got = unsafe { libc::mmap(at, length as usize, prot, flags, fd, offset) };
        if got == libc::MAP_FAILED { Err(last_errno()) } else { Ok(got as u64) }
    }

    /// Takes back a mapping that went elsewhere.
    pub(crate) fn unmap_elsewhere(&self, start: u64, length: u64) {
        assert!(start + length <= self.start || self.end <= start);
        // SAFETY: the caller got this mapping from `map` and has not used it.
        assert_eq!(unsafe { libc::munmap(start as *mut libc::c_void, length as usize) }, 0);
    }

    pub(crate) fn unmap(&self, start: u64, length: u64) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        // SAFETY: nothing in the window is referenced.
        answer(unsafe { libc::munmap(start as *mut libc::c_void, length as usize) })
    }

    pub(crate) fn protect(&self, start: u64, length: u64, prot: u64) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        // SAFETY: nothing in the window is referenced.
        answer(unsafe { libc::mprotect(start as *mut libc::c_void, length as usize, prot as libc::c_int) })
    }

    /// Shared anonymous memory.
    pub(crate) fn map_shared(&self, addr: u64, length: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        self.assert_in_window(addr, length);
        let flags = (flags | map::SHARED | map::ANONYMOUS) as libc::c_int;
        // SAFETY: replaces mappings in the window only; without MAP_FIXED it replaces none.
        let got = unsafe { libc::mmap(addr as *mut libc::c_void, length as usize, prot as libc::c_int, flags, -1, 0) };
        if got == libc::MAP_FAILED { Err(last_errno()) } else { Ok(got as u64) }
    }

    pub(crate) fn remap(&self, request: &MremapRequest) -> Result<u64, Errno> {
        let &MremapRequest { addr, old_length, new_length, flags, new_addr } = request;
        self.assert_in_window(addr, old_length);
        self.assert_in_window(new_addr, new_length);
        // SAFETY: nothing in the window is referenced; what goes elsewhere replaces nothing.
        let got = unsafe {
            libc::mremap(
                addr as *mut libc::c_void,
                old_length as usize,
                new_length as usize,
                flags as libc::c_int,
                new_addr as *mut libc::c_void,
            )
        };
        if got == libc::MAP_FAILED { Err(last_errno()) } else { Ok(got as u64) }
    }

    pub(crate) fn lock(&self, start: u64, length: u64, on_fault: bool) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        let (pointer, length) = (start as *const libc::c_void, length as usize);
        // SAFETY: changes no contents.
        answer(unsafe {
            if on_fault { libc::mlock2(pointer, length, libc::MLOCK_ONFAULT) } else { libc::mlock(pointer, length) }
        })
    }

    pub(crate) fn unlock(&self, start: u64, length: u64) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        // SAFETY: changes no contents.
        answer(unsafe { libc::munlock(start as *const libc::c_void, length as usize) })
    }

    pub(crate) fn advise(&self, start: u64, length: u64, advice: u32) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        // SAFETY: nothing in the window is referenced.
        answer(unsafe { libc::madvise(start as *mut libc::c_void, length as usize, advice as libc::c_int) })
    }

    pub(crate) fn sync(&self, start: u64, length: u64, flags: u64) -> Result<(), Errno> {
        self.assert_in_window(start, length);
        // SAFETY: changes no contents.
        answer(unsafe { libc::msync(start as *mut libc::c_void, length as usize, flags as libc::c_int) })
    }

    pub(crate) fn resident(&self, start: u64, pages: u64) -> Result<Vec<bool>, Errno> {
        let mut vector = vec![0u8; pages as usize];
        let length = (pages * PAGE) as usize;
        // SAFETY: `vector` has a byte for each page.
        answer(unsafe { libc::mincore(start as *mut libc::c_void, length, vector.as_mut_ptr()) })?;
        Ok(vector.into_iter().map(|byte| byte & 1 != 0).collect())
    }

    /// Has the kernel read or write a byte on this process's behalf: a bad address gives EFAULT and no signal.
    pub(crate) fn touch(&self, address: u64, write: bool) -> bool {
        self.assert_in_window(address, 1);
        let pointer = address as *mut libc::c_void;
        if write {
            // SAFETY: a byte in the window, which nothing references, or EFAULT.
            return unsafe { libc::read(self.zero.as_raw_fd(), pointer, 1) } == 1;
        }
        // SAFETY: reads a byte in the window, or EFAULT.
        let done = unsafe { libc::write(self.pipe.1.as_raw_fd(), pointer, 1) } == 1;
        if done {
            let mut byte = 0u8;
            // SAFETY: `byte` has room for one byte; it is in the pipe.
            assert_eq!(unsafe { libc::read(self.pipe.0.as_raw_fd(), (&raw mut byte).cast(), 1) }, 1);
        }
        done
    }

    /// The rows of `/proc/self/smaps` in the window.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let text = std::fs::read_to_string("/proc/self/smaps").expect("/proc/self/smaps");
        let mut rows = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some((start, end)) = key.split_once('-') {
                let parse = |number| u64::from_str_radix(number, 16).expect("an address");
                let (start, end) = (parse(start), parse(end));
                inside = start < self.end && self.start < end;
                if inside {
                    let mut fields = rest.split_ascii_whitespace().skip(1);
                    let offset = parse(fields.next().expect("an offset"));
                    let file = fields.nth(1).expect("an inode") != "0";
                    rows.push(Row { start, end, offset, file, ..Row::default() });
                }
            } else if inside {
                let row = rows.last_mut().expect("a row before its fields");
                match key {
                    // Linux maps pages of a file around the one that was touched.
                    "Rss:" if !row.file => row.rss = pages(rest),
                    "Anonymous:" => row.anonymous = pages(rest),
                    "VmFlags:" => row.set_flags(rest),
                    _ => {}
                }
            }
        }
        rows
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // Also after a failure: the next, smaller case needs an empty window.
        self.unmap(self.start, self.end - self.start).expect("the window can be unmapped");
    }
}
