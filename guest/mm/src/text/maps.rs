//! `/proc/PID/maps`.

use core::fmt;

use pagelab_abi::{snapshot::VmaEntry, vm_flags::VmFlags};

use super::{Sink, out::Out};

/// Column in which the path of a `maps` line begins, if what comes before is not longer.
const PATH_COLUMN: usize = 73;
/// Bytes that come before the path, at most.
const LONGEST_HEAD: usize = 100;

/// Finds the text of a string id.
pub type Names<'a> = dyn Fn(u32) -> Option<&'a [u8]> + 'a;

/// `/proc/PID/maps`, or some lines of it.
///
/// # Errors
/// The sink's.
pub fn maps(sink: &mut dyn Sink, vmas: &[VmaEntry], name: &Names<'_>) -> fmt::Result {
    let mut out = Out::new(sink);
    for vma in vmas {
        let path = if vma.name == 0 { None } else { name(vma.name) };
        line(&mut out, vma, path);
    }
    out.finish()
}

/// One line of `maps`, which is also the head of an entry of `smaps`.
pub(super) fn line(out: &mut Out<'_>, vma: &VmaEntry, path: Option<&[u8]>) {
    let bits = VmFlags::from_bits_truncate(vma.bits);
    let mark = |bit, letter| if bits.contains(bit) { letter } else { b'-' };
    let device = vma.device;
    out.reserve(LONGEST_HEAD);
    let before = out.pending();
    out.hex(vma.start, 8);
    out.byte(b'-');
    out.hex(vma.end, 8);
    out.bytes(&[
        b' ',
        mark(VmFlags::READ, b'r'),
        mark(VmFlags::WRITE, b'w'),
        mark(VmFlags::EXEC, b'x'),
        if bits.contains(VmFlags::MAYSHARE) { b's' } else { b'p' },
        b' ',
    ]);
    out.hex(vma.offset, 8);
    out.byte(b' ');
    out.hex(u64::from(device >> DEVICE_MINOR_BITS), 2);
    out.byte(b':');
    out.hex(u64::from(device & ((1 << DEVICE_MINOR_BITS) - 1)), 2);
    out.byte(b' ');
    out.decimal(vma.inode);
    out.byte(b' ');
    let padding = PATH_COLUMN.saturating_sub(out.pending() - before).max(1);
    if let Some(path) = path {
        out.fill(b' ', padding);
        escaped(out, path);
    }
    out.byte(b'\n');
}

/// Bits of a device number that are its minor number (Linux's MINORBITS).
const DEVICE_MINOR_BITS: u32 = 20;

/// A path in which a newline cannot be taken for the end of the line.
fn escaped(out: &mut Out<'_>, path: &[u8]) {
    for (index, part) in path.split(|&byte| byte == b'\n').enumerate() {
        if index > 0 {
            out.text("\\012");
        }
        out.bytes(part);
    }
}
