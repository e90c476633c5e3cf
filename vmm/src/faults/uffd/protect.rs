//! Write protection at an interval: the first write to each page afterwards is a fault, so that an interval's faults
//! are the pages it wrote.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_channel::Sender;
use kvm_ioctls::VcpuFd;

use super::{call::Uffd, failed};
use crate::{
    faults::FaultError,
    trace::{Input, Interval},
    vm::{
        Beat,
        clock::rdtsc,
        exit::Exit,
        memory::Extent,
        vcpu_hook::{Handled, VcpuHook},
    },
};

/// Its part on the vCPU's thread: the guest is stopped while its pages are protected.
#[derive(Debug)]
pub(super) struct Protector {
    pub(super) uffd: Arc<Uffd>,
    pub(super) extents: Vec<Extent>,
    pub(super) beat: Arc<Beat>,
    pub(super) written: Arc<AtomicU64>,
    /// When the interval that runs began.
    pub(super) since: u64,
    pub(super) sink: Sender<Input>,
    pub(super) failure: Sender<FaultError>,
}

impl Protector {
    /// Ends an interval, says what was written in it, and begins the next one.
    fn next(&mut self) {
        let tsc_end = rdtsc();
        let pages = self.written.swap(0, Ordering::AcqRel);
        // Nobody takes it only when the recording has failed; the vCPU's loop says so.
        let _ = self.sink.send(Input::Written(Interval { tsc_begin: self.since, tsc_end, pages }));
        for extent in &self.extents {
            if let Err(error) = self.uffd.protect(extent.host, extent.size) {
                // Full only if an earlier failure waits there already.
                let _ = self.failure.try_send(failed("protect guest memory")(error));
            }
        }
        self.since = tsc_end;
    }
}

impl VcpuHook for Protector {
    fn exit(&mut self, exit: &Exit, _vcpu: &mut VcpuFd) -> Handled {
        if *exit == Exit::Interrupted && self.beat.take() {
            self.next();
        }
        Handled::No
    }
}

impl Drop for Protector {
    fn drop(&mut self) {
        // The interval that the end of the run cut short.
        let pages = self.written.swap(0, Ordering::AcqRel);
        let _ = self.sink.send(Input::Written(Interval { tsc_begin: self.since, tsc_end: rdtsc(), pages }));
    }
}
