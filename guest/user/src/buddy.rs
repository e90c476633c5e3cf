//! What `/proc/buddyinfo` tells: free blocks by order, and how much of the free memory is in blocks too small.

use crate::sys::{self, Errno};

/// Orders of blocks: 0 to 10.
pub const ORDERS: usize = 11;

/// Free blocks of each order, in all zones together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks(pub [u64; ORDERS]);

impl Blocks {
    /// Reads `/proc/buddyinfo`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read() -> Result<Blocks, Errno> {
        let file = sys::open(c"/proc/buddyinfo")?;
        let mut text = [0; 4096];
        let mut length = 0;
        while length < text.len() {
            match sys::read(file, &mut text[length..])? {
                0 => break,
                bytes => length += bytes,
            }
        }
        sys::close(file)?;
        Ok(Blocks::parse(core::str::from_utf8(&text[..length]).unwrap_or_default()))
    }

    /// The sum over the lines of a text such as `Node 0, zone DMA 1 0 2 ...`.
    fn parse(text: &str) -> Blocks {
        let mut blocks = Blocks::default();
        for line in text.lines() {
            let counts = line.split_ascii_whitespace().skip(4).map_while(|word| word.parse::<u64>().ok());
            blocks.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        blocks
    }

    /// Free pages.
    pub fn pages(&self) -> u64 {
        self.0.iter().enumerate().map(|(order, blocks)| blocks << order).sum()
    }

    /// Blocks of `order` that larger blocks and its own can make.
    pub fn whole(&self, order: usize) -> u64 {
        self.0[order..].iter().enumerate().map(|(above, blocks)| blocks << above).sum()
    }

    /// Thousandths of the free pages that are in blocks smaller than `order`; 1000 if nothing is free. Linux's
    /// unusable free space index.
    pub fn unusable_index(&self, order: usize) -> u64 {
        let free = self.pages();
        let small = free - (self.whole(order) << order);
        (small * 1000).checked_div(free).unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_add_up() {
        let text = "Node 0, zone      DMA      1      0      0      0      2      1      1      0      1      1      3 \n\
                    Node 0, zone    DMA32      3      1      0      0      0      0      0      0      0      0      0 \n";
        let blocks = Blocks::parse(text);
        assert_eq!(blocks.0, [4, 1, 0, 0, 2, 1, 1, 0, 1, 1, 3]);
        assert_eq!(blocks.pages(), 4 + 2 + 32 + 32 + 64 + 256 + 512 + 3072);
        assert_eq!(blocks.whole(9), 7);
        assert_eq!(blocks.unusable_index(9), 390 * 1000 / 3974);
        assert_eq!(Blocks::default().unusable_index(3), 1000);
    }
}
