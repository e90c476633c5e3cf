//! The kernel's own end: say why, then tell the host.

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use pagelab_abi::code::{BulkKind, Moment};

use crate::{arch::port, text::Text, trace::Tracer};

static PANICKING: AtomicBool = AtomicBool::new(false);
/// Bytes of the trace window once it is mapped; 0 before.
static WINDOW: AtomicU64 = AtomicU64::new(0);

/// Says that panics can be told through the trace window from now on.
pub(crate) fn window_is_mapped(size: u64) {
    WINDOW.store(size, Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let window = WINDOW.load(Ordering::Relaxed);
    if !PANICKING.swap(true, Ordering::Relaxed) && window != 0 {
        // The kernel's own state may be half changed: a second tracer goes on where the ring is.
        let mut text = Text::<1024>::new();
        let text = text.format(format_args!("{info}"));
        Tracer::attach(window).bulk(BulkKind::Panic, 0, Moment::Request, false, text);
    }
    port::panicked()
}
