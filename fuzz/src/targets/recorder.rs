//! The recorder: whatever a guest tells, a run file comes out that can be reported.

use fastrand::Rng;
use pagelab::{
    analysis::RunFile,
    report,
    trace::{Ending, Images, Input, Recorder},
};
use tempfile::TempDir;

use super::{stream, synthetic::Guest};
use crate::{Target, ensure, mutate};

/// See the module. An input is what [`stream`] makes of what a run sends.
pub struct Recording {
    corpus: Vec<Vec<u8>>,
    folder: TempDir,
}

impl Recording {
    /// With sound runs, one of them with a string table, snapshots and console output in parts.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn new() -> Recording {
        let corpus = [0, 3].map(|faults| {
            let mut guest = Guest::sound(faults);
            guest.gone();
            guest.exit();
            stream::encode(&guest.inputs)
        });
        Recording { corpus: corpus.into(), folder: super::folder() }
    }
}

impl Default for Recording {
    fn default() -> Recording {
        Recording::new()
    }
}

/// An ending with or without everything in it.
fn ending(whole: bool) -> Ending {
    Ending { complete: whole, diagnosis: (!whole).then(|| "cut off".to_owned()), ..Guest::booted().ending }
}

impl Target for Recording {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        mutate::mutated(&self.corpus, random)
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let path = self.folder.path().join("run.pagelab");
        let facts = Guest::booted().facts;
        let recorder = Recorder::create(&path, &facts).map_err(|error| format!("no run file\n{error}"))?;
        let sender = recorder.sender();
        // The program's file is the user's, so it is as little to be trusted.
        let program = input.get(..4096).unwrap_or(input).to_vec();
        let images = Input::Images(Images { kernel: Vec::new(), program });
        for input in std::iter::once(images).chain(stream::decode(input)) {
            sender.send(input).map_err(|_| "the recorder dies of its input")?;
        }
        drop(sender);
        recorder
            .finish(ending(input.len().is_multiple_of(2)))
            .map_err(|error| format!("the run file is not finished\n{error}"))?;
        let run = RunFile::open(&path).map_err(|error| format!("the run file cannot be opened\n{error}"))?;
        let mut out = Vec::new();
        report::text(&run, &mut out).map_err(|error| format!("no report\n{error}"))?;
        report::json(&run, &mut out).map_err(|error| format!("no JSON\n{error}"))?;
        report::events(&run, &mut out).map_err(|error| format!("no events\n{error}"))?;
        ensure!(str::from_utf8(&out).is_ok(), "a report that is no text");
        Ok(())
    }
}
