//! Buffered text output, and where failures are said.

use core::fmt::{self, Write};

use crate::sys::{self, Errno};

/// Standard output.
pub const STDOUT: i32 = 1;
/// Standard error.
pub const STDERR: i32 = 2;

/// Text on its way to a file descriptor: written when the buffer is full, on [`Output::flush`] and at the end.
#[derive(Debug)]
pub struct Output {
    fd: i32,
    length: usize,
    buffer: [u8; 512],
}

impl Output {
    /// An empty buffer in front of `fd`.
    pub const fn new(fd: i32) -> Self {
        Output { fd, length: 0, buffer: [0; 512] }
    }

    /// Writes what is in the buffer.
    pub fn flush(&mut self) -> Result<(), Errno> {
        let mut rest = &self.buffer[..self.length];
        while !rest.is_empty() {
            rest = &rest[sys::write(self.fd, rest)?..];
        }
        self.length = 0;
        Ok(())
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            if self.length == self.buffer.len() {
                self.flush().map_err(|_| fmt::Error)?;
            }
            let now = bytes.len().min(self.buffer.len() - self.length);
            self.buffer[self.length..self.length + now].copy_from_slice(&bytes[..now]);
            self.length += now;
            bytes = &bytes[now..];
        }
        Ok(())
    }
}

/// Why a program ends without a result.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The command line is wrong: exit status 2.
    Usage {
        /// The option or argument.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A system call failed: exit status 1.
    System {
        /// The call.
        what: &'static str,
        /// Its answer.
        errno: Errno,
    },
    /// Memory held something else than it must: exit status 1.
    Wrong {
        /// What was found, in words.
        what: &'static str,
        /// Where: the number of the page.
        page: usize,
    },
    /// The output could not be written: exit status 1.
    Output,
}

impl Failure {
    /// A system call's failure, for `map_err`.
    pub fn system(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Failure::System { what, errno }
    }

    /// The exit status it leads to.
    pub fn status(&self) -> u8 {
        if matches!(self, Failure::Usage { .. }) { 2 } else { 1 }
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Failure::Output
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage { what, why } => write!(f, "{what}: {why}"),
            Failure::System { what, errno } => write!(f, "{what}: {errno}"),
            Failure::Wrong { what, page } => write!(f, "page {page}: {what}"),
            Failure::Output => f.write_str("cannot write the output"),
        }
    }
}
