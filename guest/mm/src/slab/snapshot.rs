//! The caches as a snapshot shows them: slabinfo.

use pagelab_abi::snapshot::CacheEntry;

use super::{CacheFlags, Slabs, cache::Cache};

impl Slabs {
    /// The caches there are, in the order of their places.
    pub fn entries(&self) -> impl Iterator<Item = CacheEntry> + '_ {
        self.caches.iter().filter(|cache| cache.objects > 0).map(Cache::entry)
    }

    /// Objects of general caches that caches hold for themselves: CPUs' arrays, and the management of slabs that have it
    /// outside. All other objects that are handed out are somebody's.
    pub fn own_objects(&self) -> u64 {
        let caches = self.caches.iter().filter(|cache| cache.objects > 0);
        caches.map(|cache| u64::from(cache.arrays() + if cache.on_slab { 0 } else { cache.slabs() })).sum()
    }
}

impl Cache {
    /// CPUs' arrays.
    fn arrays(&self) -> u32 {
        self.per_cpu.iter().filter(|cpu| cpu.entries != 0).count() as u32
    }

    fn entry(&self) -> CacheEntry {
        let mut name = [0; 32];
        let length = self.name.len().min(name.len() - 1);
        name[..length].copy_from_slice(&self.name.as_bytes()[..length]);
        let slabs = u64::from(self.slabs());
        CacheEntry {
            name,
            active_objects: self.active.into(),
            objects: slabs * u64::from(self.objects),
            active_slabs: slabs - u64::from(self.empty.count),
            slabs,
            object_size: self.stride,
            objects_per_slab: self.objects.into(),
            pages_per_slab: self.frames(),
            limit: self.limit.into(),
            batch: self.batch.into(),
            reclaimable: u32::from(self.flags.contains(CacheFlags::RECLAIM_ACCOUNT)),
        }
    }
}
