//! tracefs: where the kernel describes its tracepoints.

use std::{
    fmt, fs,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

use super::{Format, Lack};

/// Where tracefs is mounted on nearly every host (Linux: Documentation/trace/ftrace.rst); the second is the old place.
const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracefs that can be read.
pub struct Tracefs {
    root: OwnedFd,
}

impl fmt::Debug for Tracefs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracefs").finish_non_exhaustive()
    }
}

impl Tracefs {
    /// The host's tracefs. Where it is not mounted, and this process may mount, one that only this process sees: the
    /// host stays as it is.
    ///
    /// # Errors
    /// What this host lacks, with the exact remedy.
    pub fn open() -> Result<Tracefs, Lack> {
        for mount in MOUNTS {
            match Self::at(Path::new(mount)) {
                Ok(tracefs) => return Ok(tracefs),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Lack {
                        why: format!("{mount} may not be read"),
                        remedy: "run as root, or: sudo mount -o remount,mode=755 /sys/kernel/tracing",
                    });
                }
                Err(_) => {}
            }
        }
        match detached_mount("tracefs") {
            Ok(root) => Ok(Tracefs { root }),
            Err(Errno::NODEV) => Err(Lack {
                why: "this kernel has no tracefs".to_owned(),
                remedy: "boot a kernel built with CONFIG_EVENT_TRACING=y",
            }),
            Err(_) => Err(Lack {
                why: "tracefs is not mounted".to_owned(),
                remedy: "sudo mount -t tracefs nodev /sys/kernel/tracing",
            }),
        }
    }

    /// The tracefs at a mount point.
    ///
    /// # Errors
    /// The folder cannot be opened, or it is none of tracefs.
    pub fn at(mount: &Path) -> io::Result<Tracefs> {
        let root = openat(CWD, mount, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // A folder that is there without a mount is empty; one without rights answers so here.
        openat(&root, "events", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Tracefs { root })
    }

    /// A tracepoint by its full name, such as `kvm/kvm_exit`; `None` if this kernel does not have it.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn event(&self, name: &str) -> io::Result<Option<Format>> {
        let path = format!("events/{name}/format");
        let file = match openat(self.root.as_fd(), &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = String::new();
        fs::File::from(file).read_to_string(&mut text)?;
        Format::parse(&text).map(Some).map_err(|error| io::Error::other(format!("{name}: {error}")))
    }
}

/// A file system of the kernel's own, such as `tracefs`, that hangs nowhere in the tree and goes with its descriptor.
/// Needs CAP_SYS_ADMIN.
pub(crate) fn detached_mount(file_system: &str) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(file_system, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_tracefs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = Tracefs::at(folder.path()).expect_err("it is empty");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn formats_are_read_from_the_files_of_a_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let event = folder.path().join("events/kvm/kvm_entry");
        fs::create_dir_all(&event).expect("writable");
        let text = "name: kvm_entry\nID: 7\nformat:\n\tfield:u32 vcpu_id;\toffset:8;\tsize:4;\tsigned:0;\n";
        fs::write(event.join("format"), text).expect("writable");
        let tracefs = Tracefs::at(folder.path()).expect("it has events");
        assert_eq!(tracefs.event("kvm/kvm_entry").expect("readable").map(|format| format.id), Some(7));
        assert_eq!(tracefs.event("kvm/kvm_exit").expect("readable"), None);
        fs::write(event.join("format"), "nothing").expect("writable");
        let error = tracefs.event("kvm/kvm_entry").expect_err("no format").to_string();
        assert_eq!(error, "kvm/kvm_entry: the format file of a tracepoint has no name");
    }
}
