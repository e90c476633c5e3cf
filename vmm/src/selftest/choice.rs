//! Which tests a filter means.

use super::list::Listed;

/// Names told for a filter that means none.
const NEAR: usize = 5;

/// A filter that means no test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no test has {filter:?} in its name{}", hint(near))]
pub struct NoneMeant {
    /// The filter.
    pub filter: String,
    /// Names that look like it.
    pub near: Vec<String>,
}

fn hint(near: &[String]) -> String {
    if near.is_empty() {
        "; pagelab test --list tells all names".to_owned()
    } else {
        format!("; did you mean {}? (pagelab test --list tells all names)", near.join(", "))
    }
}

/// The tests whose names have the filter in them; all without one. A test that fails by design is meant by its whole name
/// only.
///
/// # Errors
/// There is none: with the names that come nearest.
pub fn choose(mut tests: Vec<Listed>, filter: Option<&str>) -> Result<Vec<Listed>, NoneMeant> {
    tests.retain(|test| !test.is_demonstration() || Some(test.name.as_str()) == filter);
    let Some(filter) = filter else { return Ok(tests) };
    let (meant, others): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| test.name.contains(filter));
    if meant.is_empty() { Err(NoneMeant { filter: filter.to_owned(), near: near(&others, filter) }) } else { Ok(meant) }
}

/// The names that take few changes to have the filter in them, the nearest first.
fn near(tests: &[Listed], filter: &str) -> Vec<String> {
    let tolerated = filter.chars().count() / 3 + 1;
    let mut found: Vec<(usize, &str)> =
        tests.iter().map(|test| (distance(filter, &test.name), test.name.as_str())).collect();
    found.retain(|(distance, _)| *distance <= tolerated);
    found.sort();
    found.into_iter().take(NEAR).map(|(_, name)| name.to_owned()).collect()
}

/// Fewest characters to insert, leave out or replace in `pattern` so that it is a part of `text` (Sellers' algorithm).
fn distance(pattern: &str, text: &str) -> usize {
    let text: Vec<char> = text.chars().collect();
    // What the pattern's beginning costs that ends at each place in the text: the empty one costs nothing anywhere.
    let mut row = vec![0; text.len() + 1];
    for (line, wanted) in pattern.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (place, there) in text.iter().enumerate() {
            let replaced = diagonal + usize::from(*there != wanted);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row.into_iter().min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pagelab_abi::selftest::{Switches, Test};

    use super::*;

    fn tests(names: &[&str]) -> Vec<Listed> {
        let listed = |(index, name): (usize, &&str)| Listed { index, name: (*name).to_owned(), test: Test::new(name) };
        names.iter().enumerate().map(listed).collect()
    }

    fn names(tests: &[Listed]) -> Vec<&str> {
        tests.iter().map(|test| test.name.as_str()).collect()
    }

    #[test]
    fn a_filter_is_a_part_of_the_name() {
        let all = tests(&["frames/single", "frames/zeroed", "paging/zero_page"]);
        assert_eq!(choose(all.clone(), None).map(|tests| tests.len()), Ok(3));
        assert_eq!(names(&choose(all.clone(), Some("frames/")).expect("two")), ["frames/single", "frames/zeroed"]);
        assert_eq!(names(&choose(all, Some("zero")).expect("two")), ["frames/zeroed", "paging/zero_page"]);
    }

    #[test]
    fn what_fails_by_design_is_meant_by_its_whole_name_only() {
        let mut all = tests(&["demo/fails", "frames/single"]);
        all[0].test.switches = Switches::DEMONSTRATION.bits();
        assert_eq!(names(&choose(all.clone(), None).expect("one")), ["frames/single"]);
        assert!(choose(all.clone(), Some("demo")).is_err());
        assert_eq!(names(&choose(all, Some("demo/fails")).expect("one")), ["demo/fails"]);
    }

    #[test]
    fn a_slip_is_told() {
        let all = tests(&["frames/single", "frames/double_free", "paging/zero_page"]);
        let error = choose(all.clone(), Some("duoble_free")).expect_err("a slip");
        assert_eq!(error.near, ["frames/double_free"]);
        assert!(error.to_string().contains("did you mean frames/double_free?"), "{error}");
        let error = choose(all, Some("quite something else")).expect_err("nothing like it");
        assert!(error.near.is_empty() && error.to_string().contains("--list"), "{error}");
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 0);
        assert_eq!(distance("bc", "abcd"), 0);
        assert_eq!(distance("bxc", "abcd"), 1);
        assert_eq!(distance("xyz", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
