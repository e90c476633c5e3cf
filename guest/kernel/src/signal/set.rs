//! Signal numbers, sets of them, and what each does by default (signal(7)).

use pagelab_mm::errno::Errno;

pub(crate) const SIGILL: u32 = 4;
pub(crate) const SIGTRAP: u32 = 5;
pub(crate) const SIGBUS: u32 = 7;
pub(crate) const SIGFPE: u32 = 8;
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGSEGV: u32 = 11;
pub(crate) const SIGALRM: u32 = 14;
const SIGCHLD: u32 = 17;
const SIGCONT: u32 = 18;
const SIGSTOP: u32 = 19;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
const SIGTTOU: u32 = 22;
const SIGURG: u32 = 23;
pub(crate) const SIGVTALRM: u32 = 26;
pub(crate) const SIGPROF: u32 = 27;
const SIGWINCH: u32 = 28;
const SIGSYS: u32 = 31;
/// First real-time signal: several of one number can be pending.
pub(crate) const SIGRTMIN: u32 = 32;
/// Highest signal (Linux's _NSIG on x86-64).
pub(crate) const LAST: u32 = 64;

/// A set of signals, as programs give it: bit 0 is signal 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SignalSet(pub(crate) u64);

impl SignalSet {
    /// SIGKILL and SIGSTOP: never blocked, handled or waited for.
    pub(crate) const ALWAYS_OBEYED: SignalSet = SignalSet::of(&[SIGKILL, SIGSTOP]);
    /// Those that instructions raise: delivered before others.
    const SYNCHRONOUS: SignalSet = SignalSet::of(&[SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS]);
    /// Those that stop a process by default.
    pub(crate) const STOPS: SignalSet = SignalSet::of(&[SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);
    /// The one that makes it go on.
    pub(crate) const CONTINUES: SignalSet = SignalSet::of(&[SIGCONT]);
    /// Those that do nothing by default.
    const IGNORED: SignalSet = SignalSet::of(&[SIGCHLD, SIGCONT, SIGURG, SIGWINCH]);

    const fn of(numbers: &[u32]) -> SignalSet {
        let (mut bits, mut index) = (0, 0);
        while index < numbers.len() {
            bits |= 1 << (numbers[index] - 1);
            index += 1;
        }
        SignalSet(bits)
    }

    /// The set of one signal.
    pub(crate) const fn only(number: u32) -> SignalSet {
        SignalSet::of(&[number])
    }

    pub(crate) const fn contains(self, number: u32) -> bool {
        self.0 & SignalSet::only(number).0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn and(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// The one that is delivered first: what instructions raise, then the lowest number.
    pub(super) const fn first(self) -> Option<u32> {
        let bits = match self.and(SignalSet::SYNCHRONOUS) {
            SignalSet(0) => self.0,
            SignalSet(synchronous) => synchronous,
        };
        if bits == 0 { None } else { Some(bits.trailing_zeros() + 1) }
    }
}

/// What a signal does by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ByDefault {
    /// Ends the program.
    Terminate,
    /// Nothing.
    Ignore,
    /// Stops it until somebody makes it go on.
    Stop,
}

/// What a signal does by default.
pub(super) const fn by_default(number: u32) -> ByDefault {
    if SignalSet::IGNORED.contains(number) {
        ByDefault::Ignore
    } else if SignalSet::STOPS.contains(number) {
        ByDefault::Stop
    } else {
        ByDefault::Terminate
    }
}

/// A signal number that a program gave, a C int.
///
/// # Errors
/// EINVAL for a number that is none; 0 is none.
pub(crate) fn number(value: u64) -> Result<u32, Errno> {
    match value as u32 {
        number @ 1..=LAST => Ok(number),
        _ => Err(Errno::EINVAL),
    }
}
