//! Where two texts begin to differ, in words.

use std::fmt::Write;

/// Lines shown before the difference, and after it.
const AROUND: usize = 6;

/// The first line that differs, with what came before on both sides; `None` if the texts are equal.
pub fn first_difference(linux: &str, lab: &str) -> Option<String> {
    if linux == lab {
        return None;
    }
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (lab.lines().collect(), linux.lines().collect());
    let at = (0..).find(|&line| ours.get(line) != theirs.get(line) || ours.get(line).is_none())?;
    let mut text = format!("line {} differs:\n", at + 1);
    for line in &theirs[at.saturating_sub(AROUND)..at.min(theirs.len())] {
        let _ = writeln!(text, "  both   {line}");
    }
    for (side, lines) in [("Linux", &theirs), ("lab", &ours)] {
        if at >= lines.len() {
            let _ = writeln!(text, "  {side:<6} (nothing more)");
        }
        for line in lines.iter().skip(at).take(AROUND) {
            let _ = writeln!(text, "  {side:<6} {line}");
        }
    }
    Some(text)
}
