//! Trees, archives and host files.

use cpio::newc;
use pagelab_abi::initramfs::IndexEntry;
use pagelab_mm::file::cpio as cpio_reader;
use zerocopy::FromBytes;

use super::*;

/// Name, inode number, mode and bytes of every entry.
fn unpack(archive: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut rest = archive;
    loop {
        let mut reader = newc::Reader::new(rest).expect("an entry");
        if reader.entry().is_trailer() {
            return entries;
        }
        let mut bytes = Vec::new();
        io::copy(&mut reader, &mut bytes).expect("its bytes");
        let entry = reader.entry();
        assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0));
        entries.push((entry.name().to_owned(), entry.ino(), entry.mode(), bytes));
        rest = reader.finish().expect("the next entry");
    }
}

#[test]
fn parents_come_first_and_the_order_of_adding_does_not_matter() {
    let files = [("/bin/hello", "program", 0o755), ("/etc/deep/er/file", "text", 0o640), ("/bin-x", "x", 0o600)];
    let mut forth = Initramfs::default();
    let mut back = Initramfs::default();
    for (path, bytes, mode) in files {
        forth.add(path, bytes.as_bytes(), mode).expect(path);
    }
    for (path, bytes, mode) in files.into_iter().rev() {
        back.add(path, bytes.as_bytes(), mode).expect(path);
    }
    let archive = forth.pack().expect("an archive");
    assert_eq!(archive, back.pack().expect("an archive"));
    let entries = unpack(&archive);
    let names: Vec<&str> = entries.iter().map(|entry| &*entry.0).collect();
    let expected = [
        ".",
        "bin",
        "bin-x",
        "bin/hello",
        "dev",
        "dev/shm",
        "etc",
        "etc/deep",
        "etc/deep/er",
        "etc/deep/er/file",
        "proc",
        "tmp",
    ];
    assert_eq!(names, expected);
    assert!(entries.iter().map(|entry| entry.1).eq(4..16));
    assert_eq!(entries[1].2, 0o040_755);
    assert_eq!(entries[3].2, 0o100_755);
    assert_eq!(entries[9].3, b"text");
}

#[test]
fn bad_paths_are_refused() {
    let mut files = Initramfs::default();
    files.add("/bin/hello", &b""[..], 0o755).expect("a file");
    let long = format!("/{}", "x/".repeat(MAX_PATH / 2));
    let long_name = format!("/{}", "x".repeat(MAX_NAME + 1));
    for path in [
        "bin/x",
        "/",
        "",
        "/bin//x",
        "/bin/../x",
        "/./x",
        "/bin/",
        "/bin/hello",
        "/bin/hello/x",
        "/bin",
        "/a\0b",
        &long,
        &long_name,
    ] {
        let error = files.add(path, &b""[..], 0o644).expect_err(path);
        assert!(matches!(error, InitramfsError::Path { .. }), "{error}");
    }
}

#[test]
fn problems_with_host_files_name_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    let mut files = Initramfs::default();
    let error = files.add_host_file(&missing, "/x").expect_err("missing");
    assert!(error.to_string().contains("missing: No such file"), "{error}");
    let error = files.add_host_file(directory.path(), "/x").expect_err("a directory");
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

/// Looks a path up as the guest does: by the indexes of the directories.
fn look_up<'a>(archive: &'a [u8], path: &str) -> Option<cpio_reader::Entry<'a>> {
    let mut entry = cpio_reader::Archive::new(archive).next()?;
    for part in path.split('/') {
        let index = <[IndexEntry]>::ref_from_bytes(entry.bytes).expect("an index");
        assert!(index.is_sorted_by_key(|entry| (entry.hash(), entry.place())));
        let hash = pagelab_abi::initramfs::name_hash(part.as_bytes());
        let candidates = index.iter().filter(|entry| entry.hash() == hash);
        entry = candidates
            .filter_map(|entry| cpio_reader::Archive::from(archive, entry.place() as usize).next())
            .find(|entry| entry.name.rsplit(|&byte| byte == b'/').next() == Some(part.as_bytes()))?;
    }
    Some(entry)
}

#[test]
fn every_name_is_found_by_its_directorys_index() {
    let mut files = Initramfs::default();
    for number in 0..2000 {
        files.add(&format!("/many/{}/file-{number}", number % 7), Vec::from([1; 5]), 0o644).expect("a good path");
    }
    files.add_link("/many/link", "3/file-3").expect("a good path");
    let archive = files.pack().expect("an archive");
    for number in 0..2000 {
        let entry = look_up(&archive, &format!("many/{}/file-{number}", number % 7)).expect("it is there");
        assert_eq!((entry.mode, entry.links, entry.bytes), (0o100_644, 1, &[1; 5][..]));
    }
    assert_eq!(look_up(&archive, "many/link").expect("a link").bytes, b"3/file-3");
    assert_eq!(look_up(&archive, "many").expect("a directory").links, 2 + 7);
    assert!(look_up(&archive, "many/0/file-1").is_none());
    assert_eq!(files.file("/many/link"), Some(&[1; 5][..]));
}

#[test]
fn a_hosts_directory_comes_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let host = directory.path();
    fs::create_dir_all(host.join("bin/empty")).expect("a directory");
    fs::write(host.join("bin/busybox"), b"program").expect("a file");
    fs::set_permissions(host.join("bin/busybox"), fs::Permissions::from_mode(0o750)).expect("its mode");
    std::os::unix::fs::symlink("busybox", host.join("bin/ls")).expect("a link");
    std::os::unix::fs::symlink("/nowhere", host.join("dangling")).expect("a link");
    let mut files = Initramfs::default();
    files.add_host_directory(host, "/").expect("it can be read");
    files.add_host_directory(&host.join("bin"), "/opt/x").expect("it can be read");
    let archive = files.pack().expect("an archive");
    assert_eq!(
        look_up(&archive, "bin/busybox").map(|entry| (entry.mode, entry.bytes)),
        Some((0o100_750, &b"program"[..]))
    );
    assert_eq!(
        look_up(&archive, "opt/x/ls").map(|entry| (entry.mode, entry.bytes)),
        Some((0o120_777, &b"busybox"[..]))
    );
    assert!(look_up(&archive, "bin/empty").is_some() && look_up(&archive, "dangling").is_some());
    assert_eq!(files.file("/opt/x/../x/ls"), Some(&b"program"[..]));
    assert!(files.file("/dangling").is_none() && files.file("/bin").is_none());
    assert!(files.is_directory("/bin/empty") && files.is_directory("/") && !files.is_directory("/bin/ls"));

    let pipe = std::process::Command::new("mkfifo").arg(host.join("bin/pipe")).status().expect("mkfifo runs");
    assert!(pipe.success());
    let error = Initramfs::default().add_host_directory(host, "/x").expect_err("a pipe");
    assert!(error.to_string().contains("bin/pipe: is not a regular file"), "{error}");
    let error = Initramfs::default().add_host_directory(&host.join("bin/ls"), "/x").expect_err("a file");
    assert!(error.to_string().contains("not a directory"), "{error}");
    let error = Initramfs::default().add_host_directory(&host.join("missing"), "/x").expect_err("nothing");
    assert!(error.to_string().contains("missing: "), "{error}");
}
