//! KVM's own counters, through its binary statistics (Linux: Documentation/virt/kvm/api.rst, 4.134 KVM_GET_STATS_FD).
//! They count independently of every source: emulated instructions, exits, page faults, mapped pages.
#![expect(unsafe_code, reason = "kvm-ioctls has no call for the statistics descriptor")]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::fs::FileExt,
    },
};

use kvm_bindings::KVMIO;
use kvm_ioctls::{VcpuFd, VmFd};
use vmm_sys_util::ioctl::{_IOC_NONE, ioctl, ioctl_expr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `_IO(KVMIO, 0xce)`.
const KVM_GET_STATS_FD: u32 = 0xce;
/// Longest name KVM may give (KVM_STATS_NAME_SIZE is 48); more is taken for a broken answer.
const MAX_NAME: usize = 256;
/// Most counters taken from one descriptor.
const MAX_COUNTERS: u32 = 1024;

/// Linux: struct kvm_stats_header.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, Default)]
struct Header {
    flags: u32,
    name_size: u32,
    num_desc: u32,
    id_offset: u32,
    desc_offset: u32,
    data_offset: u32,
}

/// Linux: struct kvm_stats_desc, without the name that follows it.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, Default)]
struct Descriptor {
    flags: u32,
    exponent: i16,
    size: u16,
    offset: u32,
    bucket_size: u32,
}

/// The counters of a VM and one of its vCPUs. Reading them disturbs neither.
#[derive(Debug)]
pub struct Counters(Vec<File>);

impl Counters {
    /// The counters of these; none where KVM has no statistics (before Linux 5.14).
    pub fn of(vm: &VmFd, vcpu: &VcpuFd) -> Counters {
        Counters([open(vm), open(vcpu)].into_iter().flatten().collect())
    }

    /// Whether KVM has statistics at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The single-value counters, by name, since the VM was made. Histograms are left out.
    pub fn read(&self) -> Vec<(String, u64)> {
        self.0.iter().flat_map(read).collect()
    }
}

/// The single-value counters behind one statistics descriptor; none if it cannot be read.
pub(crate) fn read(file: &File) -> Vec<(String, u64)> {
    parse(file).unwrap_or_default()
}

fn open(of: &impl AsRawFd) -> Option<File> {
    let request = ioctl_expr(_IOC_NONE, KVMIO, KVM_GET_STATS_FD, 0);
    // SAFETY: the request takes no argument and gives a new descriptor or -1.
    let fd = unsafe { ioctl(of, request) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Some(unsafe { File::from_raw_fd(fd) })
}

fn parse(file: &File) -> io::Result<Vec<(String, u64)>> {
    let mut header = Header::default();
    file.read_exact_at(header.as_mut_bytes(), 0)?;
    let name_size = header.name_size as usize;
    if name_size > MAX_NAME || header.num_desc > MAX_COUNTERS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let step = (size_of::<Descriptor>() + name_size) as u64;
    let mut counters = Vec::with_capacity(header.num_desc as usize);
    for index in 0..u64::from(header.num_desc) {
        let at = u64::from(header.desc_offset) + index * step;
        let mut descriptor = Descriptor::default();
        file.read_exact_at(descriptor.as_mut_bytes(), at)?;
        let mut name = vec![0; name_size];
        file.read_exact_at(&mut name, at + size_of::<Descriptor>() as u64)?;
        if descriptor.size != 1 {
            continue;
        }
        let mut value = [0; 8];
        file.read_exact_at(&mut value, u64::from(header.data_offset) + u64::from(descriptor.offset))?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name_size);
        counters.push((String::from_utf8_lossy(&name[..length]).into_owned(), u64::from_ne_bytes(value)));
    }
    Ok(counters)
}
