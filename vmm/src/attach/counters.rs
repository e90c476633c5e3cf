//! KVM's statistics of another process's VM.
//!
//! debugfs has them all (`kvm/PID-FD/`, Linux: Documentation/virt/kvm/api.rst has their names), for root, and hides most
//! of them when the kernel is locked down. And a statistics descriptor that the VMM itself holds open can be shared by
//! whoever may debug it; QEMU and pagelab hold some. KVM lets no other process ask for a new one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat},
    io::Errno,
    process::{PidfdGetfdFlags, pidfd_getfd},
};

use super::target::Target;
use crate::{perf::detached_mount, vm::stats};

/// Where debugfs usually is.
const DEBUGFS: &str = "/sys/kernel/debug";
/// How the links of statistics descriptors begin.
const VM_STATS: &str = "anon_inode:kvm-vm-stats";
const VCPU_STATS: &str = "anon_inode:kvm-vcpu-stats:";
/// Longest file of a single number.
const MAX_NUMBER: u64 = 32;

/// Where the statistics come from.
#[derive(Debug)]
pub(super) struct Counters {
    /// The VMs' folders in debugfs.
    folders: Vec<OwnedFd>,
    /// Descriptors of the VMM's own, of whole VMs or of all vCPUs.
    shared: Vec<File>,
}

impl Counters {
    /// Finds the statistics of a process's VMs; an error says why there are none.
    pub(super) fn find(target: &Target) -> Result<Counters, String> {
        let mut shared = Vec::new();
        for (prefix, wanted) in [(VM_STATS, target.vms.len()), (VCPU_STATS, target.vcpus)] {
            let descriptors = target.descriptors(prefix);
            let files: Vec<File> =
                descriptors.into_iter().filter_map(|(fd, _)| share(target, fd).ok().map(File::from)).collect();
            // A sum over some of the vCPUs would be taken for one over all.
            if files.len() == wanted {
                shared.extend(files);
            }
        }
        match folders(target) {
            Ok(folders) => Ok(Counters { folders, shared }),
            Err(_) if !shared.is_empty() => Ok(Counters { folders: Vec::new(), shared }),
            Err(error) => Err(format!("debugfs: {error}; and the process shares no statistics descriptor")),
        }
    }

    /// The thread that last ran each vCPU, by vCPU; only debugfs tells, from Linux 5.19 on.
    pub(super) fn vcpu_threads(&self) -> Vec<(u16, u32)> {
        let mut threads = Vec::new();
        for folder in &self.folders {
            for name in names(folder) {
                let vcpu = name.strip_prefix("vcpu").and_then(|number| number.parse().ok());
                let thread = number(folder, &format!("{name}/pid")).ok().flatten();
                let thread = thread.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
                threads.extend(vcpu.zip(thread));
            }
        }
        threads
    }

    /// Statistics of a single number that there are and that may not be read.
    pub(super) fn refused(&self) -> Vec<String> {
        let known = self.read();
        let refused = |folder, name: &String| {
            matches!(number(folder, name), Err(Errno::PERM | Errno::ACCESS))
                && !known.iter().any(|(known, _)| known == name)
        };
        let is_number = |name: &String| !name.ends_with("_hist") && name != "mmu_rmaps_stat";
        let mut all: Vec<String> = self
            .folders
            .iter()
            .flat_map(|folder| names(folder).into_iter().filter(move |name| refused(folder, name)))
            .collect();
        all.retain(is_number);
        all.sort();
        all.dedup();
        all
    }

    /// The counters now: name and value, summed over VMs and vCPUs. Nothing once the VM is gone.
    pub(super) fn read(&self) -> BTreeMap<String, u64> {
        let sum = |all: Vec<(String, u64)>| {
            let mut sums = BTreeMap::new();
            for (name, value) in all {
                let sum: &mut u64 = sums.entry(name).or_default();
                *sum = sum.wrapping_add(value);
            }
            sums
        };
        let of_folder = |folder: &OwnedFd| -> Vec<(String, u64)> {
            let values = names(folder).into_iter().filter_map(|name| Some((number(folder, &name).ok()??, name)));
            values.map(|(value, name)| (name, value)).collect()
        };
        let mut counters = sum(self.folders.iter().flat_map(of_folder).collect());
        // Where both tell, the descriptors are of this VM for sure.
        counters.extend(sum(self.shared.iter().flat_map(stats::read).collect()));
        counters
    }
}

/// The folders of a process's VMs.
fn folders(target: &Target) -> io::Result<Vec<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mounted = openat(CWD, format!("{DEBUGFS}/kvm"), flags, Mode::empty());
    let kvm = match mounted {
        Ok(kvm) => kvm,
        Err(_) => openat(detached_mount("debugfs")?, "kvm", flags, Mode::empty())?,
    };
    let open = |fd: &u32| openat(&kvm, format!("{}-{fd}", target.pid), flags, Mode::empty());
    Ok(target.vms.iter().map(open).collect::<rustix::io::Result<_>>()?)
}

fn names(folder: &OwnedFd) -> Vec<String> {
    let opened = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let Ok(entries) = opened.and_then(Dir::read_from) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// A file that holds one number; `None` for anything else, such as a histogram.
fn number(folder: impl AsFd, name: &str) -> rustix::io::Result<Option<u64>> {
    let file = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let mut text = String::new();
    let read = File::from(file).take(MAX_NUMBER).read_to_string(&mut text);
    Ok(read.ok().and_then(|_| text.trim().parse().ok()))
}

/// A descriptor of the process, shared with this one.
fn share(target: &Target, fd: u32) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    Ok(pidfd_getfd(&target.handle, fd, PidfdGetfdFlags::empty())?)
}
