//! General-protection faults that arrive as invalid opcodes.
//!
//! Where ring 3 runs natively under shadow paging, KVM first tries to emulate an instruction that raised #GP, and raises
//! #UD when its emulator does not know it: `int n` and most of x87, SSE and AVX. With these a misaligned or non-canonical
//! operand would end a program by SIGILL where Linux sends SIGSEGV. So their opcodes are told apart here.
//!
//! AVX of a CPU that has none is the one genuine #UD that is taken for a #GP.

const OPERAND_SIZE: u8 = 0x66;
const LOCK: u8 = 0xf0;

/// Whether a ring-3 instruction that raised #UD is one that KVM's emulator does not know, but a CPU does.
pub(crate) fn is_general_protection(code: &[u8]) -> bool {
    let prefixes = code.iter().take_while(|&&byte| is_prefix(byte)).count();
    let (prefixes, code) = code.split_at(prefixes);
    if prefixes.contains(&LOCK) {
        return false;
    }
    match *code {
        // INT n.
        [0xcd, _, ..] => true,
        // x87.
        [0xd8..=0xdf, operand, ..] => is_memory(operand),
        // VEX and EVEX, whose prefix must be the last.
        [0xc5, _, _, operand, ..] | [0xc4, _, _, _, operand, ..] | [0x62, _, _, _, _, operand, ..] => {
            is_memory(operand)
        }
        [0x0f, 0x38 | 0x3a, _, operand, ..] => is_memory(operand),
        [0x0f, opcode, operand, ..] => is_memory(operand) && is_sse(opcode, prefixes),
        _ => false,
    }
}

/// Legacy prefixes and REX.
fn is_prefix(byte: u8) -> bool {
    matches!(byte, OPERAND_SIZE | 0x67 | LOCK | 0xf2 | 0xf3 | 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x40..=0x4f)
}

/// Whether a ModRM byte names memory.
fn is_memory(mod_rm: u8) -> bool {
    mod_rm < 0xc0
}

/// Opcodes of the two-byte map that are SSE, MMX or the loading and storing of their state.
fn is_sse(opcode: u8, prefixes: &[u8]) -> bool {
    match opcode {
        // POPCNT needs its prefix.
        0xb8 => prefixes.contains(&0xf3),
        0x10..=0x17 | 0x28..=0x2f | 0x50..=0x76 | 0x7c..=0x7f | 0xae | 0xc2..=0xc6 | 0xd0..=0xfe => true,
        _ => false,
    }
}
