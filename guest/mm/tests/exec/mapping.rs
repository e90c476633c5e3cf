//! What is mapped for a program, in a simulated process: overlaps, rights, zeros, places.

use pagelab_mm::{
    errno::Errno,
    exec::{Image, LoadError, Program, Unfit},
    sim::{
        SimProcess,
        elf::{EXECUTE, ElfFile, PT_GNU_STACK, READ, Segment, WRITE},
    },
    vma::VmFlags,
};

const PAGE: u64 = 4096;
const BASE: u64 = 0x40_0000;
const TEXT: Segment = Segment::load(READ | EXECUTE, 0, BASE, 3 * PAGE);
const LENGTH: usize = 6 * PAGE as usize;

fn executable(segments: &[Segment]) -> Vec<u8> {
    ElfFile::new(2, BASE + 0x800, LENGTH, segments).bytes()
}

fn independent(segments: &[Segment]) -> Vec<u8> {
    ElfFile::new(3, 0x800, LENGTH, segments).bytes()
}

fn load(bytes: &[u8]) -> (SimProcess, Image) {
    let program = Program::read(bytes).expect("it can be run");
    let mut process = SimProcess::new(16 << 20, bytes);
    let image = process.load(&program).expect("it can be loaded");
    (process, image)
}

/// The rights at an address, as in `maps`.
fn rights(process: &mut SimProcess, address: u64) -> String {
    let Some(vma) = process.vma(address) else { return "none".to_owned() };
    let letter = |flag, letter| if vma.flags().contains(flag) { letter } else { '-' };
    [letter(VmFlags::READ, 'r'), letter(VmFlags::WRITE, 'w'), letter(VmFlags::EXEC, 'x')].iter().collect()
}

fn filling(offset: u64) -> Option<u8> {
    Some(ElfFile::filling(offset as usize))
}

#[test]
fn text_and_data_lie_where_the_file_says() {
    let data = Segment { p_memsz: 3 * PAGE, ..Segment::load(READ | WRITE, 3 * PAGE, BASE + 3 * PAGE, PAGE + 100) };
    let (mut process, image) = load(&executable(&[TEXT, data]));
    assert_eq!(image.entry, BASE + 0x800);
    assert_eq!((image.headers, image.header_count), (BASE + 64, 2));
    assert_eq!((image.code.clone(), image.text_bytes()), (BASE..BASE + 3 * PAGE, 3 * PAGE));
    assert_eq!(image.data_bytes(), PAGE + 100);
    assert_eq!(image.end, BASE + 6 * PAGE);
    assert_eq!(rights(&mut process, BASE), "r-x");
    assert_eq!(rights(&mut process, BASE + 3 * PAGE), "rw-");
    assert_eq!(rights(&mut process, BASE + 6 * PAGE), "none");
    assert_eq!(process.byte(BASE + 3 * PAGE - 1), filling(3 * PAGE - 1));
    let last = 4 * PAGE + 100;
    assert_eq!(process.byte(BASE + last - 1), filling(last - 1));
    assert_eq!(process.byte(BASE + last), Some(0), "the rest of the last page is bss");
    assert_eq!(process.byte(BASE + 6 * PAGE - 1), Some(0));
    assert_eq!(process.byte(BASE + 6 * PAGE), None);
}

#[test]
fn later_segments_replace_earlier_ones() {
    let over = Segment::load(READ | WRITE, 4 * PAGE, BASE + PAGE, PAGE);
    let (mut process, _) = load(&executable(&[TEXT, over]));
    assert_eq!([0, 1, 2].map(|page| rights(&mut process, BASE + page * PAGE)), ["r-x", "rw-", "r-x"]);
    assert_eq!(process.byte(BASE + PAGE + 9), filling(4 * PAGE + 9));
    assert_eq!(process.byte(BASE + 2 * PAGE + 9), filling(2 * PAGE + 9));
    let bss = Segment { p_filesz: 0, ..Segment::load(READ, 0, BASE, 3 * PAGE) };
    let (mut process, _) = load(&executable(&[TEXT, bss]));
    assert_eq!(process.byte(BASE + 100), Some(0));
}

#[test]
fn segments_need_not_be_in_order() {
    let low = Segment::load(READ, PAGE, BASE - 8 * PAGE, PAGE);
    let (mut process, image) = load(&executable(&[TEXT, low]));
    assert_eq!((rights(&mut process, BASE - 8 * PAGE), image.end), ("r--".to_owned(), BASE + 3 * PAGE));
}

#[test]
fn bss_can_be_written_whatever_the_segment_says() {
    let bss = Segment { p_filesz: 100, ..Segment::load(READ | EXECUTE, 0, 0x60_0000, 2 * PAGE) };
    let (mut process, _) = load(&executable(&[TEXT, bss]));
    assert_eq!(rights(&mut process, 0x60_0000), "r-x");
    assert_eq!(rights(&mut process, 0x60_1000), "rwx");
    assert_eq!(process.byte(0x60_0000 + 1000), filling(1000), "a page that cannot be written is not cleared");
}

#[test]
fn a_byte_of_bss_at_the_end_of_a_page() {
    let bss = Segment { p_filesz: 0, ..Segment::load(READ | WRITE, 0, 0x60_0fff, 1) };
    let (mut process, image) = load(&executable(&[TEXT, bss]));
    assert_eq!((process.byte(0x60_0fff), process.byte(0x60_1000), image.end), (Some(0), None, 0x60_1000));
}

#[test]
fn a_segment_without_bytes_moves_the_heap_and_maps_nothing() {
    let empty = Segment { p_filesz: 0, p_memsz: 0, ..Segment::load(READ, 0, 0x70_0000, 0) };
    let (mut process, image) = load(&executable(&[TEXT, empty]));
    assert_eq!((image.end, rights(&mut process, 0x70_0000)), (0x70_0000, "none".to_owned()));
}

#[test]
fn the_last_wish_for_a_stack_counts() {
    let stack = |p_flags| Segment { p_type: PT_GNU_STACK, p_flags, ..TEXT };
    assert!(!load(&executable(&[TEXT])).1.executable_stack);
    assert!(load(&executable(&[TEXT, stack(READ | EXECUTE)])).1.executable_stack);
    assert!(!load(&executable(&[TEXT, stack(READ | EXECUTE), stack(READ | WRITE)])).1.executable_stack);
}

#[test]
fn headers_that_are_not_loaded_have_no_address() {
    let data = Segment::load(READ | EXECUTE, PAGE, BASE, PAGE);
    assert_eq!(load(&executable(&[data])).1.headers, 0);
}

#[test]
fn a_static_pie_goes_to_the_top_of_the_mmap_area() {
    let data = Segment { p_vaddr: 5 * PAGE, ..Segment::load(READ | WRITE, 3 * PAGE, 0, PAGE) };
    let (mut process, image) = load(&independent(&[Segment { p_vaddr: 0, ..TEXT }, data]));
    let start = image.entry - 0x800;
    assert_eq!((start, image.end), (0x7fff_f7ff_f000 - 6 * PAGE, 0x5555_5555_4000));
    assert_eq!(image.headers, start + 64);
    let found = [0, 2, 3, 5].map(|page| rights(&mut process, start + page * PAGE));
    assert_eq!(found, ["r-x", "r-x", "none", "rw-"]);
}

#[test]
fn a_static_pie_is_aligned_as_its_segments_want() {
    let aligned = |p_align| load(&independent(&[Segment { p_vaddr: 0, p_align, ..TEXT }])).1.entry - 0x800;
    assert_eq!(aligned(0), 0x7fff_f7ff_c000);
    assert_eq!(aligned(PAGE), 0x7fff_f7ff_c000);
    assert_eq!(aligned(0x20_0000), 0x7fff_f7e0_0000);
    assert_eq!(aligned(1 << 46), 1 << 46);
    assert_eq!(aligned(3 << 20), 0x7fff_f7ff_c000, "no power of two");
    let bytes = independent(&[Segment { p_vaddr: 0, p_align: 1 << 63, ..TEXT }]);
    let error = SimProcess::new(16 << 20, &bytes).load(&Program::read(&bytes).expect("sound")).expect_err("at 0");
    assert!(matches!(error, LoadError::Map { start: 0, errno: Errno::EPERM, .. }), "{error}");
}

#[test]
fn a_static_pie_larger_than_the_address_space_has_no_room() {
    let bytes = independent(&[Segment { p_vaddr: 0, p_memsz: (1 << 47) - 2 * PAGE, p_filesz: PAGE, ..TEXT }]);
    let error = SimProcess::new(16 << 20, &bytes).load(&Program::read(&bytes).expect("sound")).expect_err("no room");
    assert!(error.to_string().contains("no room to map") && error.to_string().contains("--memory"), "{error}");
}

#[test]
fn a_high_static_pie_wraps_around_to_its_place() {
    let text = Segment { p_vaddr: 1 << 46, ..TEXT };
    let file = ElfFile::new(3, (1 << 46) + 0x800, LENGTH, &[text]);
    let (mut process, image) = load(&file.bytes());
    assert_eq!(image.entry, 0x7fff_f7ff_c800);
    assert_eq!(rights(&mut process, image.entry), "r-x");
}

#[test]
fn an_entry_that_its_place_moves_out_of_user_addresses() {
    let bytes = ElfFile::new(3, 0x7fff_0000_0000, LENGTH, &[Segment { p_vaddr: 0, ..TEXT }]).bytes();
    let program = Program::read(&bytes).expect("sound as it stands in the file");
    let error = SimProcess::new(16 << 20, &bytes).load(&program).expect_err("it moves");
    assert!(matches!(error, LoadError::Unfit(Unfit::Entry(_))), "{error}");
}
