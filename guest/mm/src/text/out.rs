//! Where texts go, and how numbers get into them: by hand, since where ring 0 is emulated `core::fmt` costs ten times
//! as many instructions.

use core::fmt;

/// Takes the bytes of a text. Not every text is UTF-8: a path is what its maker made it.
pub trait Sink {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The text is too long for the place it goes to.
    fn put(&mut self, text: &[u8]) -> fmt::Result;
}

/// On the host texts are strings; what is not UTF-8 is replaced.
impl<W: fmt::Write + ?Sized> Sink for W {
    fn put(&mut self, text: &[u8]) -> fmt::Result {
        for chunk in text.utf8_chunks() {
            self.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Digits of the largest 64-bit number.
const MAX_DIGITS: usize = 20;
/// Bytes that are collected before the sink gets them.
const SIZE: usize = 256;

/// Text on its way to a sink, piece by piece. The first error stays, and [`Out::finish`] tells it.
pub(super) struct Out<'a> {
    sink: &'a mut dyn Sink,
    result: fmt::Result,
    bytes: [u8; SIZE],
    length: usize,
}

impl<'a> Out<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Out { sink, result: Ok(()), bytes: [0; SIZE], length: 0 }
    }

    /// Hands the rest over.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.flush();
        self.result
    }

    fn flush(&mut self) {
        if self.length != 0 && self.result.is_ok() {
            self.result = self.sink.put(&self.bytes[..self.length]);
        }
        self.length = 0;
    }

    /// Makes sure that the next so many bytes (at most 256) will not be handed over before the last of them is there.
    pub(super) fn reserve(&mut self, length: usize) {
        if self.length + length > SIZE {
            self.flush();
        }
    }

    /// Bytes that are not handed over yet.
    pub(super) fn pending(&self) -> usize {
        self.length
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, text: &[u8]) {
        if self.length + text.len() > SIZE {
            self.flush();
            if text.len() > SIZE {
                if self.result.is_ok() {
                    self.result = self.sink.put(text);
                }
                return;
            }
        }
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds one byte.
    pub(super) fn byte(&mut self, byte: u8) {
        if self.length == SIZE {
            self.flush();
        }
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Adds a byte so many times.
    pub(super) fn fill(&mut self, byte: u8, count: usize) {
        for _ in 0..count {
            self.byte(byte);
        }
    }

    /// Adds text, padded with blanks on its left to a width.
    pub(super) fn right(&mut self, text: &str, width: usize) {
        self.fill(b' ', width.saturating_sub(text.len()));
        self.text(text);
    }

    /// Adds text, padded with blanks on its right to a width.
    pub(super) fn left(&mut self, text: &str, width: usize) {
        self.text(text);
        self.fill(b' ', width.saturating_sub(text.len()));
    }

    /// Adds a number.
    pub(super) fn decimal(&mut self, value: u64) {
        self.decimal_right(value, 0);
    }

    /// Adds a number that may be negative.
    pub(super) fn signed(&mut self, value: i64) {
        if value < 0 {
            self.byte(b'-');
        }
        self.decimal(value.unsigned_abs());
    }

    /// Adds a number, padded with blanks on its left to a width.
    pub(super) fn decimal_right(&mut self, value: u64, width: usize) {
        let mut digits = [b' '; MAX_DIGITS];
        let first = write_decimal(&mut digits, value);
        self.bytes(&digits[first.min(MAX_DIGITS - width.min(MAX_DIGITS))..]);
    }

    /// Adds a hexadecimal number of at least so many digits.
    pub(super) fn hex(&mut self, value: u64, width: usize) {
        let significant = (u64::BITS - value.leading_zeros()).div_ceil(4) as usize;
        for place in (0..significant.max(width).max(1)).rev() {
            let nibble = if place < 16 { (value >> (4 * place)) as u8 & 0xf } else { 0 };
            self.byte(b"0123456789abcdef"[usize::from(nibble)]);
        }
    }

    /// Adds one line `NAME VALUE`.
    pub(super) fn line(&mut self, name: &str, value: u64) {
        self.text(name);
        self.byte(b' ');
        self.decimal(value);
        self.byte(b'\n');
    }
}

/// Writes a number's digits so that the last one is the last byte; returns where the first one is. What does not fit
/// is left out.
pub(super) fn write_decimal(place: &mut [u8], mut value: u64) -> usize {
    let mut at = place.len();
    while at > 0 {
        at -= 1;
        place[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{format, string::String};

    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Out<'_>)) -> String {
        let mut text = String::new();
        let mut out = Out::new(&mut text);
        write(&mut out);
        out.finish().expect("a string takes everything");
        text
    }

    proptest! {
        #[test]
        fn numbers_are_what_the_standard_library_writes(value in any::<u64>(), shift in 0u32..64, width in 0usize..20) {
            let value = value >> shift;
            prop_assert_eq!(written(|out| out.decimal_right(value, width)), format!("{value:>width$}"));
            prop_assert_eq!(written(|out| out.hex(value, width)), format!("{value:00$x}", width.max(1)));
        }

        #[test]
        fn no_byte_is_lost_where_the_buffer_ends(lengths in proptest::collection::vec(0usize..600, 0..12)) {
            let mut expected = String::new();
            let text = written(|out| {
                for (letter, length) in (b'a'..).zip(&lengths) {
                    let piece: String = core::iter::repeat_n(char::from(letter), *length).collect();
                    out.text(&piece);
                    out.fill(b'.', length % 7);
                    expected.push_str(&piece);
                    expected.push_str(&"......."[..length % 7]);
                }
            });
            prop_assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_is_not_utf8_is_replaced_in_a_string() {
        assert_eq!(written(|out| out.bytes(b"a\xffb")), "a\u{fffd}b");
    }

    #[test]
    fn an_error_of_the_sink_stays() {
        struct Full;
        impl fmt::Write for Full {
            fn write_str(&mut self, _: &str) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        let mut full = Full;
        let mut out = Out::new(&mut full);
        out.fill(b'x', 1000);
        assert_eq!(out.finish(), Err(fmt::Error));
    }
}
