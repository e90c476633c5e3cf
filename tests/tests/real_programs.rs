//! Programs that nobody wrote for the lab do there what they do on Linux: same output, same errors, same exit status.
//! `scripts/programs.sh` makes them; docs/programs.md has the table of all that were tried.

use std::{fs, os::unix::fs::symlink};

use pagelab_tests::{Real, exit_status, lab, oracle::normalise, real_program, text};

/// Two lines, for programs that read standard input.
const LINES: &str = "one line\nand another\n";

/// A text of `lines` lines, always the same.
fn words(lines: u32) -> String {
    const WORDS: [&str; 16] = [
        "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "memory", "is", "counted",
        "page", "by", "Page",
    ];
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let line = |next: &mut dyn FnMut() -> u32| {
        let words: Vec<_> = (0..1 + next() % 8).map(|_| WORDS[next() as usize % WORDS.len()]).collect();
        words.join(" ") + "\n"
    };
    (0..lines).map(|_| line(&mut next)).collect()
}

/// busybox with a text, `words`.
fn busybox() -> Real {
    Real::new(lab!(), "busybox").with("words", words(1500)).with("short", LINES)
}

#[test]
fn busybox_says_things() {
    let busybox = busybox();
    busybox.same(&["echo", "-e", "one\\ttwo", "three four"], "");
    busybox.same(&["printf", "%5d|%-5s|%x|%e\\n", "42", "ab", "255", "1.5"], "");
    busybox.same(&["seq", "-w", "8", "12"], "");
    busybox.same(&["expr", "6", "*", "(", "3", "+", "4", ")"], "");
    busybox.same(&["factor", "1234567890123"], "");
    busybox.same(&["dc"], "2 64 ^ p 10 k 2 v p\n");
    busybox.same(&["bc"], "2^100; scale=20; 4*a(1)\n");
    busybox.same(&["false"], "");
    busybox.same(&["no-such-applet"], "");
}

#[test]
fn busybox_sorts_and_sums() {
    let busybox = busybox();
    busybox.same(&["sort", "words"], "");
    busybox.same(&["sort", "-u", "-r", "-k", "2", "words"], "");
    busybox.same(&["md5sum", "words", "short", "missing"], "");
    busybox.same(&["sha256sum"], &words(300));
    busybox.same(&["cksum", "words"], "");
    busybox.same(&["wc", "words", "short"], "");
}

#[test]
fn busybox_filters_text() {
    let busybox = busybox();
    busybox.same(&["awk", include_str!("../programs/real/workload.awk"), "words"], "");
    busybox.same(&["sed", "-n", "-e", "s/the \\(quick\\|lazy\\) */<\\1>/gp", "words"], "");
    busybox.same(&["grep", "-n", "-i", "page by p", "words"], "");
    busybox.same(&["grep", "nothing like it", "words"], "");
    busybox.same(&["tr", "a-z", "A-Z"], LINES);
    busybox.same(&["cut", "-d", " ", "-f", "2-3", "words"], "");
    busybox.same(&["tail", "-n", "3", "words"], "");
    busybox.same(&["tac", "short"], "");
    busybox.same(&["uniq", "-c"], "a\na\nb\n");
    busybox.same(&["hexdump", "-C", "short"], "");
    busybox.same(&["base64", "words"], "");
    busybox.same(&["diff", "short", "-"], "one line\nand a third\n");
}

#[test]
fn busybox_packs_and_unpacks() {
    let busybox = busybox();
    busybox.same(&["gzip", "-c", "words"], "");
    let packed = busybox.in_the_lab(&["gzip", "-c", "words"], "").stdout;
    let busybox = busybox.with("words.gz", &packed).with("broken.gz", &packed[..packed.len() / 2]);
    busybox.same(&["gunzip", "-c", "words.gz"], "");
    busybox.same(&["gunzip", "-c", "broken.gz"], "");
    busybox.same(&["gunzip", "-k", "words.gz"], "");
    busybox.same(&["bzip2", "-c", "short"], "");
    // What the lab packs is unpacked on both sides; owners' names and times are not the same.
    let packed = busybox.in_the_lab(&["tar", "-c", "short", "words"], "").stdout;
    let busybox = busybox.with("packed.tar", packed);
    busybox.same(&["tar", "-t", "-f", "packed.tar"], "");
    busybox.same(&["tar", "-x", "-v", "-O", "-f", "packed.tar"], "");
}

#[test]
fn busybox_handles_files() {
    let busybox = busybox();
    busybox.same(&["cat", "short", "missing", "short"], "");
    busybox.same(&["dd", "if=words", "bs=100", "skip=3", "count=2"], "");
    busybox.same(&["find", ".", "-name", "w*"], "");
    busybox.same(&["ls", "-1"], "");
    busybox.same(&["cp", "words", "copy"], "");
    busybox.same(&["rm", "words", "missing"], "");
    busybox.same(&["mkdir", "-p", "a/b/c"], "");
    busybox.same(&["stat", "-c", "%n %s %F %a %u %g", "short"], "");
}

#[test]
fn a_shell_with_what_is_built_in() {
    let script = include_str!("../programs/real/workload.sh");
    Real::new(lab!(), "busybox").same(&["sh"], script);
    for shell in ["dash", "bash", "zsh"] {
        Real::new(lab!(), shell).with("script", script).same(&["script"], "");
    }
    let more = "declare -A n; for w in a b a; do ((n[$w]++)); done; echo ${n[a]} ${n[b]}; [[ word =~ ^w(.)r ]]; echo $?
printf '%08.3f %q\\n' 3.14159 'a b'; mapfile -t lines <<<$'x\\ny'; echo ${#lines[@]} ${lines[1]^^}";
    Real::new(lab!(), "bash").same(&["-c", more], "");
}

#[test]
fn a_file_system_is_made_and_checked() {
    let busybox = Real::new(lab!(), "busybox").with("image", vec![0; 1 << 20]);
    busybox.same(&["mke2fs", "-F", "image"], "");
    busybox.same(&["mke2fs", "missing"], "");
    let mut image = fs::read(busybox.lab.folder().join("native/image")).expect("what was made natively");
    // Its times of mounting, writing and checking: the lab's clock is another.
    image[1024 + 44..1024 + 52].fill(0);
    image[1024 + 64..1024 + 68].fill(0);
    let e2fsck = Real::new(lab!(), "e2fsck").with("image", &image);
    e2fsck.same(&["-f", "-n", "image"], "");
    image[1024 + 0x800..1024 + 0x1000].fill(0);
    let e2fsck = e2fsck.with("image", image);
    e2fsck.same(&["-f", "-n", "image"], "");
}

#[test]
fn an_allocators_work_on_four_allocators() {
    for name in ["heavy-glibc", "heavy-musl", "heavy-jemalloc", "heavy-mimalloc"] {
        Real::new(lab!(), name).same(&["one", "two three", ""], "");
    }
}

#[test]
fn cpp_with_exceptions_streams_and_regular_expressions() {
    Real::new(lab!(), "everything").same(&[], LINES);
}

#[test]
fn rust_with_its_standard_library() {
    Real::new(lab!(), "standard-gnu").same(&[], LINES);
    Real::new(lab!(), "standard-musl").same(&[], LINES);
}

#[test]
fn sqlite_in_memory_and_in_files() {
    Real::new(lab!(), "sqlite3").same(&[":memory:"], include_str!("../programs/real/workload.sql"));
}

#[test]
fn lua_runs_a_script() {
    Real::new(lab!(), "lua")
        .with("script", include_str!("../programs/real/workload.lua"))
        .same(&["script", "/tmp"], LINES);
}

#[test]
fn memtester_finds_no_bad_memory() {
    let memtester = Real::new(lab!(), "memtester");
    let output = memtester.in_the_lab(&["256K", "1"], "");
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
}

#[test]
fn busybox_reads_its_own_maps() {
    busybox().same_but(&["cat", "/proc/self/maps"], "", |maps| normalise(maps, "busybox"));
}

#[test]
fn busybox_tells_of_memory_and_processes() {
    let busybox = busybox();
    let said = |args: &[&str]| {
        let output = busybox.in_the_lab(args, "");
        assert_eq!(exit_status(&output), 0, "{args:?}: {}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let meminfo = said(&["grep", "MemTotal", "/proc/meminfo"]);
    let total = meminfo.split_whitespace().nth(1).expect("MemTotal: N kB").to_owned();
    let free = said(&["free"]);
    let memory: Vec<_> = free.lines().nth(1).expect("Mem:").split_whitespace().collect();
    assert_eq!(memory[..2], ["Mem:", &total], "{free}");
    let (used, left): (u64, u64) = (memory[2].parse().expect("used"), memory[3].parse().expect("free"));
    assert!(used > 0 && left > 0 && used + left <= total.parse().expect("total"), "{free}");
    for args in [&["ps"][..], &["top", "-b", "-n", "1"]] {
        let processes = said(args);
        let own = processes.lines().find(|line| line.trim_start().starts_with("100 "));
        assert!(own.is_some_and(|line| line.contains("/bin/busybox")), "{processes}");
    }
}

#[test]
fn a_tree_of_applets_by_symbolic_links() {
    let lab = lab!();
    let bin = lab.folder().join("tree/bin");
    fs::create_dir_all(&bin).expect("a folder");
    fs::copy(real_program("busybox"), bin.join("busybox")).expect("a copy");
    for applet in ["sort", "readlink"] {
        symlink("busybox", bin.join(applet)).expect("a link");
    }
    fs::write(lab.folder().join("lines"), "b\na\n").expect("a file");
    let run = |applet: &str, args: &[&str]| {
        let options = ["--console", "--dir", "tree:/", "--stdin", "lines"];
        let output = lab.run(&options, &format!("guest:/bin/{applet}"), args);
        assert_eq!(exit_status(&output), 0, "{applet}: {}", text(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(run("sort", &[]), "a\nb\n");
    assert_eq!(run("readlink", &["/bin/sort"]), "busybox\n");
    assert_eq!(run("readlink", &["/proc/self/exe"]), "/bin/busybox\n");
}

#[test]
fn the_same_program_twice_gives_the_same_events() {
    let busybox = busybox();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let output = busybox.in_the_lab(&["sort", "-o", "sorted", "words", "short"], "");
        assert_eq!(exit_status(&output), 0, "{}", text(&output));
        streams.push(busybox.lab.pagelab(&["report", "test.pagelab", "--events"]).stdout);
    }
    assert!(streams[0].len() > 10_000, "{} bytes of events", streams[0].len());
    assert!(streams[0] == streams[1], "the two runs differ");
}
