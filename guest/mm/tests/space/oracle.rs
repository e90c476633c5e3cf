//! Linux is the oracle: random requests are made to an address space of ours and to the Linux that runs this test.
//! Answers, VMAs, flags and resident pages must be the same after each.
//!
//! The rules are those with vm.overcommit_memory 0 or 1. MAP_STACK means no huge pages since Linux 6.7 and nothing
//! before; an older Linux is not asked for it.

use pagelab_mm::{
    errno::Errno,
    space::{MremapRequest, map, prot, remap},
    vma::VmFlags,
};
use proptest::prelude::*;

use crate::{
    linux::Linux,
    world::{PAGE, RW, World},
};

/// Far from everything else: Linux looks for room from the top down and finds it before it comes here.
const WINDOW: u64 = 0x1000_0000_0000;
const WINDOW_PAGES: u64 = 1024;
/// Requests begin in clusters this far apart, the guard gap of a stack, so that the gap's edges are met often.
const CLUSTER: u64 = 256;

/// One VMA, as both sides show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) file: bool,
    /// Resident pages; not counted for file mappings.
    pub(crate) rss: u64,
    pub(crate) anonymous: u64,
    pub(crate) flags: Vec<&'static str>,
}

/// Linux's two letters for the flags that both sides have.
const FLAGS: &[(&str, VmFlags)] = &[
    ("rd", VmFlags::READ),
    ("wr", VmFlags::WRITE),
    ("ex", VmFlags::EXEC),
    ("sh", VmFlags::SHARED),
    ("mr", VmFlags::MAYREAD),
    ("mw", VmFlags::MAYWRITE),
    ("me", VmFlags::MAYEXEC),
    ("ms", VmFlags::MAYSHARE),
    ("gd", VmFlags::GROWSDOWN),
    ("lo", VmFlags::LOCKED),
    ("ac", VmFlags::ACCOUNT),
    ("nr", VmFlags::NORESERVE),
    ("nh", VmFlags::NOHUGEPAGE),
    ("lf", VmFlags::LOCKONFAULT),
    ("sr", VmFlags::SEQ_READ),
    ("rr", VmFlags::RAND_READ),
    ("dc", VmFlags::DONTCOPY),
    ("wf", VmFlags::WIPEONFORK),
    ("dd", VmFlags::DONTDUMP),
    ("hg", VmFlags::HUGEPAGE),
    ("mg", VmFlags::MERGEABLE),
];

impl Row {
    pub(crate) fn set_flags(&mut self, text: &str) {
        let known = |word| FLAGS.iter().map(|flag| flag.0).find(|&name| name == word);
        self.flags =
            FLAGS.iter().map(|flag| flag.0).filter(|name| text.split(' ').any(|w| known(w) == Some(*name))).collect();
    }
}

fn our_rows(world: &mut World) -> Vec<Row> {
    let row = |entry: &pagelab_mm::abi::snapshot::VmaEntry| Row {
        start: entry.start,
        end: entry.end,
        offset: entry.offset,
        file: entry.inode != 0,
        rss: if entry.inode == 0 { u64::from(entry.rss) } else { 0 },
        anonymous: u64::from(entry.anonymous),
        flags: FLAGS.iter().filter(|flag| entry.bits & flag.1.bits() != 0).map(|flag| flag.0).collect(),
    };
    world.entries().iter().map(row).collect()
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Map { page: u64, length: u64, prot: u64, flags: u64, skew: u64 },
    MapFile { page: u64, length: u64, prot: u64, flags: u64, file_page: u64 },
    Unmap { page: u64, length: u64, skew: u64 },
    Protect { page: u64, length: u64, prot: u64, skew: u64 },
    MapShared { page: u64, length: u64, prot: u64, flags: u64 },
    Remap(MremapRequest),
    Lock { page: u64, length: u64, skew: u64, on_fault: bool },
    Unlock { page: u64, length: u64, skew: u64 },
    Advise { page: u64, length: u64, skew: u64, advice: u32 },
    Sync { page: u64, length: u64, skew: u64, flags: u64 },
    Resident { page: u64, pages: u64 },
    Touch { page: u64, write: bool },
}

fn page() -> impl Strategy<Value = u64> {
    (0..3u64, 0..12u64).prop_map(|(cluster, offset)| cluster * CLUSTER + offset)
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => (1..7u64).prop_map(|pages| pages * PAGE),
        2 => 1..8 * PAGE,
        1 => (200..300u64).prop_map(|pages| pages * PAGE),
        1 => Just(0),
    ]
}

/// Mostly 0: what makes an address lie inside a page.
fn skew() -> impl Strategy<Value = u64> {
    prop_oneof![30 => Just(0), 1 => 1..PAGE]
}

/// Execute-only memory is left out: where there are protection keys Linux uses one for it.
fn rights() -> impl Strategy<Value = u64> {
    let choices = vec![0, prot::READ, RW, RW, RW, prot::READ | prot::EXEC, RW | prot::EXEC, prot::WRITE];
    proptest::sample::select(choices)
}

fn map_flags() -> impl Strategy<Value = u64> {
    let place = prop_oneof![6 => Just(map::FIXED), 2 => Just(0), 1 => Just(map::FIXED_NOREPLACE)];
    let kind = prop_oneof![
        12 => Just(0),
        2 => Just(map::GROWSDOWN),
        1 => Just(map::NORESERVE),
        1 => Just(map::LOCKED),
        1 => Just(map::POPULATE),
        1 => Just(if stacks_have_no_huge_pages() { map::STACK } else { 0 })
    ];
    (place, kind).prop_map(|(place, kind)| place | kind)
}

fn file_flags() -> impl Strategy<Value = u64> {
    let kinds =
        [map::PRIVATE, map::PRIVATE, map::PRIVATE, map::SHARED, map::SHARED_VALIDATE, 0, map::PRIVATE | map::GROWSDOWN];
    (proptest::sample::select(kinds.to_vec()), prop_oneof![8 => Just(map::FIXED), 1 => Just(0)])
        .prop_map(|(kind, place)| kind | place)
}

/// Mostly within what is mapped, from page to page of the window.
fn remap_request() -> impl Strategy<Value = MremapRequest> {
    let flags = prop_oneof![
        4 => Just(0),
        5 => Just(remap::MAYMOVE),
        6 => Just(remap::MAYMOVE | remap::FIXED),
        3 => Just(remap::MAYMOVE | remap::FIXED | remap::DONTUNMAP),
        1 => Just(remap::MAYMOVE | remap::DONTUNMAP),
        1 => Just(remap::FIXED),
        1 => Just(remap::DONTUNMAP),
        1 => Just(8),
    ];
    let equal = proptest::sample::select(vec![true, true, false]);
    (page(), length(), length(), flags, page(), skew(), equal).prop_map(
        |(page, old_length, new_length, flags, to, skew, equal)| MremapRequest {
            addr: WINDOW + page * PAGE + skew,
            old_length,
            new_length: if equal { old_length } else { new_length },
            flags,
            new_addr: WINDOW + to * PAGE,
        },
    )
}

/// Without advice that lets Linux take pages away when it likes (MADV_FREE, MADV_PAGEOUT).
fn advice() -> impl Strategy<Value = u32> {
    let numbers = [0, 1, 2, 3, 4, 4, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 99];
    proptest::sample::select(numbers.to_vec())
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let protect_bits = prop_oneof![
        20 => Just(0),
        1 => Just(prot::GROWSDOWN),
        1 => Just(prot::GROWSUP),
        1 => Just(prot::SEM),
        1 => Just(0x40u64)
    ];
    prop_oneof![
        6 => (page(), length(), rights(), map_flags(), skew())
            .prop_map(|(page, length, prot, flags, skew)| Request::Map { page, length, prot, flags, skew }),
        3 => (page(), length(), rights(), file_flags(), 0..8u64)
            .prop_map(|(page, length, prot, flags, file_page)| Request::MapFile { page, length, prot, flags, file_page }),
        2 => (page(), length(), skew()).prop_map(|(page, length, skew)| Request::Unmap { page, length, skew }),
        6 => (page(), length(), rights(), protect_bits, skew())
            .prop_map(|(page, length, prot, bits, skew)| Request::Protect { page, length, prot: prot | bits, skew }),
        2 => (page(), length(), rights(), map_flags())
            .prop_map(|(page, length, prot, flags)| Request::MapShared { page, length, prot, flags }),
        8 => remap_request().prop_map(Request::Remap),
        2 => (page(), length(), skew(), any::<bool>())
            .prop_map(|(page, length, skew, on_fault)| Request::Lock { page, length, skew, on_fault }),
        2 => (page(), length(), skew()).prop_map(|(page, length, skew)| Request::Unlock { page, length, skew }),
        6 => (page(), length(), skew(), advice())
            .prop_map(|(page, length, skew, advice)| Request::Advise { page, length, skew, advice }),
        1 => (page(), length(), skew(), 0..9u64)
            .prop_map(|(page, length, skew, flags)| Request::Sync { page, length, skew, flags }),
        1 => (page(), 1..10u64).prop_map(|(page, pages)| Request::Resident { page, pages }),
        10 => (page(), any::<bool>()).prop_map(|(page, write)| Request::Touch { page, write }),
    ]
}

/// An answer that both sides must agree on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done(Result<(), Errno>),
    /// Where a mapping went; `None` for outside of the window.
    Mapped(Result<Option<u64>, Errno>),
    Resident(Result<Vec<bool>, Errno>),
    Touched(bool),
}

fn in_window(address: u64) -> bool {
    (WINDOW..WINDOW + WINDOW_PAGES * PAGE).contains(&address)
}

/// A mapping that did not go where the hint said is taken back at once: where it went is each side's own affair.
fn mapped_by_linux(linux: &Linux, got: Result<u64, Errno>, length: u64) -> Answer {
    if let Ok(address) = got
        && !in_window(address)
    {
        linux.unmap_elsewhere(address, length.next_multiple_of(PAGE));
    }
    Answer::Mapped(got.map(|address| Some(address).filter(|&address| in_window(address))))
}

/// The same for ours.
fn mapped_by_us(world: &mut World, got: Result<u64, Errno>, length: u64) -> Answer {
    if let Ok(address) = got
        && !in_window(address)
    {
        world.release_hoard();
        world.unmap(address, length).expect("just mapped");
    }
    Answer::Mapped(got.map(|address| Some(address).filter(|&address| in_window(address))))
}

fn ask_linux(linux: &Linux, request: &Request) -> Answer {
    let at = |page: u64, skew: u64| WINDOW + page * PAGE + skew;
    match *request {
        Request::Map { page, length, prot, flags, skew } => {
            let got = linux.map(at(page, skew), length, prot, flags);
            mapped_by_linux(linux, got, length)
        }
        Request::MapFile { page, length, prot, flags, file_page } => {
            let got = linux.map_file(at(page, 0), length, prot, flags, file_page);
            mapped_by_linux(linux, got, length)
        }
        Request::Unmap { page, length, skew } => Answer::Done(linux.unmap(at(page, skew), length)),
        Request::Protect { page, length, prot, skew } => Answer::Done(linux.protect(at(page, skew), length, prot)),
        Request::MapShared { page, length, prot, flags } => {
            let got = linux.map_shared(at(page, 0), length, prot, flags);
            mapped_by_linux(linux, got, length)
        }
        Request::Remap(request) => mapped_by_linux(linux, linux.remap(&request), request.new_length),
        Request::Lock { page, length, skew, on_fault } => Answer::Done(linux.lock(at(page, skew), length, on_fault)),
        Request::Unlock { page, length, skew } => Answer::Done(linux.unlock(at(page, skew), length)),
        Request::Advise { page, length, skew, advice } => Answer::Done(linux.advise(at(page, skew), length, advice)),
        Request::Sync { page, length, skew, flags } => Answer::Done(linux.sync(at(page, skew), length, flags)),
        Request::Resident { page, pages } => Answer::Resident(linux.resident(at(page, 0), pages)),
        Request::Touch { page, write } => Answer::Touched(linux.touch(at(page, 0), write)),
    }
}

pub(crate) fn ask_us(world: &mut World, request: &Request) -> Answer {
    let at = |page: u64, skew: u64| WINDOW + page * PAGE + skew;
    match *request {
        Request::Map { page, length, prot, flags, skew } => {
            let got = world.map(at(page, skew), length, prot, flags);
            mapped_by_us(world, got, length)
        }
        Request::MapFile { page, length, prot, flags, file_page } => {
            let got = world.map_file(at(page, 0), length, prot, flags, file_page);
            mapped_by_us(world, got, length)
        }
        Request::Unmap { page, length, skew } => Answer::Done(world.unmap(at(page, skew), length)),
        Request::Protect { page, length, prot, skew } => Answer::Done(world.protect(at(page, skew), length, prot)),
        Request::MapShared { page, length, prot, flags } => {
            let got = world.map_shared(at(page, 0), length, prot, flags);
            mapped_by_us(world, got, length)
        }
        Request::Remap(request) => {
            let got = world.remap(&request);
            mapped_by_us(world, got, request.new_length)
        }
        Request::Lock { page, length, skew, on_fault } => Answer::Done(world.lock(at(page, skew), length, on_fault)),
        Request::Unlock { page, length, skew } => {
            Answer::Done(world.space.munlock(&mut world.cx, at(page, skew), length))
        }
        Request::Advise { page, length, skew, advice } => Answer::Done(world.advise(at(page, skew), length, advice)),
        Request::Sync { page, length, skew, flags } => {
            Answer::Done(world.space.msync(&world.cx, at(page, skew), length, flags))
        }
        Request::Resident { page, pages } => {
            let mut resident = Vec::new();
            let result = world.space.mincore(&world.cx, at(page, 0), pages * PAGE, |_, there| resident.push(there));
            Answer::Resident(result.map(|()| resident))
        }
        Request::Touch { page, write } => Answer::Touched(world.touch(at(page, 0), write)),
    }
}

/// Whether this Linux is 6.7 or later.
fn stacks_have_no_huge_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux says its release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6u32, 7u32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn linux_agrees(requests in prop::collection::vec(request(), 1..80)) {
        let linux = Linux::new(WINDOW, WINDOW + WINDOW_PAGES * PAGE);
        let mut world = World::new();
        for (number, request) in requests.iter().enumerate() {
            let before = our_rows(&mut world);
            let (theirs, ours) = (ask_linux(&linux, request), ask_us(&mut world, request));
            let theirs = (theirs, linux.rows());
            let ours = (ours, our_rows(&mut world));
            prop_assert_eq!(&theirs, &ours, "request {} {:x?}\non {:x?}\nLinux: {:x?}\nwe:    {:x?}", number, request, before, theirs, ours);
            world.check();
        }
        world.finish();
    }
}
