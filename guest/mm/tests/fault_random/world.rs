//! Two processes on one simulated machine, and their models.

use std::collections::{BTreeMap, BTreeSet};

use pagelab_mm::{
    abi::{
        code::{FaultKind, Owner},
        vmstat::Counter,
    },
    errno::Errno,
    fault::{self, Access, Fault},
    file::{FileId, FileSpec},
    machine::Machine,
    sim::{SimContext, new_context_with_file_bytes},
    space::{AddressSpace, Advice, MmapRequest, map},
};

use crate::{
    Op,
    model::{FILES, Page, Source, State, WORDS, file_word},
};

const PAGE: u64 = 4096;
/// The window begins just below a border between page tables.
const BASE: u64 = 0x4000_0000 - 20 * PAGE;

/// One process and its model.
struct Process {
    space: AddressSpace,
    pages: BTreeMap<u64, Page>,
    faults: u64,
    major: u64,
}

pub(crate) struct World {
    cx: SimContext,
    files: [FileId; FILES.len()],
    processes: [Process; 2],
    /// Pages of files that the cache must hold.
    cached: BTreeSet<(usize, u64)>,
}

impl World {
    pub(crate) fn new() -> World {
        let mut bytes = Vec::new();
        let offsets = FILES.map(|length| length.next_multiple_of(PAGE)).map(|length| {
            let offset = bytes.len();
            bytes.resize(offset + length as usize, 0xee);
            offset
        });
        for (file, offset) in offsets.into_iter().enumerate() {
            for at in (0..FILES[file]).step_by(8) {
                let word = file_word(file, at / PAGE, (at % PAGE / 8) as usize).to_le_bytes();
                bytes[offset + at as usize..][..8].copy_from_slice(&word);
            }
        }
        let (mut cx, start) = new_context_with_file_bytes(16 << 20, &bytes);
        let mut register = |file: usize| {
            let spec = FileSpec::backed(start + offsets[file] as u64, FILES[file], 1, 1);
            cx.add_file(spec).expect("there is memory")
        };
        let files = [register(0), register(1), register(2)];
        let mut process = |pid| {
            let space = AddressSpace::new(&mut cx, pid).expect("there is memory");
            Process { space, pages: BTreeMap::new(), faults: 0, major: 0 }
        };
        let processes = [process(1), process(2)];
        World { cx, files, processes, cached: BTreeSet::new() }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match *op {
            Op::MapAnon(process, page, count, prot) => {
                self.map(process, page, count, prot, |_| Source::Anon, None);
            }
            Op::MapFile(process, page, count, prot, (file, first)) => {
                let id = self.files[file];
                let source = |at| Source::File(file, first + at);
                self.map(process, page, count, prot, source, Some((id, first * PAGE)));
            }
            Op::Unmap(process, page, count) => {
                let process = &mut self.processes[process];
                process.space.munmap(&mut self.cx, BASE + page * PAGE, count * PAGE).expect("there is memory");
                process.pages.retain(|at, _| !(page..page + count).contains(at));
            }
            Op::Protect(process, page, count, prot) => {
                let process = &mut self.processes[process];
                let result = process.space.mprotect(&mut self.cx, BASE + page * PAGE, count * PAGE, prot);
                let hole = (page..page + count).find(|at| !process.pages.contains_key(at));
                assert_eq!(result, if hole.is_some() { Err(Errno::ENOMEM) } else { Ok(()) });
                let end = hole.unwrap_or(page + count);
                process.pages.range_mut(page..end).for_each(|(_, page)| page.protect(prot));
            }
            Op::DontNeed(process, page, count) => {
                let process = &mut self.processes[process];
                // A hole is an error, but what is mapped is dropped all the same.
                let result = process.space.madvise(&mut self.cx, BASE + page * PAGE, count * PAGE, Advice::DontNeed);
                assert_eq!(result.is_ok(), process.pages.range(page..page + count).count() as u64 == count);
                process.pages.range_mut(page..page + count).for_each(|(_, page)| page.state = State::Untouched);
            }
            Op::Store(process, page, word, value) => self.store(process, page, word, value),
            Op::Load(process, page, word) => self.load(process, page, word),
            Op::Touch(process, page, access) => {
                self.touch(process, BASE + page * PAGE, page, access);
            }
        }
        self.check();
    }

    fn map(
        &mut self,
        process: usize,
        page: u64,
        count: u64,
        prot: u64,
        source: impl Fn(u64) -> Source,
        file: Option<(FileId, u64)>,
    ) {
        let process = &mut self.processes[process];
        let flags = map::PRIVATE | map::FIXED;
        let request =
            MmapRequest { addr: BASE + page * PAGE, length: count * PAGE, prot, flags, file, ..MmapRequest::default() };
        process.space.mmap(&mut self.cx, &request).expect("there is room");
        for at in 0..count {
            process.pages.insert(page + at, Page::new(prot, source(at)));
        }
    }

    fn store(&mut self, process: usize, page: u64, word: usize, value: u64) {
        let address = BASE + page * PAGE + WORDS[word] as u64 * 8;
        if self.touch(process, address, page, Access::Write) {
            let process = &mut self.processes[process];
            self.cx.machine.store(process.space.tables.root, address, value).expect("it was touched");
            match process.pages.get_mut(&page).map(|page| &mut page.state) {
                Some(State::Private { words, .. }) => words[word] = value,
                state => panic!("a written page is private, not {state:?}"),
            }
        }
    }

    fn load(&mut self, process: usize, page: u64, word: usize) {
        let address = BASE + page * PAGE + WORDS[word] as u64 * 8;
        if self.touch(process, address, page, Access::Read) {
            let process = &self.processes[process];
            let value = self.cx.machine.load(process.space.tables.root, address).expect("it was touched");
            assert_eq!(value, process.pages[&page].words()[word], "{address:#x}");
        }
    }

    /// Makes the access as a program does, with the faults it causes. Returns whether it succeeded.
    fn touch(&mut self, process: usize, address: u64, page: u64, access: Access) -> bool {
        let Process { space, pages, faults, major } = &mut self.processes[process];
        let mapped = pages.get_mut(&page);
        let read_in = mapped.as_ref().filter(|page| page.state == State::Untouched).map(|page| page.source);
        let expected = mapped.map_or(Some(FaultKind::SegvMapErr), |page| page.access(access));
        let result = self.cx.machine.access(space.tables.root, address, access, true);
        assert_eq!(result.is_err(), expected.is_some(), "{address:#x} {access:?}: {expected:?}");
        let Some(kind) = expected else { return true };
        let outcome = fault::handle(&mut self.cx, space, Fault { address, access, user: true });
        assert_eq!(outcome.kind, kind, "{address:#x} {access:?}");
        if !kind.counts_for_task() {
            return false;
        }
        let missed = match read_in {
            Some(Source::File(file, index)) => self.cached.insert((file, index)),
            _ => false,
        };
        assert_eq!(outcome.major, missed);
        *faults += 1;
        *major += u64::from(missed);
        assert_eq!(self.cx.machine.access(space.tables.root, address, access, true), Ok(outcome.pfn));
        true
    }

    fn check(&mut self) {
        self.cx.machine.assert_coherent();
        for process in &self.processes {
            let count = |wanted: fn(&Page) -> bool| process.pages.values().filter(|page| wanted(page)).count() as u64;
            let usage = &process.space.usage;
            assert_eq!(usage.rss_anon, count(|page| matches!(page.state, State::Private { .. })));
            assert_eq!(usage.rss_file, count(|page| page.state == State::Shared && page.source != Source::Anon));
        }
    }

    /// Ends the processes: what is left is what the page cache and the registry hold.
    pub(crate) fn finish(self) {
        let World { mut cx, files, processes, cached } = self;
        let mut faults = 0;
        for Process { space, faults: all, major, .. } in processes {
            assert_eq!((space.usage.min_flt, space.usage.maj_flt), (all - major, major));
            faults += all;
            space.destroy(&mut cx);
            cx.machine.assert_coherent();
        }
        assert!(cx.stats.get(Counter::Pgfault) >= faults);
        assert_eq!(cx.stats.get(Counter::Pgmajfault), cached.len() as u64);
        for owner in [Owner::Anon, Owner::FileCow, Owner::PageTable] {
            assert_eq!(cx.trace.in_use(owner), 0, "{owner:?}");
        }
        assert_eq!(cx.trace.in_use(Owner::File), cached.len() as u64);
        for &(file, index) in &cached {
            let pfn = cx.cached(files[file], index).expect("nothing drops cached pages");
            let page = cx.machine.pages()[pfn.index()];
            assert_eq!((page.refcount, page.mapcount), (1, 0));
            assert_eq!(cx.machine.frame(pfn).0[WORDS[0]], file_word(file, index, WORDS[0]));
        }
        let in_use: u64 = Owner::ALL.iter().map(|&owner| cx.trace.in_use(owner)).sum();
        assert_eq!(cx.frames.free() + in_use, cx.frames.managed());
        cx.frames.check(cx.machine.pages()).expect("the free lists are whole");
    }
}
