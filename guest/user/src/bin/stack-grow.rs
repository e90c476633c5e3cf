//! Recurses with a frame of one page to a given depth, and counts what the growing stack costs.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "lays out its own stack frames")]

use core::{arch::naked_asm, fmt::Write};

use pagelab_user::{
    arguments::{self, Options},
    memory::PAGE_SIZE,
    output::{Failure, Output},
    program, sys,
};

const HELP: &str = "\
usage: stack-grow [--pages N]
  --pages N  depth of the recursion, a page each, 1 to 1048576 (64); more than the stack limit (8 MiB natively and in
             the lab by default) ends in SIGSEGV
";

/// What the recursion found.
#[repr(C)]
struct Descent {
    /// Sum of the depths that the frames still held on the way back.
    sum: u64,
    /// Bytes from the first frame's top to the last one's bottom.
    bytes: u64,
}

/// Goes to a page boundary 16 KiB below, where no call has been yet, and recurses from there: `depth` frames, each
/// exactly one page, each holding its depth at its lowest word. So the touched pages do not depend on where the stack
/// began.
#[unsafe(naked)]
unsafe extern "C" fn descend(depth: u64) -> Descent {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 16384",
        "and rsp, -4096",
        "mov rsi, rsp", // top of the first frame
        "mov rdx, rsp", // bottom of the last frame
        "xor eax, eax", // the sum
        "test rdi, rdi",
        "jz 3f",
        "call 2f",
        "jmp 3f",
        "2:",
        "sub rsp, 4088", // with the return address one page
        "mov [rsp], rdi",
        "mov rdx, rsp",
        "dec rdi",
        "jz 4f",
        "call 2b",
        "4:",
        "add rax, [rsp]",
        "add rsp, 4088",
        "ret",
        "3:",
        "sub rsi, rdx",
        "mov rdx, rsi",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let mut pages = 64;
    while let Some(option) = arguments::next(options)? {
        match option {
            "pages" => pages = arguments::number(options, "--pages", 1, 1 << 20)?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    // SAFETY: `descend` keeps to the C convention; no frame at all brings its code in.
    unsafe { descend(0) };
    sys::faults().map_err(Failure::system("getrusage"))?;
    let before = sys::faults().map_err(Failure::system("getrusage"))?;
    // SAFETY: as above; a stack that cannot grow ends the program by SIGSEGV, as it must.
    let descent = unsafe { descend(pages) };
    let after = sys::faults().map_err(Failure::system("getrusage"))?;
    if descent.sum != pages * (pages + 1) / 2 {
        return Err(Failure::Wrong { what: "a stack frame lost its contents", page: 0 });
    }
    writeln!(out, "depth: {pages} frames")?;
    writeln!(out, "stack: {} pages deeper", descent.bytes / PAGE_SIZE as u64)?;
    writeln!(out, "ru_minflt: {}", after.minor - before.minor)?;
    writeln!(out, "ru_majflt: {}", after.major - before.major)?;
    Ok(0)
}

program!("stack-grow", run);
