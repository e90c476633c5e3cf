//! Grows and shrinks the heap with brk, touches it, and checks that what comes anew is zero.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "touches memory by address")]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    memory::{self, PAGE_SIZE},
    output::{Failure, Output},
    program,
    sys::{self, Errno},
};

const HELP: &str = "\
usage: heap-brk [--pages N]
  --pages N  pages the heap grows by, 2 to 65536 (64)
";

const ENOMEM: Errno = Errno(12);

/// Moves the break to `end`, or fails.
fn set(end: usize) -> Result<(), Failure> {
    if sys::brk(end) == end { Ok(()) } else { Err(Failure::System { what: "brk", errno: ENOMEM }) }
}

/// Checks that pages `range` of the heap at `start` hold `expected(page)`.
fn check(start: usize, range: core::ops::Range<usize>, expected: impl Fn(usize) -> u64) -> Result<(), Failure> {
    for page in range {
        // SAFETY: the callers check what lies below the break.
        if unsafe { memory::load(start + page * PAGE_SIZE) } != expected(page) {
            return Err(Failure::Wrong { what: "the heap does not hold what it must", page });
        }
    }
    Ok(())
}

/// Writes pages `range` of the heap at `start`.
fn fill(start: usize, range: core::ops::Range<usize>) {
    for page in range {
        // SAFETY: the callers fill what lies below the break.
        unsafe { memory::store(start + page * PAGE_SIZE, mark(page)) };
    }
}

fn mark(page: usize) -> u64 {
    page as u64 + 1
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let mut pages = 64;
    while let Some(option) = arguments::next(options)? {
        match option {
            "pages" => pages = arguments::number(options, "--pages", 2, 65536)?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    let half = pages / 2;
    let start = sys::brk(0).next_multiple_of(PAGE_SIZE);
    let end = start + pages * PAGE_SIZE;
    // A dry run over nothing: the code below is there when the counting begins.
    set(start)?;
    fill(start, 0..0);
    check(start, 0..0, |_| 0)?;
    sys::faults().map_err(Failure::system("getrusage"))?;

    let step = |out: &mut Output, what: &str, work: &dyn Fn() -> Result<(), Failure>| -> Result<(), Failure> {
        let before = sys::faults().map_err(Failure::system("getrusage"))?;
        work()?;
        let after = sys::faults().map_err(Failure::system("getrusage"))?;
        writeln!(
            out,
            "{what}: heap {} pages, ru_minflt {}",
            (sys::brk(0) - start) / PAGE_SIZE,
            after.minor - before.minor
        )?;
        Ok(())
    };
    step(out, "start", &|| Ok(()))?;
    step(out, "grow", &|| set(end))?;
    step(out, "write all", &|| {
        fill(start, 0..pages);
        Ok(())
    })?;
    step(out, "read all", &|| check(start, 0..pages, mark))?;
    step(out, "shrink to half", &|| set(start + half * PAGE_SIZE))?;
    step(out, "read the kept half", &|| check(start, 0..half, mark))?;
    step(out, "grow again", &|| set(end))?;
    step(out, "read the new half", &|| check(start, half..pages, |_| 0))?;
    step(out, "write the new half", &|| {
        fill(start, half..pages);
        Ok(())
    })?;
    step(out, "shrink to nothing", &|| set(start))?;
    Ok(0)
}

program!("heap-brk", run);
