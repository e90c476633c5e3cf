//! Wild arguments for system calls: which kind of argument each call takes, and values of that kind, sound and not.

/// SplitMix64.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn number(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ value >> 31) as usize
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.number() % end
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// What the arguments of a call are, a letter each: d descriptor, D descriptor of a directory, b buffer, v vector of
/// buffers, l length, o offset, p path, f flags of an open, m mode, a address to map, r protection, g flags of a
/// mapping, n small number, s signal, 8 the number eight. Arguments without a letter can be anything.
const KINDS: [(u16, &str); 107] = [
    (0, "dbl"),
    (1, "dbl"),
    (2, "pfm"),
    (3, "d"),
    (4, "pb"),
    (5, "db"),
    (6, "pb"),
    (7, "bnn"),
    (8, "don"),
    (9, "alrgdo"),
    (10, "alr"),
    (11, "al"),
    (12, "a"),
    (13, "sbb8"),
    (14, "nbb8"),
    (16, "dnb"),
    (17, "dblo"),
    (18, "dblo"),
    (19, "dvn"),
    (20, "dvn"),
    (21, "pn"),
    (22, "b"),
    (23, "nbbbb"),
    (25, "allna"),
    (26, "aln"),
    (27, "alb"),
    (28, "aln"),
    (32, "d"),
    (33, "dd"),
    (35, "bb"),
    (36, "nb"),
    (38, "nbb"),
    (40, "ddbl"),
    (62, "ns"),
    (63, "b"),
    (72, "dnn"),
    (74, "d"),
    (75, "d"),
    (76, "po"),
    (77, "do"),
    (78, "dbl"),
    (79, "bl"),
    (80, "p"),
    (81, "d"),
    (82, "pp"),
    (83, "pm"),
    (84, "p"),
    (85, "pm"),
    (86, "pp"),
    (87, "p"),
    (88, "pp"),
    (89, "pbl"),
    (90, "pm"),
    (91, "dm"),
    (96, "bb"),
    (97, "nb"),
    (98, "nb"),
    (99, "b"),
    (100, "b"),
    (127, "b8"),
    (128, "bbb8"),
    (131, "bb"),
    (137, "pb"),
    (138, "db"),
    (149, "al"),
    (150, "al"),
    (151, "n"),
    (157, "nb"),
    (158, "nb"),
    (160, "nb"),
    (187, "dol"),
    (200, "ns"),
    (201, "b"),
    (202, "bnnb"),
    (217, "dbl"),
    (228, "nb"),
    (230, "nnbb"),
    (234, "nns"),
    (257, "Dpfm"),
    (258, "Dpm"),
    (262, "Dpbn"),
    (263, "Dpn"),
    (264, "DpDp"),
    (265, "DpDp"),
    (266, "pDp"),
    (267, "Dpbl"),
    (268, "Dpm"),
    (269, "Dpn"),
    (271, "bnbb8"),
    (273, "bn"),
    (280, "Dpb"),
    (285, "dnoo"),
    (292, "ddf"),
    (293, "bf"),
    (295, "dvnoo"),
    (296, "dvnoo"),
    (302, "nnbb"),
    (316, "DpDpn"),
    (318, "bln"),
    (319, "pn"),
    (325, "aln"),
    (326, "dbdbln"),
    (327, "dvnoo"),
    (328, "dvnoo"),
    (332, "Dpnnb"),
    (436, "ddn"),
    (439, "Dpn"),
];

/// The letters of a call's arguments.
pub fn kinds(number: usize) -> &'static [u8] {
    KINDS.iter().find(|(known, _)| usize::from(*known) == number).map_or(&[], |(_, kinds)| kinds.as_bytes())
}

/// Paths, each with its NUL.
pub const PATHS: [&str; 24] = [
    "\0",
    ".\0",
    "..\0",
    "/\0",
    "/bin\0",
    "/bin/fuzz-syscalls\0",
    "/data\0",
    "/data/x\0",
    "data\0",
    "/tmp\0",
    "/tmp/a\0",
    "/tmp/a/b\0",
    "/tmp/b\0",
    "/tmp/../tmp//./a\0",
    "/dev/null\0",
    "/dev/zero\0",
    "/dev/full\0",
    "/dev/urandom\0",
    "/dev/shm/x\0",
    "/proc/self/maps\0",
    "/proc/self/pagemap\0",
    "/proc/meminfo\0",
    "/proc/self/exe\0",
    "x\0",
];

/// Addresses that are not the program's, or hardly.
pub const ADDRESSES: [usize; 14] = [
    0,
    1,
    0xfff,
    0x1000,
    0x1_0000,
    0x40_0000,
    0x5555_5555_4000,
    0x7fff_ffff_e000,
    0x7fff_ffff_efff,
    0x7fff_ffff_f000,
    1 << 47,
    0xffff_8880_0000_1000,
    0xffff_ffff_8010_0000,
    usize::MAX,
];

/// Lengths, offsets and other numbers at which something changes.
pub const LENGTHS: [usize; 28] = [
    0,
    1,
    2,
    7,
    8,
    16,
    100,
    255,
    256,
    511,
    512,
    4095,
    4096,
    4097,
    8192,
    65535,
    65536,
    0x10_0000,
    0x4000_0000,
    0x7fff_f000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 46,
    0x7fff_ffff_f000,
    1 << 63,
    usize::MAX,
];
