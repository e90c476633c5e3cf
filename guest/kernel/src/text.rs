//! A buffer that text is formatted in.

use core::fmt::{self, Write};

/// A text in the making; what is longer than its capacity in bytes is cut.
pub(crate) struct Text<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl<const CAPACITY: usize> Text<CAPACITY> {
    /// An empty text.
    pub(crate) const fn new() -> Self {
        Text { bytes: [0; CAPACITY], length: 0 }
    }

    /// Replaces the text, and gives its bytes.
    pub(crate) fn format(&mut self, text: fmt::Arguments<'_>) -> &[u8] {
        self.length = 0;
        // write_str never fails: it cuts.
        let _ = self.write_fmt(text);
        &self.bytes[..self.length]
    }
}

impl<const CAPACITY: usize> Write for Text<CAPACITY> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = &text.as_bytes()[..text.len().min(CAPACITY - self.length)];
        self.bytes[self.length..self.length + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        Ok(())
    }
}
