//! Has the kernel look VMAs up, many times and nothing else: what `find_vma` costs with so many of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    memory::PAGE_SIZE,
    order,
    output::{Failure, Output},
    program,
    sys::{self, PROT_NONE, PROT_READ},
};

const HELP: &str = "\
usage: find-vma [--vmas N] [--lookups N] [--pattern random|same] [--dry]
  --vmas N     VMAs of one page each beside the program's own, 1 to 60000 (1000)
  --lookups N  look-ups, 0 to 1000000 (100)
  --pattern P  random: all VMAs in a shuffled order, again and again; same: always the middle one (random)
  --dry        the same calls without a look-up, for comparison
";

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let (mut vmas, mut lookups, mut shuffled, mut dry) = (1000, 100u64, true, false);
    while let Some(option) = arguments::next(options)? {
        match option {
            "vmas" => vmas = arguments::number(options, "--vmas", 1, 60000)?,
            "lookups" => lookups = arguments::number(options, "--lookups", 0, 1_000_000)?,
            "pattern" => {
                shuffled = match arguments::text(options, "--pattern")? {
                    "random" => true,
                    "same" => false,
                    _ => return Err(Failure::Usage { what: "--pattern", why: "not random or same" }),
                }
            }
            "dry" => dry = true,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    // Neighbours differ in their rights, so that they stay apart, and nothing is promised memory by being writable. From the top: what is still to be cut is then the
    // lowest mapping of the area, which a list finds at once.
    let start = sys::map_anonymous(vmas * PAGE_SIZE, PROT_READ).map_err(Failure::system("mmap"))?;
    for page in (1..vmas).rev().filter(|page| page % 2 == 1) {
        sys::protect(start + page * PAGE_SIZE, PAGE_SIZE, PROT_NONE).map_err(Failure::system("mprotect"))?;
    }
    // msync does nothing for anonymous memory but look it up, and with length 0 not even that.
    let length = if dry { 0 } else { PAGE_SIZE };
    for lookup in 0..lookups {
        let page = if shuffled { order::shuffle(lookup % vmas as u64, vmas as u64, 1) as usize } else { vmas / 2 };
        sys::sync(start + page * PAGE_SIZE, length).map_err(Failure::system("msync"))?;
    }
    writeln!(out, "{lookups} look-ups among {vmas} VMAs")?;
    Ok(0)
}

program!("find-vma", run);
