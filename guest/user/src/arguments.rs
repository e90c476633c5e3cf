//! A program's arguments, and numbers in them.

use core::{ffi::c_char, str::FromStr};

use crate::output::Failure;

/// The arguments after the program's name, as Linux left them on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    next: *const *const c_char,
    left: usize,
}

/// The parser of a program's command line.
pub type Options = getargs::Options<&'static str, Arguments>;

impl Arguments {
    /// The arguments from a stack pointer at the program's entry (argc, then argv).
    ///
    /// # Safety
    /// `stack` is that pointer, and nothing changes the strings afterwards.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    pub(crate) unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the x86-64 ABI: argc, then argc pointers; the caller vouches for `stack`.
        let (argc, argv) = unsafe { (*stack, stack.add(1).cast::<*const c_char>()) };
        let skipped = argc.min(1);
        // SAFETY: at most one past the end of argv, which has argc entries and a null.
        Arguments { next: unsafe { argv.add(skipped) }, left: argc - skipped }
    }
}

impl Iterator for Arguments {
    type Item = &'static str;

    /// The next argument; one that is not UTF-8 reads as U+FFFD, which no program takes for an option or a number.
    #[expect(unsafe_code, reason = "the kernel hands over raw pointers")]
    fn next(&mut self) -> Option<&'static str> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` was not zero, so `next` points at one of the argv pointers, a NUL-terminated string that lives
        // as long as the program.
        let text = unsafe { core::ffi::CStr::from_ptr(*self.next) };
        // SAFETY: at most one past the last argument: the null that ends argv.
        self.next = unsafe { self.next.add(1) };
        Some(text.to_str().unwrap_or("\u{fffd}"))
    }
}

/// The value of option `what` as a number from `least` to `most`.
pub fn number<T: FromStr + PartialOrd>(
    options: &mut Options,
    what: &'static str,
    least: T,
    most: T,
) -> Result<T, Failure> {
    let text = text(options, what)?;
    let number = text.parse().map_err(|_| Failure::Usage { what, why: "not a whole number (or far too large)" })?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(Failure::Usage { what, why: "out of range" }) }
}

/// The value of option `what`.
pub fn text(options: &mut Options, what: &'static str) -> Result<&'static str, Failure> {
    options.value().map_err(|_| Failure::Usage { what, why: "needs a value" })
}

/// Takes one option: `None` at the end. Positional arguments are refused.
pub fn next(options: &mut Options) -> Result<Option<&'static str>, Failure> {
    match options.next_arg() {
        Ok(Some(getargs::Arg::Long(name))) => Ok(Some(name)),
        Ok(Some(getargs::Arg::Short('h'))) => Ok(Some("help")),
        Ok(Some(getargs::Arg::Short(_))) => Err(Failure::Usage { what: "short option", why: "unknown, try --help" }),
        Ok(Some(getargs::Arg::Positional(what))) => {
            Err(Failure::Usage { what, why: "unexpected argument, try --help" })
        }
        Ok(None) => Ok(None),
        Err(_) => Err(Failure::Usage { what: "option", why: "takes no value" }),
    }
}

/// The failure for an option that the program does not have.
pub fn unknown(what: &'static str) -> Failure {
    Failure::Usage { what, why: "unknown option, try --help" }
}
