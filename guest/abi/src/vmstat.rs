//! The guest's event counters, under Linux's names (`/proc/vmstat`).

macro_rules! counters {
    ($($(#[$meta:meta])* $variant:ident => $name:literal,)+) => {
        /// A counter of `/proc/vmstat`; its discriminant is its index in the array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $($(#[$meta])* $variant,)+ }

        /// Names of the counters, by index.
        pub const NAMES: &[&str] = &[$($name,)+];
    };
}

counters! {
    /// Frames handed out from DMA.
    PgallocDma => "pgalloc_dma",
    /// Frames handed out from DMA32.
    PgallocDma32 => "pgalloc_dma32",
    /// Frames handed out from Normal.
    PgallocNormal => "pgalloc_normal",
    /// Frames handed out from Movable.
    PgallocMovable => "pgalloc_movable",
    /// Frames given back.
    Pgfree => "pgfree",
    /// Page faults, minor and major.
    Pgfault => "pgfault",
    /// Major page faults.
    Pgmajfault => "pgmajfault",
    /// Write faults that reused the page in place.
    Pgreuse => "pgreuse",
    /// Processes killed for want of memory.
    OomKill => "oom_kill",
}

/// Number of counters.
pub const COUNT: usize = NAMES.len();
