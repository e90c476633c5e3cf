//! Real programs, which nobody wrote for the lab: made by `scripts/programs.sh`, run natively and in the lab, compared.

use std::{
    fs,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{Lab, RunRows, exit_status, oracle::first_difference, text};

/// What the lab puts into every program's environment; the native side gets no other.
const ENVIRONMENT: [(&str, &str); 4] = [("PATH", "/bin"), ("HOME", "/"), ("TERM", "dumb"), ("LANG", "C")];
/// The folder of the lab's folder that holds the programs' input: `/data` in the guest.
const DATA: &str = "data";

/// The program called `name` in `scripts/programs.sh`, which makes it if it is not there yet.
pub fn real_program(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/programs.sh");
    let output = Command::new(&script).arg(name).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(output.status.success(), "{}: {}", script.display(), text(&output));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
}

/// A real program in a lab of its own, with its input.
#[derive(Debug)]
pub struct Real {
    /// Where it runs.
    pub lab: Lab,
    name: String,
    program: PathBuf,
}

impl Real {
    /// The program `name` of `scripts/programs.sh`. The working directory is empty on both sides.
    pub fn new(lab: Lab, name: &str) -> Real {
        fs::create_dir(lab.folder().join(DATA)).expect("a folder for data");
        Real { lab, name: name.to_owned(), program: real_program(name) }
    }

    /// With a file in the working directory.
    pub fn with(self, name: &str, contents: impl AsRef<[u8]>) -> Real {
        fs::write(self.lab.folder().join(DATA).join(name), contents).expect("a file of data");
        self
    }

    /// Runs it in the lab: its output, and the run in [`Lab::run_file`]. Standard input is `stdin`.
    pub fn in_the_lab(&self, args: &[&str], stdin: &str) -> Output {
        let input = self.lab.folder().join("stdin");
        fs::write(&input, stdin).expect("standard input");
        let program = self.program.to_str().expect("a path of text");
        let options = ["--console", "--stdin", "stdin", "--dir", "data:/data", "--cwd", "/data"];
        self.lab.run(&options, program, args)
    }

    /// Runs it natively, in a copy of the working directory as it was given.
    fn natively(&self, args: &[&str], stdin: &str) -> Output {
        let input = self.lab.folder().join("stdin");
        fs::write(&input, stdin).expect("standard input");
        let copy = self.lab.folder().join("native");
        if copy.exists() {
            fs::remove_dir_all(&copy).expect("the last copy goes");
        }
        fs::create_dir(&copy).expect("a folder for the copy");
        for file in fs::read_dir(self.lab.folder().join(DATA)).expect("the data") {
            let file = file.expect("a file");
            fs::copy(file.path(), copy.join(file.file_name())).expect("a copy");
        }
        let mut command = Command::new(&self.program);
        command.arg0(format!("/bin/{}", self.name)).args(args).current_dir(&copy).env_clear().envs(ENVIRONMENT);
        command.stdin(File::open(&input).expect("standard input"));
        command.output().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    /// Runs it on both sides, and fails the test where output or status differ, or where a run's counts do not agree.
    /// `normal` makes an output comparable.
    pub fn same_but(&self, args: &[&str], stdin: &str, normal: impl Fn(&str) -> String) {
        let actual = self.in_the_lab(args, stdin);
        let expected = self.natively(args, stdin);
        let case = format!("{} {args:?}", self.name);
        let compare = |what: &str, expected: &[u8], actual: &[u8]| {
            let text = |bytes: &[u8]| match str::from_utf8(bytes) {
                Ok(text) => normal(text),
                Err(_) => bytes.escape_ascii().to_string(),
            };
            let (expected, actual) = (text(expected), text(actual));
            if let Some(difference) = first_difference(&expected, &actual) {
                panic!("{case}: {what}: {difference}\n{}", self.report());
            }
        };
        compare("standard output", &expected.stdout, &actual.stdout);
        match expected.status.code() {
            Some(_) => compare("standard error", &expected.stderr, &actual.stderr),
            // The lab says there which signal ended the program, as a shell would.
            None => compare(
                "standard error",
                &expected.stderr,
                actual.stderr.get(..expected.stderr.len()).unwrap_or(&actual.stderr),
            ),
        }
        assert_eq!(exit_status(&actual), exit_status(&expected), "{case}: {}", self.report());
        let wrong =
            RunRows::open(&self.lab.run_file()).rows("SELECT name, expected, actual FROM check_result WHERE ok = 0");
        assert!(wrong.is_empty(), "{case}: {wrong:?}");
    }

    /// The report of the last run, for messages.
    fn report(&self) -> String {
        text(&self.lab.pagelab(&["report", "test.pagelab"]))
    }

    /// As [`Real::same_but`], with the output as it is.
    pub fn same(&self, args: &[&str], stdin: &str) {
        self.same_but(args, stdin, str::to_owned);
    }
}
