//! ELF files that no linker writes. The command refuses them, or the guest kernel does (status 126 both), or they run as
//! on Linux; the guest kernel never panics.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use pagelab_tests::{Lab, exit_status, lab, text};

const PAGE: u64 = 4096;
const HEADER: usize = 64;
const SEGMENT: usize = 56;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
/// `mov $42, %edi; mov $231, %eax; syscall`: exit_group(42).
const CODE: [u8; 12] = [0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
const CODE_AT: u64 = 0x1000;
const BASE: u64 = 0x40_0000;

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    in_file: u64,
    in_memory: u64,
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// The file's first two pages, executable at [`BASE`].
const TEXT: Segment = Segment {
    kind: PT_LOAD,
    flags: READ | EXECUTE,
    offset: 0,
    address: BASE,
    in_file: CODE_AT + CODE.len() as u64,
    in_memory: CODE_AT + CODE.len() as u64,
};

/// What an ELF header says.
#[derive(Clone, Copy)]
struct Header {
    kind: u16,
    entry: u64,
    headers_at: u64,
    header_size: u16,
    header_count: Option<u16>,
}

const EXECUTABLE: Header = Header {
    kind: 2,
    entry: BASE + CODE_AT,
    headers_at: HEADER as u64,
    header_size: SEGMENT as u16,
    header_count: None,
};
const SHARED: Header = Header { kind: 3, entry: CODE_AT, ..EXECUTABLE };

/// The bytes of a file with these headers, and the code at offset [`CODE_AT`].
fn file(header: Header, segments: &[Segment]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(header.kind.to_le_bytes());
    bytes.extend(62u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [header.entry, header.headers_at, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    let count = header.header_count.unwrap_or(segments.len() as u16);
    for half in [HEADER as u16, header.header_size, count, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for segment in segments {
        bytes.extend(segment.kind.to_le_bytes());
        bytes.extend(segment.flags.to_le_bytes());
        for word in [segment.offset, segment.address, segment.address, segment.in_file, segment.in_memory, PAGE] {
            bytes.extend(word.to_le_bytes());
        }
    }
    assert!(bytes.len() <= CODE_AT as usize, "too many segments");
    bytes.resize(CODE_AT as usize, 0);
    bytes.extend(CODE);
    bytes
}

/// What Linux makes of it; `None` if it does not start it.
fn natively(lab: &Lab) -> Option<i32> {
    let output = Command::new(lab.folder().join("victim")).stdin(Stdio::null()).output().ok()?;
    Some(exit_status(&output))
}

/// Writes the file that is to be run.
fn victim(lab: &Lab, bytes: &[u8]) {
    let path = lab.folder().join("victim");
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its permissions");
}

/// Runs each file in both places. The lab may refuse what Linux runs (with a reason), but not the other way around.
fn check(lab: &Lab, cases: &[(&str, Vec<u8>)], options: &[&str]) {
    let mut wrong = Vec::new();
    for (name, bytes) in cases {
        victim(lab, bytes);
        let linux = natively(lab);
        let output = lab.run(&[&["--record", "guest", "--console"], options].concat(), "./victim", &[]);
        let (status, everything) = (exit_status(&output), text(&output));
        let refused = status == 126;
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("{name}: Linux {linux:?}, lab {status}: {}", said.trim());
        let fine = if refused {
            said.len() > 20
        } else {
            // Linux kills a program that it cannot finish loading.
            linux == Some(status)
        };
        if !fine || everything.contains("panic") || status == 124 {
            wrong.push(format!("{name}: Linux {linux:?}, lab {everything}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_plain_file_runs() {
    let lab = lab!();
    for header in [EXECUTABLE, SHARED] {
        let address = if header.kind == 2 { BASE } else { 0 };
        victim(&lab, &file(header, &[Segment { address, ..TEXT }]));
        let output = lab.run(&["--record", "guest"], "./victim", &[]);
        assert_eq!(exit_status(&output), 42, "{}", text(&output));
    }
}

#[test]
fn cut_off_files() {
    let lab = lab!();
    let whole = file(EXECUTABLE, &[TEXT, TEXT]);
    let lengths =
        [0, 1, 4, 15, 16, 17, 40, 63, 64, 65, 119, 120, 121, 175, 176, 177, 4095, 4096, 4097, whole.len() - 1];
    let cases = lengths.map(|length| ("cut off", whole[..length].to_vec()));
    check(&lab, &cases, &[]);
}

#[test]
fn absurd_headers() {
    let lab = lab!();
    let of = |header| file(header, &[TEXT]);
    let at = |headers_at| of(Header { headers_at, ..EXECUTABLE });
    let counted = |count| of(Header { header_count: Some(count), ..EXECUTABLE });
    let sized = |header_size| of(Header { header_size, ..EXECUTABLE });
    let entering = |entry| of(Header { entry, ..EXECUTABLE });
    let cases = [
        ("headers at 0", at(0)),
        ("headers misaligned", at(65)),
        ("headers at the end", at(CODE_AT + 12)),
        ("headers half beyond the end", at(CODE_AT - 20)),
        ("headers at 2^63", at(1 << 63)),
        ("headers at -1", at(u64::MAX)),
        ("headers at -56", at(u64::MAX - 55)),
        ("no headers", counted(0)),
        ("many headers", counted(1000)),
        ("most headers", counted(u16::MAX)),
        ("headers of size 0", sized(0)),
        ("headers of size 1", sized(1)),
        ("headers of size 64", sized(64)),
        ("entry 0", entering(0)),
        ("entry 1", entering(1)),
        ("entry in a hole", entering(0x1234_5000)),
        ("entry beyond the code", entering(BASE + 0x2000)),
        ("entry at the end of user addresses", entering(0x7fff_ffff_f000)),
        ("entry not canonical", entering(1 << 47)),
        ("entry in the kernel", entering(0xffff_ffff_8010_0000)),
        ("entry at -1", entering(u64::MAX)),
    ];
    check(&lab, &cases, &[]);
}

#[test]
fn absurd_segments() {
    let lab = lab!();
    let with = |segment| file(EXECUTABLE, &[TEXT, segment]);
    let data = Segment { flags: READ | WRITE, address: 0x60_0000, ..TEXT };
    let placed = |address| with(Segment { address, ..data });
    let sized = |in_file, in_memory| with(Segment { in_file, in_memory, ..data });
    let from = |offset| with(Segment { offset, ..data });
    let cases = [
        ("at 0", placed(0)),
        ("at the lowest page", placed(PAGE)),
        ("misaligned", placed(0x60_0001)),
        ("at the last user page", placed(0x7fff_ffff_e000)),
        ("at the end of user addresses", placed(0x7fff_ffff_f000)),
        ("over the stack", placed(0x7fff_ffff_0000)),
        ("not canonical", placed(1 << 47)),
        ("in the kernel", placed(0xffff_ffff_8010_0000)),
        ("in the direct map", placed(0xffff_8880_0000_0000)),
        ("at the end of all", placed(0xffff_ffff_ffff_f000)),
        ("over the text", placed(BASE + PAGE)),
        ("on the text", placed(BASE)),
        ("nothing", sized(0, 0)),
        ("only bss", sized(0, 5000)),
        ("a byte of bss", sized(0, 1)),
        ("larger in the file", sized(100, 99)),
        ("huge in the file", sized(1 << 40, 1 << 40)),
        ("bss of 2^47", sized(100, 1 << 47)),
        ("bss of 2^63", sized(100, 1 << 63)),
        ("bss of -1", sized(100, u64::MAX)),
        ("bss that wraps to 0", sized(100, 0u64.wrapping_sub(0x60_0000))),
        ("all of -1", sized(u64::MAX, u64::MAX)),
        ("from the end of the file", from(CODE_AT * 2)),
        ("from 2^40", from(1 << 40)),
        ("from 2^63", from(1 << 63)),
        ("from -4096", from(u64::MAX - 4095)),
        ("from -1", from(u64::MAX)),
        ("no rights", with(Segment { flags: 0, ..data })),
        ("all rights", with(Segment { flags: u32::MAX, ..data })),
        ("text without rights", file(EXECUTABLE, &[Segment { flags: 0, ..TEXT }])),
        ("text not executable", file(EXECUTABLE, &[Segment { flags: READ, ..TEXT }])),
        ("text only executable", file(EXECUTABLE, &[Segment { flags: EXECUTE, ..TEXT }])),
        ("read-only bss", with(Segment { flags: READ, in_memory: 3 * PAGE, ..data })),
        ("downwards", file(EXECUTABLE, &[data, TEXT])),
        ("nothing to load", file(EXECUTABLE, &[Segment { kind: PT_GNU_STACK, ..TEXT }])),
        ("an interpreter", with(Segment { kind: PT_INTERP, ..data })),
        ("an interpreter beyond the file", with(Segment { kind: PT_INTERP, offset: 1 << 40, ..data })),
        ("an interpreter of -1", with(Segment { kind: PT_INTERP, in_file: u64::MAX, ..data })),
        ("seventy", seventy()),
        ("shared, at 0", file(SHARED, &[Segment { address: 0, ..TEXT }])),
        (
            "shared, high",
            file(Header { entry: CODE_AT + (1 << 46), ..SHARED }, &[Segment { address: 1 << 46, ..TEXT }]),
        ),
        ("shared, misaligned", file(SHARED, &[Segment { address: 1, ..TEXT }])),
        ("shared, entry outside", file(Header { entry: 1 << 60, ..SHARED }, &[Segment { address: 0, ..TEXT }])),
        ("shared, entry in the kernel", file(Header { entry: 1 << 63, ..SHARED }, &[Segment { address: 0, ..TEXT }])),
        ("shared, wide", file(SHARED, &[Segment { address: 0, ..TEXT }, Segment { address: 1 << 46, ..data }])),
        (
            "shared, widest",
            file(SHARED, &[Segment { address: 0, ..TEXT }, Segment { address: 0x7fff_ffff_d000, ..data }]),
        ),
        ("shared, huge bss", file(SHARED, &[Segment { address: 0, in_memory: (1 << 47) - PAGE, ..TEXT }])),
    ];
    check(&lab, &cases, &[]);
}

fn seventy() -> Vec<u8> {
    let small =
        |index: u64| Segment { address: 0x60_0000 + index * 2 * PAGE, flags: READ, in_file: 8, in_memory: 8, ..TEXT };
    let segments: Vec<Segment> = [TEXT].into_iter().chain((0..69).map(small)).collect();
    file(EXECUTABLE, &segments)
}

#[test]
fn a_bss_larger_than_memory() {
    let lab = lab!();
    // More than the guest has, and less than Linux would refuse on the smallest machine that runs this natively.
    let bss = Segment { flags: READ | WRITE, address: 0x60_0000, in_file: 100, in_memory: 128 << 20, ..TEXT };
    check(&lab, &[("128 MiB of bss", file(EXECUTABLE, &[TEXT, bss]))], &["--memory", "16M"]);
}

#[test]
fn files_that_leave_the_guest_almost_no_memory() {
    let lab = lab!();
    victim(&lab, &file(EXECUTABLE, &[TEXT]));
    let mut ends = [0; 2];
    for kilobytes in (14_000..14_800).step_by(50) {
        fs::write(lab.folder().join("input"), vec![0; kilobytes << 10]).expect("a file");
        let output = lab.run(&["--memory", "16M", "--record", "guest", "--stdin", "input"], "./victim", &[]);
        let everything = text(&output);
        match exit_status(&output) {
            42 => ends[0] += 1,
            125 if everything.contains("give at least --memory") => ends[1] += 1,
            126 if everything.contains("give more with --memory") => ends[1] += 1,
            status => panic!("{kilobytes} KiB: {status}: {everything}"),
        }
    }
    assert!(ends.iter().all(|&count| count > 0), "{ends:?}");
}
