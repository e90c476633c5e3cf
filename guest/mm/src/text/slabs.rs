//! `/proc/slabinfo`: the caches of kernel objects.

use core::fmt;

use pagelab_abi::snapshot::CacheEntry;

use super::{Sink, out::Out};

/// `/proc/slabinfo`, version 2.1.
///
/// # Errors
/// The sink's.
pub fn slabinfo(sink: &mut dyn Sink, caches: impl IntoIterator<Item = CacheEntry>) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text(
        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> \
         : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    );
    for cache in caches {
        let name = cache.name.split(|&byte| byte == 0).next().unwrap_or_default();
        out.left(name.utf8_chunks().next().map_or("", |chunk| chunk.valid()), 17);
        let numbers = [
            (cache.active_objects, 6),
            (cache.objects, 6),
            (cache.object_size.into(), 6),
            (cache.objects_per_slab.into(), 4),
            (cache.pages_per_slab.into(), 4),
        ];
        for (value, width) in numbers {
            out.byte(b' ');
            out.decimal_right(value, width);
        }
        out.text(" : tunables");
        for value in [cache.limit, cache.batch, 0] {
            out.byte(b' ');
            out.decimal_right(value.into(), 4);
        }
        out.text(" : slabdata");
        for value in [cache.active_slabs, cache.slabs, 0] {
            out.byte(b' ');
            out.decimal_right(value, 6);
        }
        out.byte(b'\n');
    }
    out.finish()
}
