//! Runs scripts on both sides, finds the first difference, and shrinks it.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{EPISODE_LENGTH, Operation, Random, Transcript, first_difference, script, shrink};
use crate::oracle::{Said, Side};

/// Operations in one run of the lab.
const OPERATIONS_PER_RUN: usize = 4000;

/// The two sides, and the program that runs scripts.
#[derive(Debug)]
pub struct Search {
    program: PathBuf,
    linux: Side,
    lab: Side,
    folder: TempDir,
    /// Operations from one reset to the next.
    pub episode_length: usize,
}

/// How far a seed has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Operations whose answers were equal.
    pub operations: usize,
    /// Runs of the lab.
    pub runs: usize,
}

/// A difference.
#[derive(Clone, Debug)]
pub struct Found {
    /// The shortest script that was found to show it.
    pub script: Vec<Operation>,
    /// Operations before shrinking.
    pub length: usize,
    /// What Linux answers to the last operation.
    pub linux: String,
    /// What the lab answers.
    pub lab: String,
    /// Every operation with both answers, for reading.
    pub text: String,
}

impl Search {
    /// `program` is the compiled `sequence.c`.
    pub fn new(program: PathBuf, linux: Side, lab: Side) -> Search {
        let folder = TempDir::new().expect("a temporary folder");
        Search { program, linux, lab, folder, episode_length: EPISODE_LENGTH }
    }

    /// Runs `count` random operations of a seed; ends at the first difference, shrunk.
    ///
    /// # Errors
    /// A side that does not start, or Linux's side that does not come to its end.
    pub fn seed(&self, seed: u64, count: usize) -> Result<(Progress, Option<Found>), String> {
        let mut random = Random::new(seed);
        let mut progress = Progress::default();
        while progress.operations < count {
            let length = OPERATIONS_PER_RUN.min(count - progress.operations);
            let script = script(&mut random, self.episode_length, length);
            progress.runs += 1;
            if let Some(at) = self.difference(&script)? {
                progress.operations += at;
                return Ok((progress, Some(self.found(&script[..=at])?)));
            }
            progress.operations += script.len();
        }
        Ok((progress, None))
    }

    /// Runs a script; the difference, if there is one, is shrunk.
    ///
    /// # Errors
    /// As for [`Search::seed`].
    pub fn script(&self, script: &[Operation]) -> Result<Option<Found>, String> {
        match self.difference(script)? {
            Some(at) => self.found(&script[..=at]).map(Some),
            None => Ok(None),
        }
    }

    /// Both sides' answers to a script.
    fn answers(&self, script: &[Operation]) -> Result<(Transcript, Transcript, Said), String> {
        let file = self.folder.path().join("script");
        let text: String = script.iter().map(|operation| format!("{operation}\n")).collect();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let native = self.linux.run(&self.program, Some(&file))?;
        let linux = Transcript::new(&native.text);
        if native.status != 0 || !linux.answers_all(script) {
            return Err(format!("Linux did not come to the end of {}: {}", self.kept(), native.more));
        }
        let said = self.lab.run(&self.program, Some(&file))?;
        Ok((linux, Transcript::new(&said.text), said))
    }

    /// Where a script's answers begin to differ. A side that ends early differs there.
    fn difference(&self, script: &[Operation]) -> Result<Option<usize>, String> {
        let (linux, lab, said) = self.answers(script)?;
        let at = first_difference(script, &linux, &lab);
        if at.is_none() && (said.status != 0 || !lab.answers_all(script)) {
            return Err(format!("the lab answered all of {}, but did not end well: {}", self.kept(), said.more));
        }
        Ok(at)
    }

    /// A script that differs in its last operation, made as short as can be.
    fn found(&self, script: &[Operation]) -> Result<Found, String> {
        if let Side::Recorded(_) = self.linux {
            return Err(format!("a difference, which only a Linux that answers can shrink: {}", shown(script)));
        }
        // What came before the last reset matters only if the rest alone does not differ.
        let start = script.iter().rposition(|operation| operation.letter == 'e').unwrap_or(0);
        let episode = script[start..].to_vec();
        let alone = self.difference(&episode)? == Some(episode.len() - 1);
        let short = if alone { self.shrunk(episode) } else { self.shrunk_one_by_one(script.to_vec()) };
        let (linux, lab, said) = self.answers(&short)?;
        let none = format!("(nothing: {})", said.more);
        let answer = |side: &Transcript, index| side.answer(index).map_or_else(|| none.clone(), str::to_owned);
        let mut text = String::new();
        for (index, operation) in short.iter().enumerate() {
            let (linux, lab) = (answer(&linux, index), answer(&lab, index));
            text += &match linux == lab {
                true => format!("{operation}\n    both   {linux}\n"),
                false => format!("{operation}\n    Linux  {linux}\n    lab    {lab}\n"),
            };
        }
        let last = short.len() - 1;
        let (linux, lab) = (answer(&linux, last), answer(&lab, last));
        Ok(Found { length: script.len(), linux, lab, text, script: short })
    }

    /// Shrinks an episode, many candidates in one run: each begins with a reset.
    fn shrunk(&self, episode: Vec<Operation>) -> Vec<Operation> {
        let reset = Operation::new('e', &[]);
        let tail = episode[1..].to_vec();
        let mut shows = |candidates: &[Vec<Operation>]| {
            let mut script = Vec::new();
            let mut ends = Vec::new();
            for candidate in candidates {
                script.push(reset.clone());
                script.extend_from_slice(candidate);
                ends.push(script.len() - 1);
            }
            match self.answers(&script) {
                Ok((linux, lab, _)) if lab.answers_all(&script) => {
                    ends.iter().map(|&end| linux.answer(end) != lab.answer(end)).collect()
                }
                // One of them ends the lab: each by itself.
                _ => candidates.iter().map(|candidate| self.shows_alone(&reset, candidate)).collect(),
            }
        };
        let mut short = shrink(tail, &mut shows);
        short.insert(0, reset);
        short
    }

    fn shows_alone(&self, reset: &Operation, candidate: &[Operation]) -> bool {
        let mut script = vec![reset.clone()];
        script.extend_from_slice(candidate);
        self.difference(&script) == Ok(Some(script.len() - 1))
    }

    /// Shrinks a script that needs what came before its last reset, a run for each candidate.
    fn shrunk_one_by_one(&self, script: Vec<Operation>) -> Vec<Operation> {
        let mut shows = |candidates: &[Vec<Operation>]| {
            let differs = |candidate: &Vec<Operation>| self.difference(candidate) == Ok(Some(candidate.len() - 1));
            candidates.iter().map(differs).collect()
        };
        shrink(script, &mut shows)
    }

    /// Where the last script is.
    fn kept(&self) -> String {
        self.folder.path().join("script").display().to_string()
    }
}

/// The last episode of a script, to be run again by `--script`.
fn shown(script: &[Operation]) -> String {
    let start = script.iter().rposition(|operation| operation.letter == 'e').unwrap_or(0);
    script[start..].iter().map(|operation| format!("\n{operation}")).collect()
}
