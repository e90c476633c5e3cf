//! The program's descriptors.

use pagelab_mm::errno::Errno;

/// Descriptors a program may have open: RLIMIT_NOFILE.
pub(crate) const MAX_OPEN: usize = 64;

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Standard output (1) or standard error (2): writes go to the host.
    Console(u8),
    /// A file of the initramfs, by its index.
    File(usize),
    /// Standard input where the host gave none: always at its end.
    Nothing,
}

/// An open file.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) what: What,
    /// Where the next read begins.
    pub(crate) offset: u64,
}

/// The table of descriptors.
pub(crate) struct OpenFiles {
    table: [Option<Open>; MAX_OPEN],
}

impl OpenFiles {
    /// The three that a program starts with.
    pub(crate) fn new(stdin: What) -> OpenFiles {
        let mut table = [None; MAX_OPEN];
        for (slot, what) in table.iter_mut().zip([stdin, What::Console(1), What::Console(2)]) {
            *slot = Some(Open { what, offset: 0 });
        }
        OpenFiles { table }
    }

    /// The open file behind a descriptor. Only the low half of the register counts, as in Linux.
    pub(crate) fn get(&mut self, fd: u64) -> Result<&mut Open, Errno> {
        self.table.get_mut(fd as u32 as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Opens: the lowest free descriptor.
    pub(crate) fn open(&mut self, what: What) -> Result<u64, Errno> {
        let fd = self.table.iter().position(Option::is_none).ok_or(Errno::EMFILE)?;
        self.table[fd] = Some(Open { what, offset: 0 });
        Ok(fd as u64)
    }

    /// Closes.
    pub(crate) fn close(&mut self, fd: u64) -> Result<(), Errno> {
        self.get(fd)?;
        self.table[fd as u32 as usize] = None;
        Ok(())
    }
}
