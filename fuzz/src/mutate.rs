//! Changes to a valid input: flipped bits, edited fields, interesting numbers, pieces of other inputs, cuts.

use fastrand::Rng;

/// Longest input, in bytes.
const MAX_LENGTH: usize = 1 << 20;
/// Half of all changes are made in so many bytes at the start: headers are there.
const HEAD: usize = 512;

/// Numbers at which something changes: widths, pages, the ends of address ranges and of integers.
pub const NUMBERS: [u64; 40] = [
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    56,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x100,
    511,
    512,
    0xfff,
    0x1000,
    0x1001,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x20_0000,
    0x40_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_f7ff_f000,
    0x7fff_ffff_e000,
    0x7fff_ffff_f000,
    1 << 47,
    0xffff_8880_0000_0000,
    0xffff_ffff_8000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX,
];

/// One of [`NUMBERS`], at times one or a few off, at times anything.
pub fn number(random: &mut Rng) -> u64 {
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    match random.u8(..8) {
        0 => number.wrapping_add(random.u64(..17)).wrapping_sub(8),
        1 => number.wrapping_mul(random.u64(..9)),
        2 => random.u64(..) >> random.u32(..64),
        _ => number,
    }
}

/// A corpus entry with some changes.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = corpus[random.usize(..corpus.len())].clone();
    // Sometimes none: the valid input itself is a case too.
    for _ in 0..random.u32(..9) {
        change(&mut input, corpus, random);
    }
    input.truncate(MAX_LENGTH);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Rng) {
    if input.is_empty() {
        input.extend((0..random.usize(1..64)).map(|_| random.u8(..)));
        return;
    }
    let length = input.len();
    let place = |random: &mut Rng| {
        let end = if random.bool() { length.min(HEAD) } else { length };
        random.usize(..end)
    };
    let at = place(random);
    match random.u8(..16) {
        0..=2 => input[at] ^= 1 << random.u8(..8),
        3 => input[at] = random.u8(..),
        4..=8 => {
            let width = 1 << random.u32(..4);
            let at = if random.u8(..8) == 0 { at } else { at / width * width };
            put(input, at, width, number(random));
        }
        9..=10 => {
            let width = 1 << random.u32(..4);
            let at = at / width * width;
            let mut word = [0; 8];
            let field = &input[at..length.min(at + width)];
            word[..field.len()].copy_from_slice(field);
            put(input, at, width, u64::from_le_bytes(word).wrapping_add(random.u64(..33)).wrapping_sub(16));
        }
        11 => input.truncate(at),
        12 => {
            let end = at + random.usize(..=(length - at).min(256));
            input.drain(at..end);
        }
        13 => {
            let end = at + random.usize(..=(length - at).min(256));
            let piece = input[at..end].to_vec();
            let to = place(random);
            input.splice(to..to, piece);
        }
        14 => {
            let to = place(random);
            let count = random.usize(..=(length - at.max(to)).min(256));
            input.copy_within(at..at + count, to);
        }
        _ => {
            let other = &corpus[random.usize(..corpus.len())];
            if !other.is_empty() {
                let from = random.usize(..other.len());
                let count = random.usize(..=(other.len() - from).min(length - at).min(512));
                input[at..at + count].copy_from_slice(&other[from..from + count]);
            }
        }
    }
}

/// Writes a field, as far as it fits.
fn put(input: &mut [u8], at: usize, width: usize, value: u64) {
    let end = input.len().min(at + width);
    let count = end - at;
    input[at..end].copy_from_slice(&value.to_le_bytes()[..count]);
}
