//! The `pagelab` command: everything is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let start = pagelab::run::Start::now();
    pagelab::cli::main(start)
}
