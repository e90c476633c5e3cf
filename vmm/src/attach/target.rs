//! Finds the VM in another process: its descriptors, its vCPUs and their threads, as /proc tells them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::OwnedFd;

/// What the link of a VM's descriptor says (Linux: virt/kvm/kvm_main.c).
const VM_LINK: &str = "anon_inode:kvm-vm";
const VCPU_LINK: &str = "anon_inode:kvm-vcpu:";

/// Why there is nothing to attach to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No such process.
    #[error("there is no process {pid}")]
    NoProcess {
        /// The number given.
        pid: u32,
    },
    /// Its descriptors may not be seen.
    #[error("process {pid} ({command}) may not be looked into: run as its user or as root (sudo pagelab attach {pid})")]
    Denied {
        /// The process.
        pid: u32,
        /// Its name.
        command: String,
    },
    /// It is no VMM.
    #[error(
        "process {pid} ({command}) has no VM: it has no KVM descriptor open; give the VMM's own process \
         (pgrep -a 'qemu|firecracker|pagelab')"
    )]
    NoVm {
        /// The process.
        pid: u32,
        /// Its name.
        command: String,
    },
    /// Something else.
    #[error("process {pid} cannot be looked into: {error}")]
    Failed {
        /// The process.
        pid: u32,
        /// Why.
        error: io::Error,
    },
}

/// A process with a VM.
#[derive(Debug)]
pub struct Target {
    /// Its number.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`).
    pub command: String,
    /// Descriptor numbers of its VMs; almost always one.
    pub vms: Vec<u32>,
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// The process itself: readable once it has ended.
    pub handle: OwnedFd,
}

/// A thread and the vCPU it runs, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub id: u32,
    /// The vCPU's number.
    pub vcpu: Option<u16>,
}

impl Target {
    /// Looks into a process.
    ///
    /// # Errors
    /// It is not there, may not be looked into, or has no VM.
    pub fn find(pid: u32) -> Result<Target, TargetError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => TargetError::NoProcess { pid },
            _ => TargetError::Failed { pid, error },
        };
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(TargetError::NoProcess { pid })?;
        let handle = pidfd_open(number, PidfdFlags::empty()).map_err(|error| match error {
            // EINVAL: the number of a thread that is not its process's first.
            rustix::io::Errno::SRCH | rustix::io::Errno::INVAL => TargetError::NoProcess { pid },
            error => TargetError::Failed { pid, error: error.into() },
        })?;
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let command = fs::read_to_string(folder.join("comm")).map_err(failed)?.trim_end().to_owned();
        let links = match links(&folder.join("fd")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(TargetError::Denied { pid, command });
            }
            links => links.map_err(failed)?,
        };
        let vms: Vec<u32> = links.iter().filter(|(_, link)| link == VM_LINK).map(|(fd, _)| *fd).collect();
        let vcpus = links.iter().filter(|(_, link)| link.starts_with(VCPU_LINK)).count();
        if vms.is_empty() {
            return Err(TargetError::NoVm { pid, command });
        }
        Ok(Target { pid, command, vms, vcpus, handle })
    }

    /// The descriptors of the process whose links begin like this, with what follows.
    pub(super) fn descriptors(&self, prefix: &str) -> Vec<(u32, String)> {
        let links = links(Path::new(&format!("/proc/{}/fd", self.pid))).unwrap_or_default();
        links.into_iter().filter_map(|(fd, link)| Some((fd, link.strip_prefix(prefix)?.to_owned()))).collect()
    }

    /// The threads to watch: those that run vCPUs, in the order of their numbers, if `known` (vCPU and thread) or their
    /// names tell them all; or else every thread there is.
    pub fn threads(&self, known: &[(u16, u32)]) -> io::Result<Vec<Thread>> {
        let mut all: Vec<(u32, String)> = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let entry = entry?;
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                // A thread that has just ended has no name any more.
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                all.push((id, name.trim_end().to_owned()));
            }
        }
        let by_name = || all.iter().filter_map(|(id, name)| Some((vcpu_of_name(name)?, *id))).collect::<Vec<_>>();
        let mut vcpus = if known.len() == self.vcpus { known.to_vec() } else { by_name() };
        vcpus.sort_unstable();
        let numbers_are_plain = vcpus.iter().zip(0..).all(|((vcpu, _), number)| *vcpu == number);
        if self.vms.len() == 1 && vcpus.len() == self.vcpus && !vcpus.is_empty() && numbers_are_plain {
            return Ok(vcpus.into_iter().map(|(vcpu, id)| Thread { id, vcpu: Some(vcpu) }).collect());
        }
        Ok(all.into_iter().map(|(id, _)| Thread { id, vcpu: None }).collect())
    }
}

/// The number of the vCPU that a thread runs, by the names that VMMs give: `CPU 0/KVM` (QEMU), `fc_vcpu 0` (Firecracker),
/// `vcpu0` (pagelab, Cloud Hypervisor), `crosvm_vcpu0`.
fn vcpu_of_name(name: &str) -> Option<u16> {
    if let Some(number) = name.strip_prefix("CPU ").and_then(|rest| rest.strip_suffix("/KVM")) {
        return number.parse().ok();
    }
    let (_, number) = name.split_once("vcpu")?;
    number.trim_start_matches([' ', '_', '-', '.']).parse().ok()
}

/// A folder of descriptors: number and link.
fn links(folder: &Path) -> io::Result<Vec<(u32, String)>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_link(entry.path()) {
            Ok(link) => links.push((fd, link.to_string_lossy().into_owned())),
            // Closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    links.sort_unstable();
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpu_threads_are_known_by_the_names_that_vmms_give() {
        for (name, vcpu) in [
            ("CPU 0/KVM", Some(0)),
            ("CPU 12/KVM", Some(12)),
            ("fc_vcpu 3", Some(3)),
            ("vcpu0", Some(0)),
            ("crosvm_vcpu7", Some(7)),
            ("vcpu", None),
            ("CPU 1/TCG", None),
            ("qemu-system-x86", None),
        ] {
            assert_eq!(vcpu_of_name(name), vcpu, "{name}");
        }
    }

    #[test]
    fn a_process_without_a_vm_is_told_from_none() {
        let own = std::process::id();
        assert!(matches!(Target::find(own), Err(TargetError::NoVm { pid, .. }) if pid == own));
        for pid in [0, u32::MAX, (1 << 22) + 1] {
            assert!(matches!(Target::find(pid), Err(TargetError::NoProcess { .. })), "{pid}");
        }
    }
}
