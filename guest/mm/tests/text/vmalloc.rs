//! vmallocinfo: lines that were taken from a Linux 6.18 and written down, without what it says of nodes.

use pagelab_mm::{
    abi::snapshot::{AreaFlags, VmallocEntry},
    text::{self, Caller},
};

use crate::linux::rendered;

const LINES: [&str; 5] = [
    "0x000000008e61953c-0x000000008e61e53c   20480 irq_init_percpu_irqstack+0xca/0x100 vmap\n",
    "0x0000000004ff0d04-0x0000000004ff2d04    8192 acpi_os_map_iomem+0x1bc/0x1e0 phys=0x00000000000a0000 ioremap\n",
    "0x00000000b5a69d9f-0x00000000b5a6ed9f   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc\n",
    "0x000000001b910870-0x000000001b912870    8192 vp_modern_map_capability+0x12d/0x1c0 phys=0x0000004000000000 ioremap\n",
    "0xffffc90000000000-0xffffc90010001000 268439552 bpf_prog_alloc_no_stats+0x42/0x2a0 pages=65536 vmalloc\n",
];

#[test]
fn lines_are_as_linux_writes_them() {
    let area = |start, size, pages, physical, flags: AreaFlags, caller| {
        let entry =
            VmallocEntry { start, end: start + size, physical, pages, flags: flags.bits(), caller: 0, padding: 0 };
        rendered(|w| text::vmallocinfo(w, &entry, Some(Caller::Name(caller))))
    };
    let ours = [
        area(0x8e61_953c, 20480, 4, 0, AreaFlags::MAP, "irq_init_percpu_irqstack+0xca/0x100"),
        area(0x04ff_0d04, 8192, 0, 0xa_0000, AreaFlags::IOREMAP, "acpi_os_map_iomem+0x1bc/0x1e0"),
        area(0xb5a6_9d9f, 20480, 4, 0, AreaFlags::ALLOC, "kernel_clone+0x94/0x3e0"),
        area(0x1b91_0870, 8192, 0, 0x40_0000_0000, AreaFlags::IOREMAP, "vp_modern_map_capability+0x12d/0x1c0"),
        area(0xffff_c900_0000_0000, 0x1000_1000, 65536, 0, AreaFlags::ALLOC, "bpf_prog_alloc_no_stats+0x42/0x2a0"),
    ];
    assert_eq!(ours, LINES);
}

#[test]
fn a_caller_of_ours_is_a_line_of_the_source() {
    let flags = (AreaFlags::ALLOC | AreaFlags::LAZY).bits();
    let entry = VmallocEntry { start: 1 << 12, end: 3 << 12, flags, ..VmallocEntry::default() };
    let line = |caller| rendered(|w| text::vmallocinfo(w, &entry, caller));
    let range = "0x0000000000001000-0x0000000000003000    8192";
    assert_eq!(line(None), format!("{range} vmalloc lazy\n"));
    let place = Caller::Place { file: "src/proc/read.rs", line: 118 };
    assert_eq!(line(Some(place)), format!("{range} src/proc/read.rs:118 vmalloc lazy\n"));
}
