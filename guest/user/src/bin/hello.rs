//! Greets, and exits with the status it is told: the smallest program.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;

use pagelab_user::{
    arguments::{self, Options},
    output::{Failure, Output},
    program,
};

const HELP: &str = "\
usage: hello [--status N] [--name TEXT]
  --status N   exit status, 0 to 255 (0)
  --name TEXT  whom to greet (world)
";

fn run(options: &mut Options, out: &mut Output) -> Result<u8, Failure> {
    let (mut status, mut name) = (0, "world");
    while let Some(option) = arguments::next(options)? {
        match option {
            "status" => status = arguments::number(options, "--status", 0, 255)?,
            "name" => name = arguments::text(options, "--name")?,
            "help" => return Ok(out.write_str(HELP).map(|()| 0)?),
            other => return Err(arguments::unknown(other)),
        }
    }
    writeln!(out, "hello, {name}")?;
    Ok(status)
}

program!("hello", run);
