//! System calls with arguments that no program gives, made by the built-in program `fuzz-syscalls` in a guest of its own.
//!
//! The program may die of what it does. The guest's kernel may not, nor may it hang, and the run's counts must agree.

use std::{fmt::Write as _, time::Duration};

use fastrand::Rng;
use pagelab::{
    analysis::{RunFile, Summary},
    builtin,
    initramfs::Initramfs,
    run::{HostMemory, LAB_STATUS, RunConfig, Start, TIMEOUT_STATUS, run},
    vm::Image,
};
use pagelab_abi::syscall::Syscall;
use tempfile::TempDir;

use crate::{Target, ensure};

/// What the program is called.
const PROGRAM: &str = "fuzz-syscalls";
/// Calls of one run.
const CALLS: u32 = 400;
/// A run takes seconds; on a machine that is busy with other things, a minute or two.
const TIMEOUT: Duration = Duration::from_secs(600);
/// What would end the program at once or make it wait for nobody.
const LEFT_OUT: [&str; 4] = ["exit", "exit_group", "pause", "rt_sigsuspend"];

/// See the module. An input is the program's seed, the guest's memory in MiB and what is recorded.
pub struct Syscalls {
    folder: TempDir,
    calls: String,
}

impl Syscalls {
    /// For all system calls of the guest.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn new() -> Syscalls {
        let mut calls = String::new();
        for call in Syscall::ALL.iter().filter(|call| !LEFT_OUT.contains(&call.name())) {
            let comma = if calls.is_empty() { "" } else { "," };
            write!(calls, "{comma}{}", call.number()).expect("a string takes it");
        }
        Syscalls { folder: super::folder(), calls }
    }
}

impl Default for Syscalls {
    fn default() -> Syscalls {
        Syscalls::new()
    }
}

impl Target for Syscalls {
    fn name(&self) -> &'static str {
        "syscalls"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        let memory = if random.bool() { 16 } else { 64 };
        [&random.u64(..).to_le_bytes()[..], &[memory, random.u8(..2)]].concat()
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let Some((seed, &[memory, recorded])) = input.split_first_chunk::<8>() else {
            return Ok(());
        };
        let seed = u64::from_le_bytes(*seed);
        let program = builtin::program(PROGRAM).ok_or("the program is not built in")?;
        let mut files = Initramfs::default();
        let path = format!("/bin/{PROGRAM}");
        files.add(&path, program.elf, 0o755).map_err(|error| error.to_string())?;
        files.add("/data", &[0x5a; 10_000][..], 0o644).map_err(|error| error.to_string())?;
        let initramfs = files.pack().map_err(|error| error.to_string())?;
        let args = [&path, "--seed", &seed.to_string(), "--calls", &CALLS.to_string(), "--numbers", &self.calls];
        let outcome = run(RunConfig {
            start: Start::now(),
            kernel: Image::Elf(builtin::KERNEL),
            initramfs: &initramfs,
            program: path.clone(),
            args: args.map(str::to_owned).into(),
            env: Vec::new(),
            memory: u64::from(memory) << 20,
            host_memory: HostMemory::default(),
            seed,
            timeout: Some(TIMEOUT),
            sources: if recorded == 0 { "none" } else { "guest" }.parse().expect("known sources"),
            source_options: Default::default(),
            prefault: false,
            trap: None,
            policy: Default::default(),
            run_file: self.folder.path().join("run.pagelab"),
            console: None,
            stop: None,
            facts: Vec::new(),
        })
        .map_err(|error| format!("the lab fails\n{error}"))?;
        let diagnosis = outcome.ending.diagnosis.unwrap_or_default();
        let status = outcome.ending.exit_status;
        ensure!(status != TIMEOUT_STATUS, "the guest hangs\n{diagnosis}");
        let first = diagnosis.lines().next().unwrap_or_default();
        ensure!(status != LAB_STATUS && outcome.ending.complete, "the guest fails: {first}\n{diagnosis}");
        let run = RunFile::open(&outcome.run_file).map_err(|error| error.to_string())?;
        let broken = run.fact("protocol_errors").map_err(|error| error.to_string())?;
        ensure!(broken.as_deref() == Some("0"), "the guest breaks the protocol\n{broken:?}");
        let summary = Summary::read(&run).map_err(|error| error.to_string())?;
        let failed: Vec<_> = summary.conservation.checks.iter().filter(|check| !check.ok).collect();
        let names: Vec<&str> = failed.iter().map(|check| check.name.as_str()).collect();
        ensure!(failed.is_empty(), "conservation: {}\n{failed:?}", names.join(", "));
        Ok(())
    }
}
