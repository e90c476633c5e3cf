//! Contents of files against a model: what was written is read, holes are zeros, and no frame is lost.

use std::collections::BTreeMap;

use pagelab_mm::{
    abi::code::Owner,
    file::{FileId, FileSpec, ReadError},
    machine::Machine,
    sim::{SimContext, new_context_with_file_bytes},
    slab::CacheId,
};
use proptest::prelude::*;
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
/// Bytes of the backing: five pages and a half.
const BACKED: u64 = 5 * PAGE + 2048;
/// Where bytes are written and looked at: around page borders, and in pages that need one, two and three levels.
const OFFSETS: [u64; 17] = [
    0,
    1,
    4095,
    4096,
    2 * PAGE + 7,
    4 * PAGE,
    5 * PAGE,
    5 * PAGE + 2047,
    5 * PAGE + 2048,
    6 * PAGE - 1,
    6 * PAGE,
    511 * PAGE,
    512 * PAGE,
    700 * PAGE + 9,
    (1 << 18) * PAGE - 1,
    (1 << 18) * PAGE,
    (1 << 27) * PAGE + 3,
];

fn backing(offset: u64) -> u8 {
    (offset % 251) as u8 + 1
}

struct Model {
    id: FileId,
    length: u64,
    /// Bytes at some of the offsets that are not 0.
    bytes: BTreeMap<u64, u8>,
}

struct World {
    cx: SimContext,
    free_at_start: u64,
    files: Vec<Model>,
}

#[derive(Clone, Debug)]
enum Op {
    Write(usize, u64, u8),
    Read(usize, u64),
    Resize(usize, u64),
    Punch(usize, u64, u64),
}

impl World {
    fn new() -> World {
        let bytes: Vec<u8> = (0..BACKED).map(backing).collect();
        let (mut cx, start) = new_context_with_file_bytes(16 << 20, &bytes);
        let free_at_start = cx.frames.free();
        let backed = cx.add_file(FileSpec::backed(start, BACKED, 1, 2)).expect("room");
        let of_holes = cx.add_file(FileSpec { length: 3 * PAGE, shmem: true, ..FileSpec::default() }).expect("room");
        let contents = OFFSETS.into_iter().filter(|&at| at < BACKED).map(|at| (at, backing(at))).collect();
        let files = vec![
            Model { id: backed, length: BACKED, bytes: contents },
            Model { id: of_holes, length: 3 * PAGE, bytes: BTreeMap::new() },
        ];
        World { cx, free_at_start, files }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Write(file, offset, value) => {
                let model = &mut self.files[file];
                let page = self.cx.write_page(model.id, offset / PAGE);
                assert_eq!(page.is_err(), offset / PAGE >= model.length.div_ceil(PAGE));
                if offset < model.length {
                    let (pfn, _) = page.expect("within the file");
                    let frame = self.cx.machine.frame_mut(pfn);
                    frame.0.as_mut_bytes()[(offset % PAGE) as usize] = value;
                    model.bytes.insert(offset, value);
                }
            }
            Op::Read(file, offset) => self.read(file, offset),
            Op::Resize(file, length) => {
                let model = &mut self.files[file];
                self.cx.resize_file(model.id, length);
                model.length = length;
                model.bytes.retain(|&at, _| at < length);
            }
            Op::Punch(file, start, end) => {
                let model = &mut self.files[file];
                self.cx.punch_file(model.id, start, end).expect("there is memory");
                model.bytes.retain(|at, _| !(start..end).contains(at));
            }
        }
    }

    fn read(&mut self, file: usize, offset: u64) {
        let Model { id, length, ref bytes } = self.files[file];
        let hole = self.cx.is_hole(id, offset / PAGE);
        match self.cx.read_page(id, offset / PAGE) {
            Err(error) => {
                assert_eq!(error, ReadError::PastEnd);
                assert!(offset / PAGE >= length.div_ceil(PAGE), "{offset:#x} of {length:#x}");
            }
            Ok((pfn, major)) => {
                assert!(!(hole && major), "a hole is not read in");
                let frame = self.cx.machine.frame(pfn);
                let value = frame.0.as_bytes()[(offset % PAGE) as usize];
                let expected = if offset < length { bytes.get(&offset).copied().unwrap_or(0) } else { 0 };
                assert_eq!(value, expected, "{offset:#x} of {length:#x}");
                assert!(!hole || value == 0);
                assert_eq!(self.cx.cached(id, offset / PAGE), Some(pfn));
            }
        }
    }

    fn check(&mut self) {
        for file in 0..self.files.len() {
            OFFSETS.iter().for_each(|&offset| self.read(file, offset));
        }
        let cached = |cx: &SimContext, file: &Model| u64::from(cx.file(file.id).cached);
        assert_eq!(self.cx.trace.in_use(Owner::File), cached(&self.cx, &self.files[0]));
        assert_eq!(self.cx.trace.in_use(Owner::Shmem), cached(&self.cx, &self.files[1]));
    }

    /// Lets go of the files: every frame comes back but those of slabs.
    fn finish(mut self) {
        for file in &self.files {
            self.cx.get_file(file.id);
            self.cx.put_file(file.id);
            self.cx.put_file(file.id);
        }
        for owner in [Owner::File, Owner::Shmem] {
            assert_eq!(self.cx.trace.in_use(owner), 0, "{owner:?}");
        }
        for cache in [CacheId::ADDRESS_SPACE, CacheId::RADIX_TREE_NODE] {
            assert_eq!(self.cx.slabs.active(cache), 0);
            self.cx.kmem_cache_shrink(cache);
            assert_eq!(self.cx.slabs.slabs(cache), 0);
        }
        // The general caches keep what the CPUs' arrays were made of.
        assert_eq!(self.cx.frames.free() + self.cx.frames.owned(Owner::Slab), self.free_at_start);
        self.cx.frames.check(self.cx.machine.pages()).expect("the free lists are whole");
    }
}

fn offset() -> impl Strategy<Value = u64> {
    proptest::sample::select(&OFFSETS)
}

fn op() -> impl Strategy<Value = Op> {
    let file = 0..2usize;
    prop_oneof![
        3 => (file.clone(), offset(), any::<u8>()).prop_map(|(file, at, value)| Op::Write(file, at, value)),
        2 => (file.clone(), offset()).prop_map(|(file, at)| Op::Read(file, at)),
        2 => (file.clone(), offset(), 0..2u64).prop_map(|(file, at, more)| Op::Resize(file, at + more)),
        1 => (file, offset(), offset()).prop_map(|(file, a, b)| Op::Punch(file, a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn files_keep_what_was_written(ops in proptest::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.check();
        world.finish();
    }
}

#[test]
fn what_a_truncation_took_does_not_come_back() {
    let mut world = World::new();
    for op in [Op::Resize(0, 4097), Op::Resize(0, BACKED)] {
        world.apply(&op);
    }
    assert!(world.cx.is_hole(world.files[0].id, 2));
    world.check();
    world.finish();
}

#[test]
fn reading_in_is_major_and_a_hole_is_not() {
    let mut world = World::new();
    let (backed, of_holes) = (world.files[0].id, world.files[1].id);
    assert!(world.cx.read_page(backed, 5).expect("a page").1);
    assert!(!world.cx.read_page(backed, 5).expect("a page").1);
    assert!(!world.cx.read_page(of_holes, 2).expect("a page").1);
    assert_eq!(world.cx.read_page(of_holes, 3), Err(ReadError::PastEnd));
    world.finish();
}

#[test]
fn a_file_that_cannot_grow_its_tree_keeps_what_it_has() {
    let (mut cx, _) = new_context_with_file_bytes(16 << 20, &[]);
    let free = cx.frames.free();
    let id = cx.add_file(FileSpec { length: u64::MAX / 2, shmem: true, ..FileSpec::default() }).expect("room");
    let mut index = 1 << 40;
    let written = std::iter::from_fn(|| {
        index += 65;
        cx.write_page(id, index).ok().map(|_| index)
    });
    let last = written.last().expect("some fit");
    assert_eq!(cx.write_page(id, last + 65), Err(ReadError::OutOfMemory));
    assert!(cx.cached(id, last).is_some());
    cx.put_file(id);
    cx.kmem_cache_shrink(CacheId::RADIX_TREE_NODE);
    assert_eq!(cx.frames.free() + cx.frames.owned(Owner::Slab), free);
}
