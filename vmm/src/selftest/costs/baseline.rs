//! The costs that were measured before, and what has changed since.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::Cost;

/// How much a cost may grow by before that is a failure, in percent.
pub const TOLERANCE: f64 = 10.0;

/// Costs by name, as they are kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Ring-0 instructions of one operation.
    pub instructions: BTreeMap<String, f64>,
}

/// A file that holds no costs.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no baseline of costs: {source}")]
    Json {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Baseline {
    /// The baseline that these costs make.
    pub fn of(costs: &[Cost]) -> Baseline {
        Baseline { instructions: costs.iter().map(|cost| (cost.name.clone(), cost.instructions)).collect() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no baseline.
    pub fn read(path: &Path) -> Result<Baseline, BaselineError> {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| BaselineError::Io { path: name(), source })?;
        serde_json::from_str(&text).map_err(|source| BaselineError::Json { path: name(), source })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let name = || path.display().to_string();
        let mut text =
            serde_json::to_string_pretty(self).map_err(|source| BaselineError::Json { path: name(), source })?;
        text.push('\n');
        fs::write(path, text).map_err(|source| BaselineError::Io { path: name(), source })
    }
}

/// Which way a cost went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// As it was, within [`TOLERANCE`] percent.
    Same,
    /// Less by more than that: good, but the baseline should know.
    Shrank,
    /// More by more than that: a failure.
    Grew,
    /// The baseline does not know it: a failure, or a new name could hide what grew.
    New,
    /// It is in the baseline and was not measured: a failure, for the same reason.
    Gone,
}

impl Trend {
    /// Whether a comparison with it fails.
    pub fn is_failure(self) -> bool {
        matches!(self, Trend::Grew | Trend::New | Trend::Gone)
    }

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Trend::Same => "",
            Trend::Shrank => "shrank",
            Trend::Grew => "GREW",
            Trend::New => "NEW",
            Trend::Gone => "GONE",
        }
    }
}

/// One cost then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The benchmark's name.
    pub name: String,
    /// In the baseline.
    pub before: Option<f64>,
    /// Measured.
    pub now: Option<f64>,
    /// What that means.
    pub trend: Trend,
}

impl Change {
    fn new(name: &str, before: Option<f64>, now: Option<f64>) -> Change {
        let trend = match (before, now) {
            (Some(before), Some(now)) if now > before * (1.0 + TOLERANCE / 100.0) => Trend::Grew,
            (Some(before), Some(now)) if now < before * (1.0 - TOLERANCE / 100.0) => Trend::Shrank,
            (Some(_), Some(_)) => Trend::Same,
            (None, _) => Trend::New,
            (Some(_), None) => Trend::Gone,
        };
        Change { name: name.to_owned(), before, now, trend }
    }

    /// The change in percent of what was; `None` where one of them is missing or was nothing.
    pub fn percent(&self) -> Option<f64> {
        let (before, now) = (self.before?, self.now?);
        (before > 0.0).then(|| (now - before) / before * 100.0)
    }
}

/// What has changed, by name. `only` says which benchmarks were to be measured: others of the baseline are left out.
pub fn compare(baseline: &Baseline, costs: &[Cost], only: impl Fn(&str) -> bool) -> Vec<Change> {
    let now = Baseline::of(costs).instructions;
    let wanted = baseline.instructions.keys().filter(|name| only(name));
    let mut names: Vec<&String> = wanted.chain(now.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Change::new(name, baseline.instructions.get(name).copied(), now.get(name).copied()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(costs: &[(&str, f64)]) -> Vec<Cost> {
        costs.iter().map(|&(name, instructions)| Cost { name: name.to_owned(), instructions }).collect()
    }

    fn trends(before: &[(&str, f64)], now: &[(&str, f64)]) -> Vec<(String, Trend)> {
        let changes = compare(&Baseline::of(&costs(before)), &costs(now), |_| true);
        changes.into_iter().map(|change| (change.name, change.trend)).collect()
    }

    #[test]
    fn what_grows_by_more_than_a_tenth_fails() {
        let before = [("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)];
        let now = [("a", 110.0), ("b", 110.1), ("c", 90.0), ("d", 89.9)];
        let expected = [("a", Trend::Same), ("b", Trend::Grew), ("c", Trend::Same), ("d", Trend::Shrank)];
        assert_eq!(trends(&before, &now), expected.map(|(name, trend)| (name.to_owned(), trend)));
        assert!(Trend::Grew.is_failure() && !Trend::Shrank.is_failure() && !Trend::Same.is_failure());
    }

    #[test]
    fn a_new_name_hides_nothing() {
        let expected = [("a", Trend::Gone), ("b", Trend::New)];
        assert_eq!(trends(&[("a", 1.0)], &[("b", 1.0)]), expected.map(|(name, trend)| (name.to_owned(), trend)));
        assert!(Trend::New.is_failure() && Trend::Gone.is_failure());
        // What was not to be measured is not missed.
        let changes = compare(&Baseline::of(&costs(&[("a", 1.0)])), &costs(&[("b", 1.0)]), |name| name == "b");
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn percents() {
        assert_eq!(Change::new("a", Some(200.0), Some(210.0)).percent(), Some(5.0));
        assert_eq!(Change::new("a", Some(0.0), Some(210.0)).percent(), None);
        assert_eq!(Change::new("a", None, Some(210.0)).percent(), None);
        // Nothing that became something has grown.
        assert_eq!(Change::new("a", Some(0.0), Some(1.0)).trend, Trend::Grew);
    }

    #[test]
    fn a_file_keeps_a_baseline() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("costs.json");
        let baseline = Baseline::of(&costs(&[("bench/a", 143.25), ("bench/b", 1.0)]));
        baseline.write(&path).expect("written");
        assert_eq!(Baseline::read(&path).expect("read"), baseline);
        fs::write(&path, "{}").expect("written");
        assert!(matches!(Baseline::read(&path), Err(BaselineError::Json { .. })));
        assert!(matches!(Baseline::read(&folder.path().join("none")), Err(BaselineError::Io { .. })));
    }
}
