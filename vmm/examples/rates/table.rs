//! Measured numbers, their medians, and the lines that show them.

/// Numbers of one thing.
#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

impl From<Vec<f64>> for Samples {
    fn from(numbers: Vec<f64>) -> Samples {
        Samples(numbers)
    }
}

impl Samples {
    pub(crate) fn add(&mut self, number: f64) {
        self.0.push(number);
    }

    /// The middle one, or between the two in the middle; `None` of nothing.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }

    /// The median without digits after the point.
    pub(crate) fn whole(&self) -> String {
        self.median().map_or_else(|| "-".to_owned(), |median| format!("{median:.0}"))
    }

    /// The median with two digits after the point.
    pub(crate) fn ratio(&self) -> String {
        self.median().map_or_else(|| "-".to_owned(), |median| format!("{median:.2}"))
    }
}

/// Prints a line of the table.
pub(crate) fn row(name: &str, numbers: &[&str], aim: &str) {
    let numbers: String = numbers.iter().map(|number| format!("{number:>12}")).collect();
    println!("{}", format!("{name:<44}{numbers}   {aim}").trim_end());
}
