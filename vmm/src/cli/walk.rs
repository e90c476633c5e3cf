//! `pagelab walk`: the page tables on the way to an address.

use std::{io, path::PathBuf};

use clap::Args;

use super::print;
use crate::{
    analysis::{RunFile, Walk},
    report,
    trace::RunFileError,
};

const EXAMPLES: &str = "\
Examples:
  pagelab walk RUN 0x7ffff0000000       an address of the program, as guest_fault.gva shows it
  pagelab walk RUN 0xffff888000001000   one of the kernel, here its direct map
  pagelab walk RUN 0x400000 --json

Exit status: 0 if the address is mapped, 1 if it is not or the run cannot tell, 2 for a wrong command line.";

/// Walks the guest's page tables to an address: each entry, its table's frame, and whether the host had it backed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct WalkArgs {
    /// The run file that `pagelab run` wrote.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The guest-virtual address, in hexadecimal with 0x or in decimal.
    #[arg(value_name = "GVA", value_parser = address)]
    gva: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl WalkArgs {
    /// Prints the walk; says whether the address is mapped.
    pub(super) fn execute(&self) -> Result<bool, RunFileError> {
        let walk = Walk::read(&RunFile::open(&self.run)?, self.gva)?;
        let text = if self.json {
            serde_json::to_string_pretty(&walk).map_err(io::Error::from)? + "\n"
        } else {
            report::walk(&walk)
        };
        print(&text)?;
        Ok(walk.page.is_some())
    }
}

fn address(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16),
        None => text.parse(),
    };
    number.map_err(|_| "not an address of 64 bits: give it as 0x7ffff0000000, or in decimal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_hexadecimal_with_a_prefix() {
        assert_eq!(address("0x7fff_0000"), Ok(0x7fff_0000));
        assert_eq!(address("0xffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(address("4096"), Ok(4096));
        for wrong in ["", "0x", "7fff0000f", "0x1ffffffffffffffff", "-1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
