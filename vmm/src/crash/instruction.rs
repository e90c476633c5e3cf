//! One instruction in words: AT&T syntax, as objdump and gdb write it.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

/// The instruction that `code` begins with, and its length in bytes; `None` if the bytes are none, or too few.
pub(crate) fn disassemble(code: &[u8], address: u64) -> Option<(String, usize)> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_space_after_operand_separator(false);
    let mut text = String::new();
    formatter.format(&instruction, &mut text);
    Some((text, instruction.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_written_as_objdump_does() {
        let words = |code: &[u8]| disassemble(code, 0x40_1000);
        assert_eq!(words(&[0xc6, 0x00, 0x01]), Some(("movb $1,(%rax)".to_owned(), 3)));
        assert_eq!(words(&[0xf4, 0x90]), Some(("hlt".to_owned(), 1)));
        assert_eq!(words(&[0xff, 0xd0]), Some(("call *%rax".to_owned(), 2)));
        assert_eq!(words(&[0xe8, 0xfb, 0x0f, 0, 0]), Some(("call 0x402000".to_owned(), 5)));
        assert_eq!(words(&[]), None, "nothing");
        assert_eq!(words(&[0x48, 0x8b]), None, "cut short");
        assert_eq!(words(&[0x06]), None, "no instruction in 64-bit mode");
    }
}
