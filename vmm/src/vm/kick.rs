//! Getting a vCPU thread out of KVM_RUN from another thread.
#![expect(unsafe_code, reason = "a signal handler writes the vCPU's immediate_exit byte")]

use std::{
    cell::Cell,
    io,
    ptr::{self, null_mut},
    sync::Once,
    thread::JoinHandle,
};

use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

thread_local! {
    /// `immediate_exit` of the vCPU this thread runs; null on every other thread.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

/// The signal: it interrupts KVM_RUN, and makes the next one return at once if it came just before.
extern "C" fn on_kick(_signal: libc::c_int, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    IMMEDIATE_EXIT.with(|pointer| {
        let byte = pointer.get();
        if !byte.is_null() {
            // SAFETY: `Kickable` sets the pointer only while its vCPU's `kvm_run` is mapped, and only on the thread
            // that runs this vCPU, so nothing else writes the byte meanwhile.
            unsafe { ptr::write_volatile(byte, 1) };
        }
    });
}

/// While it lives, kicks reach the vCPU that runs on this thread.
pub(super) struct Kickable(());

impl Kickable {
    /// Names the vCPU of this thread. `vcpu` must outlive the result, on the same thread.
    pub(super) fn new(vcpu: &mut VcpuFd) -> Kickable {
        let run = vcpu.get_kvm_run();
        run.immediate_exit = 0;
        IMMEDIATE_EXIT.set(&raw mut run.immediate_exit);
        Kickable(())
    }
}

impl Drop for Kickable {
    fn drop(&mut self) {
        IMMEDIATE_EXIT.set(null_mut());
    }
}

/// Installs the signal's handler, once a process.
pub(super) fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        result =
            register_signal_handler(SIGRTMIN(), on_kick).map_err(|error| io::Error::from_raw_os_error(error.errno()));
    });
    result
}

/// Interrupts KVM_RUN on this thread. Harmless if the thread has ended.
pub(super) fn kick<T>(thread: &JoinHandle<T>) {
    if let Err(error) = thread.kill(SIGRTMIN()) {
        log::warn!("the vCPU thread cannot be signalled: {error}");
    }
}
