//! `pagelab list`: the built-in programs.

use std::io;

use clap::Args;

use crate::{builtin, cli::print};

/// Lists the built-in programs.
#[derive(Args, Debug)]
#[command(after_help = "`pagelab run NAME -- --help` shows a program's own options.")]
pub(super) struct ListArgs {
    /// Print a JSON array of names and descriptions.
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(super) fn execute(&self) -> io::Result<()> {
        let programs = builtin::programs();
        if self.json {
            let list: Vec<_> = programs
                .iter()
                .map(|program| serde_json::json!({"name": program.name, "description": program.description}))
                .collect();
            return print(&format!("{:#}\n", serde_json::Value::from(list)));
        }
        let width = programs.iter().map(|program| program.name.len()).max().unwrap_or(0);
        let line = |program: &builtin::Builtin| format!("{:width$}  {}\n", program.name, program.description);
        print(&programs.iter().map(line).collect::<String>())
    }
}
