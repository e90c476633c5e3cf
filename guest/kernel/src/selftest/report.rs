//! What a test says to the one who runs it.

use core::fmt;

use pagelab_abi::code::{BulkKind, Moment};
use pagelab_mm::mem_info::MemInfo;

use crate::{state::Kernel, text::Text, trace::Tracer};

/// The stream that tests speak on: standard error.
const STREAM: u8 = 2;
/// Bytes of a failure's text.
const LINE: usize = 512;
/// Bytes of the state of memory: up to 400 for each zone.
const REPORT: usize = 8192;

/// Sends a text to the host, with the end of its line.
pub(super) fn say(kernel: &mut Kernel, text: fmt::Arguments<'_>) {
    send::<LINE>(&mut kernel.mm.trace, text);
}

/// Sends the state of memory.
pub(super) fn memory(kernel: &mut Kernel) {
    let memory = &kernel.mem_header();
    let zones = kernel.zones.of(&kernel.mm);
    send::<REPORT>(&mut kernel.mm.trace, format_args!("{}", MemInfo { memory, zones }));
}

fn send<const BYTES: usize>(trace: &mut Tracer, text: fmt::Arguments<'_>) {
    let mut buffer = Text::<BYTES>::new();
    trace.bulk(BulkKind::Console, STREAM, Moment::Request, false, buffer.format(format_args!("{text}\n")));
}
