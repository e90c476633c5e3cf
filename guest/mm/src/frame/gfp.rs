//! What an allocation may do and where it may come from: Linux's gfp flags.

bitflags::bitflags! {
    /// Flags of a frame request.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Gfp: u32 {
        /// Only from zone DMA.
        const DMA = 1 << 0;
        /// From zone DMA32 or below.
        const DMA32 = 1 << 1;
        /// The contents can be moved: migrate type Movable.
        const MOVABLE = 1 << 2;
        /// The contents can be dropped: migrate type Reclaimable.
        const RECLAIMABLE = 1 << 3;
        /// Hand the frame out filled with zeros.
        const ZERO = 1 << 4;
        /// May go below the low watermark: the caller cannot wait.
        const ATOMIC = 1 << 5;
        /// Ordinary kernel memory.
        const KERNEL = 1 << 6;
        /// User memory.
        const USER = 1 << 7;
        /// User memory that can be moved.
        const HIGHUSER_MOVABLE = Self::USER.bits() | Self::MOVABLE.bits();
    }
}
