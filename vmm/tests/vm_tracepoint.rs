//! KVM's tracepoints of a real vCPU. `kvm_userspace_exit` is told on every host, one for each return of KVM_RUN, so the
//! guest knows how many there must be.

mod vm_support;

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use pagelab::{
    faults::{FaultSource, Probe, tracepoint::Tracepoint},
    perf::{
        PerfError, Tracefs,
        kvm::{Decoder, KvmTrace},
        recording::{KvmSample, Recording, Sink, Tally},
    },
    vm::{
        Vm,
        clock::rdtsc,
        ring::RingReader,
        vcpu::{End, VcpuStatus, VcpuTask, spawn},
    },
};
use pagelab_abi::port;
use vm_support::{Code, config, need_kvm};

/// KVM_EXIT_IO (Linux: include/uapi/linux/kvm.h).
const EXIT_IO: u32 = 2;

/// Keeps every sample; takes the first ones only when it is told to go on.
struct Keep {
    samples: Vec<KvmSample>,
    go_on: Option<Receiver<()>>,
    result: Sender<Vec<KvmSample>>,
}

impl Sink for Keep {
    fn take(&mut self, samples: &[KvmSample]) {
        if let Some(go_on) = self.go_on.take() {
            let _ = go_on.recv_timeout(Duration::from_secs(20));
        }
        self.samples.extend_from_slice(samples);
    }

    fn end(&mut self) {
        self.result.send(std::mem::take(&mut self.samples)).expect("the test waits for it");
    }
}

/// Whether this host lets tracepoints be read; says so if not.
fn available() -> bool {
    need_kvm();
    match Tracepoint.probe() {
        Probe::Available => true,
        Probe::Missing(missing) => {
            eprintln!("skipped: no tracepoints here: {}; {}", missing.why, missing.remedy);
            false
        }
    }
}

/// Runs a guest that leaves KVM_RUN `doorbells` times and once more to end, with a buffer of `bytes`. With `late`, nothing
/// is taken out of the buffer before the guest has ended.
fn record(doorbells: u32, bytes: usize, late: bool) -> Result<(Vec<KvmSample>, Tally), PerfError> {
    let code = Code::default().clock().repeat(doorbells, &Code::default().out(port::DOORBELL, 0)).out(port::EXIT, 0);
    let vm = Vm::create(&config(&code.0)).expect("the machine can be made");
    let (sink, _inputs) = unbounded();
    let ring = RingReader::new(vm.window.clone()).expect("the window holds a header");
    let status = Arc::new(VcpuStatus::default());
    let task = VcpuTask { vcpu: vm.vcpu, ram: vm.ram, ring, sink, console: None };
    let waiting = spawn(task, Arc::clone(&status)).expect("a thread can be had");

    let (go_on, told) = bounded(1);
    let (result, kept) = bounded(1);
    let keep = Keep { samples: Vec::new(), go_on: late.then_some(told), result };
    let recording = Recording::start(&[status.thread_id()], Decoder::new(&Tracefs::open()?)?, bytes, Box::new(keep))?;
    let running = waiting.start(Vec::new());
    let finished = running.finished.recv_timeout(Duration::from_secs(20)).expect("the guest ends");
    assert_eq!(finished.end, End::Exit(0));
    let _ = go_on.send(());
    let tally = recording.stop()?;
    Ok((kept.recv().expect("the recording has ended"), tally))
}

/// How often KVM_RUN returned for a port.
fn user_exits(samples: &[KvmSample]) -> u64 {
    let exits =
        samples.iter().filter(|sample| matches!(sample.event, KvmTrace::UserExit { reason: EXIT_IO, errno: 0 }));
    exits.count() as u64
}

#[test]
fn every_exit_is_told_once_and_in_time() {
    if !available() {
        return;
    }
    let before = rdtsc();
    let (samples, tally) = record(100, Recording::DEFAULT_BUFFER, false).expect("it was probed");
    let after = rdtsc();
    assert_eq!(tally.lost_in_all(), 0, "{tally:?}");
    // The clock port, the doorbells, and the exit port.
    assert_eq!(user_exits(&samples), 102, "{tally:?}");
    assert_eq!(tally.hits.values().sum::<u64>(), samples.len() as u64, "{tally:?}");
    assert!(samples.is_sorted_by_key(|sample| sample.tsc));
    let error = tally.clock_error_ticks;
    let times = samples.iter().map(|sample| sample.tsc);
    assert!(times.clone().all(|tsc| (before - error..=after + error).contains(&tsc)), "{before} {after} {tally:?}");
}

#[test]
fn what_does_not_fit_is_lost_and_counted_to_the_last() {
    if !available() {
        return;
    }
    let (samples, tally) = record(1000, Recording::SMALLEST_BUFFER, true).expect("it was probed");
    assert!(tally.lost_in_all() > 0, "{tally:?}");
    let told = samples.iter().filter(|sample| sample.event != KvmTrace::Gap).count() as u64;
    assert_eq!(told + tally.lost_in_all(), tally.hits.values().sum::<u64>(), "{tally:?}");
    // Signals may add a return or two, never take one.
    assert!(tally.hits["kvm_userspace_exit"] >= 1002, "{tally:?}");
    assert!(user_exits(&samples) < 1002, "{tally:?}");
}

#[test]
fn a_thread_that_is_not_there_cannot_be_watched() {
    if !available() {
        return;
    }
    let (result, _kept) = bounded(1);
    let keep = Keep { samples: Vec::new(), go_on: None, result };
    let decoder =
        Tracefs::open().map_err(PerfError::from).and_then(|tracefs| Decoder::new(&tracefs)).expect("it was probed");
    // Linux gives no thread this number (include/linux/threads.h: PID_MAX_LIMIT).
    let error =
        Recording::start(&[4 << 20], decoder, Recording::SMALLEST_BUFFER, Box::new(keep)).expect_err("no thread");
    assert_eq!(error.to_string(), "failed to open a tracepoint: No such process (os error 3)");
}
