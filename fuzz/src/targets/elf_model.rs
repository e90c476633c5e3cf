//! What an ELF file's headers mean, worked out address by address and apart from the loader.

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// Most addresses that are compared.
const MOST_PLACES: usize = 200;

/// A loadable segment as the file has it.
#[derive(Clone, Copy, Debug)]
struct Segment {
    flags: u32,
    offset: u64,
    address: u64,
    in_file: u64,
    in_memory: u64,
}

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Read, write, execute.
    pub(super) rights: (bool, bool, bool),
    /// What is read there.
    pub(super) byte: u8,
}

/// A file and where it lies.
pub(super) struct Model<'a> {
    bytes: &'a [u8],
    bias: u64,
    segments: Vec<Segment>,
}

impl<'a> Model<'a> {
    /// Of a file whose entry came to lie at `entry`.
    pub(super) fn new(bytes: &'a [u8], entry: u64) -> Model<'a> {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let table = word(32) as usize;
        let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
        let segments = (0..count).map(|index| table + 56 * index).filter(|&at| half(at) == 1).map(|at| Segment {
            flags: half(at + 4),
            offset: word(at + 8),
            address: word(at + 16),
            in_file: word(at + 32),
            in_memory: word(at + 40),
        });
        Model { bytes, bias: entry.wrapping_sub(word(24)), segments: segments.collect() }
    }

    /// First page after all of it.
    pub(super) fn end(&self) -> u64 {
        let ends = self.segments.iter().map(|segment| self.start(segment) + segment.in_memory);
        ends.max().unwrap_or(0).next_multiple_of(PAGE)
    }

    /// Addresses where something may change, and their neighbours.
    pub(super) fn places(&self) -> Vec<u64> {
        let mut places = Vec::new();
        for segment in &self.segments {
            let start = self.start(segment);
            for edge in [start, start + segment.in_file, start + segment.in_memory] {
                for page in [edge / PAGE * PAGE, edge.next_multiple_of(PAGE), edge] {
                    places.extend([page.wrapping_sub(1), page, page + 1]);
                }
            }
            places.push(start + segment.in_memory / 2);
        }
        places.sort_unstable();
        places.dedup();
        places.truncate(MOST_PLACES);
        places
    }

    /// What is at an address: the last segment that has its page decides.
    pub(super) fn at(&self, address: u64) -> Option<Place> {
        self.segments.iter().rev().find_map(|segment| self.in_segment(segment, address))
    }

    fn start(&self, segment: &Segment) -> u64 {
        self.bias.wrapping_add(segment.address)
    }

    fn in_segment(&self, segment: &Segment, address: u64) -> Option<Place> {
        let start = self.start(segment);
        let (file_end, end) = (start + segment.in_file, start + segment.in_memory);
        let page = address / PAGE;
        let bit = |bit| segment.flags & bit != 0;
        if segment.in_file != 0 && page >= start / PAGE && page < file_end.div_ceil(PAGE) {
            let cleared = address >= file_end && segment.in_memory > segment.in_file && bit(2);
            let at = (segment.offset + address).wrapping_sub(start);
            let byte = if cleared { 0 } else { self.bytes.get(at as usize).copied().unwrap_or(0) };
            return Some(Place { rights: (bit(4), bit(2), bit(1)), byte });
        }
        let zeros_start = if segment.in_file == 0 { start / PAGE } else { file_end.div_ceil(PAGE) };
        let zeros = segment.in_memory > segment.in_file && page >= zeros_start && page < end.div_ceil(PAGE);
        zeros.then_some(Place { rights: (true, true, bit(1)), byte: 0 })
    }
}
