//! What every operation of memory management works on.

use pagelab_abi::vmstat;

use crate::{frame::Frames, machine::Machine, trace::Trace};

/// The machine, the trace, the frame allocator and the counters, passed down together. One lock around it is enough
/// for several CPUs to share it.
pub struct Context<M, T> {
    /// Frames, page-table entries, TLB.
    pub machine: M,
    /// Where events go.
    pub trace: T,
    /// Zones and their buddy allocators.
    pub frames: Frames,
    /// Linux's event counters.
    pub stats: VmStat,
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// A context with an allocator that owns no frames yet.
    pub fn new(machine: M, trace: T) -> Self {
        Context { machine, trace, frames: Frames::new(), stats: VmStat::default() }
    }
}

/// The counters of `/proc/vmstat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct VmStat {
    /// Values by [`vmstat::Counter`].
    pub values: [u64; vmstat::COUNT],
}

impl VmStat {
    /// Adds to a counter.
    #[inline]
    pub fn add(&mut self, counter: vmstat::Counter, amount: u64) {
        self.values[counter as usize] += amount;
    }

    /// A counter's value.
    pub fn get(&self, counter: vmstat::Counter) -> u64 {
        self.values[counter as usize]
    }
}
