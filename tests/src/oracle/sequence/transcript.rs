//! What `sequence` printed, cut into one answer an operation.

use super::Operation;

/// The answers of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    answers: Vec<String>,
    /// Whether the program came to the end of its script.
    complete: bool,
}

impl Transcript {
    /// Cuts a text: a line that begins with a space belongs to the answer before it.
    pub fn new(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        for line in text.lines() {
            if let (true, Some(last)) = (line.starts_with(' '), transcript.answers.last_mut()) {
                last.push('\n');
                last.push_str(line);
            } else {
                transcript.answers.push(line.to_owned());
            }
        }
        let count = transcript.answers.len();
        // The last line counts the operations.
        if let Some(counted) = transcript.answers.pop_if(|last| last.starts_with("operations ")) {
            transcript.complete = counted == format!("operations {:x}", count - 1);
        }
        transcript
    }

    /// Whether there is an answer to every operation, and no other.
    pub fn answers_all(&self, script: &[Operation]) -> bool {
        self.complete && self.answers.len() == script.len() && self.letters_fit(script)
    }

    /// The answer to an operation; `None` if the program ended before.
    pub fn answer(&self, index: usize) -> Option<&str> {
        self.answers.get(index).map(String::as_str)
    }

    fn letters_fit(&self, script: &[Operation]) -> bool {
        self.answers.iter().zip(script).all(|(answer, operation)| answer.starts_with(operation.letter))
    }
}

/// The first operation whose answers differ, or that only one side came to; also where neither answered.
pub fn first_difference(script: &[Operation], linux: &Transcript, lab: &Transcript) -> Option<usize> {
    (0..script.len()).find(|&index| match (linux.answer(index), lab.answer(index)) {
        (Some(linux), Some(lab)) => linux != lab || !linux.starts_with(script[index].letter),
        _ => true,
    })
}
