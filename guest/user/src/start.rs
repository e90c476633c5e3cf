//! From the kernel's entry to the program's `run`, and from there to its exit status.
#![expect(unsafe_code, reason = "the entry point is made of registers")]

use core::fmt::Write;

use crate::{
    arguments::{Arguments, Options},
    output::{Failure, Output, STDERR, STDOUT},
    sys,
};

/// What a program does: takes its arguments, writes its result and says its exit status.
pub type Run = fn(&mut Options, &mut Output) -> Result<u8, Failure>;

/// Runs a program and ends it. Called by the entry that [`program!`](crate::program) makes.
///
/// # Safety
/// `stack` is the stack pointer as the kernel set it.
pub unsafe fn start(stack: *const usize, name: &str, run: Run) -> ! {
    let mut out = Output::new(STDOUT);
    // SAFETY: the caller vouches for `stack`.
    let mut options = Options::new(unsafe { Arguments::from_stack(stack) });
    let result =
        run(&mut options, &mut out).and_then(|status| out.flush().map(|()| status).map_err(Failure::system("write")));
    sys::exit(match result {
        Ok(status) => status,
        Err(failure) => {
            let mut err = Output::new(STDERR);
            // Nothing is left to tell it to if standard error fails.
            let _ = out.flush();
            let _ = writeln!(err, "{name}: {failure}");
            let _ = err.flush();
            failure.status()
        }
    })
}

/// Makes a file of `src/bin` a program: its entry point, which calls `$run` of type [`Run`](crate::start::Run).
///
/// Built for another target than the bare one (`cargo clippy --workspace` does that), a program only says so.
#[macro_export]
macro_rules! program {
    ($name:literal, $run:ident) => {
        #[expect(unsafe_code, reason = "the entry point is made of registers")]
        #[cfg(target_os = "none")]
        mod entry {
            /// The entry the ELF header names: RSP points at argc.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn _start() -> ! {
                core::arch::naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {}", sym enter)
            }

            extern "C" fn enter(stack: *const usize) -> ! {
                // SAFETY: `_start` passes the kernel's stack pointer.
                unsafe { $crate::start::start(stack, $name, super::$run) }
            }
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: $crate::start::Run = $run;
            panic!("{} is to be built for x86_64-unknown-none", $name);
        }
    };
}

#[cfg(all(not(test), target_os = "none"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut err = Output::new(STDERR);
    // A program that panics has nobody else to tell.
    let _ = writeln!(err, "{info}");
    let _ = err.flush();
    sys::exit(101)
}
