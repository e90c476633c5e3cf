//! The table of fixed cases: a program of `tests/oracle` each, and how its two runs are compared.

use std::path::Path;

use crate::{
    compile_oracle,
    oracle::{Side, first_difference, normalise, version},
};

/// The last line of every program: without it, it did not come to its end.
const LAST: &str = "end";

/// A program about one topic.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its source is `tests/oracle/NAME.c`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The first Linux that answers as the lab does, and why older ones do not.
    pub since: Option<((u32, u32), &'static str)>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides said the same so many lines.
    Equal(usize),
    /// They did not; or one side said nothing, or did not come to its end.
    Different(String),
    /// Not compared, with the reason.
    Skipped(String),
}

const fn case(name: &'static str, about: &'static str) -> Case {
    Case { name, about, since: None }
}

const fn since(version: (u32, u32), reason: &'static str, case: Case) -> Case {
    Case { since: Some((version, reason)), ..case }
}

/// What [`sequence`](super::sequence)'s answers depend on, too: seen to differ on 6.12, and to hold on 6.18.
pub const MERGES_AND_MOVES: ((u32, u32), &str) =
    ((6, 17), "mappings faulted apart merge by way of one between them, and mremap moves several at once");

/// All of them.
pub const CASES: &[Case] = &[
    case("maps_merge", "neighbours merge, a change in the middle splits"),
    case("mprotect_holes", "mprotect over several mappings and holes"),
    since(MERGES_AND_MOVES.0, MERGES_AND_MOVES.1, case("mremap", "grow, shrink, move, duplicate, refusals")),
    case("noreplace", "MAP_FIXED_NOREPLACE and hints"),
    case("growsdown", "MAP_GROWSDOWN and its gap"),
    case("fault_signals", "si_code and si_addr of SIGSEGV and SIGBUS"),
    case("file_tail", "the tail of a file's last page, and truncation"),
    case("private_file", "copy on write of a file's pages"),
    case("zero_page", "reads of untouched memory"),
    case("mincore", "mincore's bytes and refusals"),
    case("pagemap", "/proc/self/pagemap's bits"),
    case("smaps", "/proc/self/smaps and smaps_rollup"),
    case("status", "/proc/self/status and statm"),
    case("whole_maps", "all of /proc/self/maps"),
    case("minor_faults", "ru_minflt of anonymous memory, without huge pages"),
    case("brk", "brk among holes, walls and limits"),
    since(
        (6, 17),
        "mremap of absurd lengths is EINVAL before anything else",
        case("errnos", "every memory call with a grid of arguments"),
    ),
    since(MERGES_AND_MOVES.0, MERGES_AND_MOVES.1, case("mlock", "mlock, mlock2, mlockall, VmLck")),
    case("msync", "msync and its refusals"),
    case("madvise", "every advice, and holes"),
    case("memfd", "memfd, shared mappings, lengths"),
    case("overcommit", "what the heuristic mode refuses"),
    case("limits", "RLIMIT_AS and RLIMIT_DATA"),
    case("stack_growth", "the stack, its limit and its gap"),
    case("signal_stack", "sigaltstack"),
    case("signal_masks", "masks, pending signals, handler flags"),
];

impl Case {
    /// Compiles it into `folder`, runs it on Linux and in the lab, and compares.
    pub fn compare(&self, folder: &Path, linux: &Side, lab: &Side) -> Outcome {
        if let Some((version, reason)) = self.since
            && !matches!(linux, Side::Recorded(_))
            && version::linux() < version
        {
            return Outcome::Skipped(format!("needs Linux {}.{}: {reason}", version.0, version.1));
        }
        let program = compile_oracle(folder, self.name);
        let mut texts = Vec::new();
        for side in [linux, lab] {
            match said(side, &program) {
                Ok(text) => texts.push(text),
                Err(problem) => return Outcome::Different(problem),
            }
        }
        match first_difference(&texts[0], &texts[1]) {
            None => Outcome::Equal(texts[0].lines().count()),
            Some(difference) => Outcome::Different(difference),
        }
    }
}

/// What a side says, normalised; an error unless it came to its end.
fn said(side: &Side, program: &Path) -> Result<String, String> {
    let said = side.run(program, None)?;
    let lines = said.text.lines().count();
    if said.status != 0 || lines < 2 || said.text.lines().last() != Some(LAST) {
        return Err(format!("{}: did not come to its end: {}", side.name(), said.more));
    }
    let name = program.file_name().and_then(|name| name.to_str()).ok_or("a name that is no text")?;
    Ok(normalise(&said.text, name))
}
