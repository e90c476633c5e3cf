//! A buffer that text is formatted in.

use core::fmt::{self, Write};

/// Bytes a text may have; what is longer is cut.
const CAPACITY: usize = 4096;

/// A text in the making.
pub(crate) struct Text {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Text {
    /// An empty text.
    pub(crate) const fn new() -> Text {
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

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = &text.as_bytes()[..text.len().min(CAPACITY - self.length)];
        self.bytes[self.length..self.length + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        Ok(())
    }
}
