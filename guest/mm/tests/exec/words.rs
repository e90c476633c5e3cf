//! Each reason for which a file cannot be run, and its words.

use pagelab_mm::{
    exec::Program,
    sim::elf::{EXECUTE, ElfFile, PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_TLS, READ, Segment},
};

const BASE: u64 = 0x40_0000;
const TEXT: Segment = Segment::load(READ | EXECUTE, 0, BASE, 0x1000);
const SOUND: [Segment; 1] = [TEXT];

fn file(segments: &[Segment]) -> ElfFile {
    ElfFile::new(2, BASE + 0x800, 0x1000, segments)
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    match Program::read(bytes) {
        Ok(_) => panic!("it can be run, instead of: {words}"),
        Err(why) => assert!(why.to_string().contains(words), "no {words:?} in: {why}"),
    }
}

#[test]
fn a_sound_file_can_be_run() {
    Program::read(&file(&SOUND).bytes()).expect("it is sound");
}

#[test]
fn every_cut_is_seen() {
    let bytes = file(&SOUND).bytes();
    for length in 0..bytes.len() {
        let words = match length {
            0 => "it is empty",
            1..64 => "its ELF header ends beyond the file, which is cut off",
            64..120 => "its table of program headers ends beyond",
            _ => "its segment 0 ends beyond",
        };
        refused(&bytes[..length], words);
    }
}

#[test]
fn what_is_no_elf_file() {
    refused(b"hello", "it is not an ELF executable");
    refused(b"\x7fELG", "it is not an ELF executable");
    refused(b"#!", "it is a script for ;");
    refused(b"#! /bin/sh -e\nexit", "it is a script for /bin/sh -e;");
    refused(b"#!/bin/\xff\x1b[2J\n", "/bin/\\xff\\x1b[2J;");
    let long = [&b"#!"[..], &[b'x'; 5000]].concat();
    assert!(Program::read(&long).expect_err("a script").to_string().len() < 300);
}

#[test]
fn other_machines() {
    let of = |class: u8, machine: u16| {
        let mut bytes = file(&SOUND).bytes();
        bytes[4] = class;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes
    };
    refused(&of(1, 3), "it is a 32-bit program (i386)");
    refused(&of(1, 62), "it is a 32-bit program (x32)");
    refused(&of(1, 40), "it is a 32-bit program for ARM;");
    refused(&of(2, 183), "it is a program for aarch64;");
    refused(&of(2, 4711), "it is a program for another processor (ELF machine 4711);");
    refused(&of(0, 62), "unknown kind");
    refused(&of(3, 62), "unknown kind");
    let mut big = file(&SOUND).bytes();
    big[5] = 2;
    refused(&big, "big-endian");
}

#[test]
fn other_kinds() {
    let of = |e_type| ElfFile { e_type, ..file(&SOUND) }.bytes();
    refused(&of(0), "not an executable (ELF type 0)");
    refused(&of(1), "an object file");
    refused(&of(4), "a core file");
    refused(&of(0xffff), "ELF type 65535");
}

#[test]
fn dynamic_files() {
    let mut bytes = file(&[TEXT, Segment { p_type: PT_INTERP, p_filesz: 9, p_offset: 0x100, ..TEXT }]).bytes();
    bytes[0x100..0x109].copy_from_slice(b"/lib/ld\0x");
    refused(&bytes, "it is dynamically linked (it asks for /lib/ld); link it statically (C: `gcc -static`;");
    refused(&file(&[TEXT, Segment { p_type: PT_INTERP, p_offset: u64::MAX, ..TEXT }]).bytes(), "its segment 1 ends");
    let shared = |entries: &[u64]| {
        let dynamic = Segment { p_type: PT_DYNAMIC, p_offset: 0x100, p_filesz: 16 * entries.len() as u64, ..TEXT };
        let mut bytes = ElfFile::new(3, 0x800, 0x1000, &[Segment { p_vaddr: 0, ..TEXT }, dynamic]).bytes();
        for (index, tag) in entries.iter().enumerate() {
            bytes[0x100 + 16 * index..][..8].copy_from_slice(&tag.to_le_bytes());
        }
        bytes
    };
    refused(&shared(&[5, 1, 0]), "it is a shared library");
    Program::read(&shared(&[5, 0, 1])).expect("what follows DT_NULL says nothing");
    refused(&ElfFile::new(3, 0, 0x1000, &[Segment { p_vaddr: 0, ..TEXT }]).bytes(), "it is a shared library");
}

#[test]
fn entries() {
    let at = |e_entry| ElfFile { e_entry, ..file(&SOUND) }.bytes();
    refused(&at(0), "it has no entry point");
    refused(&at(0x7fff_ffff_f000), "its entry point 0x7ffffffff000 is not a user address");
    refused(&at(u64::MAX), "0xffffffffffffffff is not a user address");
    Program::read(&at(0x1234_5678)).expect("Linux starts it too, and it dies there");
}

#[test]
fn tables_of_headers() {
    let of = |e_phentsize, e_phnum| ElfFile { e_phentsize, e_phnum: Some(e_phnum), ..file(&SOUND) }.bytes();
    for (size, count) in [(0, 1), (55, 1), (64, 1), (56, 0), (56, 74), (56, u16::MAX)] {
        refused(&of(size, count), "its program headers have an impossible size or number");
    }
    let at = |e_phoff| ElfFile { e_phoff, ..file(&SOUND) }.bytes();
    for offset in [0x1000 - 55, 0x1000, 1 << 40, 1 << 63, u64::MAX, u64::MAX - 55] {
        refused(&at(offset), "its table of program headers ends beyond the file");
    }
    let many: Vec<_> = std::iter::once(TEXT).chain([Segment { p_type: PT_TLS, ..TEXT }; 72]).collect();
    Program::read(&ElfFile { length: 0x2000, ..file(&many) }.bytes()).expect("73 are allowed");
}

#[test]
fn segments() {
    let with = |segment| file(&[TEXT, segment]).bytes();
    let data = Segment::load(READ, 0, 0x60_0000, 0x100);
    refused(&with(Segment { p_filesz: 0x101, ..data }), "its segment 1 is larger in the file than in memory");
    refused(&with(Segment { p_filesz: 1, p_memsz: 0, ..data }), "is larger in the file");
    for p_vaddr in [0x7fff_ffff_f000, 1 << 47, 0xffff_8880_0000_0000, 0xffff_ffff_ffff_f000] {
        refused(&with(Segment { p_vaddr, ..data }), "its segment 1 reaches out of user addresses");
    }
    for p_memsz in [1 << 47, 1 << 63, u64::MAX, 0u64.wrapping_sub(0x60_0000)] {
        refused(&with(Segment { p_memsz, ..data }), "its segment 1 reaches out of user addresses");
    }
    for p_vaddr in [0, 0x1000, 0xf000] {
        refused(&with(Segment { p_vaddr, ..data }), "its segment 1 begins below 0x10000");
    }
    refused(&with(Segment { p_vaddr: 0x60_0001, ..data }), "an address and a file offset that disagree");
    for p_offset in [0x2000, 1 << 40, 1 << 63, u64::MAX - 4095] {
        refused(&with(Segment { p_offset, ..data }), "its segment 1 ends beyond the file");
    }
    refused(&file(&[Segment { p_type: PT_TLS, ..TEXT }]).bytes(), "it has no segment to load");
    refused(&file(&[Segment { p_memsz: 0, p_filesz: 0, ..TEXT }]).bytes(), "it has no segment to load");
    for p_type in [PT_TLS, PT_GNU_PROPERTY, u32::MAX] {
        Program::read(&with(Segment { p_type, p_offset: u64::MAX, ..data })).expect("it is the program's own business");
    }
    for p_align in [0, 3, 1 << 63, u64::MAX] {
        Program::read(&with(Segment { p_align, ..data })).expect("an executable is not aligned");
    }
    Program::read(&with(Segment { p_filesz: 0, p_offset: u64::MAX, ..data })).expect("nothing is read");
}
