//! `/proc/vmallocinfo`: the areas of the kernel's own virtual memory.

use core::fmt;

use pagelab_abi::snapshot::{AreaFlags, VmallocEntry};

use super::{Sink, out::Out};

/// Who asked for an area. Linux names a function and an offset in it, we a line of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller<'a> {
    /// As it is to be printed.
    Name(&'a str),
    /// `FILE:LINE`.
    Place {
        /// The source file.
        file: &'a str,
        /// The line.
        line: u32,
    },
}

/// The words for an area's flags, in Linux's order. `lazy` is ours.
const WORDS: [(AreaFlags, &str); 5] = [
    (AreaFlags::IOREMAP, " ioremap"),
    (AreaFlags::ALLOC, " vmalloc"),
    (AreaFlags::MAP, " vmap"),
    (AreaFlags::DMA_COHERENT, " dma-coherent"),
    (AreaFlags::LAZY, " lazy"),
];

/// One line of `/proc/vmallocinfo`. The range has the guard page in it. Where the frames are is not told, as by a Linux
/// built without NUMA.
///
/// # Errors
/// The sink's.
pub fn vmallocinfo(sink: &mut dyn Sink, area: &VmallocEntry, caller: Option<Caller<'_>>) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text("0x");
    out.hex(area.start, 16);
    out.text("-0x");
    out.hex(area.end, 16);
    out.byte(b' ');
    out.decimal_right(area.end.saturating_sub(area.start), 7);
    match caller {
        Some(Caller::Name(name)) => {
            out.byte(b' ');
            out.text(name);
        }
        Some(Caller::Place { file, line }) => {
            out.byte(b' ');
            out.text(file);
            out.byte(b':');
            out.decimal(line.into());
        }
        None => {}
    }
    let flags = AreaFlags::from_bits_truncate(area.flags);
    // What vmap shows is not its own.
    if flags.contains(AreaFlags::ALLOC) && area.pages != 0 {
        out.text(" pages=");
        out.decimal(area.pages.into());
    }
    if area.physical != 0 {
        out.text(" phys=0x");
        out.hex(area.physical, 16);
    }
    for (flag, word) in WORDS {
        if flags.contains(flag) {
            out.text(word);
        }
    }
    out.byte(b'\n');
    out.finish()
}
