//! Overcommit: how much memory programs are promised, and when a promise is refused.
//!
//! See Linux's Documentation/mm/overcommit-accounting.rst. Counted are private writable mappings (those with
//! [`VmFlags::ACCOUNT`](crate::vma::VmFlags::ACCOUNT)) by their size, and shared memory.

use crate::{context::Context, errno::Errno, file::FileId, machine::Machine, trace::Trace};

/// vm.overcommit_ratio: percent of RAM in the commit limit.
const OVERCOMMIT_RATIO: u64 = 50;
/// Most pages that vm.user_reserve_kbytes keeps a large process from taking: 128 MiB.
const USER_RESERVE_MAX: u64 = 1 << 15;

/// vm.overcommit_memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overcommit {
    /// 0: a single request for more than all of RAM is refused.
    #[default]
    Heuristic,
    /// 1: nothing is refused.
    Always,
    /// 2: no more than the commit limit is promised.
    Never,
}

impl Overcommit {
    /// The mode of a value of vm.overcommit_memory; an unknown one is the default.
    pub const fn from_value(value: u32) -> Overcommit {
        match value {
            1 => Overcommit::Always,
            2 => Overcommit::Never,
            _ => Overcommit::Heuristic,
        }
    }

    /// The value of vm.overcommit_memory.
    pub const fn value(self) -> u32 {
        match self {
            Overcommit::Heuristic => 0,
            Overcommit::Always => 1,
            Overcommit::Never => 2,
        }
    }
}

/// What has been promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit {
    /// When a promise is refused.
    pub mode: Overcommit,
    /// Pages promised (Committed_AS).
    pub committed: u64,
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Pages that may be promised in mode 2 (CommitLimit). There is no swap to add.
    pub fn commit_limit(&self) -> u64 {
        self.frames.managed() * OVERCOMMIT_RATIO / 100
    }

    /// Promises `pages` pages to a process that has `total_vm` pages mapped. As on Linux, what is kept for the
    /// administrator may be used: programs run as root.
    ///
    /// # Errors
    /// ENOMEM: refused; nothing was promised.
    pub fn charge(&mut self, pages: u64, total_vm: u64) -> Result<(), Errno> {
        let fits = match self.commit.mode {
            Overcommit::Always => true,
            Overcommit::Heuristic => pages <= self.frames.managed(),
            Overcommit::Never => {
                let reserve = (total_vm / 32).min((self.frames.managed() / 32).min(USER_RESERVE_MAX));
                let promised = self.commit.committed.saturating_add(pages);
                promised < self.commit_limit().saturating_sub(reserve)
            }
        };
        if !fits {
            return Err(Errno::ENOMEM);
        }
        self.commit.committed += pages;
        Ok(())
    }

    /// Takes a promise back.
    pub fn uncharge(&mut self, pages: u64) {
        debug_assert!(pages <= self.commit.committed, "more was promised than is taken back");
        self.commit.committed -= pages;
    }

    /// Promises all of a file's pages, to a process that has `total_vm` pages mapped: what shared anonymous memory does.
    /// The file's end takes the promise back.
    ///
    /// # Errors
    /// ENOMEM: refused.
    pub fn promise_file(&mut self, id: FileId, total_vm: u64) -> Result<(), Errno> {
        let pages = self.file(id).pages();
        self.charge(pages, total_vm)?;
        self.file_mut(id).promised = pages;
        Ok(())
    }
}
