//! Formats as kernels print them, and as they do not.

use proptest::prelude::*;

use super::*;
use crate::perf::testdata;

fn of(set: &str, name: &str) -> Format {
    testdata::formats(set).into_iter().find(|format| format.name == name).expect("every kernel has it")
}

#[test]
fn fields_are_where_the_kernels_say() {
    let fields = ["vcpu_id", "guest_rip", "fault_address", "error_code"];
    for (set, id) in [
        (testdata::LINUX_6_1_SVM, 1470),
        (testdata::LINUX_6_12_SVM, 1632),
        (testdata::LINUX_6_12_VMX, 1672),
        (testdata::LINUX_6_18_PVM, 100),
    ] {
        let format = of(set, "kvm_page_fault");
        assert_eq!(format.id, id);
        let found = fields.map(|name| format.field(name).map(|field| (field.offset, field.size, field.signed)));
        assert_eq!(found, [Some((8, 4, false)), Some((16, 8, false)), Some((24, 8, false)), Some((32, 8, false))]);
        assert_eq!(format.field("level"), None);
    }
    // The width of a field has changed between kernels.
    let size = |set| of(set, "fast_page_fault").field("error_code").map(|field| field.size);
    assert_eq!((size(testdata::LINUX_6_1_SVM), size(testdata::LINUX_6_12_SVM)), (Some(4), Some(8)));
}

#[test]
fn exit_reasons_have_the_kernels_names() {
    for set in testdata::ALL {
        let [vmx, svm] = &of(set, "kvm_exit").symbols("exit_reason")[..] else { panic!("two vendors") };
        let name = |symbols: &Symbols, code| symbols.get(&code).cloned().expect("it has a name");
        assert_eq!(
            [0, 28, 48, 49, 62].map(|code| name(vmx, code)),
            ["EXCEPTION_NMI", "CR_ACCESS", "EPT_VIOLATION", "EPT_MISCONFIG", "PML_FULL"]
        );
        assert_eq!(
            [0, 0x4e, 0x60, 0x7b, 0x400, 0xffff_ffff].map(|code| name(svm, code)),
            ["read_cr0", "PF excp", "interrupt", "io", "npf", "invalid_guest_state"]
        );
        let user = of(set, "kvm_userspace_exit").symbols("reason");
        assert_eq!(user.len(), 1);
        assert_eq!(user[0].get(&2).map(String::as_str), Some("KVM_EXIT_IO"), "literals side by side are one");
    }
}

#[test]
fn numbers_are_read_as_wide_and_as_signed_as_they_are() {
    let text = "name: a\nID: 3\n\
        \tfield:unsigned char b;\toffset:2;\tsize:1;\tsigned:0;\n\
        \tfield:short c;\toffset:4;\tsize:2;\tsigned:1;\n\
        \tfield:void * d;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:int\t*e;\toffset:8;\tsize:8;\n\
        \tfield:__u8 insn[15];\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] f;\toffset:16;\tsize:4;\tsigned:0;\n\
        \tfield:struct g g;\toffset:16;\tsize:3;\tsigned:0;\n";
    let format = Format::parse(text).expect("valid");
    let record: Vec<u8> = (0xf0..=0xff).collect();
    let read = |name: &str| format.field(name).and_then(|field| field.read(&record));
    assert_eq!((read("b"), read("c")), (Some(0xf2), Some(0xffff_ffff_ffff_f5f4)));
    assert_eq!((read("d"), read("e")), (Some(0xfffe_fdfc_fbfa_f9f8), Some(0xfffe_fdfc_fbfa_f9f8)));
    assert_eq!(["insn[15]", "insn", "f", "g"].map(|name| format.field(name)), [None; 4]);
    assert_eq!(format.field("d").and_then(|field| field.read(&record[..15])), None, "a record that ends before it");
}

#[test]
fn a_text_without_name_or_number_is_no_format() {
    assert_eq!(
        Format::parse("").map_err(|error| error.to_string()),
        Err("the format file of a tracepoint has no name".into())
    );
    for text in ["name: x", "name: x\nID: 70000", "name: x\nID: -1", "name:\nID: 1"] {
        assert!(Format::parse(text).is_err(), "{text}");
    }
}

#[test]
fn only_the_whole_name_of_a_field_is_looked_up() {
    let text = "name: a\nID: 1\nprint fmt: \"%s\", __print_symbolic(REC->reason2, { 1, \"no\" }), \
        __print_symbolic(REC->reason & 0xff, { 1, \"yes\" }, { X, \"?\" }, { 1, \"late\" }, { (2UL), \"two\" }) { 3, \"out\" }";
    let symbols = Format::parse(text).expect("valid").symbols("reason");
    assert_eq!(symbols, [Symbols::from([(1, "yes".to_owned()), (2, "two".to_owned())])]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "(name: |ID: |field:|offset:|size:|;|\t|\n|[a-z]{1,3}|[0-9]{1,20}|__print_symbolic\\(REC->r|[{}\",()+-]| |é){0,60}") {
        if let Ok(format) = Format::parse(&text) {
            format.symbols("r");
            format.field("a");
        }
    }

    #[test]
    fn what_is_written_is_read(
        id: u16,
        fields in proptest::collection::btree_map("[a-z_]{1,12}", (0usize..64, 0usize..4, any::<bool>()), 1..12),
        record in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut text = format!("name: some\nID: {id}\nformat:\n");
        for (name, (offset, size, signed)) in &fields {
            text += &format!("\tfield:some type {name};\toffset:{offset};\tsize:{};\tsigned:{};\n", 1 << size, u8::from(*signed));
        }
        let format = Format::parse(&text).expect("valid");
        prop_assert_eq!(format.id, id);
        for (name, (offset, size, signed)) in fields {
            let field = format.field(&name).expect("it was written");
            prop_assert_eq!(field, Field { offset, size: 1 << size, signed });
            let expected = record.get(offset..offset + (1 << size)).map(|bytes| {
                let negative = signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(wide)
            });
            prop_assert_eq!(field.read(&record), expected);
        }
    }
}
