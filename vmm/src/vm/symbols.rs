//! Names for addresses in the guest kernel or its program, from the ELF symbol table.

use object::{Object, ObjectKind, ObjectSymbol, SymbolKind, SymbolSection};
use pagelab_abi::layout::ELF_ET_DYN_BASE;

/// Functions of an ELF file by address.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Start, size, mangled name; by start.
    functions: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// Reads the symbol table. A file that cannot be read, or has none, gives no names.
    pub fn from_elf(bytes: &[u8]) -> Symbols {
        let Ok(file) = object::File::parse(bytes) else { return Symbols::default() };
        let mut functions: Vec<(u64, u64, String)> = file
            .symbols()
            .filter(|symbol| {
                // Labels of assembly code have no type.
                symbol.is_definition()
                    && symbol.section() != SymbolSection::Absolute
                    && matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown)
            })
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?.to_owned())))
            .filter(|(_, _, name)| !name.is_empty())
            .collect();
        functions.sort();
        Symbols { functions }
    }

    /// The address of a file's first instruction, as the file says; `None` of a file that cannot be read.
    pub fn entry(bytes: &[u8]) -> Option<u64> {
        object::File::parse(bytes).ok().map(|file| file.entry())
    }

    /// Reads the symbol table of a program. One that is position independent is loaded at [`ELF_ET_DYN_BASE`].
    pub fn of_program(bytes: &[u8]) -> Symbols {
        let mut symbols = Symbols::from_elf(bytes);
        if object::File::parse(bytes).is_ok_and(|file| file.kind() == ObjectKind::Dynamic) {
            symbols.functions.iter_mut().for_each(|(start, ..)| *start = start.wrapping_add(ELF_ET_DYN_BASE));
        }
        symbols
    }

    /// Where a function or label is, by its mangled name.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.functions.iter().find(|(.., known)| known == name).map(|(start, ..)| *start)
    }

    /// `function+0xoffset` for an address inside a function; `None` elsewhere. A function without a size reaches to the
    /// next one.
    pub fn name(&self, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        let end = match size {
            0 => self.functions.get(after)?.0,
            size => start.saturating_add(*size),
        };
        if address >= end {
            return None;
        }
        Some(format!("{}+{:#x}", demangle(name), address - start))
    }
}

/// A name as its source has it: Rust's and C++'s are mangled, others are left as they are.
pub(crate) fn demangle(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    let cpp = name.starts_with("_Z").then(|| cpp_demangle::Symbol::new(name).ok()).flatten();
    cpp.and_then(|symbol| symbol.demangle().ok()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_inside_functions_only() {
        let symbols = Symbols {
            functions: vec![
                (0x1000, 0x10, "_ZN6kernel4main17h0123456789abcdefE".to_owned()),
                (0x2000, 0, "entry".to_owned()),
                (0x2010, 4, "last".to_owned()),
            ],
        };
        assert_eq!(symbols.name(0x100f).as_deref(), Some("kernel::main+0xf"));
        assert_eq!(symbols.name(0x1010), None);
        assert_eq!(symbols.name(0x200f).as_deref(), Some("entry+0xf"));
        assert_eq!(symbols.name(0x2014), None);
        assert_eq!(symbols.name(0), None);
        assert_eq!((symbols.address("entry"), symbols.address("ent")), (Some(0x2000), None));
    }

    #[test]
    fn names_are_demangled() {
        assert_eq!(demangle("_ZN4Tree4walkEi"), "Tree::walk(int)");
        assert_eq!(demangle("_ZN6kernel4main17h0123456789abcdefE"), "kernel::main");
        assert_eq!(demangle("main"), "main");
        assert_eq!(demangle("_Zx"), "_Zx");
    }

    #[test]
    fn finds_a_function_of_this_very_program() {
        let own = std::fs::read("/proc/self/exe").expect("a program can read itself");
        let symbols = Symbols::from_elf(&own);
        assert!(symbols.functions.iter().any(|(.., name)| name.contains("finds_a_function_of_this_very_program")));
        assert!(Symbols::from_elf(b"no ELF").functions.is_empty());
    }
}
