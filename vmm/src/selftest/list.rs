//! The tests that a kernel has in it, read from its ELF file.

use object::{Object, ObjectSection, ObjectSymbol};
use pagelab_abi::selftest::{END, ENTRY_SIZE, START, Switches, Test};
use zerocopy::FromBytes;

/// A test of a kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the kernel's list.
    pub index: usize,
    /// `GROUP/NAME`.
    pub name: String,
    /// What it needs and how it ends.
    pub test: Test,
}

impl Listed {
    /// The part of the name before the slash.
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether it is a benchmark.
    pub fn is_benchmark(&self) -> bool {
        self.is(Switches::BENCHMARK)
    }

    /// Whether it fails by design.
    pub fn is_demonstration(&self) -> bool {
        self.is(Switches::DEMONSTRATION)
    }

    fn is(&self, switch: Switches) -> bool {
        Switches::from_bits_retain(self.test.switches).contains(switch)
    }
}

/// Why a kernel's tests cannot be listed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not an ELF file.
    #[error("the kernel with the tests cannot be read: {0}")]
    Elf(String),
    /// A kernel without feature `selftest`.
    #[error("this kernel has no tests in it: build it with the feature selftest")]
    NoTests,
}

/// All tests and benchmarks of a kernel, sorted by name.
///
/// # Errors
/// It is no kernel with tests.
pub fn list(kernel: &[u8]) -> Result<Vec<Listed>, ListError> {
    let file = object::File::parse(kernel).map_err(|error| ListError::Elf(error.to_string()))?;
    let address = |name| file.symbol_by_name(name).map(|symbol| symbol.address());
    let (Some(start), Some(end)) = (address(START), address(END)) else { return Err(ListError::NoTests) };
    let bytes = file.sections().find_map(|section| {
        let data = section.data_range(start, end.saturating_sub(start)).ok()??;
        (!data.is_empty()).then_some(data)
    });
    let entries = bytes.ok_or(ListError::NoTests)?.chunks_exact(ENTRY_SIZE);
    let mut listed: Vec<Listed> = entries
        .enumerate()
        .filter_map(|(index, entry)| {
            let (test, _) = Test::read_from_prefix(entry).ok()?;
            Some(Listed { index, name: test.name().to_owned(), test })
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    #[test]
    fn the_second_kernel_has_tests_and_the_first_has_none() {
        let tests = list(builtin::SELFTEST_KERNEL).expect("it was built with them");
        assert!(tests.len() >= 20, "{}", tests.len());
        assert!(tests.iter().any(Listed::is_benchmark));
        for test in &tests {
            let (group, name) = test.name.split_once('/').unwrap_or_else(|| panic!("{:?} has no group", test.name));
            let plain = |text: &str| {
                !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            };
            assert!(plain(group) && plain(name), "{:?}", test.name);
            assert_eq!(test.is_benchmark(), group == "bench", "{:?}", test.name);
            assert_eq!(test.is_demonstration(), group == "demo", "{:?}", test.name);
        }
        assert!(tests.windows(2).all(|pair| pair[0].name != pair[1].name), "a name is there twice");
        assert_eq!(list(builtin::KERNEL), Err(ListError::NoTests));
        assert!(matches!(list(b"no kernel"), Err(ListError::Elf(_))));
    }
}
