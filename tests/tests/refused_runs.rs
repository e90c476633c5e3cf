//! Runs that are refused when their machine is made: memory that does not suffice or is not there, a run file that cannot be
//! written.

use std::fs;

use pagelab_tests::{lab, refused, text};

#[test]
fn an_unwritable_run_file_is_said() {
    let lab = lab!();
    refused(&lab, &["run", "-o", "no/such/folder/x.pagelab", "hello"], 125, &["no/such/folder/x.pagelab", "-o FILE"]);
    fs::write(lab.folder().join("precious"), "my own text").expect("a file");
    refused(&lab, &["run", "-o", "precious", "hello"], 125, &["precious", "not overwritten"]);
    assert_eq!(fs::read_to_string(lab.folder().join("precious")).expect("still there"), "my own text");
}

#[test]
fn the_least_memory_is_told_exactly() {
    let lab = lab!();
    fs::write(lab.folder().join("large"), vec![1; 40 << 20]).expect("a file");
    let run = |memory: &str| lab.pagelab(&["run", "--memory", memory, "--record", "none", "--file", "large", "hello"]);
    let output = run("16M");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    let (_, told) = said.split_once("give at least --memory ").expect("the least memory");
    let least: u32 = told.trim_end().strip_suffix('M').and_then(|number| number.parse().ok()).expect("a number of MiB");
    assert!((41..60).contains(&least), "{said}");
    let below = text(&run(&format!("{}M", least - 1)));
    assert!(below.contains(&format!("give at least --memory {least}M")), "{below}");
    let enough = text(&run(&format!("{least}M")));
    assert!(!enough.contains("give at least"), "{enough}");
}

#[test]
fn more_memory_than_the_host_has_is_refused() {
    let lab = lab!();
    refused(&lab, &["run", "--memory", "250G", "hello"], 125, &["256000 MiB", "give less with --memory"]);
    refused(&lab, &["run", "--memory", "4096G", "hello"], 125, &["must be from 16M to 255G"]);
}
