//! `--trap` and `--stop-at`: the host counts the guest's page faults beside the guest, and shows the state at one.

use pagelab_tests::{Lab, RunRows, compile_bare, exit_status, lab, text};

/// The methods this host has; says by name what it lacks.
fn methods(lab: &Lab) -> Vec<&'static str> {
    let output = lab.pagelab(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = json["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == "kvm_hardware_breakpoints").expect("it is looked at");
    if check["status"] == "ok" {
        return vec!["port", "breakpoint"];
    }
    eprintln!("skipped: --trap breakpoint: {}", check["found"]);
    vec!["port"]
}

/// Runs a program with a trap and checks that the host trapped what the guest recorded, fault by fault.
fn trapped(lab: &Lab, method: &str, program: &str, args: &[&str], status: i32) {
    let case = format!("{method}: {program} {args:?}");
    let output = lab.run(&["--trap", method, "--console"], program, args);
    assert_eq!(exit_status(&output), status, "{case}: {}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let kind = if method == "port" { "kind" } else { "NULL" };
    let faults =
        run.rows(&format!("SELECT gva, rip, error_code, {kind} FROM guest_fault WHERE in_kernel = 0 ORDER BY id"));
    assert!(faults.len() > 2, "{case}: {faults:?}");
    assert_eq!(run.rows("SELECT gva, rip, error_code, kind FROM trap ORDER BY id"), faults, "{case}");
    assert_eq!((run.fact("trap"), run.fact("trapped")), (method.to_owned(), faults.len().to_string()), "{case}");
    let checks = run.rows("SELECT name, ok FROM check_result WHERE NOT ok OR name LIKE 'trapped%' ORDER BY name");
    assert_eq!(checks, [["trapped", "1"], ["trapped_faults", "1"]], "{case}");
}

#[test]
fn the_host_traps_exactly_the_faults_that_the_guest_records() {
    let lab = lab!();
    for method in methods(&lab) {
        trapped(&lab, method, "demand-paging", &["--pages", "40", "--read-percent", "30"], 0);
        trapped(&lab, method, "heap-brk", &["--pages", "7"], 0);
        trapped(&lab, method, "stack-grow", &["--pages", "8"], 0);
        for way in ["unmapped", "write-text", "noexec", "kernel"] {
            trapped(&lab, method, "segv", &["--how", way], 139);
        }
    }
}

#[test]
fn the_guest_cannot_tell_that_it_is_trapped() {
    let lab = lab!();
    let events = |options: &[&str]| {
        let output = lab.run(options, "demand-paging", &["--pages", "20"]);
        assert_eq!(exit_status(&output), 0, "{}", text(&output));
        String::from_utf8(lab.pagelab(&["report", "test.pagelab", "--events"]).stdout).expect("text")
    };
    let alone = events(&[]);
    for method in methods(&lab) {
        assert_eq!(events(&["--trap", method]), alone, "{method}");
    }
}

#[test]
fn a_program_that_steps_itself_gets_its_own_debug_exceptions() {
    let lab = lab!();
    compile_bare(lab.folder(), "deaths");
    for method in methods(&lab) {
        for way in ["trap_flag", "trap_flag_fault", "trap_flag_syscall", "trap_flag_int3", "int3"] {
            let alone = lab.run(&["--console"], "./deaths", &["-", way]);
            let trapped = lab.run(&["--console", "--trap", method], "./deaths", &["-", way]);
            assert_eq!(text(&trapped), text(&alone), "{method} {way}");
        }
    }
}

#[test]
fn a_stop_shows_the_state_and_ends_the_run() {
    let lab = lab!();
    let options = ["--json", "--trap", "port", "--stop-at", "kind=anon_write,count=12"];
    let output = lab.run(&options, "demand-paging", &["--pages", "30"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(123), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let fault =
        run.rows("SELECT gva, rip, vma_start FROM guest_fault WHERE kind = 'anon_write' AND NOT in_kernel ORDER BY id DESC LIMIT 1");
    let [gva, rip, vma] = &fault[0][..] else { panic!("three columns") };
    let short = |address: &str| format!("0x{}", address.trim_start_matches("0x").trim_start_matches('0'));
    for part in [
        "match 12 of kind=anon_write,count=12".to_owned(),
        format!("fault: anon_write, address {}, error code 0x6 (write, by ring 3, page not present)", short(gva)),
        format!("instruction: {} (demand_paging::", short(rip)),
        format!("cr2 {}", gva.trim_start_matches("0x")),
        "PML4E[255]".to_owned(),
        "before: 0 (nothing)".to_owned(),
        format!("VMA: {}-", short(vma).trim_start_matches("0x")),
        " rw-p anonymous".to_owned(),
        "faults before:".to_owned(),
        "pagelab: ended by --stop-at kind=anon_write,count=12, at trapped fault".to_owned(),
    ] {
        assert!(said.contains(&part), "no {part:?} in {said}");
    }
    let told = run.column("SELECT text FROM message WHERE kind = 'stop'");
    assert_eq!(told.len(), 1);
    assert!(said.contains(&told[0]), "{said}");
    assert_eq!(run.column("SELECT count(*) FROM guest_fault WHERE kind = 'anon_write' AND NOT in_kernel"), ["12"]);
    assert_eq!((run.fact("complete"), run.fact("exit_status")), ("0".to_owned(), "123".to_owned()));
    assert_eq!(run.column("SELECT name FROM check_result WHERE NOT ok"), [""; 0]);
    let report = lab.pagelab(&["report", "test.pagelab"]);
    assert!(text(&report).contains("ended by --stop-at"), "{}", text(&report));
}

#[test]
fn a_stop_by_address_or_instruction_goes_on_if_it_shall() {
    let lab = lab!();
    let output = lab.run(&["--console"], "demand-paging", &["--pages", "30"]);
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let fault = "SELECT rip, gva FROM guest_fault WHERE kind = 'anon_write' AND NOT in_kernel ORDER BY id DESC LIMIT 1 OFFSET 5";
    let [rip, gva] = &run.rows(fault)[0][..] else { panic!("two columns") };
    let of_rip = run.column(&format!("SELECT count(*) FROM guest_fault WHERE NOT in_kernel AND rip = '{rip}'"));
    drop(run);
    for method in methods(&lab) {
        let all = format!("rip={rip},then=go");
        let output = lab.run(&["--console", "--trap", method, "--stop-at", &all], "demand-paging", &["--pages", "30"]);
        assert_eq!(exit_status(&output), 0, "{}", text(&output));
        let run = RunRows::open(&lab.run_file());
        assert_eq!(run.column("SELECT count(*) FROM message WHERE kind = 'stop'"), of_rip, "{method}");
        assert_eq!(run.fact("complete"), "1");
        drop(run);
        let one = format!("gva={gva}");
        let output = lab.run(&["--console", "--trap", method, "--stop-at", &one], "demand-paging", &["--pages", "30"]);
        assert_eq!(output.status.code(), Some(123), "{}", text(&output));
        let run = RunRows::open(&lab.run_file());
        assert_eq!(run.column("SELECT gva FROM trap ORDER BY id DESC LIMIT 1"), std::slice::from_ref(gva), "{method}");
    }
}

#[test]
fn a_deadly_fault_can_be_stopped_at_before_the_program_dies() {
    let lab = lab!();
    let options = ["--console", "--trap", "port", "--stop-at", "kind=segv_maperr,then=go"];
    let output = lab.run(&options, "segv", &["--how", "unmapped"]);
    assert_eq!(exit_status(&output), 139, "{}", text(&output));
    assert!(text(&output).contains("VMA: none holds the address"), "{}", text(&output));
}

#[test]
fn faults_are_trapped_without_the_guests_own_record() {
    let lab = lab!();
    for method in methods(&lab) {
        let output = lab.run(&["--console", "--record", "none", "--trap", method], "demand-paging", &["--pages", "40"]);
        assert_eq!(exit_status(&output), 0, "{}", text(&output));
        let run = RunRows::open(&lab.run_file());
        let counts = run.rows("SELECT (SELECT count(*) FROM trap) >= 40, (SELECT count(*) FROM guest_fault)");
        assert_eq!(counts, [["1", "0"]], "{method}");
        assert_eq!(run.column("SELECT count(*) FROM check_skipped WHERE name LIKE 'trapped%'"), ["2"]);
    }
}

#[test]
fn what_cannot_be_trapped_or_stopped_at_is_said_before_the_start() {
    let lab = lab!();
    for (options, words) in [
        (&["--trap", "page"][..], "port or by breakpoint"),
        (&["--stop-at", "count=1"], "--trap"),
        (&["--trap", "port", "--stop-at", "kind=minor"], "the kinds are anon_write"),
        (&["--trap", "port", "--stop-at", "gva=12"], "0x7ffff7fbb000"),
        (&["--trap", "port", "--stop-at", "count=0"], "from 1 on"),
        (&["--trap", "breakpoint", "--stop-at", "kind=cow"], "use --trap port"),
    ] {
        let output = lab.run(options, "hello", &[]);
        assert_eq!(output.status.code(), Some(125), "{options:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{options:?}: {}", text(&output));
        assert!(!lab.run_file().exists(), "{options:?}");
    }
}
