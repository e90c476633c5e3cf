//! Work that must be done on a vCPU's own thread, while it is out of the guest.

use kvm_ioctls::VcpuFd;

use super::{exit::Exit, vcpu::End};

/// What a hook did with an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Nothing: it is someone else's.
    No,
    /// All there was to do; the guest goes on.
    Yes,
    /// The guest broke a rule of the boundary: what it did, to follow "the guest". It goes on.
    Refused(String),
    /// The run ends.
    End(End),
}

/// Sees each exit of a vCPU before the run loop does, on the vCPU's thread, with the guest stopped. Whatever the guest
/// put into the exit is untrusted.
pub trait VcpuHook: Send {
    /// One exit. [`Exit::Interrupted`] comes at least every 200 ms and is never to be claimed by a [`Handled::Yes`].
    fn exit(&mut self, exit: &Exit, vcpu: &mut VcpuFd) -> Handled;
}
