//! `/proc/vmallocinfo`: the areas of the kernel's own virtual memory.

use core::fmt;

use pagelab_abi::snapshot::{AreaFlags, VmallocEntry};

use super::{Sink, out::Out};

/// Who asked for an area. Linux names a function and an offset in it, we a line of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller<'a> {
    /// The source file.
    pub file: &'a str,
    /// The line.
    pub line: u32,
}

impl<'a> Caller<'a> {
    /// The caller that a string `FILE:LINE` names.
    pub fn of_name(name: &'a str) -> Option<Caller<'a>> {
        let (file, line) = name.rsplit_once(':')?;
        Some(Caller { file, line: line.parse().ok()? })
    }
}

/// The words for an area's flags, in Linux's order. `lazy` is ours.
const WORDS: [(AreaFlags, &str); 5] = [
    (AreaFlags::IOREMAP, " ioremap"),
    (AreaFlags::ALLOC, " vmalloc"),
    (AreaFlags::MAP, " vmap"),
    (AreaFlags::DMA_COHERENT, " dma-coherent"),
    (AreaFlags::LAZY, " lazy"),
];

/// One line of `/proc/vmallocinfo`. The range has the guard page in it.
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
    if let Some(caller) = caller {
        out.byte(b' ');
        out.text(caller.file);
        out.byte(b':');
        out.decimal(caller.line.into());
    }
    if area.pages != 0 {
        out.text(" pages=");
        out.decimal(area.pages.into());
    }
    if area.physical != 0 {
        out.text(" phys=0x");
        out.hex(area.physical, 16);
    }
    let flags = AreaFlags::from_bits_truncate(area.flags);
    for (flag, word) in WORDS {
        if flags.contains(flag) {
            out.text(word);
        }
    }
    out.byte(b'\n');
    out.finish()
}
