//! The archive that the guest unpacks: its reader takes any bytes, and reads a valid archive as the host's library does.

use std::io::{self, Write};

use cpio::newc;
use fastrand::Rng;
use pagelab_mm::file::cpio::Archive;

use crate::{Target, ensure, mutate};

/// See the module.
pub struct Cpio {
    corpus: Vec<Vec<u8>>,
}

impl Cpio {
    /// With a few archives, an empty one among them.
    pub fn new() -> Cpio {
        let files: [&[(&str, u32, &[u8])]; 3] = [
            &[],
            &[("bin", 0o040_755, b""), ("bin/x", 0o100_755, b"\x7fELF and more"), ("link", 0o120_777, b"bin/x")],
            &[
                ("a", 0o100_644, b"1"),
                ("ab", 0o100_600, b"22"),
                ("abc", 0o100_444, b"333"),
                ("abcd", 0o100_644, b"4444"),
            ],
        ];
        Cpio { corpus: files.iter().map(|files| pack(files)).collect() }
    }
}

impl Default for Cpio {
    fn default() -> Cpio {
        Cpio::new()
    }
}

fn pack(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, (path, mode, bytes)) in (2..).zip(files) {
        let header = newc::Builder::new(path).ino(number).mode(*mode);
        let mut writer = header.write(&mut archive, bytes.len() as u32);
        writer.write_all(bytes).expect("memory takes it");
        writer.finish().expect("memory takes it");
    }
    newc::trailer(&mut archive).expect("memory takes it");
    archive
}

/// An archive of any files.
fn random_archive(random: &mut Rng) -> Vec<u8> {
    let names: Vec<String> = (0..random.usize(..20))
        .map(|number| format!("{}{number}", "x/".repeat(random.usize(..8)) + &"n".repeat(random.usize(..100))))
        .collect();
    let contents: Vec<Vec<u8>> =
        names.iter().map(|_| (0..random.usize(..600)).map(|_| random.u8(..)).collect()).collect();
    let files: Vec<(&str, u32, &[u8])> =
        names.iter().zip(&contents).map(|(name, bytes)| (name.as_str(), random.u32(..), bytes.as_slice())).collect();
    pack(&files)
}

impl Target for Cpio {
    fn name(&self) -> &'static str {
        "cpio"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        match random.u8(..4) {
            0 => random_archive(random),
            1 => mutate::mutated(&[random_archive(random)], random),
            _ => mutate::mutated(&self.corpus, random),
        }
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let ours: Vec<_> = Archive::new(input).collect();
        let most = input.len() / 110;
        ensure!(ours.len() <= most, "more entries than fit\n{} in {} bytes", ours.len(), input.len());
        let range = input.as_ptr_range();
        for entry in &ours {
            let inside = |part: &[u8]| part.is_empty() || range.contains(&part.as_ptr());
            ensure!(inside(entry.name) && inside(entry.bytes), "an entry from elsewhere\n{entry:?}");
        }
        // The library reads to the end or says what is wrong: only then is the archive valid.
        if let Some(theirs) = read(input) {
            ensure!(ours.len() == theirs.len(), "another number of entries\n{} for {}", ours.len(), theirs.len());
            // A NUL inside a name, which no packer writes, ends it for the library and for Linux, but not for the guest.
            for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, _)| !ours.name.contains(&0)) {
                let same = (ours.name, ours.mode, ours.inode, ours.bytes)
                    == (theirs.name.as_bytes(), theirs.mode, theirs.inode, &theirs.bytes[..]);
                ensure!(same, "another entry\n{ours:?} for {theirs:?}");
            }
        }
        Ok(())
    }
}

/// An entry as the host's library reads it.
#[derive(Debug)]
struct Entry {
    name: String,
    mode: u32,
    inode: u32,
    bytes: Vec<u8>,
}

/// Every entry of a valid archive.
fn read(mut rest: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        let mut reader = newc::Reader::new(rest).ok()?;
        let entry = reader.entry();
        if entry.is_trailer() {
            return Some(entries);
        }
        let (name, mode, inode, size) = (entry.name().to_owned(), entry.mode(), entry.ino(), entry.file_size());
        // The guest knows no checksums, and no signs before numbers, which the library reads past.
        let signed = rest.get(6..110).is_some_and(|fields| fields.contains(&b'+'));
        if size as usize > rest.len() || rest.starts_with(b"070702") || signed {
            return None;
        }
        let mut bytes = Vec::new();
        io::copy(&mut reader, &mut bytes).ok()?;
        if bytes.len() != size as usize {
            return None;
        }
        entries.push(Entry { name, mode, inode, bytes });
        rest = reader.finish().ok()?;
    }
}
