//! Tables of kilobytes, as smaps and meminfo have them: a name in 16 columns, a number in 8, ` kB`.
//!
//! Lines are made once, at compile time, with zeros; only numbers that are not 0 are written into a copy.

use super::out::{Out, write_decimal};

/// Columns of a name.
const NAME: usize = 16;
/// Columns up to the end of the number.
const NUMBER_END: usize = NAME + 8;
/// Bytes of a line.
pub(super) const LINE: usize = NUMBER_END + " kB\n".len();
/// First number that has more digits than there are columns.
const WIDE: u64 = 100_000_000;

/// The lines of a table, each with the number 0.
pub(super) const fn lines<const N: usize>(names: [&str; N]) -> [[u8; LINE]; N] {
    let mut lines = [*b"                       0 kB\n"; N];
    let mut row = 0;
    while row < N {
        let name = names[row].as_bytes();
        let mut column = 0;
        while column < name.len() {
            lines[row][column] = name[column];
            column += 1;
        }
        row += 1;
    }
    lines
}

/// Adds a table. A number that is too long makes its line longer, as in Linux.
pub(super) fn put<const N: usize>(out: &mut Out<'_>, lines: &[[u8; LINE]; N], values: &[u64; N]) {
    if values.iter().any(|value| *value >= WIDE) {
        for (line, value) in lines.iter().zip(values) {
            out.bytes(&line[..NAME]);
            out.decimal_right(*value, NUMBER_END - NAME);
            out.text(" kB\n");
        }
        return;
    }
    let mut table = *lines;
    for (line, value) in table.iter_mut().zip(values) {
        if *value != 0 {
            write_decimal(&mut line[NAME..NUMBER_END], *value);
        }
    }
    out.bytes(table.as_flattened());
}
