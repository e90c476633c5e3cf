//! `--stop-at`: which trapped fault to stop at, and what to do then.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use pagelab_abi::{code::FaultKind, layout::PAGE_SHIFT};

/// How conditions are written, for messages.
const GRAMMAR: &str = "conditions are kind=NAME, gva=0xADDRESS[-0xEND], rip=0xADDRESS[-0xEND], count=N and then=end|go, \
                       separated by commas";

/// What to do at a fault that matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The run ends.
    #[default]
    End,
    /// The guest goes on, to the next match.
    Go,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopAt {
    kind: Option<FaultKind>,
    /// Numbers of pages.
    pages: Option<RangeInclusive<u64>>,
    rip: Option<RangeInclusive<u64>>,
    count: u64,
    /// What to do then.
    pub then: Then,
    text: String,
}

/// Conditions that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopAtError {
    /// No `name=value` that is known.
    #[error("{0:?} is no condition; {GRAMMAR}")]
    Unknown(String),
    /// The same condition twice.
    #[error("{0} is given twice; all conditions must hold together")]
    Twice(String),
    /// A value that does not fit its name.
    #[error("{name}={value}: {why}")]
    Value {
        /// The condition.
        name: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What conditions are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// `None` where the trap does not know it.
    pub(super) kind: Option<FaultKind>,
    pub(super) gva: u64,
    pub(super) rip: u64,
}

impl StopAt {
    /// Whether the kind of the fault matters, which only the guest can tell.
    pub fn needs_kind(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether a fault is one of those that are counted.
    pub(super) fn matches(&self, fault: Subject) -> bool {
        self.kind.is_none_or(|kind| fault.kind == Some(kind))
            && self.pages.as_ref().is_none_or(|pages| pages.contains(&(fault.gva >> PAGE_SHIFT)))
            && self.rip.as_ref().is_none_or(|range| range.contains(&fault.rip))
    }

    /// Whether to stop at the match with this number, from 1.
    pub(super) fn is_reached(&self, number: u64) -> bool {
        match self.then {
            Then::End => number == self.count,
            Then::Go => number >= self.count,
        }
    }
}

/// As it was given.
impl fmt::Display for StopAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for StopAt {
    type Err = StopAtError;

    fn from_str(text: &str) -> Result<StopAt, StopAtError> {
        let mut stop = StopAt { count: 1, text: text.to_owned(), ..StopAt::default() };
        let mut given = Vec::new();
        for condition in text.split(',').map(str::trim) {
            let (name, value) = condition.split_once('=').ok_or_else(|| StopAtError::Unknown(condition.to_owned()))?;
            if given.contains(&name) {
                return Err(StopAtError::Twice(name.to_owned()));
            }
            given.push(name);
            let wrong = |why| StopAtError::Value { name: name.to_owned(), value: value.to_owned(), why };
            match name {
                "kind" => stop.kind = Some(kind(value).map_err(wrong)?),
                "gva" => {
                    let range = addresses(value).map_err(wrong)?;
                    stop.pages = Some(range.start() >> PAGE_SHIFT..=range.end() >> PAGE_SHIFT);
                }
                "rip" => stop.rip = Some(addresses(value).map_err(wrong)?),
                "count" => {
                    let number = value.parse().ok().filter(|number| *number > 0);
                    stop.count = number.ok_or_else(|| wrong("a count is a whole number from 1 on".to_owned()))?;
                }
                "then" => {
                    stop.then = match value {
                        "end" => Then::End,
                        "go" => Then::Go,
                        _ => return Err(wrong("what follows is end or go".to_owned())),
                    }
                }
                _ => return Err(StopAtError::Unknown(condition.to_owned())),
            }
        }
        Ok(stop)
    }
}

fn kind(value: &str) -> Result<FaultKind, String> {
    FaultKind::from_name(value).ok_or_else(|| {
        let names: Vec<&str> = FaultKind::ALL.iter().filter_map(|kind| kind.name()).collect();
        format!("no kind of fault; the kinds are {}", names.join(", "))
    })
}

/// An address, or a range that ends before its second address, as `/proc/PID/maps` writes them but with `0x`.
fn addresses(value: &str) -> Result<RangeInclusive<u64>, String> {
    let address = |text: &str| {
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with(['+', '-']));
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("{text:?} is no address; one is written 0x7ffff7fbb000"))
    };
    match value.split_once('-') {
        None => address(value).map(|address| address..=address),
        Some((start, end)) => {
            let (start, end) = (address(start)?, address(end)?);
            if start < end { Ok(start..=end - 1) } else { Err("the range is empty".to_owned()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: FaultKind, gva: u64, rip: u64) -> Subject {
        Subject { kind: Some(kind), gva, rip }
    }

    #[test]
    fn all_conditions_must_hold() {
        let stop: StopAt = "kind=anon_write, gva=0x7000,rip=0x401000-0x402000".parse().expect("valid");
        assert!(stop.matches(subject(FaultKind::AnonWrite, 0x7fff, 0x401fff)));
        assert!(!stop.matches(subject(FaultKind::AnonRead, 0x7fff, 0x401fff)));
        assert!(!stop.matches(subject(FaultKind::AnonWrite, 0x8000, 0x401fff)));
        assert!(!stop.matches(subject(FaultKind::AnonWrite, 0x7fff, 0x402000)));
        assert!(!stop.matches(Subject { kind: None, gva: 0x7fff, rip: 0x401fff }), "an unknown kind is no match");
        assert_eq!(stop.then, Then::End);
    }

    #[test]
    fn addresses_of_faults_are_taken_by_page() {
        let stop: StopAt = "gva=0x7123-0x9001".parse().expect("valid");
        for (gva, held) in [(0x6fff, false), (0x7000, true), (0x9fff, true), (0xa000, false)] {
            assert_eq!(stop.matches(subject(FaultKind::Cow, gva, 0)), held, "{gva:#x}");
        }
        let top: StopAt = "gva=0xffffffffffffffff".parse().expect("valid");
        assert!(top.matches(subject(FaultKind::Cow, u64::MAX, 0)));
    }

    #[test]
    fn the_count_is_the_match_to_stop_at() {
        let end: StopAt = "count=3".parse().expect("valid");
        assert_eq!([1, 2, 3, 4].map(|number| end.is_reached(number)), [false, false, true, false]);
        let go: StopAt = "count=3,then=go".parse().expect("valid");
        assert_eq!([1, 2, 3, 4].map(|number| go.is_reached(number)), [false, false, true, true]);
        assert!(StopAt::from_str("then=end").expect("valid").is_reached(1));
    }

    #[test]
    fn bad_conditions_say_what_is_wrong() {
        for (given, said) in [
            ("", "no condition"),
            ("anon_write", "no condition"),
            ("page=1", "no condition"),
            ("kind=anon", "no kind of fault; the kinds are anon_write, anon_read"),
            ("gva=7000", "\"7000\" is no address"),
            ("gva=0x", "no address"),
            ("gva=0x+5", "no address"),
            ("gva=0x5-", "no address"),
            ("rip=0x2000-0x1000", "the range is empty"),
            ("rip=0x10000000000000000", "no address"),
            ("count=0", "from 1 on"),
            ("count=-1", "from 1 on"),
            ("count=1,count=2", "count is given twice"),
            ("then=stop", "end or go"),
            ("kind=cow,", "no condition"),
        ] {
            let error = given.parse::<StopAt>().expect_err(given).to_string();
            assert!(error.contains(said), "{given}: {error}");
        }
    }

    #[test]
    fn every_kind_can_be_asked_for() {
        for kind in FaultKind::ALL {
            let text = format!("kind={}", kind.name().expect("every listed kind has a name"));
            let stop: StopAt = text.parse().expect("valid");
            assert!(stop.matches(subject(*kind, 0, 0)) && stop.needs_kind());
        }
    }
}
