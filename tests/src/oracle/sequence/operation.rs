//! One line of a script: a letter and numbers, as `tests/oracle/sequence.c` reads them.

use std::fmt;

/// An operation. What the numbers mean is said in `sequence.c`, beside each letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub letter: char,
    /// With what.
    pub numbers: Vec<u64>,
}

impl Operation {
    /// The operation.
    pub fn new(letter: char, numbers: &[u64]) -> Operation {
        Operation { letter, numbers: numbers.to_vec() }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter)?;
        self.numbers.iter().try_for_each(|number| write!(f, " {number:x}"))
    }
}

/// The operations of a script's text.
///
/// # Errors
/// The first line that is not one.
pub fn read_script(text: &str) -> Result<Vec<Operation>, String> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let letter = words.next().and_then(|word| word.chars().next())?;
        let numbers: Result<Vec<u64>, _> = words.map(|word| u64::from_str_radix(word, 16)).collect();
        Some(Operation { letter, numbers: numbers.ok()? })
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|text| line(text).ok_or_else(|| format!("no operation: {text:?}"))).collect()
}
