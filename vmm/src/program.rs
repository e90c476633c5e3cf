//! Finds the program to run, and says before the boot why it could not run.

use std::{borrow::Cow, path::Path};

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use crate::{
    builtin,
    initramfs::{InitramfsError, read_host_file},
};

type Header = elf::FileHeader64<LittleEndian>;

/// A program that the lab can run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its base name.
    pub name: String,
    /// The file: a static x86-64 Linux executable.
    pub elf: Cow<'static, [u8]>,
}

impl Program {
    /// Its path in the guest.
    pub fn guest_path(&self) -> String {
        format!("/bin/{}", self.name)
    }
}

/// Why there is no program to run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Neither a built-in program nor a file.
    #[error("{name:?} is neither a built-in program ({builtins}) nor a file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names of the built-in programs.
        builtins: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] InitramfsError),
    /// The file has no name in UTF-8.
    #[error("{path}: the file's name is not text")]
    Name {
        /// The path, as far as it can be shown.
        path: String,
    },
    /// The file is not one that the lab can run.
    #[error("{name}: {why}")]
    Unfit {
        /// The program.
        name: String,
        /// Why it is not.
        why: String,
    },
}

/// The built-in program of that name, or else the host's file at that path.
pub fn find(name: &str) -> Result<Program, ProgramError> {
    if let Some(program) = builtin::program(name) {
        return Ok(Program { name: name.to_owned(), elf: Cow::Borrowed(program.elf) });
    }
    let path = Path::new(name);
    if !name.contains('/') && !path.exists() {
        let names: Vec<&str> = builtin::programs().iter().map(|program| program.name).collect();
        return Err(ProgramError::Unknown { name: name.to_owned(), builtins: names.join(", ") });
    }
    let (bytes, _) = read_host_file(path)?;
    check(&bytes).map_err(|why| ProgramError::Unfit { name: name.to_owned(), why })?;
    let base = path.file_name().and_then(|base| base.to_str()).ok_or(ProgramError::Name { path: name.to_owned() })?;
    Ok(Program { name: base.to_owned(), elf: Cow::Owned(bytes) })
}

/// Says why an ELF file cannot run in the lab, if it cannot.
fn check(bytes: &[u8]) -> Result<(), String> {
    const STATIC: &str = "the lab runs static programs: link it with `gcc -static` (Rust: \
        `-C target-feature=+crt-static`; Go: `CGO_ENABLED=0`)";
    let ident: &[u8] = bytes.get(..elf::ELFMAG.len() + 1).unwrap_or_default();
    match ident {
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS64] => {}
        [0x7f, b'E', b'L', b'F', _] => return Err("a 32-bit program; the lab runs 64-bit (x86-64) ones".to_owned()),
        [b'#', b'!', ..] => return Err("a script; the lab runs executables (give it the interpreter)".to_owned()),
        _ => return Err("not an ELF executable".to_owned()),
    }
    let broken = |error: object::Error| format!("a broken ELF file: {error}");
    let header = Header::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(|_| "a big-endian program; the lab runs x86-64 ones".to_owned())?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        let machine = header.e_machine(endian);
        return Err(format!("a program for another processor (ELF machine {machine}); the lab runs x86-64 ones"));
    }
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err("an object file: link it first".to_owned()),
        other => return Err(format!("not an executable (ELF type {other})")),
    }
    let segments = header.program_headers(endian, bytes).map_err(broken)?;
    for segment in segments {
        if let Some(interpreter) = segment.interpreter(endian, bytes).map_err(broken)? {
            let interpreter = String::from_utf8_lossy(interpreter);
            return Err(format!("dynamically linked (it asks for {interpreter}); {STATIC}"));
        }
    }
    if !segments.iter().any(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        return Err("an ELF file with nothing to load".to_owned());
    }
    if header.e_entry(endian) == 0 {
        return Err("a shared library: it has no entry point".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_programs_pass_and_are_found() {
        for builtin in builtin::programs() {
            assert_eq!(check(builtin.elf), Ok(()), "{}", builtin.name);
            let program = find(builtin.name).expect(builtin.name);
            assert_eq!(program.guest_path(), format!("/bin/{}", builtin.name));
        }
    }

    #[test]
    fn a_file_is_found_by_its_path_and_runs_under_its_base_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mine");
        std::fs::write(&path, builtin::programs()[0].elf).expect("a file");
        let program = find(path.to_str().expect("text")).expect("a program");
        assert_eq!(program.guest_path(), "/bin/mine");
    }

    /// A built-in program whose first segment names an interpreter.
    fn dynamic() -> Vec<u8> {
        const SEGMENTS: usize = 64;
        const INTERPRETER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";
        let mut elf = builtin::programs()[0].elf.to_vec();
        let end = elf.len() as u64;
        elf[SEGMENTS..SEGMENTS + 4].copy_from_slice(&elf::PT_INTERP.to_le_bytes());
        elf[SEGMENTS + 8..SEGMENTS + 16].copy_from_slice(&end.to_le_bytes());
        elf[SEGMENTS + 32..SEGMENTS + 40].copy_from_slice(&(INTERPRETER.len() as u64).to_le_bytes());
        elf.extend(INTERPRETER);
        elf
    }

    #[test]
    fn what_cannot_run_is_said() {
        assert!(check(&dynamic()).is_err_and(|why| why.contains("gcc -static") && why.contains("ld-linux")));
        assert!(check(b"#!/bin/sh\n").is_err_and(|why| why.contains("script")));
        assert!(check(b"").is_err_and(|why| why.contains("not an ELF")));
        let own = builtin::programs()[0].elf;
        assert!(check(&own[..40]).is_err_and(|why| why.contains("broken")));
        assert!(check(&own[..80]).is_err_and(|why| why.contains("broken")));
        let changed = |offset: usize, value: u8| {
            let mut elf = builtin::programs()[0].elf.to_vec();
            elf[offset] = value;
            check(&elf).expect_err("a changed header")
        };
        assert!(changed(4, 1).contains("32-bit"));
        assert!(changed(5, 2).contains("big-endian"));
        assert!(changed(18, 183).contains("another processor"));
        assert!(changed(16, 1).contains("object file"));
        assert!(changed(16, 4).contains("not an executable"));
    }

    #[test]
    fn an_unknown_name_lists_the_programs() {
        let error = find("no-such-program").expect_err("unknown");
        assert!(error.to_string().contains("demand-paging"), "{error}");
        let error = find("/no/such/program").expect_err("missing");
        assert!(error.to_string().starts_with("/no/such/program: No such file"), "{error}");
    }
}
