//! The guest that is part of this file: the kernel and the built-in programs, made by the build script.

/// A built-in program.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// The program itself: a static x86-64 Linux executable.
    pub elf: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The built-in programs, sorted by name.
pub fn programs() -> &'static [Builtin] {
    PROGRAMS
}

/// The built-in program of that name.
pub fn program(name: &str) -> Option<&'static Builtin> {
    PROGRAMS.iter().find(|program| program.name == name)
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSegment, ObjectSymbol, SegmentFlags, elf};

    use super::*;

    #[test]
    fn programs_are_static_executables_without_writable_code() {
        for program in programs() {
            let file = object::File::parse(program.elf).expect(program.name);
            assert_eq!(file.kind(), object::ObjectKind::Executable, "{}", program.name);
            let flags: Vec<u32> = file
                .segments()
                .map(|segment| match segment.flags() {
                    SegmentFlags::Elf { p_flags } => p_flags,
                    other => panic!("{}: {other:?}", program.name),
                })
                .collect();
            let (read, execute, write) = (elf::PF_R, elf::PF_R | elf::PF_X, elf::PF_R | elf::PF_W);
            assert!(flags.contains(&read) && flags.contains(&execute), "{}: {flags:?}", program.name);
            assert!(flags.iter().all(|flag| [read, execute, write].contains(flag)), "{}: {flags:?}", program.name);
            assert!(program.description.ends_with('.'), "{}: {}", program.name, program.description);
        }
    }

    #[test]
    fn names_find_programs() {
        let names: Vec<&str> = programs().iter().map(|program| program.name).collect();
        assert!(names.is_sorted());
        assert!(["demand-paging", "hello", "stack-grow", "heap-brk", "segv"].iter().all(|name| names.contains(name)));
        assert_eq!(program("hello").map(|program| program.name), Some("hello"));
        assert!(program("no such program").is_none());
    }

    #[test]
    fn the_kernel_keeps_its_symbols() {
        let kernel = object::File::parse(KERNEL).expect("an ELF file");
        assert!(kernel.symbols().any(|symbol| symbol.address() == kernel.entry()));
    }
}
