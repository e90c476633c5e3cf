//! How a test says that something does not hold: the values, and the place in its source.

use core::{
    fmt::{self, Write},
    panic::Location,
};

use crate::text::Text;

/// Bytes of a failure's text; what is longer is cut.
const CAPACITY: usize = 320;

/// Bytes of a text that is searched for words.
const REPORT: usize = 4096;

/// What a test returns.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a test failed, or was skipped, and where.
pub(crate) struct Failure {
    at: &'static Location<'static>,
    skipped: bool,
    length: usize,
    text: [u8; CAPACITY],
}

impl Failure {
    /// A failure at the caller's place.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn new(text: fmt::Arguments<'_>) -> Failure {
        let mut failure = Failure { at: Location::caller(), skipped: false, length: 0, text: [0; CAPACITY] };
        // `write_str` never fails: it cuts.
        let _ = failure.write_fmt(text);
        failure
    }

    /// Two values that should be the same.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unequal(what: &str, left: &dyn fmt::Debug, right: &dyn fmt::Debug) -> Failure {
        Failure::new(format_args!("{what}: {left:?} is not {right:?}"))
    }

    /// Not a failure: this machine cannot show what the test is about.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn skip(text: fmt::Arguments<'_>) -> Failure {
        Failure { skipped: true, ..Failure::new(text) }
    }

    /// Whether the test was skipped.
    pub(super) fn is_skip(&self) -> bool {
        self.skipped
    }
}

impl Write for Failure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = &text.as_bytes()[..text.len().min(CAPACITY - self.length)];
        self.text[self.length..self.length + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text[..self.length].utf8_chunks().next().map_or("", |chunk| chunk.valid());
        if self.skipped {
            return f.write_str(text);
        }
        write!(f, "{}:{}: {text}", self.at.file(), self.at.line())
    }
}

impl<E: fmt::Debug> From<E> for Failure {
    /// What `?` makes of an error nobody expected.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn from(error: E) -> Failure {
        Failure::new(format_args!("{error:?}"))
    }
}

/// Fails unless something was refused, and each of these words is in what is said of it.
#[track_caller]
pub(super) fn refused<T: fmt::Debug, E: fmt::Display>(result: Result<T, E>, words: &[&str]) -> Outcome {
    match result {
        Ok(value) => Err(Failure::new(format_args!("this should have been refused, and gave {value:?}"))),
        Err(error) => says(&error, words),
    }
}

/// Fails unless each of these words is in a text, as often as it is named.
#[track_caller]
pub(super) fn says(text: &dyn fmt::Display, words: &[&str]) -> Outcome {
    let mut buffer = Text::<REPORT>::new();
    let bytes = buffer.format(format_args!("{text}"));
    for word in words {
        let found = bytes.windows(word.len()).filter(|part| *part == word.as_bytes()).count();
        let wanted = words.iter().filter(|other| *other == word).count();
        if found < wanted {
            return Err(Failure::new(format_args!("{word:?} is {found} times, not {wanted}, in: {text}")));
        }
    }
    Ok(())
}

/// Fails unless a condition holds; says the condition, or the text given.
macro_rules! ensure {
    ($condition:expr) => {
        $crate::selftest::check::ensure!($condition, "{}", stringify!($condition))
    };
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::selftest::check::Failure::new(format_args!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// Fails unless two values are equal; says the expression and both values.
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    return Err($crate::selftest::check::Failure::unequal(stringify!($left), left, right));
                }
            }
        }
    };
}
pub(super) use ensure_eq;
