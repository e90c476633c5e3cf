//! The life of one guest: made, watched, run to its end or stopped.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::{Sender, bounded};

use super::{
    LabError,
    config::RunConfig,
    ending::{Measured, ending},
    memory::MemoryTeller,
    wait::{Cause, Ends, stop, wait},
};
use crate::{
    faults::{ActiveSource, Evicted, Evictor, FaultError, Tally, Watch},
    initramfs::file_in_archive,
    trace::{Ending, Images, Input, RunBound},
    trap::{TrapMethod, Trapping},
    vm::{
        Beat, Image, Program, Vm, VmConfig, clock,
        foreign::Devices,
        machine::VmError,
        memory::MemoryError,
        prefault,
        ring::RingReader,
        stats::Counters,
        vcpu::{self, VcpuStatus, VcpuTask},
        vcpu_hook::VcpuHook,
    },
};

/// Makes the machine of a run. It has not run yet.
pub(super) fn create(config: &RunConfig<'_>) -> Result<Vm, LabError> {
    let program = Program { path: &config.program, args: &config.args, env: &config.env, initramfs: config.initramfs };
    Ok(Vm::create(&VmConfig {
        memory: config.memory,
        backing: config.host_memory.backing,
        small_pages: config.sources.host.iter().any(|source| source.needs_small_pages()),
        trace_window: RunConfig::TRACE_WINDOW,
        image: config.kernel,
        program,
        seed: config.seed,
        policy: config.policy,
        trace: config.sources.guest,
        trap_faults: config.trap.as_ref().is_some_and(|trap| trap.method == TrapMethod::Port),
    })?)
}

/// Runs a machine to its end. Everything it does goes to `sink`.
pub(super) fn run(vm: Vm, config: &mut RunConfig<'_>, sink: Sender<Input>) -> Result<Ending, LabError> {
    let Vm { vcpu, ram, window, cpuid, tsc_offset_zero, tsc_hz, slots, wiring } = vm;
    let ring = RingReader::new(window).map_err(|error| LabError::TraceWindow(error.to_string()))?;
    if let Some(hz) = tsc_hz {
        // Known now, so that times can be told even of a run whose end is missing. A recorder that has died says so later.
        let _ = sink.send(Input::Fact("tsc_hz", hz.to_string()));
    }
    let prefault = config.prefault.then(|| prefault::populate(&slots, &vcpu)).transpose()?;
    let trap = config.trap.take();
    let trap = trap.map(|trap| Trapping::start(trap, config.kernel, &vcpu, ram.clone(), sink.clone())).transpose()?;
    let (trapping, trap_hook) = trap.unzip();
    let counters = Arc::new(Counters::of(slots.vm(), &vcpu));
    let status = Arc::new(VcpuStatus::default());
    let devices = wiring.map(|wiring| Devices::new(wiring, sink.clone(), config.console.take()));
    let task = VcpuTask { vcpu, ram: ram.clone(), ring, sink: sink.clone(), console: config.console.take() };
    let waiting = vcpu::spawn(task, Arc::clone(&status)).map_err(LabError::Thread)?;

    let (failure, failures) = bounded(1);
    let host_memory = &config.host_memory;
    let evicting = host_memory.eviction.map(|eviction| (eviction, Arc::new(Beat::new(eviction.every))));
    let protect = host_memory.protect.map(|every| Arc::new(Beat::new(every)));
    let beats: Vec<_> = evicting.iter().map(|(_, beat)| beat).chain(&protect).cloned().collect();
    let evicted = evicting.as_ref().map(|_| Evicted::new(&ram).map(Arc::new)).transpose();
    let watch = Watch {
        ram: ram.clone(),
        slots,
        counters: Arc::clone(&counters),
        sink: sink.clone(),
        vcpus: vec![status],
        evicted: evicted.map_err(|error| VmError::Memory(MemoryError::Map { bytes: ram.size(), source: error }))?,
        protect,
        host_latency: host_memory.latency,
        failure: failure.clone(),
        options: config.source_options.clone(),
    };
    let told = MemoryTeller::new(config, &ram, watch.sink.clone());
    told.present(RunBound::Start);
    let mut hooks: Vec<Box<dyn VcpuHook>> = Vec::new();
    if let (Some((eviction, beat)), Some(evicted)) = (evicting, &watch.evicted) {
        let evicted = Arc::clone(evicted);
        hooks.push(Box::new(Evictor::new(&ram, eviction.pages, beat, evicted, sink, failure)?));
    }
    let mut sources = start(config, &watch)?;
    hooks.extend(sources.iter_mut().filter_map(|source| source.hook()));
    hooks.extend(devices.map(|devices| Box::new(devices) as Box<dyn VcpuHook>));
    hooks.extend(trap_hook);
    log::debug!("ready for the first instruction after {:?}", config.start.instant.elapsed());
    let begin = Instant::now();
    let running = waiting.start(hooks);
    // After the start, which it would only delay.
    let _ = watch.sink.send(Input::Images(images(config)));
    let ends =
        Ends { sources: &sources, timeout: config.timeout, stop: config.stop.as_ref(), failure: &failures, beats };
    let (mut cause, finished) = wait(&running, &ends)?;
    let finished = match finished {
        Some(finished) => finished,
        None => stop(&running, &sources)?,
    };
    let wall = begin.elapsed();
    log::debug!("the guest ended after {wall:?}");

    // The sources end before anything here reads guest memory, or they would count this process's own touches.
    let (tally, failure) = end(sources);
    let stuck = failure.is_some();
    match (&cause, failure) {
        (_, None) => {}
        (Cause::Guest, Some(error)) => cause = Cause::SourceFailed(error),
        (_, Some(error)) => log::warn!("{error}"),
    }
    told.present(RunBound::End);
    told.page_tables(&finished.vcpu, stuck);
    let tsc_hz = tsc_hz.unwrap_or_else(|| config.start.measured_tsc_hz());
    let mut facts = tally.facts;
    facts.push(("cpuid".to_owned(), cpuid.name().to_owned()));
    facts.extend(prefault.map(|done| ("prefault".to_owned(), done.name().to_owned())));
    facts.extend(counters.read().into_iter().map(|(name, value)| (format!("kvm.{name}"), value.to_string())));
    facts.extend(trapping.iter().flat_map(Trapping::facts));
    let drift = if tsc_offset_zero { clock::tsc_offset(&finished.vcpu).unwrap_or(0) } else { 0 };
    if drift != 0 {
        log::warn!("this host's TSC is not stable: the guest's moved by {drift} ticks against it");
    }
    Ok(ending(config, &ram, &cause, &finished, Measured { wall, tsc_hz, drift, copies: tally.copies, facts }))
}

/// The files whose symbols name the run's instructions.
fn images(config: &RunConfig<'_>) -> Images {
    let kernel = match config.kernel {
        Image::Elf(bytes) => bytes,
        Image::Foreign(foreign) => foreign.elf,
        Image::Flat(_) => &[],
    };
    let program = file_in_archive(config.initramfs, &config.program).unwrap_or_default();
    Images { kernel: kernel.to_vec(), program }
}

/// Starts the sources of a run in their order; all of them, or none.
fn start(config: &RunConfig<'_>, watch: &Watch) -> Result<Vec<Box<dyn ActiveSource>>, FaultError> {
    config.sources.host.iter().map(|source| source.start(watch.clone())).collect()
}

/// Ends the sources, the last one first: what they have counted together, and the first failure.
fn end(sources: Vec<Box<dyn ActiveSource>>) -> (Tally, Option<FaultError>) {
    let mut all = Tally::default();
    let mut failure = None;
    for source in sources.into_iter().rev() {
        match source.stop() {
            Ok(tally) => {
                all.copies = all.copies.or(tally.copies);
                all.facts.extend(tally.facts);
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (all, failure)
}
