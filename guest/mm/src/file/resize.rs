//! Changing what a file has: its length, and holes punched into it.
//!
//! Whoever calls these has taken the pages that go out of all page tables before.

use pagelab_abi::layout::PAGE_SIZE;

use super::{FileId, ReadError};
use crate::{context::Context, machine::Machine, trace::Trace};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Gives a file another length, in bytes. A shorter one frees the pages beyond it, and what the last page had there
    /// is zeros from now on, should the file grow again. A longer one ends with a hole.
    pub fn resize_file(&mut self, id: FileId, length: u64) {
        let old = self.file(id).length;
        if length < old {
            self.drop_pages(id, length.div_ceil(PAGE_SIZE), u64::MAX);
            let tail = (length % PAGE_SIZE) as usize;
            if tail != 0
                && let Some(pfn) = self.cached(id, length / PAGE_SIZE)
            {
                self.zero_part(pfn, tail, PAGE_SIZE as usize - tail);
            }
        }
        let file = self.file_mut(id);
        file.length = length;
        file.backed = file.backed.min(length);
    }

    /// Makes the bytes `start..end` of a file, as far as it has them, zeros, and frees the pages that lie wholly in
    /// there.
    ///
    /// # Errors
    /// [`ReadError::OutOfMemory`]: a page that the backing would show has to be kept as zeros, and there is no frame
    /// for it. What came before it is zeros.
    pub fn punch_file(&mut self, id: FileId, start: u64, end: u64) -> Result<(), ReadError> {
        let file = *self.file(id);
        // Past the end the last page has nothing but zeros anyway.
        let end = if end >= file.length { file.length.next_multiple_of(PAGE_SIZE) } else { end };
        if start >= end {
            return Ok(());
        }
        let (first, last) = (start.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        let edges = if start / PAGE_SIZE == end / PAGE_SIZE {
            [(start, end), (0, 0)]
        } else {
            [(start, first * PAGE_SIZE), (last * PAGE_SIZE, end)]
        };
        for (from, to) in edges {
            if from < to && !self.is_hole(id, from / PAGE_SIZE) {
                let (pfn, _) = self.write_page(id, from / PAGE_SIZE)?;
                let offset = (from % PAGE_SIZE) as usize;
                self.zero_part(pfn, offset, (to - from) as usize);
            }
        }
        if first < last {
            self.drop_pages(id, first, last);
        }
        for index in first..last.min(file.backed.div_ceil(PAGE_SIZE)) {
            self.bring_in(id, index, false)?;
        }
        Ok(())
    }
}
