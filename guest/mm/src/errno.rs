//! Linux's error numbers, as far as memory management answers with them.

/// A Linux errno value (x86-64).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u16);

#[allow(missing_docs, reason = "the names are Linux's own")]
impl Errno {
    pub const EPERM: Errno = Errno(1);
    pub const EAGAIN: Errno = Errno(11);
    pub const ENOMEM: Errno = Errno(12);
    pub const EACCES: Errno = Errno(13);
    pub const EFAULT: Errno = Errno(14);
    pub const EEXIST: Errno = Errno(17);
    pub const EINVAL: Errno = Errno(22);
    pub const EOVERFLOW: Errno = Errno(75);
}
