//! `pagelab run --kernel`: which kernel to boot, and what it is given.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use pagelab_abi::layout;

use crate::{initramfs::read_host_file, kernel_file::KernelFile};

/// The options that are about the kernel.
#[derive(Args, Debug)]
pub(super) struct KernelArgs {
    /// Boot this ELF file instead of the built-in kernel: one built from pagelab's guest/kernel runs PROGRAM as usual,
    /// any other (Linux's vmlinux, your own) runs by itself. See "Other kernels" below.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Command line of a kernel that is not pagelab's.
    #[arg(long, value_name = "TEXT", requires = "kernel", allow_hyphen_values = true)]
    append: Option<String>,
    /// Give a kernel that is not pagelab's this file as a module; Linux takes the first for its initrd (repeatable).
    #[arg(long = "module", value_name = "FILE", requires = "kernel")]
    modules: Vec<PathBuf>,
}

impl KernelArgs {
    /// The kernel to boot, if it is not the built-in one. `memory` is the guest's, in bytes.
    pub(super) fn open(&self, memory: u64) -> anyhow::Result<Option<KernelFile>> {
        let Some(path) = &self.kernel else { return Ok(None) };
        let kernel = KernelFile::open(path)?;
        kernel.check_memory(memory.min(layout::MMIO_HOLE_START))?;
        Ok(Some(kernel))
    }

    /// The command line.
    pub(super) fn command_line(&self) -> &str {
        self.append.as_deref().unwrap_or_default()
    }

    /// The modules' bytes.
    pub(super) fn modules(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(self.modules.iter().map(|path| read_host_file(path).map(|(bytes, _)| bytes)).collect::<Result<_, _>>()?)
    }

    /// Fails if there are options that a kernel of pagelab's has no use for.
    pub(super) fn refuse_foreign_options(&self) -> anyhow::Result<()> {
        if self.append.is_some() || !self.modules.is_empty() {
            bail!("--append and --module are for kernels that are not pagelab's; its own take PROGRAM and --file");
        }
        Ok(())
    }
}
