//! Files of the guest: the calls against Linux, trees of the host in the guest, and what cannot be put there.

use std::{fs, os::unix::fs::symlink, process::Command};

use pagelab::builtin;
use pagelab_tests::{Lab, compile, lab, text};

#[test]
fn file_calls_answer_as_linux_does() {
    let lab = lab!();
    let program = compile(lab.folder(), "tree");
    fs::create_dir(lab.folder().join("native")).expect("a directory");
    fs::create_dir(lab.folder().join("empty")).expect("a directory");
    let expected = Command::new(&program).arg("native").current_dir(lab.folder()).output().expect("the program starts");
    assert!(expected.status.success() && !expected.stdout.is_empty(), "{}", text(&expected));
    // In the root, which is a ramfs, and in a tmpfs.
    for directory in ["/here", "/tmp/here"] {
        let actual = lab.run(&["--console", "--dir", &format!("empty:{directory}")], "./tree", &[directory]);
        let stdout = String::from_utf8_lossy(&actual.stdout);
        assert_eq!(stdout, String::from_utf8_lossy(&expected.stdout), "{directory}: {}", text(&actual));
        assert_eq!(actual.status.code(), Some(0), "{}", text(&actual));
    }
}

/// A tree with a program, a link to it, and 2,000 files.
fn tree(lab: &Lab) {
    let root = lab.folder().join("root");
    fs::create_dir_all(root.join("bin")).expect("a directory");
    fs::create_dir_all(root.join("many")).expect("a directory");
    let hello = builtin::program("hello").expect("a built-in program");
    fs::write(root.join("bin/hello"), hello.elf).expect("a file");
    symlink("hello", root.join("bin/hi")).expect("a link");
    for number in 0..2000 {
        fs::write(root.join(format!("many/{number}")), []).expect("a file");
    }
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(root.join("bin/hello"), mode(0o755)).expect("a mode");
}

#[test]
fn a_program_in_a_tree_of_the_host_runs_by_its_link() {
    let lab = lab!();
    tree(&lab);
    for program in ["guest:/bin/hi", "guest:/bin/../bin/hello"] {
        let output = lab.run(&["--console", "--dir", "root:/", "--cwd", "/many"], program, &[]);
        assert_eq!(output.stdout, b"hello, world\n", "{}", text(&output));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
}

#[test]
fn what_is_not_there_or_cannot_be_is_said_at_once() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    tree(&lab);
    let says = |options: &[&str], program: &str, status: i32, what: &str| {
        let output = lab.run(options, program, &[]);
        assert_eq!(output.status.code(), Some(status), "{}", text(&output));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(what) && stderr.lines().count() == 1, "{}", text(&output));
    };
    says(&["--dir", "root:/"], "guest:/bin/missing", 127, "guest:/bin/missing: there is no such file in the guest");
    says(&["--dir", "root:/"], "guest:/many/7", 126, "guest:/many/7: ");
    says(
        &["--dir", "root:/", "--cwd", "/bin/hi"],
        "guest:/bin/hello",
        125,
        "--cwd /bin/hi: there is no such directory",
    );
    says(&["--dir", "missing:/"], "hello", 125, "missing: ");
    says(&["--dir", "root/bin/hi:/x"], "hello", 125, "is not a directory");
    let pipe = Command::new("mkfifo").arg(lab.folder().join("root/pipe")).status().expect("mkfifo runs");
    assert!(pipe.success());
    says(&["--dir", "root:/"], "hello", 125, "root/pipe: is not a regular file");
}
