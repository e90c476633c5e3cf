//! The files in which Linux tells what a host has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A host, as its files show it.
#[derive(Clone, Debug)]
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// The one this runs on.
    pub(super) fn here() -> Host {
        Host { root: "/".into() }
    }

    /// Where a file of the host is; `path` has no leading slash.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without the white space around it.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.path(path))?.trim().to_owned())
    }

    /// A number that is all a file has.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.read(path).ok()?.parse().ok()
    }

    /// Whether a kernel module's parameter is on; `None` where there is no such module or parameter.
    pub(super) fn parameter(&self, module: &str, name: &str) -> Option<bool> {
        let text = self.read(&format!("sys/module/{module}/parameters/{name}")).ok()?;
        Some(matches!(text.as_str(), "Y" | "1"))
    }

    /// Whether the first CPU's `flags` line of /proc/cpuinfo has a word.
    pub(super) fn cpu_flag(&self, flag: &str) -> bool {
        let text = self.read("proc/cpuinfo").unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
        flags.is_some_and(|(_, flags)| flags.split_whitespace().any(|word| word == flag))
    }

    /// Whether there is something at a path.
    pub(super) fn has(&self, path: impl AsRef<Path>) -> bool {
        fs::exists(self.root.join(path)).unwrap_or(false)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A host made of these files.
    pub(in crate::doctor) fn made_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        let host = Host { root: folder.path().to_owned() };
        (folder, host)
    }

    #[test]
    fn files_are_read_as_linux_writes_them() {
        let (_folder, host) = made_of(&[
            ("sys/module/kvm_intel/parameters/ept", "Y\n"),
            ("sys/module/kvm_intel/parameters/nested", "0\n"),
            ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx cpuid_fault\n\nprocessor\t: 1\nflags\t\t: svm\n"),
            ("proc/sys/vm/nr_hugepages", "12\n"),
        ]);
        assert_eq!(host.parameter("kvm_intel", "ept"), Some(true));
        assert_eq!(host.parameter("kvm_intel", "nested"), Some(false));
        assert_eq!(host.parameter("kvm_amd", "npt"), None);
        assert!(host.cpu_flag("cpuid_fault") && !host.cpu_flag("svm") && !host.cpu_flag("cpuid"));
        assert_eq!(host.number("proc/sys/vm/nr_hugepages"), Some(12));
        assert!(host.has("proc/sys/vm") && !host.has("sys/kernel"));
    }
}
