//! C programs, compiled when a test needs them; or beforehand, for a machine without a compiler.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Variable that names a folder which [`compile_all`] has filled. Tests then take their programs from there.
pub(crate) const COMPILED: &str = "PAGELAB_TEST_PROGRAMS";

/// What a source file becomes.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// A program of `tests/programs`, with the C library, linked like this.
    Linked(&'a str),
    /// A program of `tests/programs/hostile`, without a C library.
    Bare,
    /// A kernel of `tests/programs/kernels`.
    Kernel,
    /// A program of `tests/oracle`, with the C library.
    Oracle,
}

/// Every kind that a test asks for.
const KINDS: [Kind; 5] = [Kind::Linked("-static"), Kind::Linked("-static-pie"), Kind::Bare, Kind::Kernel, Kind::Oracle];

/// Compiles `tests/programs/NAME.c` with `gcc -static -O2 -g` into `folder`.
pub fn compile(folder: &Path, name: &str) -> PathBuf {
    compile_as(folder, name, "-static")
}

/// Compiles `tests/programs/NAME.c` with `gcc -O2 -g`, linked as `link` says, into `folder`.
pub fn compile_as(folder: &Path, name: &str, link: &str) -> PathBuf {
    Kind::Linked(link).program(folder, name)
}

/// Compiles `tests/programs/hostile/NAME.c`, which uses no C library: what it does is all that happens.
pub fn compile_bare(folder: &Path, name: &str) -> PathBuf {
    Kind::Bare.program(folder, name)
}

/// Compiles `tests/programs/kernels/NAME` (with its suffix) into a kernel at 1 MiB, in `folder`.
pub fn compile_kernel(folder: &Path, name: &str) -> PathBuf {
    Kind::Kernel.program(folder, name)
}

/// Compiles `tests/oracle/NAME.c` with `gcc -static -O2` into `folder`.
pub fn compile_oracle(folder: &Path, name: &str) -> PathBuf {
    Kind::Oracle.program(folder, name)
}

/// Compiles everything in every way that a test asks for, into a folder for `PAGELAB_TEST_PROGRAMS`.
pub fn compile_all(folder: &Path) {
    compile_kinds(folder, &KINDS);
}

/// Compiles the programs of `tests/oracle` only, into a folder for `PAGELAB_TEST_PROGRAMS`.
pub fn compile_all_oracle(folder: &Path) {
    compile_kinds(folder, &[Kind::Oracle]);
}

fn compile_kinds(folder: &Path, kinds: &[Kind<'_>]) {
    for kind in kinds {
        let sources = kind.sources();
        let files = fs::read_dir(&sources).unwrap_or_else(|error| panic!("{}: {error}", sources.display()));
        for source in files.map(|file| file.expect("a file").path()) {
            let name = match source.extension().and_then(|extension| extension.to_str()) {
                Some("c" | "S") if matches!(kind, Kind::Kernel) => source.file_name(),
                Some("c") => source.file_stem(),
                _ => continue,
            };
            let name = name.and_then(|name| name.to_str()).expect("a name");
            kind.compile(name, &folder.join(kind.file_name(name)));
        }
    }
}

impl Kind<'_> {
    /// Compiles the program, or takes it from [`COMPILED`], into `folder`.
    fn program(self, folder: &Path, name: &str) -> PathBuf {
        let program = folder.join(name);
        if let Some(compiled) = env::var_os(COMPILED) {
            let compiled = Path::new(&compiled).join(self.file_name(name));
            fs::copy(&compiled, &program).unwrap_or_else(|error| panic!("{COMPILED}: {}: {error}", compiled.display()));
        } else {
            self.compile(name, &program);
        }
        program
    }

    /// Where its source files are.
    fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(match self {
            Kind::Linked(_) => "programs",
            Kind::Bare => "programs/hostile",
            Kind::Kernel => "programs/kernels",
            Kind::Oracle => "oracle",
        })
    }

    /// What the program is called in the folder of [`compile_all`].
    fn file_name(self, name: &str) -> String {
        let suffix = match self {
            Kind::Linked(link) => link,
            Kind::Bare => "-bare",
            Kind::Kernel => "-kernel",
            Kind::Oracle => "-oracle",
        };
        format!("{name}{suffix}")
    }

    fn compile(self, name: &str, program: &Path) {
        const ALONE: [&str; 4] = ["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"];
        let flags = match self {
            Kind::Linked(link) => vec![link, "-O2", "-g"],
            Kind::Oracle => vec!["-static", "-O2"],
            Kind::Bare => {
                let flags = ["-O1", "-Wno-array-bounds", "-Wno-unused-function", "-Wl,-z,noseparate-code"];
                [&ALONE[..], &flags].concat()
            }
            Kind::Kernel => {
                let flags = ["-O1", "-fno-pic", "-no-pie"];
                // No other register is saved or set up, and an emulated ring 0 has no other instructions.
                let registers = ["-mno-red-zone", "-mgeneral-regs-only", "-fcf-protection=none"];
                let link = ["-Wl,-z,noseparate-code", "-Wl,-Ttext-segment=0x100000", "-Wl,--build-id=none"];
                [&ALONE[..], &flags, &registers, &link, &["-Wl,-z,noexecstack"]].concat()
            }
        };
        let mut source = self.sources().join(name);
        if source.extension().is_none() {
            source.set_extension("c");
        }
        let mut gcc = Command::new("gcc");
        gcc.args(flags).args(["-Wall", "-Wextra", "-Werror", "-o"]).args([program, &source]);
        if matches!(self, Kind::Linked(_)) {
            gcc.arg("-lm");
        }
        let output = gcc.output().unwrap_or_else(|error| panic!("gcc: {error}; scripts/setup.sh installs it"));
        assert!(output.status.success(), "gcc {}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
}
