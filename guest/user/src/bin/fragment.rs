//! Takes and gives back movable and unmovable memory at random, and tells how fragmented what is free becomes.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "touches memory by address")]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    buddy::Blocks,
    memory::{self, PAGE_SIZE},
    order,
    output::{Failure, Output},
    program, sys,
};

const HELP: &str = "\
usage: fragment [--fill PERCENT] [--unmovable PERCENT] [--rounds N] [--give-back PERCENT] [--seed S]
  --fill PERCENT       of the memory that is free at the start, in use from then on, 1 to 90 (55)
  --unmovable PERCENT  of what is in use at last that cannot be moved, 0 to 50 (6): it grows with each round
  --rounds N           how often memory is filled again after the first time, 0 to 1000 (5)
  --give-back PERCENT  of the unmovable memory that is given back between two fillings, 0 to 100 (30)
  --seed S             chooses what is given back, and what is taken (1)
Movable memory is anonymous, in runs of 4 pages; all of it is given back between two fillings. Unmovable memory is what
pipes hold: what remains of it is in the way of blocks of 2 MiB and cannot be moved out of it. A line is written when
memory is full and when it is empty: the free pages, the blocks of 2 MiB there are and could be, and how many thousandths
of the free pages are in smaller blocks (the unusable free space index). Before, /proc/sys/vm/compact_memory is written,
so that no page lies in a CPU's list.
";

/// Pages in a run of movable memory.
const RUN: usize = 4;
/// Most runs: a GiB.
const MOST_RUNS: usize = 1 << 16;
/// Order of a block of 2 MiB.
const HUGE: usize = 9;
/// Pages that a pipe holds.
const PIPE_PAGES: u32 = 16;
/// Most pipes, of two descriptors each.
const MOST_PIPES: usize = 500;

/// Pseudo-random numbers: places of a shuffle.
struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        (order::shuffle(self.drawn % (1 << 32), 1 << 32, self.seed) % bound as u64) as usize
    }
}

/// Runs of pages of one mapping, in use or not.
struct Movable {
    base: usize,
    /// Indices of runs: those in use come first.
    runs: [u16; MOST_RUNS],
    used: usize,
    count: usize,
}

impl Movable {
    fn take(&mut self, random: &mut Random) {
        if self.used == self.count {
            return;
        }
        let chosen = self.used + random.below(self.count - self.used);
        self.runs.swap(self.used, chosen);
        let run = usize::from(self.runs[self.used]);
        for page in 0..RUN {
            // SAFETY: the run lies in the mapping.
            unsafe { memory::store(self.base + (run * RUN + page) * PAGE_SIZE, 1) };
        }
        self.used += 1;
    }

    fn give(&mut self, random: &mut Random) -> Result<(), Failure> {
        if self.used == 0 {
            return Ok(());
        }
        self.used -= 1;
        let chosen = random.below(self.used + 1);
        self.runs.swap(self.used, chosen);
        let run = usize::from(self.runs[self.used]);
        sys::dont_need(self.base + run * RUN * PAGE_SIZE, RUN * PAGE_SIZE).map_err(Failure::system("madvise"))
    }
}

/// Pipes with what they hold.
struct Unmovable {
    ends: [(i32, i32); MOST_PIPES],
    pages: [u32; MOST_PIPES],
    pipes: usize,
    page: [u8; PAGE_SIZE],
}

impl Unmovable {
    fn used(&self) -> usize {
        self.pages[..self.pipes].iter().map(|&pages| pages as usize).sum()
    }

    fn take(&mut self, random: &mut Random) -> Result<(), Failure> {
        let pipe = random.below(self.pipes);
        if self.pages[pipe] < PIPE_PAGES {
            sys::write(self.ends[pipe].1, &self.page).map_err(Failure::system("write"))?;
            self.pages[pipe] += 1;
        }
        Ok(())
    }

    fn give(&mut self, random: &mut Random) -> Result<(), Failure> {
        let pipe = random.below(self.pipes);
        if self.pages[pipe] > 0 {
            sys::read(self.ends[pipe].0, &mut self.page).map_err(Failure::system("read"))?;
            self.pages[pipe] -= 1;
        }
        Ok(())
    }
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let (mut fill, mut percent, mut rounds, mut give_back, mut seed) = (55, 6, 5, 30, 1);
    while let Some(option) = arguments::next(options)? {
        match option {
            "fill" => fill = arguments::number(options, "--fill", 1, 90)?,
            "unmovable" => percent = arguments::number(options, "--unmovable", 0, 50)?,
            "rounds" => rounds = arguments::number(options, "--rounds", 0, 1000)?,
            "give-back" => give_back = arguments::number(options, "--give-back", 0, 100)?,
            "seed" => seed = arguments::number(options, "--seed", 0, u64::MAX)?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    let mut random = Random { seed, drawn: 0 };
    let goal = blocks()?.pages() as usize * fill / 100;
    let fixed = (goal * percent / 100).min(MOST_PIPES * PIPE_PAGES as usize / 2);
    let runs = ((goal - fixed) / RUN).min(MOST_RUNS / 2);
    let (movable, unmovable) = state(runs, fixed)?;

    for round in 0..=rounds {
        // Both kinds grow together, as in a machine that has just booted.
        let wanted = fixed * (round + 1) / (rounds + 1);
        let (mut runs_left, mut pages_left) = (runs - movable.used, wanted.saturating_sub(unmovable.used()));
        while runs_left + pages_left > 0 {
            if random.below(runs_left + pages_left) < runs_left {
                movable.take(&mut random);
                runs_left -= 1;
            } else {
                unmovable.take(&mut random)?;
                pages_left -= 1;
            }
        }
        line(out, "full", round)?;
        if round < rounds {
            for _ in 0..unmovable.used() * give_back / 100 {
                unmovable.give(&mut random)?;
            }
        }
        while movable.used > 0 {
            movable.give(&mut random)?;
        }
        line(out, "empty", round)?;
    }
    writeln!(out, "unmovable pages: {}", unmovable.used())?;
    Ok(0)
}

/// The state, in memory of its own that is touched before anything is measured.
fn state(runs: usize, fixed: usize) -> Result<(&'static mut Movable, &'static mut Unmovable), Failure> {
    let place =
        |size: usize| sys::map_anonymous(size, sys::PROT_READ | sys::PROT_WRITE).map_err(Failure::system("mmap"));
    let (first, second) = (place(size_of::<Movable>())?, place(size_of::<Unmovable>())?);
    // SAFETY: fresh zeroed mappings of that size, page aligned; all-zero bytes are valid for both types, and nobody
    // else has a reference.
    let (movable, unmovable) = unsafe { (&mut *(first as *mut Movable), &mut *(second as *mut Unmovable)) };
    movable.count = runs * 5 / 4;
    let length = movable.count * RUN * PAGE_SIZE;
    movable.base = place(length)?;
    // Linux counts one fault for a whole huge page; where there are none the refusal is fine.
    let _ = sys::no_huge_pages(movable.base, length);
    for (index, run) in movable.runs[..movable.count].iter_mut().enumerate() {
        *run = index as u16;
    }
    // Room for twice what is wanted, so that chance can leave some pipes empty and fill none.
    unmovable.pipes = (fixed * 2).div_ceil(PIPE_PAGES as usize).clamp(1, MOST_PIPES);
    for pipe in 0..unmovable.pipes {
        unmovable.ends[pipe] = sys::pipe().map_err(Failure::system("pipe"))?;
    }
    Ok((movable, unmovable))
}

/// Has the kernel join what its CPUs keep in lists of single pages with the rest: there is no telling blocks of 2 MiB else.
/// Only root may ask for it.
fn compact() -> Result<(), Failure> {
    let file = sys::open_to_write(c"/proc/sys/vm/compact_memory").map_err(Failure::system("open of compact_memory"))?;
    sys::write(file, b"1").map_err(Failure::system("write to compact_memory"))?;
    sys::close(file).map_err(Failure::system("close"))
}

fn blocks() -> Result<Blocks, Failure> {
    Blocks::read().map_err(Failure::system("read of /proc/buddyinfo"))
}

fn line(out: &mut Output, what: &str, round: usize) -> Result<(), Failure> {
    compact()?;
    let blocks = blocks()?;
    let (free, whole, unusable) = (blocks.pages(), blocks.whole(HUGE), blocks.unusable_index(HUGE));
    writeln!(out, "{what} {round}: free {free} huge {whole} of {} unusable {unusable}", free >> HUGE)?;
    Ok(())
}

program!("fragment", run);
