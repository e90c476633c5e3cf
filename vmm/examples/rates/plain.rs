//! The least VMM that runs the guest: the machine, and a loop around KVM_RUN. It records nothing, has no second thread,
//! and guest memory is what mmap gives. What pagelab takes with `--record none` is set against it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pagelab::{
    builtin,
    initramfs::Initramfs,
    vm::{
        Backing, Image, MemoryPolicy, Program, TraceWindow, Vm, VmConfig,
        exit::{self, Exit},
        ring::RingReader,
    },
};
use pagelab_abi::port;

/// Runs a built-in program to its end in `memory` bytes: the time from the first KVM_RUN on.
pub(crate) fn run(program: &str, args: &[String], memory: u64) -> anyhow::Result<Duration> {
    let elf = builtin::program(program).context("no built-in program")?.elf;
    let path = format!("/bin/{program}");
    let mut initramfs = Initramfs::default();
    initramfs.add(&path, elf, 0o755)?;
    let args: Vec<String> = std::iter::once(path.clone()).chain(args.iter().cloned()).collect();
    let env = ["PATH=/bin", "HOME=/", "TERM=dumb", "LANG=C"].map(str::to_owned);
    let initramfs = initramfs.pack()?;
    let Vm { mut vcpu, window, ram: _ram, slots: _slots, .. } = Vm::create(&VmConfig {
        memory,
        backing: Backing::Anonymous,
        small_pages: false,
        trace_window: TraceWindow::DEFAULT_SIZE,
        image: Image::Elf(builtin::KERNEL),
        program: Program { path: &path, args: &args, env: &env, initramfs: &initramfs },
        seed: 1,
        policy: MemoryPolicy::default(),
        trace: false,
        trap_faults: false,
    })?;
    // The guest's console goes through the ring, recorded or not.
    let mut ring = RingReader::new(window)?;
    let begin = Instant::now();
    loop {
        match exit::run(&mut vcpu)? {
            Exit::PortOut { port: port::CLOCK, .. } | Exit::Interrupted => {}
            Exit::PortOut { port: port::BULK | port::DOORBELL, .. } => drop(ring.drain()?),
            Exit::PortOut { port: port::EXIT, value: 0 } => return Ok(begin.elapsed()),
            other => bail!("{program} in a plain VMM ended with {other:?}"),
        }
    }
}
