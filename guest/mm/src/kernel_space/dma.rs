//! dma_alloc_coherent: memory that a device can reach too. Contiguous, below the highest address the device can name,
//! and full of zeros.
//!
//! The CPU's caches see what x86 devices write, so such memory is used where the direct map has it. As in Linux the
//! mask chooses a zone, and what comes from there is checked against the mask: a device that reaches half of a zone may
//! be refused while the other half is free.

use core::{fmt, panic::Location};

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_OFFSET, PAGE_SIZE},
};

use super::error::place;
use crate::{
    context::Context,
    frame::{FreeError, Gfp, MAX_ORDER, PageState},
    machine::{Machine, Pfn},
    trace::Trace,
};

/// The highest address in zone DMA.
const DMA_MASK: u64 = (1 << 24) - 1;
/// The highest address in zone DMA32.
const DMA32_MASK: u64 = (1 << 32) - 1;

/// Why a device got no memory, or did not get rid of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaError {
    /// No bytes, or more than the largest block has.
    Size {
        /// So many.
        bytes: u64,
    },
    /// No block of frames.
    OutOfMemory,
    /// There are blocks, but the device does not reach the one that was found.
    Mask {
        /// The highest address that it reaches.
        mask: u64,
    },
    /// Address and handle are not of one piece of memory.
    Mismatch {
        /// The address.
        address: u64,
        /// The handle.
        handle: u64,
        /// Who gave them back.
        by: &'static Location<'static>,
    },
    /// The memory is not a device's, but somebody else's.
    NotCoherent {
        /// The handle.
        handle: u64,
        /// Whose it is.
        owner: Owner,
        /// Who took it, if anybody remembers.
        made: Option<&'static Location<'static>>,
        /// Who gave it back.
        by: &'static Location<'static>,
    },
    /// The frame allocator refuses it: freed twice, another size ...
    Free(FreeError),
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { bytes } => write!(f, "{bytes} bytes are none, or more than the largest block"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Mask { mask } => write!(f, "no free block was found below {mask:#x}"),
            Self::Mismatch { address, handle, by } => {
                write!(f, "{by} frees {address:#x}, which is not where handle {handle:#x} is")
            }
            Self::NotCoherent { handle, owner, made, by } => {
                write!(f, "{by} frees handle {handle:#x}, which is {owner:?}'s memory, taken at ")?;
                place(f, *made)
            }
            Self::Free(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DmaError {}

/// Order of the smallest block with so many bytes (Linux's get_order).
fn order_of(size: u64) -> Result<u8, DmaError> {
    let pages = size.div_ceil(PAGE_SIZE);
    let order = pages.checked_next_power_of_two().map_or(u32::MAX, u64::trailing_zeros);
    if size == 0 || order > u32::from(MAX_ORDER) { Err(DmaError::Size { bytes: size }) } else { Ok(order as u8) }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes `size` bytes for a device that reaches addresses up to `mask`. Returns the kernel's address of them and the
    /// device's, which is the physical one. Zone bits of `gfp` mean nothing: the mask says it.
    ///
    /// # Errors
    /// [`DmaError`].
    #[track_caller]
    pub fn dma_alloc_coherent(&mut self, size: u64, mask: u64, gfp: Gfp) -> Result<(u64, u64), DmaError> {
        let order = order_of(size)?;
        let gfp = gfp.difference(Gfp::DMA | Gfp::DMA32 | Gfp::HIGHMEM) | Gfp::ZERO;
        // The highest zones first, as far as the device reaches at all.
        let zones: &[Gfp] = match mask {
            mask if mask <= DMA_MASK => &[Gfp::DMA],
            mask if mask <= DMA32_MASK => &[Gfp::DMA32, Gfp::DMA],
            _ => &[Gfp::empty(), Gfp::DMA32, Gfp::DMA],
        };
        for &zone in zones {
            let pfn = self.alloc_frames(order, gfp | zone, Owner::Dma).map_err(|_| DmaError::OutOfMemory)?;
            if pfn.address() + (size - 1) <= mask {
                return Ok((PAGE_OFFSET + pfn.address(), pfn.address()));
            }
            self.free_frames(pfn, order).expect("the block is ours");
        }
        Err(DmaError::Mask { mask })
    }

    /// Gives memory of [`Context::dma_alloc_coherent`] back: the size that was asked for and the two addresses.
    ///
    /// # Errors
    /// [`DmaError`]; nothing has changed.
    #[track_caller]
    pub fn dma_free_coherent(&mut self, size: u64, address: u64, handle: u64) -> Result<(), DmaError> {
        let (order, by) = (order_of(size)?, Location::caller());
        if address != PAGE_OFFSET.wrapping_add(handle) || !handle.is_multiple_of(PAGE_SIZE) {
            return Err(DmaError::Mismatch { address, handle, by });
        }
        let pfn = u32::try_from(handle / PAGE_SIZE).map_or(Pfn(u32::MAX), Pfn);
        match self.machine.pages().get(pfn.index()) {
            Some(page) if page.state == PageState::USED && page.owner != Owner::Dma => {
                let made = self.trace.location(page.site);
                Err(DmaError::NotCoherent { handle, owner: page.owner, made, by })
            }
            _ => self.free_frames(pfn, order).map_err(DmaError::Free),
        }
    }
}
