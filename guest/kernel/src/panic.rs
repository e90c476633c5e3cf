//! The kernel's own end: say why, then tell the host.
#![expect(unsafe_code, reason = "a panic takes the kernel's state from whoever had it")]

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use pagelab_abi::code::BulkKind;

use crate::{arch::port, state};

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !PANICKING.swap(true, Ordering::Relaxed) {
        // SAFETY: a panic never returns, so whoever held a reference does not use it again.
        if let Some(kernel) = unsafe { state::get() } {
            kernel.say(BulkKind::Panic, format_args!("{info}"));
        }
    }
    port::panicked()
}
