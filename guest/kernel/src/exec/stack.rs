//! The stack a program starts with: strings, auxiliary vector, environment, arguments (System V ABI for x86-64, 3.4.1).

use pagelab_abi::layout::{PAGE_SIZE, STACK_TOP};
use pagelab_mm::{errno::Errno, exec::Image};

use super::Why;
use crate::{state::Kernel, user_copy};

/// Auxiliary vector keys (Linux's `auxvec.h`).
mod at {
    pub(super) const NULL: u64 = 0;
    pub(super) const PHDR: u64 = 3;
    pub(super) const PHENT: u64 = 4;
    pub(super) const PHNUM: u64 = 5;
    pub(super) const PAGESZ: u64 = 6;
    pub(super) const BASE: u64 = 7;
    pub(super) const FLAGS: u64 = 8;
    pub(super) const ENTRY: u64 = 9;
    pub(super) const UID: u64 = 11;
    pub(super) const EUID: u64 = 12;
    pub(super) const GID: u64 = 13;
    pub(super) const EGID: u64 = 14;
    pub(super) const PLATFORM: u64 = 15;
    pub(super) const HWCAP: u64 = 16;
    pub(super) const CLKTCK: u64 = 17;
    pub(super) const SECURE: u64 = 23;
    pub(super) const RANDOM: u64 = 25;
    pub(super) const HWCAP2: u64 = 26;
    pub(super) const EXECFN: u64 = 31;
}

/// Pairs in the auxiliary vector.
const AUX_PAIRS: u64 = 19;

/// The bytes before the first NUL.
pub(super) fn nul_terminated(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Writes the first stack; returns the stack pointer to start with.
pub(super) fn build(kernel: &mut Kernel, path: &[u8], image: &Image) -> Result<u64, Why> {
    let strings = kernel.boot.command_size + path.len() as u64 + 1 + 8;
    let space = &mut kernel.process.space;
    space.map_stack(&mut kernel.mm, strings, image.executable_stack).map_err(Why::Stack)?;
    let rsp = write(kernel, path, image).map_err(Why::Stack)?;
    kernel.process.space.stack_start = rsp;
    Ok(rsp)
}

fn write(kernel: &mut Kernel, path: &[u8], image: &Image) -> Result<u64, Errno> {
    let boot = kernel.boot;
    let command = kernel.mm.machine.bytes(boot.command_start, boot.command_size as usize);

    // From the top: a null word, the path, the strings as they stand in the command block, platform, random bytes.
    let execfn = STACK_TOP - 8 - (path.len() as u64 + 1);
    user_copy::write(kernel, execfn, path)?;
    let strings = execfn.checked_sub(command.len() as u64).ok_or(Errno::E2BIG)?;
    user_copy::write(kernel, strings, command)?;
    let platform = (strings - 16) / 16 * 16;
    user_copy::write(kernel, platform, b"x86_64\0")?;
    let random = platform - 16;
    let mut seed = [0; 16];
    kernel.random.fill(&mut seed);
    user_copy::write(kernel, random, &seed)?;

    let (argc, envc) = (u64::from(boot.argc), u64::from(boot.envc));
    let words = 1 + argc + 1 + envc + 1 + 2 * AUX_PAIRS;
    let rsp = (random - 8 * words) / 16 * 16;
    let mut stack = Stack { at: rsp, filled: 0, words: [0; 64] };
    stack.push(kernel, argc)?;
    let mut string = strings;
    let mut ends = command.split(|&byte| byte == 0);
    let mut blocks = [[0; 2]; 2];
    for (count, block) in [argc, envc].into_iter().zip(&mut blocks) {
        block[0] = string;
        for _ in 0..count {
            stack.push(kernel, string)?;
            string += ends.next().ok_or(Errno::EINVAL)?.len() as u64 + 1;
        }
        block[1] = string;
        stack.push(kernel, 0)?;
    }
    let layout = &mut kernel.process.layout;
    [layout.arguments, layout.environment] = blocks;
    layout.auxv = [rsp + 8 * (words - 2 * AUX_PAIRS), rsp + 8 * words];
    let features = kernel.cpu_model().iter().find(|leaf| leaf.leaf == 1).map_or(0, |leaf| u64::from(leaf.edx));
    for (key, value) in [
        (at::HWCAP, features),
        (at::PAGESZ, PAGE_SIZE),
        (at::CLKTCK, 100),
        (at::PHDR, image.headers),
        (at::PHENT, 56),
        (at::PHNUM, image.header_count),
        (at::BASE, 0),
        (at::FLAGS, 0),
        (at::ENTRY, image.entry),
        (at::UID, 0),
        (at::EUID, 0),
        (at::GID, 0),
        (at::EGID, 0),
        (at::SECURE, 0),
        (at::RANDOM, random),
        (at::HWCAP2, 0),
        (at::EXECFN, execfn),
        (at::PLATFORM, platform),
        (at::NULL, 0),
    ] {
        stack.push(kernel, key)?;
        stack.push(kernel, value)?;
    }
    stack.flush(kernel)?;
    Ok(rsp)
}

/// Words written upwards, some at a time.
struct Stack {
    at: u64,
    filled: usize,
    words: [u64; 64],
}

impl Stack {
    fn push(&mut self, kernel: &mut Kernel, word: u64) -> Result<(), Errno> {
        if self.filled == self.words.len() {
            self.flush(kernel)?;
        }
        self.words[self.filled] = word;
        self.filled += 1;
        Ok(())
    }

    fn flush(&mut self, kernel: &mut Kernel) -> Result<(), Errno> {
        user_copy::put(kernel, self.at, &self.words[..self.filled])?;
        self.at += 8 * self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}
