//! Makes system calls with wild arguments, for the fuzzer; it may die of one.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "the arguments are wild on purpose")]

use core::{
    arch::{asm, global_asm},
    fmt::Write,
};

use pagelab_user::{
    arguments::{self, Options},
    memory::PAGE_SIZE,
    output::{Failure, Output},
    program, sys,
    wild::{ADDRESSES, LENGTHS, PATHS, Random, kinds},
};

const HELP: &str = "\
usage: fuzz-syscalls [--seed N] [--calls N] [--numbers N,N,...]
  --seed N     seed of calls and arguments (1)
  --calls N    how many calls (200)
  --numbers    which calls, by number (0 to 199 without those that end the program)
";

/// Pages that calls about memory mostly work on.
const ARENA_PAGES: usize = 64;
/// Words that structures are made in.
const WORDS: usize = 64;
/// Bytes after them that calls may read and write.
const BUFFER: usize = 3 * PAGE_SIZE;
/// Calls that end the program often, or make it wait for nobody: made seldom. rt_sigreturn, poll, select, the limits,
/// rt_sigtimedwait, futex, pselect6, ppoll, prlimit64.
const SELDOM: [usize; 9] = [15, 7, 23, 160, 128, 202, 270, 271, 302];
/// Calls that end or stop it: pause, exit, rt_sigsuspend, exit_group.
const NEVER: [usize; 4] = [34, 60, 130, 231];
/// Signals that no instruction raises and that can be caught, and a few that there are not.
const SIGNALS: [usize; 14] = [0, 1, 2, 10, 12, 14, 15, 17, 18, 28, 34, 64, 65, 100];

const RT_SIGACTION: usize = 13;

global_asm!(
    ".globl fuzz_handler, fuzz_restorer",
    "fuzz_handler: ret",
    "fuzz_restorer: mov eax, 15",
    "syscall",
    // rt_sigreturn does not come back.
    "ud2",
);

unsafe extern "C" {
    fn fuzz_handler();
    fn fuzz_restorer();
}

/// Makes a system call; the result as Linux gives it.
///
/// # Safety
/// Whatever the call does to the program must be wanted.
unsafe fn call(number: usize, args: [usize; 6]) -> usize {
    let result;
    // SAFETY: RCX and R11 are what the instruction itself destroys; the caller vouches for the rest.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// What arguments are made of.
struct Fuzzer {
    random: Random,
    /// Pages to map, unmap and change.
    arena: usize,
    /// Words, then a buffer, then nothing mapped.
    words: usize,
    /// Results of late: descriptors and addresses among them.
    results: [usize; 8],
}

impl Fuzzer {
    fn new(seed: u64) -> Result<Fuzzer, Failure> {
        let map = |length| {
            let mapped = sys::map_anonymous(length, sys::PROT_READ | sys::PROT_WRITE);
            mapped.map_err(Failure::system("mmap"))
        };
        let words = map(WORDS * 8 + BUFFER)?;
        let whole = (WORDS * 8 + BUFFER).next_multiple_of(PAGE_SIZE);
        sys::unmap(words + whole - PAGE_SIZE, PAGE_SIZE).map_err(Failure::system("munmap"))?;
        let arena = map(ARENA_PAGES * PAGE_SIZE)?;
        Ok(Fuzzer { random: Random(seed), arena, words, results: [0; 8] })
    }

    /// Signals that can be caught do nothing from now on.
    fn catch_signals(&mut self) {
        for signal in SIGNALS {
            self.fill_action(0);
            // SAFETY: the handler only returns.
            unsafe { call(RT_SIGACTION, [signal, self.words, 0, 8, 0, 0]) };
        }
    }

    /// One call, on a thread of numbers that the seed decides.
    fn step(&mut self, number: usize) -> usize {
        self.fill_words(number);
        let kinds = kinds(number);
        let mut args = [0; 6];
        for (index, arg) in args.iter_mut().enumerate() {
            let kind = kinds.get(index).copied().unwrap_or(b'?');
            // A signal is never anything else: a program that kills itself tells nothing.
            *arg = if kind != b's' && self.random.once_in(5) { self.anything() } else { self.argument(kind) };
        }
        // SAFETY: what becomes of the program is the purpose.
        let result = unsafe { call(number, args) };
        let place = self.random.below(self.results.len());
        self.results[place] = result;
        result
    }

    /// Writes structures that the next call may be given.
    fn fill_words(&mut self, number: usize) {
        if number == RT_SIGACTION {
            let handler = self.random.below(3);
            return self.fill_action(handler);
        }
        for index in 0..8 {
            let value = match index % 2 {
                0 => self.argument(b'b'),
                _ => self.argument(b'n'),
            };
            let value = if self.random.once_in(3) { self.anything() } else { value };
            self.put(index, value);
        }
    }

    /// A `struct sigaction`: 0 for the handler that only returns, 1 to ignore the signal, 2 for wild flags and mask.
    fn fill_action(&mut self, kind: usize) {
        const SA_RESTORER: usize = 0x0400_0000;
        let handler = if kind == 1 { 1 } else { fuzz_handler as *const () as usize };
        let wild = if kind == 2 { self.anything() & !0x8000_0000 } else { 0 };
        for (index, value) in
            [handler, SA_RESTORER | wild, fuzz_restorer as *const () as usize, wild].iter().enumerate()
        {
            self.put(index, *value);
        }
    }

    fn put(&mut self, index: usize, value: usize) {
        // SAFETY: the words are mapped, unless a call has taken them away; then the program dies, as it may.
        unsafe { pagelab_user::memory::store(self.words + 8 * index, value as u64) };
    }

    /// A value that fits an argument, mostly.
    fn argument(&mut self, kind: u8) -> usize {
        const AT_FDCWD: usize = -100isize as usize;
        let random = &mut self.random;
        match kind {
            b'd' => match random.below(4) {
                0 => random.of(&self.results),
                1 => random.below(4),
                _ => random.below(12),
            },
            b'D' => {
                if random.once_in(4) {
                    random.below(8)
                } else {
                    AT_FDCWD
                }
            }
            b'b' => match random.below(8) {
                0..=3 => self.words,
                4..=5 => self.words + random.below(WORDS * 8 + BUFFER),
                6 => self.arena + random.below(ARENA_PAGES * PAGE_SIZE),
                _ => random.of(&ADDRESSES),
            },
            b'v' => self.words + 16 * random.below(3),
            b'l' => match random.below(4) {
                0 => random.below(8192),
                1 => PAGE_SIZE * random.below(ARENA_PAGES),
                2 => random.of(&LENGTHS[..18]),
                _ => random.of(&LENGTHS),
            },
            b'o' => {
                if random.once_in(2) {
                    random.below(20_000)
                } else {
                    random.of(&LENGTHS)
                }
            }
            b'p' => random.of(&PATHS).as_ptr() as usize,
            b'f' => {
                random.of(&[0, 1, 2])
                    | random.of(&[0, 0x40, 0x42, 0x200, 0x400, 0x1_0000, 0x8_0000, 0x2_0000, 0x41_0000])
            }
            b'm' => random.of(&[0, 0o600, 0o644, 0o755, 0o777, 0o7777]),
            b'a' => match random.below(16) {
                0 => random.of(&ADDRESSES),
                1 => random.of(&self.results),
                2 => self.arena + random.below(ARENA_PAGES * PAGE_SIZE),
                _ => self.arena + PAGE_SIZE * random.below(ARENA_PAGES),
            },
            b'r' => random.below(8),
            b'g' => {
                random.of(&[1, 2, 3, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32])
                    | random.of(&[0, 0, 0x100, 0x4000, 0x8000, 0x2000, 0x10_0000, 0x40])
            }
            b'n' => random.below(32),
            b's' => random.of(&SIGNALS),
            b'8' => 8,
            _ => self.anything(),
        }
    }

    fn anything(&mut self) -> usize {
        let kind = self.random.of(b"dDblopfmargn?????");
        if kind != b'?' {
            return self.argument(kind);
        }
        let random = &mut self.random;
        match random.below(5) {
            0 => random.of(&ADDRESSES).wrapping_add(random.below(3)).wrapping_sub(1),
            1 => random.of(&LENGTHS).wrapping_neg(),
            2 => 1 << random.below(64) | 1 << random.below(64),
            3 => random.below(64).wrapping_neg(),
            _ => random.number() >> random.below(64),
        }
    }
}

/// One of the numbers, which are separated by commas; 0 if there are none.
fn pick(numbers: &str, random: &mut Random) -> usize {
    let count = numbers.split(',').count();
    let number = numbers.split(',').nth(random.below(count)).unwrap_or_default();
    number.parse().unwrap_or_else(|_| random.below(200))
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let (mut seed, mut calls, mut numbers) = (1, 200, "");
    while let Some(option) = arguments::next(options)? {
        match option {
            "seed" => seed = arguments::number(options, "--seed", 0, u64::MAX)?,
            "calls" => calls = arguments::number(options, "--calls", 0, 1_000_000)?,
            "numbers" => numbers = arguments::text(options, "--numbers")?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    let mut fuzzer = Fuzzer::new(seed)?;
    fuzzer.catch_signals();
    let (mut errors, mut checksum) = (0u32, 0usize);
    for _ in 0..calls {
        let number = pick(numbers, &mut fuzzer.random);
        if NEVER.contains(&number) || SELDOM.contains(&number) && !fuzzer.random.once_in(16) {
            continue;
        }
        let result = fuzzer.step(number);
        errors += u32::from(result > usize::MAX - 4096);
        checksum = checksum.rotate_left(5) ^ result;
    }
    writeln!(out, "{calls} calls, {errors} refused, checksum {checksum:#x}")?;
    Ok(0)
}

program!("fuzz-syscalls", run);
