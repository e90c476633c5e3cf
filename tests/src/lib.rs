//! What the black-box tests share: a laboratory to run programs in, and the same programs run natively.
//!
//! A test that needs KVM begins with `lab!()`, and fails where there is none. `scripts/test.sh` can leave such tests out:
//! it knows them by their binaries.

mod broken_kernel;
mod c_program;
mod native;
pub mod oracle;
mod real_program;
mod run_file;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub use broken_kernel::{broken_kernel, build_broken_kernels};
pub use c_program::{
    compile, compile_all, compile_all_oracle, compile_as, compile_bare, compile_kernel, compile_oracle,
};
pub use native::native;
pub use real_program::{Real, real_program};
pub use run_file::{RunRows, page};
use tempfile::TempDir;

/// A folder of its own, and the command to test.
#[derive(Debug)]
pub struct Lab {
    pagelab: &'static str,
    folder: TempDir,
}

/// A laboratory for a test that needs KVM; fails the test where there is none.
pub fn lab(pagelab: &'static str) -> Lab {
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        panic!("/dev/kvm: {error}: this test needs KVM; PAGELAB_SKIP_KVM=1 scripts/test.sh leaves out what does");
    }
    Lab::without_kvm(pagelab)
}

/// The lab for the current test.
#[macro_export]
macro_rules! lab {
    () => {
        $crate::lab(env!("CARGO_BIN_EXE_pagelab-under-test"))
    };
}

impl Lab {
    /// A laboratory for commands that need no KVM.
    pub fn without_kvm(pagelab: &'static str) -> Lab {
        Lab { pagelab, folder: TempDir::new().expect("a temporary folder") }
    }

    /// The folder the command runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The run file that [`Lab::run`] writes.
    pub fn run_file(&self) -> PathBuf {
        self.folder().join("test.pagelab")
    }

    /// `pagelab` with arguments, in the lab's folder, with nothing on standard input.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.pagelab);
        command.args(args).current_dir(self.folder()).stdin(Stdio::null()).env_remove("PAGELAB_LOG");
        command
    }

    /// `pagelab ARGS`, to its end.
    pub fn pagelab(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("pagelab starts")
    }

    /// `pagelab run` with options, a program and its arguments; the run goes into [`Lab::run_file`].
    pub fn run(&self, options: &[&str], program: &str, args: &[&str]) -> Output {
        let mut all = vec!["run", "-o", "test.pagelab", "--timeout", "120"];
        all.extend_from_slice(options);
        all.extend([program, "--"]);
        all.extend_from_slice(args);
        self.pagelab(&all)
    }

    /// The JSON report of a run.
    pub fn json(&self, program: &str, args: &[&str]) -> serde_json::Value {
        let output = self.run(&["--json"], program, args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }

    /// Starts `pagelab ARGS` with its standard output to be read from the child.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pagelab starts")
    }
}

/// Everything a command said, for messages.
pub fn text(output: &Output) -> String {
    format!(
        "{}\nstandard output: {}\nstandard error: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Exit status as a shell sees it: 128+N for signal N.
pub fn exit_status(output: &Output) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Runs `pagelab ARGS`, which must fail with `status` and say `words` on standard error, and nothing on standard output.
pub fn refused(lab: &Lab, args: &[&str], status: i32, words: &[&str]) {
    let output = lab.pagelab(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", text(&output));
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
    }
}
