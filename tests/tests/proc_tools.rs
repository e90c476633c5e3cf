//! The tools that people use read the snapshots of a run, and the tables agree with each other.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

use pagelab::analysis::RunFile;
use pagelab_tests::{Lab, lab, real_program, text};

/// Nodes, HighMem and zone Movable, so that every kind of line is there.
const MACHINE: [&str; 6] = ["--numa", "2x64M", "--highmem", "16M", "--movable", "32M"];
const TABLES: [&str; 7] = ["meminfo", "buddyinfo", "zoneinfo", "pagetypeinfo", "slabinfo", "vmallocinfo", "vmstat"];

/// A folder like `/proc`, of the texts at the end of a run.
fn tables(lab: &Lab) -> PathBuf {
    let output = lab.run(&MACHINE, "demand-paging", &["--pages", "300"]);
    assert!(output.status.success(), "{}", text(&output));
    let run = RunFile::open(&lab.run_file()).expect("a run file");
    let folder = lab.folder().join("proc");
    fs::create_dir(&folder).expect("a folder");
    for name in TABLES {
        let text: String = run
            .query(|conn| {
                let sql = "SELECT text FROM snapshot WHERE moment = 'exit' AND name = ?";
                conn.query_row(sql, [name], |row| row.get(0))
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(folder.join(name), text).expect("a file");
    }
    folder
}

/// Runs a command that finds a file of ours in place of one of `/proc`.
fn with_ours(folder: &Path, table: &str, command: &str) -> String {
    let script = format!("mount --bind \"$1/{table}\" /proc/{table} && exec {command}");
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(folder)
        .env("LC_ALL", "C")
        .output()
        .expect("unshare starts; scripts/setup.sh tests installs it");
    assert!(output.status.success(), "{command}: {}", text(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("a table")
}

/// The caches of slabinfo: name, active objects, objects.
fn caches(folder: &Path) -> Vec<(String, String, String)> {
    let text = read(folder, "slabinfo");
    let lines = text.lines().skip(2).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.map(|words| (words[0].to_owned(), words[1].to_owned(), words[2].to_owned())).collect()
}

#[test]
fn procps_reads_slabinfo_and_meminfo() {
    let lab = lab!();
    let folder = &tables(&lab);
    let caches = caches(folder);
    assert!(caches.len() > 5, "{caches:?}");
    let slabtop = with_ours(folder, "slabinfo", "slabtop --once");
    let vmstat = with_ours(folder, "slabinfo", "vmstat -m");
    for (name, active, objects) in &caches {
        let find = |text: &str, place: fn(&[&str]) -> Option<usize>| {
            let mut lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            lines.find(|words| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                place(&words).is_some_and(|at| words[at] == name)
            })
        };
        // OBJS ACTIVE USE SIZE SLABS OBJ/SLAB CACHE-SIZE NAME
        let words = find(&slabtop, |words| words.len().checked_sub(1)).unwrap_or_else(|| panic!("{name}: {slabtop}"));
        assert_eq!([&words[0], &words[1]], [objects, active], "{name}: {slabtop}");
        // Cache Num Total Size Pages
        let words =
            find(&vmstat, |words| (words.len() == 5).then_some(0)).unwrap_or_else(|| panic!("{name}: {vmstat}"));
        assert_eq!([&words[1], &words[2]], [active, objects], "{name}: {vmstat}");
    }
    let free = with_ours(folder, "meminfo", "free --kibi");
    let meminfo = read(folder, "meminfo");
    let value = |name: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(name)).expect("a line of meminfo");
        line.split_whitespace().nth(1).expect("a number").to_owned()
    };
    let words: Vec<&str> = free.lines().nth(1).expect("a line for memory").split_whitespace().collect();
    assert_eq!([words[1], words[3]], [value("MemTotal:"), value("MemFree:")], "{free}");
}

/// The Python that has psutil: the first of the path, or Debian's.
fn python() -> &'static str {
    let knows = |python: &&str| {
        Command::new(python).args(["-c", "import psutil"]).output().is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(knows);
    found.expect("no python3 has psutil; scripts/setup.sh tests installs it")
}

#[test]
fn a_python_script_adds_the_tables_up() {
    let lab = lab!();
    let folder = &tables(&lab);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/totals.py");
    let output = Command::new(python()).arg(script).arg(folder).output().expect("python3 starts");
    assert!(output.status.success(), "{}", text(&output));
    let totals: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let total = |name: &str| totals[name].as_u64().unwrap_or_else(|| panic!("{name}: {totals}"));
    let meminfo = |name: &str| {
        let text = read(folder, "meminfo");
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line of meminfo").to_owned();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number") / 4
    };
    assert!(total("total") > 30_000, "{totals}");
    assert_eq!(total("total"), total("zones_managed"));
    assert_eq!(total("free"), total("zones_free"));
    assert_eq!(total("free"), total("buddy_free"));
    assert_eq!(total("types_free"), total("buddy_free"));
    assert!(total("available") <= total("free") + meminfo("Cached:"));
    assert_eq!(total("slab"), meminfo("Slab:"));
    assert_eq!(total("vmalloc"), meminfo("VmallocUsed:"));
    // What is neither free nor told by meminfo is the zero page and what CPUs keep.
    let told = ["MemFree:", "AnonPages:", "Cached:", "Slab:", "KernelStack:", "PageTables:", "VmallocUsed:"];
    let told: u64 = told.into_iter().map(meminfo).sum();
    assert_eq!(total("total"), told + total("zones_pcp"), "{}", read(folder, "meminfo"));
}

/// A program that ends with the test.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What Prometheus' node exporter makes of the tables.
fn metrics(folder: &Path) -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let collectors = ["meminfo", "buddyinfo", "zoneinfo", "slabinfo", "vmstat"];
    let child = Command::new(real_program("node-exporter"))
        .arg(format!("--path.procfs={}", folder.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--collector.disable-defaults", "--collector.vmstat.fields=.*"])
        .args(collectors.map(|name| format!("--collector.{name}")))
        .stderr(std::process::Stdio::from(fs::File::create(folder.join("log")).expect("a file")))
        .spawn()
        .expect("the node exporter starts");
    let mut exporter = Exporter(child);
    for _ in 0..600 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            for name in collectors {
                let line = format!("node_scrape_collector_success{{collector=\"{name}\"}} 1");
                assert!(answer.contains(&line), "{name} cannot be read: {answer}");
            }
            return answer;
        }
        assert!(exporter.0.try_wait().expect("a child").is_none(), "{}", read(folder, "log"));
        thread::sleep(Duration::from_millis(100));
    }
    panic!("the node exporter does not listen");
}

#[test]
fn the_node_exporter_reads_every_table() {
    let lab = lab!();
    let folder = &tables(&lab);
    let metrics = metrics(folder);
    let value = |line: &str| {
        let found = metrics.lines().find_map(|metric| metric.strip_prefix(line));
        let number = found.unwrap_or_else(|| panic!("no {line} in {metrics}"));
        number.trim().parse::<f64>().unwrap_or_else(|_| panic!("{line}{number}"))
    };
    let lines = |prefix: &str| metrics.lines().filter(|line| line.starts_with(prefix)).count();
    // Populated zones: DMA, DMA32 and Movable of node 0; DMA32, Movable and HighMem of node 1.
    let zones = read(folder, "buddyinfo").lines().count();
    assert!(zones >= 5, "{zones} zones");
    assert_eq!(lines("node_buddyinfo_blocks{"), zones * 11);
    let managed = |line: &&str| line.starts_with("node_zoneinfo_managed_pages{");
    let managed = metrics
        .lines()
        .filter(managed)
        .map(|line| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number"));
    assert_eq!(managed.sum::<f64>() * 4096.0, value("node_memory_MemTotal_bytes "));
    for (name, active, objects) in caches(folder) {
        assert_eq!(value(&format!("node_slabinfo_active_objects{{slab=\"{name}\"}} ")).to_string(), active);
        assert_eq!(value(&format!("node_slabinfo_objects{{slab=\"{name}\"}} ")).to_string(), objects);
    }
    assert!(value("node_vmstat_pgfault ") >= 300.0);
}
