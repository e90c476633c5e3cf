//! Signals that were sent and not delivered yet.

use super::{
    info::{SigInfo, code},
    set::{LAST, SIGRTMIN, SignalSet},
};
use crate::take_once::TakeOnce;

/// Most real-time signals that can be pending: the default RLIMIT_SIGPENDING.
pub(crate) const MAX_QUEUED: usize = 128;
/// Beside them there is room for each of the other signals, sent to the thread and to the process.
const CAPACITY: usize = MAX_QUEUED + 2 * (SIGRTMIN as usize - 1);

static QUEUE: TakeOnce<[SigInfo; CAPACITY]> = TakeOnce::new([EMPTY; CAPACITY]);
const EMPTY: SigInfo = zerocopy::transmute!([0u8; size_of::<SigInfo>()]);

/// Whom a signal was sent to. They differ in order: what was sent to the thread comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// The one thread: `tkill`, and what its own instructions raise.
    Thread,
    /// The process: `kill`, timers.
    Process,
}

/// What is pending, and what is known of each signal, in the order of sending.
pub(super) struct Pending {
    sets: [SignalSet; 2],
    infos: &'static mut [SigInfo; CAPACITY],
    targets: [Target; CAPACITY],
    used: usize,
    real_time: usize,
}

impl Pending {
    /// Nothing. Called once.
    pub(super) fn new() -> Pending {
        Pending {
            sets: [SignalSet::default(); 2],
            infos: QUEUE.take(),
            targets: [Target::Process; CAPACITY],
            used: 0,
            real_time: 0,
        }
    }

    /// All that is pending.
    pub(super) fn set(&self) -> SignalSet {
        self.sets[0].or(self.sets[1])
    }

    /// What is pending for the thread, or for the process.
    pub(super) fn of(&self, target: Target) -> SignalSet {
        self.sets[target as usize]
    }

    /// Adds a signal. One below SIGRTMIN that is pending already is not added again; a real-time one beyond `limit` is
    /// pending, but what it carried is lost.
    pub(super) fn add(&mut self, number: u32, info: &SigInfo, target: Target, limit: usize) {
        let again = self.sets[target as usize].contains(number);
        self.sets[target as usize] = self.sets[target as usize].or(SignalSet::only(number));
        if number < SIGRTMIN {
            if again {
                return;
            }
        } else if !self.has_room(number, limit) {
            return;
        } else {
            self.real_time += 1;
        }
        self.infos[self.used] = *info;
        self.infos[self.used].signo = number as i32;
        self.targets[self.used] = target;
        self.used += 1;
    }

    /// Whether another signal of this number would find room.
    pub(super) fn has_room(&self, number: u32, limit: usize) -> bool {
        number < SIGRTMIN || self.real_time < limit.min(MAX_QUEUED)
    }

    /// Takes the first signal of a set.
    pub(super) fn take(&mut self, of: SignalSet) -> Option<(u32, SigInfo)> {
        let (target, number) = [Target::Thread, Target::Process]
            .into_iter()
            .find_map(|target| Some((target, self.of(target).and(of).first()?)))?;
        let is_it = |index: &usize| self.targets[*index] == target && self.infos[*index].signo == number as i32;
        let mut found = (0..self.used).filter(is_it);
        let (first, more) = (found.next(), found.next().is_some());
        if !more {
            let set = &mut self.sets[target as usize];
            *set = set.without(SignalSet::only(number));
        }
        // One that found no room carries nothing.
        let info = first.map_or(SigInfo::sent(number, code::SI_USER, 0, 0), |index| self.remove(index));
        Some((number, info))
    }

    /// Forgets all signals of a set.
    pub(super) fn discard(&mut self, set: SignalSet) {
        for pending in &mut self.sets {
            *pending = pending.without(set);
        }
        for index in (0..self.used).rev() {
            let number = self.infos[index].signo as u32;
            if (1..=LAST).contains(&number) && set.contains(number) {
                self.remove(index);
            }
        }
    }

    fn remove(&mut self, index: usize) -> SigInfo {
        let info = self.infos[index];
        self.infos.copy_within(index + 1..self.used, index);
        self.targets.copy_within(index + 1..self.used, index);
        self.used -= 1;
        if info.signo as u32 >= SIGRTMIN {
            self.real_time -= 1;
        }
        info
    }
}
