//! pagelab's memory management: zones, buddy, VMAs, page tables, demand paging and a page cache.
//!
//! The crate is pure: no unsafe code, no globals, no clock, no input or output. It reaches frames, page-table
//! entries and the TLB through [`machine::Machine`] and says what it does through [`trace::Trace`]; both travel with
//! the frame allocator in a [`context::Context`]. So the same code runs in the guest kernel, in the host's tests and
//! in the simulator.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "sim")]
extern crate std;

pub mod commit;
pub mod context;
pub mod errno;
pub mod exec;
pub mod fault;
pub mod file;
pub mod frame;
pub mod kernel_space;
pub mod machine;
pub mod mem_info;
pub mod memblock;
pub mod mempool;
pub mod oom;
pub mod page_table;
#[cfg(feature = "sim")]
pub mod sim;
pub mod slab;
pub mod space;
pub mod text;
pub mod trace;
pub mod vma;

pub use pagelab_abi as abi;
