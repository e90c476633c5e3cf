//! KVM's tracepoints beside the other witnesses: on hosts that have them, and on what kind of host which of them speak.

use pagelab_tests::{Lab, RunRows, lab, text};

/// A lab for a test of the source; `None`, with a word about it, where `pagelab doctor` says that the host lacks it.
fn tracepoints(lab: Lab) -> Option<Lab> {
    let doctor = lab.pagelab(&["doctor", "--json"]);
    let doctor: serde_json::Value =
        serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{}", text(&doctor)));
    let checks = doctor["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "tracepoint").expect("the source is examined");
    if check["status"] != "ok" {
        eprintln!("skipped: no tracepoints here: {}", check["found"]);
        return None;
    }
    Some(lab)
}

/// A recorded run of 300 first touches.
fn run(lab: &Lab, options: &[&str]) -> (serde_json::Value, RunRows) {
    let output = lab.run(&[options, &["--json"]].concat(), "demand-paging", &["--pages", "300"]);
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    (json, RunRows::open(&lab.run_file()))
}

fn number(json: &serde_json::Value) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("{json} is no number"))
}

#[test]
fn every_frame_of_the_program_has_its_host_fault() {
    let Some(lab) = tracepoints(lab!()) else { return };
    let (json, run) = run(&lab, &["--record", "uffd,tracepoint"]);
    assert_eq!((&json["events_lost"], &json["exits"]["lost"]), (&0.into(), &0.into()));
    // Userfaultfd stays the one that tells.
    assert_eq!(json["host_faults"]["source"], "uffd");
    assert_eq!(json["host_faults"]["total"], json["host_faults"]["by_source"]["uffd"]);
    let unseen = run.column(
        "SELECT pfn FROM guest_fault WHERE kind = 'anon_write' AND NOT EXISTS (SELECT 1 FROM host_fault h WHERE
         h.source = 'tracepoint' AND h.owner = 'anon' AND substr(h.gpa, 1, 15) = printf('0x%013x', pfn))",
    );
    let none: [&str; 0] = [];
    assert_eq!(unseen, none, "frames that KVM told nothing of");
    // What KVM told is in the file, and what it counted.
    let rows = run.column("SELECT count(*) FROM host_fault WHERE source = 'tracepoint'").remove(0);
    let event = if json["host_mmu"] == "shadow" { "kvm_mmu_spte_requested" } else { "kvm_page_fault" };
    assert_eq!(rows, run.fact(&format!("tracepoint.{event}")));
    // KVM_RUN comes back for the boundary's ports on every host.
    assert!(number(&json["exits"]["to_vmm_by_reason"]["KVM_EXIT_IO"]) > 3, "{:#}", json["exits"]);
}

#[test]
fn under_nested_paging_faults_have_stage_code_and_instruction() {
    let Some(lab) = tracepoints(lab!()) else { return };
    let (json, run) = run(&lab, &["--record", "tracepoint"]);
    assert_eq!(json["host_faults"]["source"], "tracepoint");
    if json["host_mmu"] == "shadow" {
        // There is one dimension only, and nothing is made up of the other.
        assert_eq!(json["host_faults"]["by_stage"], serde_json::json!({}));
        eprintln!("skipped: stages and codes of nested paging: this host has shadow paging");
        return;
    }
    let stages = &json["host_faults"]["by_stage"];
    assert!(number(&stages["final"]) >= 300 && number(&stages["walk"]) > 0, "{stages}");
    assert_eq!(number(&stages["final"]) + number(&stages["walk"]), number(&json["host_faults"]["total"]));
    let reason = if json["host_mmu"] == "ept" { "EPT_VIOLATION" } else { "npf" };
    assert!(
        number(&json["exits"]["by_reason"][reason]) >= number(&json["host_faults"]["total"]),
        "{:#}",
        json["exits"]
    );
    // The kernel clears a new frame before the program sees it: that is where the fault happens.
    let clearing = run.column(
        "SELECT DISTINCT symbol FROM host_fault WHERE source = 'tracepoint' AND owner = 'anon' AND access = 'write'",
    );
    assert!(clearing.iter().all(|symbol| symbol.contains('+')), "{clearing:?}");
    let inside = run.column("SELECT count(*) FROM host_fault WHERE owner = 'anon' AND guest_fault_id IS NOT NULL");
    assert!(inside[0].parse::<u64>().expect("a count") >= 300, "{inside:?}");
    assert_eq!(run.column("SELECT count(*) FROM host_fault WHERE tsc_end < tsc_begin OR error_code IS NULL"), ["0"]);
}

#[test]
fn instructions_of_faults_have_names() {
    let lab = lab!();
    let (_, run) = run(&lab, &["--record", "guest"]);
    let touching = run.column("SELECT DISTINCT symbol FROM guest_fault WHERE kind = 'anon_write' AND NOT in_kernel");
    assert!(touching.iter().any(|symbol| symbol.starts_with("demand_paging::")), "{touching:?}");
}
