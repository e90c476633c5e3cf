//! A crash record as the guest sent it, checked: nothing in it is trusted.

use pagelab_abi::crash::{Crash, STACK_BYTES};
use zerocopy::FromBytes;

/// The record and the stack behind it.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    /// The record. Its lengths have been checked; all other numbers may be anything.
    pub(crate) crash: Crash,
    /// The program's stack from `crash.stack_start` on.
    pub(crate) stack: Vec<u8>,
}

impl Remains {
    /// Takes a transfer apart; `None` of one whose parts are not as long as it says.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Remains> {
        let (crash, stack) = Crash::read_from_prefix(bytes).ok()?;
        let whole = stack.len() == crash.stack_length as usize
            && stack.len() <= STACK_BYTES
            && usize::from(crash.code_length) <= crash.code_bytes.len();
        whole.then(|| Remains { crash, stack: stack.to_vec() })
    }

    /// The program's memory from the instruction on.
    pub(crate) fn code(&self) -> &[u8] {
        &self.crash.code_bytes[..usize::from(self.crash.code_length)]
    }

    /// Eight bytes of the stack; `None` where they are not known.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.crash.stack_start)?).ok()?;
        let bytes = self.stack.get(at..at.checked_add(8)?)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }

    /// First address behind the known part of the stack.
    pub(crate) fn stack_end(&self) -> u64 {
        self.crash.stack_start.saturating_add(self.stack.len() as u64)
    }

    /// The registers by their DWARF numbers (System V ABI for x86-64, figure 3.36); RIP, which has none, as 16.
    pub(crate) fn registers(&self) -> [u64; 17] {
        let frame = &self.crash.frame;
        [
            frame.rax, frame.rdx, frame.rcx, frame.rbx, frame.rsi, frame.rdi, frame.rbp, frame.rsp, frame.r8, frame.r9,
            frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15, frame.rip,
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    #[test]
    fn lengths_must_be_true() {
        let crash = Crash { stack_start: 0x7000, stack_length: 16, code_length: 2, ..Crash::default() };
        let bytes = [crash.as_bytes(), &[1; 16]].concat();
        let remains = Remains::decode(&bytes).expect("whole");
        assert_eq!((remains.code().len(), remains.stack_end()), (2, 0x7010));
        assert_eq!(remains.word(0x7008), Some(0x0101_0101_0101_0101));
        for address in [0, 0x6fff, 0x7009, u64::MAX] {
            assert_eq!(remains.word(address), None, "{address:#x}");
        }
        assert!(Remains::decode(&bytes[..bytes.len() - 1]).is_none(), "less stack than it says");
        assert!(Remains::decode(&bytes[..100]).is_none(), "half a record");
        let crash = Crash { code_length: 200, ..Crash::default() };
        assert!(Remains::decode(crash.as_bytes()).is_none(), "more code than there is room for");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1000), at in any::<u64>()) {
            if let Some(remains) = Remains::decode(&bytes) {
                remains.word(at);
                remains.code();
            }
        }
    }
}
