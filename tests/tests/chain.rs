//! The joined chain on a real run: several sources of the same faults, the host faults inside guest faults, and the walk
//! of an address.

use pagelab_tests::{Lab, RunRows, lab, text};

/// Records with every source that this host has of those that see host faults or count them; says which it has not.
fn sources(lab: &Lab) -> (String, bool) {
    let doctor = lab.pagelab(&["doctor", "--json"]);
    let doctor: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checks = doctor["checks"].as_array().expect("checks");
    let found = |name: &str| checks.iter().any(|check| check["name"] == name && check["status"] == "ok");
    let (has, lacks): (Vec<_>, Vec<_>) = ["uffd", "tracepoint", "stats"].into_iter().partition(|name| found(name));
    assert!(has.contains(&"uffd"), "this test needs userfaultfd");
    if !lacks.is_empty() {
        eprintln!("skipped: what needs {}: this host has it not, pagelab doctor says why", lacks.join(", "));
    }
    (has.join(","), lacks.is_empty())
}

#[test]
fn the_counts_of_all_sources_reconcile() {
    let lab = lab!();
    let (sources, all) = sources(&lab);
    let output = lab.run(&["--json", "--record", &sources], "demand-paging", &["--pages", "500"]);
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    let faults = &json["host_faults"];
    assert_eq!(faults["source"], "uffd");
    assert_eq!(faults["total"], faults["by_source"]["uffd"], "witnesses are not counted");
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.column("SELECT count(*) FROM host_fault WHERE counted"), [faults["total"].to_string()]);
    if !all {
        return;
    }
    // The names do not depend on how many of them hold: a check that is left out is no check.
    let checked = run.column("SELECT name FROM check_result").join(" ");
    let wanted: &[&str] = match json["host_mmu"].as_str() {
        Some("shadow") => &["kvm_pf_guest", "kvm_walker_errors", "kvm_pf_fixed", "host_faults_explained"],
        _ => &["kvm_pf_taken", "kvm_pf_fixed", "host_faults_explained", "host_fault_witnesses", "trace_window_pages"],
    };
    let not_checked = run.rows("SELECT name, reason FROM check_skipped");
    for name in wanted {
        assert!(checked.contains(name), "{name} was not checked: {not_checked:?}");
    }
}

#[test]
fn the_walk_of_a_faulted_page_tells_both_sides() {
    let lab = lab!();
    let output = lab.run(&["--record", "uffd"], "demand-paging", &["--pages", "20", "--pattern", "random"]);
    assert!(output.status.success(), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let faults = run.rows(
        "SELECT g.id, g.gva, g.pfn, h.id FROM guest_fault g JOIN host_fault h ON h.guest_fault_id = g.id
         JOIN fault_chain c ON c.guest_fault_id = g.id
         WHERE g.kind = 'anon_write' AND h.owner = 'anon' AND h.level = 'data' AND c.own_frame_faults = 1",
    );
    assert!(faults.len() >= 20, "{faults:?}");
    for fault in &faults[..3] {
        let output = lab.pagelab(&["walk", "test.pagelab", &fault[1], "--json"]);
        assert!(output.status.success(), "{}", text(&output));
        let walk: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let names: Vec<_> = walk["entries"].as_array().expect("entries").iter().map(|entry| &entry["name"]).collect();
        assert_eq!(names, ["PML4E", "PDPTE", "PDE", "PTE"]);
        for entry in walk["entries"].as_array().expect("entries") {
            assert_eq!(entry["table"]["owner"], "page_table", "{entry:#}");
            assert!(["faulted", "preloaded"].contains(&entry["table"]["backing"].as_str().expect("text")), "{entry:#}");
            assert!(entry["flags"].as_str().expect("text").starts_with("P W U A"), "{entry:#}");
        }
        let frame = &walk["page"]["frame"];
        assert_eq!((frame["pfn"].to_string(), &frame["backing"]), (fault[2].clone(), &"faulted".into()));
        assert_eq!(frame["host_fault"]["id"].to_string(), fault[3]);
        assert_eq!(frame["host_fault"]["guest_fault_id"].to_string(), fault[0]);
        assert_eq!(walk["guest_fault"]["id"].to_string(), fault[0]);
    }
    let text_of = |args: &[&str]| lab.pagelab(&[&["walk", "test.pagelab"], args].concat());
    let unmapped = text_of(&["0x10000"]);
    assert_eq!(unmapped.status.code(), Some(1), "{}", text(&unmapped));
    let told = String::from_utf8_lossy(&unmapped.stdout).into_owned();
    assert!(told.contains("is not present\n") && told.contains("VMA        none covers the address"), "{told}");
    let kernel = text_of(&["0xffff888000001000"]);
    assert!(kernel.status.success(), "the direct map: {}", text(&kernel));
    assert_eq!(text_of(&["somewhere"]).status.code(), Some(2));
}

#[test]
fn a_run_without_tables_cannot_be_walked() {
    let lab = lab!();
    assert!(lab.run(&["--record", "none"], "hello", &[]).status.success());
    let output = lab.pagelab(&["walk", "test.pagelab", "0x400000"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("test.pagelab has no page tables of the guest"), "{told}");
}
