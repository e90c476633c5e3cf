//! `/proc/slabinfo`: the caches of kernel objects.

use core::fmt;

use super::{Sink, out::Out};

/// One cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slab {
    /// Linux's name for such a cache.
    pub name: &'static str,
    /// Objects in use.
    pub active: u64,
    /// Bytes of an object.
    pub object_size: u64,
    /// Objects in a slab.
    pub objects_per_slab: u64,
    /// Slabs, each of one page.
    pub slabs: u64,
}

/// `/proc/slabinfo`, version 2.1.
///
/// # Errors
/// The sink's.
pub fn slabinfo(sink: &mut dyn Sink, caches: &[Slab]) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text(
        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> \
         : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    );
    for cache in caches {
        out.left(cache.name, 17);
        let numbers = [
            (cache.active, 6),
            (cache.slabs.saturating_mul(cache.objects_per_slab), 6),
            (cache.object_size, 6),
            (cache.objects_per_slab, 4),
            (1, 4),
        ];
        for (value, width) in numbers {
            out.byte(b' ');
            out.decimal_right(value, width);
        }
        out.text(" : tunables    0    0    0 : slabdata");
        for value in [cache.slabs, cache.slabs, 0] {
            out.byte(b' ');
            out.decimal_right(value, 6);
        }
        out.byte(b'\n');
    }
    out.finish()
}
