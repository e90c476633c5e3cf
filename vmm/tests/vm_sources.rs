//! Fault sources that fail: the run ends with an error, and no vCPU hangs in a fault that nobody will resolve.
#![expect(unsafe_code, reason = "a source that never answers registers userfaultfd by hand")]

mod vm_support;

use std::{
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use linux_raw_sys::{
    general::{UFFD_API, UFFDIO_REGISTER_MODE_MISSING, uffdio_api, uffdio_range, uffdio_register},
    ioctl::{UFFDIO_API, UFFDIO_REGISTER, UFFDIO_UNREGISTER},
};
use pagelab::{
    faults::{self, ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch},
    run::{HostMemory, LabError, RunConfig, RunOutcome, Sources, Start, run},
    vm::{Image, MemoryPolicy},
};
use vm_support::{Code, need_kvm};

/// A source that watches RAM and never answers. Its thread dies at once, or not at all.
struct Mute {
    dies: bool,
}

struct MuteActive {
    uffd: OwnedFd,
    range: uffdio_range,
}

impl FaultSource for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn resolves(&self) -> bool {
        true
    }

    fn by_default(&self) -> bool {
        false
    }

    fn probe(&self) -> Probe {
        faults::find("uffd").expect("it is a source").probe()
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        // SAFETY: used on this process's own guest memory only.
        let uffd = unsafe { rustix::mm::userfaultfd(rustix::mm::UserfaultfdFlags::CLOEXEC) }.expect("it was probed");
        let extent = watch.ram.extents()[0];
        let range = uffdio_range { start: extent.host, len: extent.size };
        let mut api = uffdio_api { api: u64::from(UFFD_API), features: 0, ioctls: 0 };
        let mut register = uffdio_register { range, mode: u64::from(UFFDIO_REGISTER_MODE_MISSING), ioctls: 0 };
        // SAFETY: each request is given its own structure.
        let answers = unsafe {
            [
                libc::ioctl(uffd.as_raw_fd(), u64::from(UFFDIO_API), &mut api),
                libc::ioctl(uffd.as_raw_fd(), u64::from(UFFDIO_REGISTER), &mut register),
            ]
        };
        assert_eq!(answers, [0, 0]);
        if self.dies {
            thread::spawn(move || {
                let _guard = watch.guard("mute");
                panic!("this source dies, as the test wants it");
            });
        }
        Ok(Box::new(MuteActive { uffd, range }))
    }
}

impl ActiveSource for MuteActive {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn release(&self) {
        // SAFETY: the request takes a uffdio_range.
        unsafe { libc::ioctl(self.uffd.as_raw_fd(), u64::from(UFFDIO_UNREGISTER), &self.range) };
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        Ok(Tally::default())
    }
}

/// A source this host does not have.
struct Absent;

impl FaultSource for Absent {
    fn name(&self) -> &'static str {
        "absent"
    }

    fn resolves(&self) -> bool {
        false
    }

    fn by_default(&self) -> bool {
        false
    }

    fn probe(&self) -> Probe {
        Probe::Missing(Missing { why: "it was never built".to_owned(), remedy: "build it" })
    }

    fn start(&self, _watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        match self.probe() {
            Probe::Missing(missing) => Err(FaultError::Missing { name: "absent", missing }),
            Probe::Available => unreachable!("it is never there"),
        }
    }
}

fn run_with(source: &'static dyn FaultSource, timeout: Duration) -> Result<RunOutcome, LabError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().touch(0x40_0000, 1).forever();
    run(RunConfig {
        start: Start::now(),
        kernel: Image::Flat(&code.0),
        initramfs: b"",
        program: "/guest".to_owned(),
        args: vec!["guest".to_owned()],
        env: Vec::new(),
        memory: 16 << 20,
        host_memory: HostMemory::default(),
        seed: 1,
        policy: MemoryPolicy::default(),
        timeout: Some(timeout),
        sources: Sources { guest: false, host: vec![source] },
        source_options: Default::default(),
        prefault: false,
        trap: None,
        run_file: directory.path().join("run.plab"),
        console: None,
        stop: None,
        facts: Vec::new(),
    })
}

#[test]
fn a_source_that_dies_ends_the_run_with_its_name() {
    need_kvm();
    let begin = Instant::now();
    let outcome = run_with(&Mute { dies: true }, Duration::from_secs(30)).expect("the run ends in order");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (125, false));
    let diagnosis = outcome.ending.diagnosis.expect("it says why");
    assert!(diagnosis.starts_with("the thread of the fault source mute died"), "{diagnosis}");
}

#[test]
fn a_source_that_never_answers_does_not_outlast_the_timeout() {
    need_kvm();
    let begin = Instant::now();
    let outcome = run_with(&Mute { dies: false }, Duration::from_millis(200)).expect("the run ends in order");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (124, false));
}

#[test]
fn a_source_this_host_lacks_is_an_error_with_a_remedy() {
    need_kvm();
    let error = run_with(&Absent, Duration::from_secs(5)).expect_err("it is not there");
    assert_eq!(error.to_string(), "the fault source absent cannot be used here: it was never built; build it");
}
