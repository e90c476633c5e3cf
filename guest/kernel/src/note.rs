//! The ELF note that tells the host which ABI this kernel speaks.
#![expect(unsafe_code, reason = "the linker script looks for the note in a section of its own")]

use pagelab_abi::note::Note;

// SAFETY: the section holds nothing but notes, and nothing reads it at run time.
#[used]
#[unsafe(link_section = ".note.pagelab")]
static NOTE: Note = Note::THIS;
