//! The kernel's own virtual memory, on a simulated CPU whose TLB forgets nothing by itself.

mod areas;
mod dma;
mod fixed;
mod kmap;
mod model;
mod random;

use pagelab_mm::sim::{SimContext, add_kernel_space, new_context};

const PAGE: u64 = 4096;
/// RAM of a machine; Miri needs time for each frame.
const RAM: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
/// RAM where all of it is taken.
const LITTLE: u64 = if cfg!(miri) { 2 << 20 } else { 4 << 20 };

/// A machine with so much RAM and the kernel's own virtual memory.
fn machine(ram_bytes: u64) -> SimContext {
    let mut cx = new_context(ram_bytes);
    add_kernel_space(&mut cx);
    cx
}

/// Checks what must always hold.
#[track_caller]
fn check(cx: &mut SimContext) {
    cx.check_kernel_space().expect("areas and tables agree");
    cx.machine.assert_coherent();
}
