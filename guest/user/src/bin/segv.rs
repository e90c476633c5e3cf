//! Breaks a rule of memory, as asked, and dies of SIGSEGV.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "breaks the rules on purpose")]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    memory::{self, PAGE_SIZE},
    output::{Failure, Output},
    program, sys,
};

const HELP: &str = "\
usage: segv [--how WAY]
  null          write through a null pointer (the default)
  null-call     call a null pointer
  unmapped      read a page that was unmapped
  guard         write past a buffer, to the PROT_NONE page behind it
  write-text    write to the program's own code
  write-rodata  write to a constant
  read-only     write to memory made read-only by mprotect
  noexec        execute data
  kernel        read the kernel's half of the address space
";

/// A way to die: what it is called, and what does it.
type Way = fn() -> Result<(), Failure>;

const WAYS: [(&str, Way); 9] = [
    ("null", || write(8)),
    // SAFETY: to die of it is what was asked for; the same below.
    ("null-call", || unsafe { memory::jump(0) }),
    ("unmapped", || {
        let page = fresh(1)?;
        sys::unmap(page, PAGE_SIZE).map_err(Failure::system("munmap"))?;
        read(page)
    }),
    ("guard", || {
        let pages = fresh(2)?;
        sys::protect(pages + PAGE_SIZE, PAGE_SIZE, sys::PROT_NONE).map_err(Failure::system("mprotect"))?;
        write(pages)?;
        write(pages + PAGE_SIZE)
    }),
    ("write-text", || write(run as *const () as usize)),
    ("write-rodata", || write(HELP.as_ptr() as usize)),
    ("read-only", || {
        let page = fresh(1)?;
        write(page)?;
        sys::protect(page, PAGE_SIZE, sys::PROT_READ).map_err(Failure::system("mprotect"))?;
        write(page)
    }),
    ("noexec", || {
        let page = fresh(1)?;
        write(page)?;
        // SAFETY: see above.
        unsafe { memory::jump(page) }
    }),
    ("kernel", || read(0xffff_8880_0000_0000)),
];

/// `pages` pages to read and write.
fn fresh(pages: usize) -> Result<usize, Failure> {
    sys::map_anonymous(pages * PAGE_SIZE, sys::PROT_READ | sys::PROT_WRITE).map_err(Failure::system("mmap"))
}

fn write(address: usize) -> Result<(), Failure> {
    // SAFETY: the memory is the way's own, or the store ends the program, as was asked for.
    unsafe { memory::store(address, 0xc3) };
    Ok(())
}

fn read(address: usize) -> Result<(), Failure> {
    // SAFETY: as for `write`.
    unsafe { memory::load(address) };
    Ok(())
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let mut how = "null";
    while let Some(option) = arguments::next(options)? {
        match option {
            "how" => how = arguments::text(options, "--how")?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    let (_, way) = WAYS
        .iter()
        .find(|(name, _)| *name == how)
        .ok_or(Failure::Usage { what: "--how", why: "no such way, try --help" })?;
    writeln!(out, "about to die: {how}")?;
    out.flush().map_err(Failure::system("write"))?;
    way()?;
    Err(Failure::Wrong { what: "still alive", page: 0 })
}

program!("segv", run);
