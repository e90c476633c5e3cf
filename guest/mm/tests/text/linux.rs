//! Reading texts: the running Linux's and ours.

use std::{collections::HashMap, fs};

use pagelab_mm::text;

/// A text of the running Linux.
pub(crate) fn linux(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is written to a sink.
pub(crate) fn rendered(render: impl FnOnce(&mut dyn text::Sink) -> std::fmt::Result) -> String {
    let mut text = String::new();
    render(&mut text).expect("a string takes everything");
    text
}

/// `NAME: VALUE kB` lines as numbers.
pub(crate) fn values(text: &str) -> HashMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name, value.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

/// The lines of `theirs` whose first word is the first word of a line of `ours`.
pub(crate) fn common_lines<'a>(theirs: &'a str, ours: &str) -> Vec<&'a str> {
    let word = |line: &'_ str| line.split_whitespace().next().map(str::to_owned);
    let known: Vec<_> = ours.lines().map(word).collect();
    theirs.lines().filter(|line| known.contains(&word(line))).collect()
}
