//! Maps anonymous pages and touches each once, or once a pass: reads or writes, in order, shuffled or by a stride.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "touches memory by address")]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    memory::{self, PAGE_SIZE},
    order::{self, Order},
    output::{Failure, Output},
    program, sys,
};

const HELP: &str = "\
usage: demand-paging [--pages N] [--passes N] [--read-percent P] [--pattern seq|random|stride:K] [--seed S]
  --pages N         pages to map and touch, 1 to 16777216 (256)
  --passes N        how many times all pages are touched, each time alike, 1 to 4294967295 (1)
  --read-percent P  how many of them are read instead of written (0); the seed says which
  --pattern P       seq (the default), random, or stride:K: every K-th page, round and round
  --seed S          chooses the shuffle and the pages that are read (1)
";

/// What is written to page `page`.
const fn mark(page: u64) -> u64 {
    page ^ 0x7061_6765_6c61_6221
}

/// What to touch and how.
#[derive(Clone, Copy)]
struct Plan {
    pages: u64,
    passes: u64,
    reads: u64,
    order: Order,
    pattern: &'static str,
    seed: u64,
}

impl Plan {
    fn is_read(&self, page: u64) -> bool {
        order::shuffle(page, self.pages, !self.seed) < self.reads
    }

    /// Touches every page once a pass. Never inlined: a dry run over a page that is there already brings in this very code,
    /// so that the real run's faults are those of the touches alone. Returns the bits that the reads found set.
    #[inline(never)]
    fn touch(&self, base: usize) -> u64 {
        let mut found = 0;
        for _ in 0..self.passes {
            for index in 0..self.pages {
                let page = self.order.page(index, self.pages);
                let address = base + page as usize * PAGE_SIZE;
                if self.is_read(page) {
                    // SAFETY: the caller mapped `pages` pages at `base`.
                    found |= unsafe { memory::load(address) };
                } else {
                    // SAFETY: as above.
                    unsafe { memory::store(address, mark(page)) };
                }
            }
        }
        found
    }
}

fn pattern(text: &'static str, seed: u64) -> Result<Order, Failure> {
    const WHAT: &str = "--pattern";
    match text {
        "seq" => Ok(Order::Sequential),
        "random" => Ok(Order::Random { seed }),
        _ => {
            let stride = text
                .strip_prefix("stride:")
                .ok_or(Failure::Usage { what: WHAT, why: "not seq, random or stride:K" })?;
            match stride.parse() {
                Ok(stride) if stride > 0 => Ok(Order::Stride { stride }),
                _ => Err(Failure::Usage { what: WHAT, why: "the K of stride:K is a whole number from 1" }),
            }
        }
    }
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let (mut pages, mut passes, mut percent, mut text, mut seed) = (256, 1, 0, "seq", 1);
    while let Some(option) = arguments::next(options)? {
        match option {
            "pages" => pages = arguments::number(options, "--pages", 1, 1 << 24)?,
            "passes" => passes = arguments::number(options, "--passes", 1, u64::from(u32::MAX))?,
            "read-percent" => percent = arguments::number(options, "--read-percent", 0, 100)?,
            "pattern" => text = arguments::text(options, "--pattern")?,
            "seed" => seed = arguments::number(options, "--seed", 0, u64::MAX)?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    let reads = pages * percent / 100;
    let plan = Plan { pages, passes, reads, order: pattern(text, seed)?, pattern: text, seed };

    let length = plan.pages as usize * PAGE_SIZE;
    let base = sys::map_anonymous(length, sys::PROT_READ | sys::PROT_WRITE).map_err(Failure::system("mmap"))?;
    // Linux counts one fault for a whole huge page; where there are none the refusal is fine.
    let _ = sys::no_huge_pages(base, length);

    let mut here = 0u64;
    for reads in [0, 1] {
        Plan { pages: 1, passes: 1, reads, ..plan }.touch((&raw mut here) as usize);
    }
    sys::faults().map_err(Failure::system("getrusage"))?;
    let before = sys::faults().map_err(Failure::system("getrusage"))?;
    let found = plan.touch(base);
    let after = sys::faults().map_err(Failure::system("getrusage"))?;
    if found != 0 {
        return Err(Failure::Wrong { what: "a page that was never written is not zero", page: 0 });
    }
    check(&plan, base)?;

    writeln!(out, "pages: {}", plan.pages)?;
    writeln!(out, "passes: {}", plan.passes)?;
    writeln!(out, "pattern: {}", plan.pattern)?;
    writeln!(out, "seed: {}", plan.seed)?;
    writeln!(out, "read: {}", plan.reads)?;
    writeln!(out, "written: {}", plan.pages - plan.reads)?;
    writeln!(out, "ru_minflt: {}", after.minor - before.minor)?;
    writeln!(out, "ru_majflt: {}", after.major - before.major)?;
    Ok(0)
}

/// Looks at every page again: what was written is there, what was read is zero.
fn check(plan: &Plan, base: usize) -> Result<(), Failure> {
    for page in 0..plan.pages {
        let expected = if plan.is_read(page) { 0 } else { mark(page) };
        // SAFETY: the page lies in the mapping.
        if unsafe { memory::load(base + page as usize * PAGE_SIZE) } != expected {
            return Err(Failure::Wrong { what: "does not hold what was written", page: page as usize });
        }
    }
    Ok(())
}

program!("demand-paging", run);
