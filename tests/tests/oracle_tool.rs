//! The oracle's own tools: the normaliser hides no difference, answers are cut right, differences are found and shrunk.
//! Needs no KVM.

use pagelab_tests::oracle::{
    first_difference, normalise, parse,
    sequence::{self, Operation, Random, Transcript, episode, read_script, shrink},
};

const MAPS: &str = "\
before
00400000-00401000 r--p 00000000 fe:00 1001 /tmp/x/program
00401000-0047a000 r-xp 00001000 fe:00 1001 /tmp/x/program
004a9000-004ae000 rw-p 00000000 00:00 0 
0c137000-0c159000 rw-p 00000000 00:00 0                                  [heap]
7f109b000000-7f109b002000 rw-p 00000000 00:00 0 
7f109b5f6000-7f109b5fa000 r--p 00000000 00:00 0                          [vvar]
7f109b5fc000-7f109b5fe000 r-xp 00000000 00:00 0                          [vdso]
7fff71d27000-7fff71d48000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
after
";

#[test]
fn maps_become_distances_from_bases() {
    let expected = "\
before
program+0 program+1000 r--p 00000000 file PROGRAM
program+1000 program+7a000 r-xp 00001000 file PROGRAM
program+a9000 program+ae000 rw-p 00000000 anonymous
heap+0 heap+22000 rw-p 00000000 anonymous [heap]
top-2000 top-0 rw-p 00000000 anonymous
stack-21000 stack-0 rw-p 00000000 anonymous [stack]
after
";
    assert_eq!(normalise(MAPS, "program"), expected);
}

#[test]
fn other_places_devices_and_inodes_are_no_difference() {
    let moved = MAPS
        .replace("0c137000-0c159000", "0d000000-0d022000")
        .replace("7fff71d27000-7fff71d48000", "7ffffffde000-7ffffffff000")
        .replace("7f109b000000-7f109b002000", "7f3333330000-7f3333332000")
        .replace("fe:00 1001 /tmp/x/program", "00:01 7 /bin/program");
    let without: String = moved.lines().filter(|line| !line.contains("[v")).map(|line| format!("{line}\n")).collect();
    assert_eq!(normalise(&without, "program"), normalise(MAPS, "program"));
}

#[test]
fn every_real_difference_stays() {
    let same = normalise(MAPS, "program");
    let changes = [
        ("00401000-0047a000", "00401000-0047b000"),
        ("r-xp 00001000", "r--p 00001000"),
        ("r-xp 00001000", "r-xp 00002000"),
        ("0c137000-0c159000", "0c137000-0c15a000"),
        ("7fff71d27000", "7fff71d28000"),
        ("7f109b000000-7f109b002000 rw-p", "7f109b000000-7f109b002000 rw-s"),
        ("7f109b000000", "7f109b001000"),
        ("004a9000", "004aa000"),
        ("00:00 0 \n0c1", "00:01 5 \n0c1"),
        ("[stack]", "[heap]"),
        ("before", "Before"),
        ("after\n", ""),
        ("00401000-0047a000 r-xp 00001000 fe:00 1001 /tmp/x/program\n", ""),
    ];
    for (from, to) in changes {
        let changed = MAPS.replacen(from, to, 1);
        assert_ne!(changed, MAPS, "{from}");
        assert_ne!(normalise(&changed, "program"), same, "{from} becomes {to}");
    }
}

#[test]
fn lines_that_are_no_rows_stay_as_they_are() {
    for line in ["1000-2000 rw-p 0", "  0-4000 rw-p 0", "read AT(0): SIGSEGV", "12345678-123456789 is a range", ""] {
        assert_eq!(normalise(&format!("{line}\n"), "p"), format!("{line}\n"));
    }
}

#[test]
fn the_first_difference_is_shown_with_both_sides() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    let text = first_difference("a\nb\nc\n", "a\nx\nc\n").expect("a difference");
    assert!(text.contains("line 2") && text.contains("Linux  b") && text.contains("lab    x"), "{text}");
    let text = first_difference("a\nb\n", "a\n").expect("a difference");
    assert!(text.contains("lab    (nothing more)"), "{text}");
    // Without the last line's end the lines are the same, the texts are not.
    assert!(first_difference("a\n", "a").is_some());
}

#[test]
fn answers_are_cut_by_operation() {
    let script = read_script("e\nm 0 0 1000\ns 1\n").expect("a script");
    let text = "e \nm w+0\ns \n w+0-w+1000 rw-p\n locked 0\noperations 3\n";
    let whole = Transcript::new(text);
    assert!(whole.answers_all(&script));
    assert_eq!(whole.answer(2), Some("s \n w+0-w+1000 rw-p\n locked 0"));
    assert_eq!(sequence::first_difference(&script, &whole, &whole), None);
    // Cut short, miscounted, or another operation's answer: none of it passes.
    for broken in
        ["", "e \n", "e \nm w+0\n", &text.replace("operations 3", "operations 2"), &text.replace("m w", "u w")]
    {
        assert!(!Transcript::new(broken).answers_all(&script), "{broken:?}");
    }
    let short = Transcript::new("e \nm w+0\n");
    assert_eq!(sequence::first_difference(&script, &whole, &short), Some(2));
    assert_eq!(sequence::first_difference(&script, &short, &short), Some(2), "neither came there");
    let other = Transcript::new(&text.replace("locked 0", "locked 4"));
    assert_eq!(sequence::first_difference(&script, &whole, &other), Some(2));
}

#[test]
fn the_same_seed_makes_the_same_script() {
    let script = |seed| episode(&mut Random::new(seed), 150);
    assert_eq!(script(7), script(7));
    assert_ne!(script(7), script(8));
    assert_eq!(script(7).len(), 150);
    let letters: String = (0..40).flat_map(script).map(|operation| operation.letter).collect();
    for letter in "emuprlkyctwbTPGsa".chars() {
        assert!(letters.contains(letter), "{letter} never comes");
    }
    let text: String = script(9).iter().map(|operation| format!("{operation}\n")).collect();
    assert_eq!(read_script(&text), Ok(script(9)));
    assert!(read_script("m zz\n").is_err());
}

#[test]
fn shrinking_leaves_what_the_difference_needs() {
    let script: Vec<Operation> = (0..100).map(|number| Operation::new('m', &[number])).collect();
    let mut asked = 0;
    // It needs 17 and 60, in this order, before the last.
    let short = shrink(script, &mut |candidates| {
        asked += 1;
        let has = |script: &[Operation], number| script.iter().any(|operation| operation.numbers == [number]);
        candidates.iter().map(|script| has(script, 17) && has(script, 60) && has(script, 99)).collect()
    });
    let numbers: Vec<u64> = short.iter().map(|operation| operation.numbers[0]).collect();
    assert_eq!(numbers, [17, 60, 99]);
    assert!(asked < 60, "{asked} runs");
}

#[test]
fn releases_are_read() {
    assert_eq!(parse("6.12.41+deb13-amd64"), Some((6, 12)));
    assert_eq!(parse("6.18.44-fc-v657\n"), Some((6, 18)));
    assert_eq!(parse("unknown"), None);
}
