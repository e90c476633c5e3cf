//! Settings: what can be read, and the few that can be changed.

use core::fmt;

use pagelab_mm::{
    commit::Overcommit,
    errno::Errno,
    text::{self, Sink},
};

use super::ProcFile;
use crate::{random::Random, state::Kernel};

/// vm.overcommit_ratio in percent.
pub(super) const OVERCOMMIT_RATIO: i64 = 50;

/// A line of text.
pub(super) fn line(out: &mut dyn Sink, text: &str) -> fmt::Result {
    out.put(text.as_bytes())?;
    out.put(b"\n")
}

/// kernel.random.boot_id: from the run's seed, but not the numbers that programs are handed out.
pub(super) fn boot_id(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let mut bytes = [0; 16];
    Random::new(!kernel.boot.seed).fill(&mut bytes);
    text::uuid(out, bytes)
}

/// `oom_score_adj`.
pub(super) fn oom_score_adj(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    text::number(out, kernel.process.oom_score_adj.into())
}

/// Takes what was written to a file.
///
/// # Errors
/// EINVAL: no number, or one out of bounds; EACCES: the file cannot be written.
pub(crate) fn store(kernel: &mut Kernel, file: ProcFile, bytes: &[u8]) -> Result<(), Errno> {
    let within = |low: i64, high: i64| number(bytes).filter(|value| (low..=high).contains(value)).ok_or(Errno::EINVAL);
    match file {
        ProcFile::MaxMapCount => kernel.process.space.limits.max_map_count = within(0, i32::MAX.into())? as u32,
        ProcFile::OomScoreAdj => kernel.process.oom_score_adj = within(-1000, 1000)? as i16,
        ProcFile::CompactMemory => {
            within(1, 1)?;
            // What the CPUs keep joins its buddies; nothing is moved yet.
            kernel.mm.drain_all_pages();
        }
        ProcFile::OvercommitMemory => {
            kernel.mm.commit.mode = Overcommit::from_value(within(0, 2)? as u32);
        }
        _ => return Err(Errno::EACCES),
    }
    Ok(())
}

/// A decimal number with blanks around it.
fn number(bytes: &[u8]) -> Option<i64> {
    str::from_utf8(bytes.trim_ascii()).ok()?.parse().ok()
}
