//! Delta debugging: the shortest script that still shows a difference, with many candidates tried in one go.

use super::Operation;

/// Candidates tried at once at most.
const BATCH: usize = 64;

/// Takes operations away as long as `shows` says that the difference stays. `shows` is asked for many candidates at
/// once, since a run of the lab costs more than what it runs. The last operation, which shows the difference, stays.
pub fn shrink(script: Vec<Operation>, shows: &mut dyn FnMut(&[Vec<Operation>]) -> Vec<bool>) -> Vec<Operation> {
    let mut script = script;
    let mut size = script.len().div_ceil(2).max(1);
    loop {
        let before = script.len();
        script = without_pieces(script, size, shows);
        if size > 1 {
            size = size.div_ceil(2);
        } else if script.len() == before {
            return script;
        }
    }
}

/// Tries to leave out each piece of a size; what can go by itself is left out together, where that still shows it.
fn without_pieces(
    script: Vec<Operation>,
    size: usize,
    shows: &mut dyn FnMut(&[Vec<Operation>]) -> Vec<bool>,
) -> Vec<Operation> {
    let last = script.len().saturating_sub(1);
    let pieces: Vec<_> = (0..last).step_by(size).map(|start| start..(start + size).min(last)).collect();
    let without = |left_out: &[std::ops::Range<usize>]| -> Vec<Operation> {
        let stays = |index: &usize| !left_out.iter().any(|piece| piece.contains(index));
        (0..script.len()).filter(stays).map(|index| script[index].clone()).collect()
    };
    let mut can_go = Vec::new();
    for batch in pieces.chunks(BATCH) {
        let candidates: Vec<_> = batch.iter().map(|piece| without(std::slice::from_ref(piece))).collect();
        let shown = shows(&candidates);
        can_go.extend(batch.iter().zip(shown).filter(|(_, shown)| *shown).map(|(piece, _)| piece.clone()));
    }
    // All of them, else half as many, down to one, of which it is known.
    let mut count = can_go.len();
    while count > 1 {
        let candidate = without(&can_go[..count]);
        if shows(std::slice::from_ref(&candidate)) == [true] {
            return candidate;
        }
        count /= 2;
    }
    match can_go.first() {
        Some(piece) => without(std::slice::from_ref(piece)),
        None => script,
    }
}
