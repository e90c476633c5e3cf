//! The smallest machine the frame allocator runs on: a `Page` array, and contents for the frames that are touched.

use std::{collections::HashMap, panic::Location};

use pagelab_mm::{
    abi::{
        code::{FrameAllocator, Owner},
        event,
    },
    context::Context,
    frame::{FramesConfig, Page},
    machine::{Frame, KernelFault, Machine, Pfn},
    memblock::Memblock,
    trace::{CallSite, Trace},
};

/// A frame nobody has written.
static ZERO: Frame = Frame([0; 512]);

/// Frames without a CPU: no page tables are walked here.
pub(crate) struct Memory {
    pages: Vec<Page>,
    contents: HashMap<Pfn, Box<Frame>>,
}

impl Machine for Memory {
    fn pages(&self) -> &[Page] {
        &self.pages
    }
    fn pages_mut(&mut self) -> &mut [Page] {
        &mut self.pages
    }
    fn frame(&self, pfn: Pfn) -> &Frame {
        self.contents.get(&pfn).map_or(&ZERO, |frame| frame)
    }
    fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame {
        self.contents.entry(pfn).or_insert_with(|| Box::new(ZERO))
    }
    fn zero_frame(&mut self, pfn: Pfn) {
        *self.frame_mut(pfn) = ZERO;
    }
    fn copy_frame(&mut self, _to: Pfn, _from: Pfn) {
        unreachable!("the frame allocator copies nothing")
    }
    fn copy_bytes(&mut self, _to: Pfn, _to_offset: usize, _from: u64, _length: usize) {
        unreachable!("the frame allocator copies nothing")
    }
    fn pte(&self, _table: Pfn, _index: usize) -> u64 {
        unreachable!("the frame allocator has no page tables")
    }
    fn set_pte(&mut self, _table: Pfn, _index: usize, _value: u64) {
        unreachable!("the frame allocator has no page tables")
    }
    fn swap_pte(&mut self, _table: Pfn, _index: usize, _value: u64) -> u64 {
        unreachable!("the frame allocator has no page tables")
    }
    fn flush_page(&mut self, _root: Pfn, _address: u64) {
        unreachable!("the frame allocator has no page tables")
    }
    fn flush_all(&mut self, _root: Pfn) {
        unreachable!("the frame allocator has no page tables")
    }
    fn read_virtual(&mut self, _address: u64, _to: &mut [u8]) -> Result<(), KernelFault> {
        unreachable!("the frame allocator has no page tables")
    }
    fn write_virtual(&mut self, _address: u64, _from: &[u8]) -> Result<(), KernelFault> {
        unreachable!("the frame allocator has no page tables")
    }
    fn copy_virtual(&mut self, _to: u64, _from: u64, _length: usize) -> Result<(), KernelFault> {
        unreachable!("the frame allocator has no page tables")
    }
    fn zero_virtual(&mut self, _address: u64, _length: usize) -> Result<(), KernelFault> {
        unreachable!("the frame allocator has no page tables")
    }
}

/// Keeps the frame events, with the lines that caused them.
#[derive(Default)]
pub(crate) struct Events(pub(crate) Vec<(event::Frame, &'static Location<'static>)>);

impl Trace for Events {
    fn frame(&mut self, event: event::Frame, call_site: &'static Location<'static>) {
        self.0.push((event, call_site));
    }
    fn vma(&mut self, _event: event::Vma) {
        unreachable!("the frame allocator has no VMAs")
    }
    fn slab(&mut self, _event: event::Slab, _call_site: &'static Location<'static>) {
        unreachable!("the frame allocator has no slabs")
    }
    fn vmalloc(&mut self, _event: event::Vmalloc, _call_site: &'static Location<'static>) {
        unreachable!("the frame allocator has no areas")
    }
    fn kernel_fault(&mut self, _fault: KernelFault, _start: u64, _pfn: Pfn) {
        unreachable!("the frame allocator has no areas")
    }
    fn name(&mut self, _id: u32, _text: &[u8]) {}
    fn location(&self, site: CallSite) -> Option<&'static Location<'static>> {
        self.0.iter().map(|(_, location)| *location).find(|location| CallSite::of(location) == site)
    }
}

/// Bytes of RAM where a few MiB do; Miri needs time for each frame.
pub(crate) const SMALL: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };

pub(crate) type TestContext = Context<Memory, Events>;

/// A machine's memory and how it is managed.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// First byte, first byte after it, node.
    pub(crate) ram: Vec<(u64, u64, u8)>,
    /// First byte, first byte after it, owner.
    pub(crate) reserved: Vec<(u64, u64, Owner)>,
    pub(crate) distance: [[u8; 4]; 4],
    pub(crate) highmem: u64,
    pub(crate) movable: u64,
    pub(crate) grouping: bool,
    pub(crate) allocator: FrameAllocator,
}

impl Setup {
    /// `bytes` of RAM from 0 on one node, the first MiB reserved, under the buddy allocator.
    pub(crate) fn new(bytes: u64) -> Setup {
        Setup {
            ram: vec![(0, bytes, 0)],
            reserved: vec![(0, 1 << 20, Owner::Boot)],
            distance: [[10, 20, 20, 20], [20, 10, 20, 20], [20, 20, 10, 20], [20, 20, 20, 10]],
            highmem: 0,
            movable: 0,
            grouping: true,
            allocator: FrameAllocator::Buddy,
        }
    }

    pub(crate) fn memblock(&self) -> Memblock {
        let mut memblock = Memblock::new();
        for &(start, end, node) in &self.ram {
            memblock.add_ram_of_node(start, end, node).expect("few ranges");
        }
        for &(start, end, owner) in &self.reserved {
            memblock.reserve(start, end, owner).expect("few ranges");
        }
        memblock
    }

    /// A context whose allocator owns what is not reserved. What the allocator takes for itself is reserved here too.
    pub(crate) fn boot(&mut self) -> TestContext {
        let mut memblock = self.memblock();
        let frames = memblock.ram().map(|ram| ram.end >> 12).max().unwrap_or(0);
        let memory = Memory { pages: vec![Page::default(); frames as usize], contents: HashMap::new() };
        let mut cx = Context::new(memory, Events::default());
        cx.init_frames(FramesConfig {
            memblock: &mut memblock,
            distance: self.distance,
            highmem: self.highmem,
            movable: self.movable,
            mobility_grouping: self.grouping,
            allocator: self.allocator,
        });
        self.reserved = memblock.reserved().map(|range| (range.start, range.end, range.owner)).collect();
        cx
    }
}

/// A context whose allocator owns what a memblock left free.
pub(crate) fn context_of(memblock: &Memblock) -> TestContext {
    let frames = memblock.ram().map(|ram| ram.end >> 12).max().unwrap_or(0);
    let memory = Memory { pages: vec![Page::default(); frames as usize], contents: HashMap::new() };
    let mut cx = Context::new(memory, Events::default());
    cx.init_frames(FramesConfig::new(&mut memblock.clone()));
    cx
}

/// A context with `bytes` of RAM from 0 and the first MiB reserved.
pub(crate) fn context(bytes: u64) -> TestContext {
    Setup::new(bytes).boot()
}
